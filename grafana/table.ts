import { colours, type Mapping, type StateName, states, steps } from './look.ts';
import { type Common, datasource, instant, type Json, type Link, letter, type Panel } from './panels.ts';
import type { ThresholdName } from './thresholds.ts';

/** A column: a label of the rows, or the value of a query. */
export interface Column {
  /** PromQL, by the labels that name a row; without it the column is a label. */
  readonly expr?: string;
  /** The label that the column shows: that of the rows, or one that the query adds. */
  readonly label?: string;
  readonly unit?: string;
  readonly threshold?: ThresholdName;
  readonly state?: StateName;
  readonly width?: number;
  readonly links?: readonly Link[];
  readonly decimals?: number;
  /** What stands for a value that is not there; such a cell is not coloured as unknown. */
  readonly without?: string;
  /** What stands for a text of the cell, and its colour. Rows are ordered by the text that it stands for. */
  readonly texts?: Readonly<Record<string, { readonly text: string; readonly color: string }>>;
}

/** The overrides of one column: how its cells look. */
function override(name: string, column: Column): Json {
  const { unit, threshold, state, width, links, decimals, texts, without } = column;
  const texted = Object.entries(texts ?? {}).map(([from, to], index) => [from, { ...to, index: index + 1 }]);
  const property = (id: string, value: unknown) => (value === undefined ? [] : [{ id, value }]);
  const coloured = threshold || state || texts;
  return {
    matcher: { id: 'byName', options: name },
    properties: [
      ...property('unit', unit),
      // Of the panel it is what stands in place of the table; a cell without text is another thing.
      ...property('noValue', '–'),
      ...property('decimals', decimals),
      ...property(
        'mappings',
        threshold && !state && [without ? cellWithout(colours.plain, without) : cellWithout(colours.unknown)],
      ),
      ...property(
        'mappings',
        state && [cellWithout(without ? colours.plain : colours.unknown, without), states[state]],
      ),
      ...property(
        'mappings',
        texts && [cellWithout(colours.plain), { type: 'value', options: Object.fromEntries(texted) }],
      ),
      ...property('thresholds', threshold && steps(threshold)),
      ...property('custom.cellOptions', coloured && { type: 'color-text' }),
      ...property('color', coloured && { mode: 'thresholds' }),
      ...property('custom.width', width),
      ...property('links', links),
    ],
  };
}

/** A cell without a value: a number that is not known, or a label that the row does not have. */
const cellWithout = (colour: string, text = '–'): Mapping => ({
  type: 'special',
  options: { match: 'null+nan', result: { text, color: colour, index: 0 } },
});

const subtract = (alias: string, left: string, right: string) => ({
  id: 'calculateField',
  options: { mode: 'binary', alias, binary: { left, operator: '-', right }, replaceFields: false },
});

/** Labels that tables leave out unless they are a column. */
const hiddenLabels = [
  'job',
  'repository',
  'registry',
  'provider',
  'instance',
  'namespace',
  'pod',
  'service',
  'container',
  'endpoint',
  'node',
  '__name__',
];

/**
 * Rows of now. Queries by the same labels become one row; `rows` bounds them: every column is asked for the rows of
 * that query only. `order` names columns, those that lead to the worst row first.
 */
export function table(
  common: Common & {
    readonly columns: Readonly<Record<string, Column>>;
    readonly rows?: { readonly by: string; readonly expr: string };
    readonly order: Readonly<Record<string, 'up' | 'down'>>;
    /** A last column: one column less another. */
    readonly difference?: {
      readonly name: string;
      readonly of: string;
      readonly and: string;
      readonly unit: string;
    };
    /** What stands there when there are no rows. */
    readonly empty?: string;
  },
): Panel {
  const { title, about, w, h = 8, columns, rows, order, difference, empty = 'No data' } = common;
  const entries = Object.entries(columns);
  const asked = entries.filter(([, { expr }]) => expr !== undefined);
  const bounded = (expr: string) => (rows ? `(${expr})\nand on (${rows.by})\n${rows.expr}` : expr);
  const valueName = (index: number) => (asked.length > 1 ? `Value #${letter(index)}` : 'Value');
  /** What Grafana calls the field of a column before it is renamed. */
  const field = ([name, { label }]: readonly [string, Column]): string =>
    label ?? valueName(asked.findIndex(([one]) => one === name));
  const column = (name: string) => field([name, columns[name] ?? {}]);
  const unused = asked.flatMap(([, { label }], index) => (label ? [valueName(index)] : []));
  const shown = new Set(entries.flatMap(([, { label }]) => label ?? []));
  const hidden = hiddenLabels.filter((label) => !shown.has(label));
  return {
    w,
    h,
    json: {
      type: 'table',
      title,
      description: about,
      datasource,
      targets: asked.map(([, { expr = '' }], index) => instant(bounded(expr), index, 'table')),
      transformations: [
        ...(asked.length > 1 ? [{ id: 'merge', options: {} }] : []),
        ...(difference ? [subtract(difference.name, column(difference.of), column(difference.and))] : []),
        {
          id: 'organize',
          options: {
            excludeByName: Object.fromEntries(['Time', ...hidden, ...unused].map((name) => [name, true])),
            indexByName: Object.fromEntries(entries.map((entry, index) => [field(entry), index])),
            renameByName: {
              // So it is called when no other query of the panel has an answer.
              Value: asked[0]?.[0],
              ...Object.fromEntries(entries.map((entry) => [field(entry), entry[0]])),
              cluster: 'Cluster',
            },
          },
        },
      ],
      fieldConfig: {
        defaults: {
          unit: 'none',
          noValue: empty,
          color: { mode: 'fixed', fixedColor: colours.plain },
          thresholds: steps(),
          mappings: [cellWithout(colours.plain)],
          custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: true, inspect: false },
        },
        overrides: [
          ...entries.map(([name, column]) => override(name, column)),
          ...(difference ? [override(difference.name, { unit: difference.unit, decimals: 0 })] : []),
        ],
      },
      options: {
        showHeader: true,
        cellHeight: 'sm',
        sortBy: Object.entries(order).map(([displayName, way]) => ({ displayName, desc: way === 'down' })),
      },
    },
  };
}
