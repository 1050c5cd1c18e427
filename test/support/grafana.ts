import { createRequire } from 'node:module';
import type { DataFrame, DisplayValue, Field, FieldConfigSource, FieldDisplay } from '@grafana/data';
import { type DashboardJson, drawnPanels, type PanelJson, type Target } from './dashboards.ts';
import type { DataSource } from './grafana-prometheus.ts';
import { type Span, variablesOf, withVariables } from './grafana-variables.ts';

/**
 * Evaluates a dashboard as Grafana does, with Grafana's own code (`@grafana/data`) over the answers of a Prometheus:
 * transformations, overrides, mappings, thresholds, units and reducers. What is ours is what Grafana keeps in its data
 * source and panel plugins: how answers become frames, and the order of a table's rows.
 */
// Its ES modules import a name that moment-timezone does not export in Node.
const grafana = createRequire(import.meta.url)('@grafana/data') as typeof import('@grafana/data');
const theme = grafana.createTheme();
// Transformations look there for the scene that they run in.
Object.assign(globalThis, { window: { __grafanaSceneContext: undefined } });

/** A number or text as a person reads it; the colour is a name of Grafana's palette where it has one. */
export interface Shown {
  readonly text: string;
  readonly colour: string;
}
/** What a person reads in a panel. */
export type Read =
  | { readonly kind: 'stat'; readonly values: readonly (Shown & { readonly name: string })[] }
  | {
      readonly kind: 'table';
      readonly columns: readonly string[];
      readonly rows: readonly (readonly Shown[])[];
      readonly empty: string;
    }
  | {
      readonly kind: 'lines';
      readonly lines: readonly (Shown & {
        readonly name: string;
        readonly max: string;
        readonly points: readonly (readonly [number, number])[];
      })[];
      /** How a value reads on the axis. */
      readonly axis: (value: number) => string;
    };
export interface ReadPanel {
  readonly panel: PanelJson;
  readonly read: Read;
}

const names = ['green', 'yellow', 'red', 'purple', 'blue', 'text', 'orange', 'dark-red', 'light-blue'];
const nameOf = new Map(names.map((name) => [theme.visualization.getColorByName(name), name])).set(
  grafana.colorManipulator.asHexString(theme.colors.text.primary),
  'text',
);
/** Name of a colour of our palette, or what Grafana gives. */
const colourName = (colour = ''): string => nameOf.get(colour) ?? colour;

/** A colour as a browser understands it. */
export const cssColour = (name: string): string => theme.visualization.getColorByName(name);

/** Options of fields that overrides may set. Grafana keeps the editors in another package, which needs a browser. */
const registry = new grafana.Registry(() =>
  ['unit', 'decimals', 'mappings', 'thresholds', 'color', 'links', 'noValue', 'min', 'max', 'displayName']
    .map((id) => ({ id, path: id, isCustom: false }))
    .concat(
      ['cellOptions', 'width', 'align', 'filterable'].map((id) => ({
        id: `custom.${id}`,
        path: id,
        isCustom: true,
      })),
    )
    .map((item) => ({
      ...item,
      name: item.id,
      process: (value: unknown) => value,
      shouldApply: () => true,
      settings: {},
      getItemsCount: () => 0,
    })),
) as never;
grafana.standardTransformersRegistry.setInit(
  () =>
    [...new Map(Object.values(grafana.standardTransformers).map((one) => [one.id, one])).values()].map(
      (transformation) => ({
        id: transformation.id,
        name: transformation.name,
        transformation: () => Promise.resolve(transformation),
        editor: (() => null) as never,
        imageDark: '',
        imageLight: '',
      }),
    ) as never,
);

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

/** One frame per series, named as the legend says. */
function seriesFrames({ refId, legendFormat = '' }: Target, series: readonly Series[]): DataFrame[] {
  return series.map(({ metric, value, values }) => {
    const points = values ?? (value ? [value] : []);
    const { __name__: _, ...labels } = metric;
    const name = legendFormat
      .replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_whole, label: string) => metric[label] ?? '')
      .trim();
    return grafana.toDataFrame({
      refId,
      fields: [
        {
          name: 'Time',
          type: grafana.FieldType.time,
          values: points.map(([time]) => time * 1000),
          config: {},
        },
        {
          name: 'Value',
          type: grafana.FieldType.number,
          values: points.map(([, number]) => Number(number)),
          labels,
          config: { displayNameFromDS: name },
        },
      ],
    });
  });
}

/** One frame with a column for each label, as the data source makes it of answers in the format `table`. */
function tableFrame({ refId }: Target, series: readonly Series[], alone: boolean): DataFrame {
  // Without series there are still the columns of time and value.
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].toSorted();
  return grafana.toDataFrame({
    refId,
    fields: [
      {
        name: 'Time',
        type: grafana.FieldType.time,
        values: series.map(({ value }) => (value?.[0] ?? 0) * 1000),
      },
      ...labels.map((label) => ({
        name: label,
        type: grafana.FieldType.string,
        values: series.map(({ metric }) => metric[label] ?? ''),
      })),
      {
        name: alone ? 'Value' : `Value #${refId}`,
        type: grafana.FieldType.number,
        values: series.map(({ value }) => Number(value?.[1])),
      },
    ],
  });
}

const transformed = (
  frames: DataFrame[],
  transformations: PanelJson['transformations'],
): Promise<DataFrame[]> =>
  new Promise((resolve, reject) => {
    grafana
      .transformDataFrame([...(transformations ?? [])] as never, frames, {
        interpolate: (text: string) => text,
      })
      .subscribe({ next: resolve, error: reject });
  });

const shown = (value: DisplayValue): Shown => ({
  text: grafana.formattedValueToString(value),
  colour: colourName(value.color),
});

function readStat(panel: PanelJson, frames: DataFrame[]): Read {
  const all: FieldDisplay[] = grafana.getFieldDisplayValues({
    data: frames,
    reduceOptions: panel.options?.reduceOptions as never,
    fieldConfig: panel.fieldConfig as unknown as FieldConfigSource,
    replaceVariables: (text: string) => text,
    theme,
    timeZone: 'utc',
  });
  return {
    kind: 'stat',
    values: all.map(({ display }) => ({ ...shown(display), name: display.title ?? '' })),
  };
}

const display = (field: Field, value: unknown): Shown => {
  const show = field.display ?? grafana.getDisplayProcessor({ field, theme, timeZone: 'utc' });
  return shown(show(value));
};

function compare(a: unknown, b: unknown): number {
  const [x, y] = [a ?? Number.NEGATIVE_INFINITY, b ?? Number.NEGATIVE_INFINITY];
  return typeof x === 'string' || typeof y === 'string'
    ? String(x).localeCompare(String(y))
    : Number(x) - Number(y);
}

function readTable(panel: PanelJson, frames: DataFrame[]): Read {
  const [frame] = frames;
  const fields = (frame?.fields ?? []).filter(
    (field) => !(field.config.custom as { hidden?: boolean } | undefined)?.hidden,
  );
  const columns = fields.map((field) => grafana.getFieldDisplayName(field, frame));
  const order = panel.options?.sortBy ?? [];
  const rows = Array.from({ length: frame?.length ?? 0 }, (_, index) => index).toSorted((a, b) => {
    for (const { displayName, desc } of order) {
      const field = fields[columns.indexOf(displayName)];
      const way = field ? compare(field.values[a], field.values[b]) : 0;
      if (way !== 0) return desc ? -way : way;
    }
    return 0;
  });
  return {
    kind: 'table',
    columns,
    rows: rows.map((row) => fields.map((field) => display(field, field.values[row]))),
    empty: panel.fieldConfig?.defaults.noValue ?? 'No data',
  };
}

function readLines(panel: PanelJson, frames: DataFrame[]): Read {
  const { lastNotNull, max } = grafana.ReducerID;
  const lines = frames.flatMap((frame) => {
    const [time, field] = frame.fields;
    if (!time || !field) return [];
    const reduced = grafana.reduceField({ field, reducers: [lastNotNull, max] });
    const last = Number(reduced[lastNotNull]);
    // First, since the colour follows from the name.
    const name = grafana.getFieldDisplayName(field, frame, frames);
    const line = {
      name,
      text: display(field, last).text,
      max: display(field, reduced[max]).text,
      colour: colourName(grafana.getFieldSeriesColor(field, theme).color),
      points: time.values.map((at: number, index: number) => [at / 1000, field.values[index]] as const),
    };
    return [{ line, last }];
  });
  const ordered = lines.toSorted((a, b) => b.last - a.last).map(({ line }) => line);
  const unit = grafana.getValueFormat(panel.fieldConfig?.defaults.unit);
  return { kind: 'lines', lines: ordered, axis: (value) => grafana.formattedValueToString(unit(value)) };
}

/** How many pixels of a graph there are per column of the grid, on a screen of 1,440. */
const pixels = 1440 / 24;

interface Evaluation {
  readonly source: DataSource;
  readonly span: Span;
  /** Seconds between two scrapes, as the data source is told. */
  readonly scrapeInterval: number;
}

/** The queries of a panel, with everything put in that Grafana puts in. */
export function queriesOf(
  panel: PanelJson,
  variables: ReadonlyMap<string, string>,
  { span, scrapeInterval }: Omit<Evaluation, 'source'>,
) {
  const range = {
    from: grafana.dateTime(span.from * 1000),
    to: grafana.dateTime(span.to * 1000),
    raw: { from: '', to: '' },
  };
  const { intervalMs } = grafana.rangeUtil.calculateInterval(
    range,
    panel.gridPos.w * pixels,
    panel.interval ?? `${scrapeInterval}s`,
  );
  const step = intervalMs / 1000;
  const builtIn = new Map(variables)
    .set('__rate_interval', `${Math.max(step + scrapeInterval, 4 * scrapeInterval)}s`)
    .set('__interval', `${step}s`)
    .set('__range', `${span.to - span.from}s`);
  return (panel.targets ?? []).map((target) => ({
    target,
    step,
    query: withVariables(target.expr, builtIn),
  }));
}

/** What a person reads in one panel. */
async function readPanel(
  panel: PanelJson,
  variables: ReadonlyMap<string, string>,
  evaluation: Evaluation,
): Promise<Read> {
  const { source, span } = evaluation;
  const queries = queriesOf(panel, variables, evaluation);
  const frames: DataFrame[] = [];
  for (const { target, step, query } of queries) {
    const from = Math.floor(span.from / step) * step;
    const answer = target.instant
      ? source.ask('query', { query, time: String(span.to) })
      : source.ask('query_range', { query, start: String(from), end: String(span.to), step: String(step) });
    const { result } = (await answer) as { result: Series[] };
    frames.push(
      ...(target.format === 'table'
        ? [tableFrame(target, result, queries.length === 1)]
        : seriesFrames(target, result)),
    );
  }
  const ready = grafana.applyFieldOverrides({
    data: await transformed(frames, panel.transformations),
    fieldConfig: panel.fieldConfig as unknown as FieldConfigSource,
    fieldConfigRegistry: registry,
    replaceVariables: (text: string) => text,
    theme,
    timeZone: 'utc',
  });
  if (panel.type === 'stat') return readStat(panel, ready);
  if (panel.type === 'table') return readTable(panel, ready);
  if (panel.type === 'timeseries') return readLines(panel, ready);
  throw new Error(`${panel.title}: no way to evaluate a panel of the type ${panel.type}`);
}

/** All panels of a board, those of collapsed rows included, as they are read at the end of the span. */
export async function readBoard(
  board: DashboardJson,
  evaluation: Evaluation,
  choose: Readonly<Record<string, string>> = {},
): Promise<ReadPanel[]> {
  const variables = await variablesOf(evaluation.source, board.templating.list, evaluation.span, choose);
  const read: ReadPanel[] = [];
  for (const panel of drawnPanels(board))
    read.push({ panel, read: await readPanel(panel, variables, evaluation) });
  return read;
}
