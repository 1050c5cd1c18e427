import { type Mapping, namedColours, noData, type StateName, states, steps } from './look.ts';
import type { ThresholdName } from './thresholds.ts';

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax of a variable
export const datasource = { type: 'prometheus', uid: '${datasource}' } as const;

/** A panel as Grafana reads it, but for its place and id, which the frame gives. */
export type Json = { readonly [key: string]: unknown };
export interface Panel {
  /** Columns of 24, and rows of Grafana's grid. */
  readonly w: number;
  readonly h: number;
  readonly json: Json;
}

/** What every panel has. */
export interface Common {
  readonly title: string;
  /** What is shown, and what to do about it; behind the "i" in the panel's corner. */
  readonly about: string;
  readonly w: number;
  readonly h?: number;
  /** https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options/#unit */
  readonly unit?: string;
  readonly threshold?: ThresholdName;
  readonly state?: StateName;
}

export interface Link {
  readonly title: string;
  readonly url: string;
}

/**
 * A link to another board, with the time range, the data source and the exporter that are chosen. `set` gives
 * variables the value of a column of the same row.
 */
export function toBoard(title: string, uid: string, set: Readonly<Record<string, string>> = {}): Link {
  const chosen = Object.entries(set).map(
    ([name, column]) => `var-${name}=\${__data.fields.${column}:percentencode}`,
  );
  const kept = ['datasource', 'cluster', 'job'].map((name) => `\${${name}:queryparam}`);
  return { title, url: `/d/${uid}?${[...chosen, ...kept, `\${__url_time_range}`].join('&')}` };
}

const mappings = (state?: StateName): Mapping[] => [noData, ...(state ? [states[state]] : [])];

export const letter = (index: number): string => String.fromCharCode(65 + index);

/** A query of now: a state is never reduced from a range, where the last value of what is gone looks like now. */
export const instant = (expr: string, index: number, format: 'table' | 'time_series', legend = '') => ({
  refId: letter(index),
  datasource,
  editorMode: 'code',
  expr,
  format,
  instant: true,
  range: false,
  exemplar: false,
  ...(legend && { legendFormat: legend }),
});

/** A query over time. */
const ranged = (expr: string, index: number, legend: string) => ({
  refId: letter(index),
  datasource,
  editorMode: 'code',
  expr,
  format: 'time_series',
  instant: false,
  range: true,
  exemplar: false,
  legendFormat: legend,
});

/** Queries by what they are called in the legend; `{{label}}` is replaced. */
export type Queries = Readonly<Record<string, string>>;

/** Numbers of now, each coloured by its state or threshold; one that is unknown says "No data". */
export function stat(
  common: Common & { readonly queries: Queries; readonly links?: readonly Link[] },
): Panel {
  const { title, about, w, h = 4, unit = 'locale', threshold, state, queries, links } = common;
  const all = Object.entries(queries);
  const named = all.length > 1 || all.some(([legend]) => legend.includes('{{'));
  return {
    w,
    h,
    json: {
      type: 'stat',
      title,
      description: about,
      datasource,
      targets: all.map(([legend, expr], index) => instant(expr, index, 'time_series', legend)),
      fieldConfig: {
        defaults: {
          unit,
          color: { mode: 'thresholds' },
          thresholds: steps(threshold),
          mappings: mappings(state),
          ...(links && { links }),
        },
        overrides: [],
      },
      options: {
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        colorMode: state || threshold ? 'background' : 'value',
        graphMode: 'none',
        justifyMode: 'auto',
        orientation: 'auto',
        textMode: named ? 'value_and_name' : 'value',
        wideLayout: true,
        showPercentChange: false,
        percentChangeColorMode: 'standard',
      },
    },
  };
}

/** Colours of the names that mean something on every board. */
const colourOverrides = Object.entries(namedColours).map(([name, fixedColor]) => ({
  matcher: { id: 'byName', options: name },
  properties: [{ id: 'color', value: { mode: 'fixed', fixedColor } }],
}));

/** Lines over time, with a legend that shows the last and the highest value of each, highest first. */
export function lines(
  common: Common & {
    readonly queries: Queries;
    /** Least time between two points, for what is costly to read. */
    readonly interval?: string;
    readonly stacked?: boolean;
    readonly max?: number;
  },
): Panel {
  const { title, about, w, h = 8, unit = 'short', queries, interval, stacked = false } = common;
  return {
    w,
    h,
    json: {
      type: 'timeseries',
      title,
      description: about,
      datasource,
      ...(interval && { interval }),
      targets: Object.entries(queries).map(([legend, expr], index) => ranged(expr, index, legend)),
      fieldConfig: {
        defaults: {
          unit,
          min: 0,
          ...(common.max !== undefined && { max: common.max }),
          color: { mode: 'palette-classic-by-name' },
          thresholds: steps(common.threshold),
          mappings: [],
          custom: {
            drawStyle: 'line',
            lineInterpolation: 'linear',
            lineWidth: 1,
            fillOpacity: stacked ? 30 : 10,
            showPoints: 'auto',
            pointSize: 4,
            // A gap is a time of which nothing is known: it stays a gap.
            spanNulls: false,
            stacking: { mode: stacked ? 'normal' : 'none', group: 'A' },
            thresholdsStyle: { mode: common.threshold ? 'dashed' : 'off' },
            axisPlacement: 'auto',
          },
        },
        overrides: colourOverrides,
      },
      options: {
        legend: {
          showLegend: true,
          displayMode: 'table',
          placement: 'bottom',
          calcs: ['lastNotNull', 'max'],
          sortBy: 'Last *',
          sortDesc: true,
        },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    },
  };
}
