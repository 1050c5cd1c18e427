import { prefix } from '../src/metrics/row.ts';
import { colours } from './look.ts';
import { datasource, type Json, type Panel } from './panels.ts';
import { ofExporter } from './queries.ts';
import { type Chosen, type VariableName, variables } from './variables.ts';

/** Panels under one heading; collapsed ones ask for nothing until they are opened. */
export interface Row {
  readonly title: string;
  readonly collapsed?: true;
  readonly panels: readonly Panel[];
}

/** One board. A further one is a file in `grafana/boards/` that makes this, and a line in `grafana/index.ts`. */
export interface Board {
  readonly uid: string;
  readonly title: string;
  readonly about: string;
  readonly variables: readonly VariableName[];
  readonly chosen?: Chosen;
  /** Panels without a heading, first. */
  readonly first: readonly Panel[];
  readonly rows?: readonly Row[];
}

const tag = 'container-registry';

/** Panels from left to right, wrapped at 24 columns; each line is as high as its highest panel. */
function placed(panels: readonly Panel[], top: number): { json: Json[]; bottom: number } {
  let [x, y, height] = [0, top, 0];
  const json = panels.map((panel) => {
    if (x + panel.w > 24) [x, y, height] = [0, y + height, 0];
    const gridPos = { x, y, w: panel.w, h: panel.h };
    x += panel.w;
    height = Math.max(height, panel.h);
    return { ...panel.json, gridPos };
  });
  return { json, bottom: y + height };
}

function layout({ first, rows = [] }: Pick<Board, 'first' | 'rows'>): Json[] {
  const { json, bottom } = placed(first, 0);
  const all = [...json];
  let y = bottom;
  for (const { title, collapsed = false, panels } of rows) {
    const inside = placed(panels, y + 1);
    const row = { type: 'row', title, collapsed, gridPos: { x: 0, y, w: 24, h: 1 } };
    all.push({ ...row, panels: collapsed ? inside.json : [] }, ...(collapsed ? [] : inside.json));
    y = collapsed ? y + 1 : inside.bottom;
  }
  return all;
}

/** Ids by position, those within collapsed rows included. */
function numbered(panels: readonly Json[]): Json[] {
  let id = 0;
  const number = (panel: Json): Json => {
    id += 1;
    const own = { ...panel, id };
    const inner = panel['panels'] as readonly Json[] | undefined;
    return inner ? { ...own, panels: inner.map(number) } : own;
  };
  return panels.map(number);
}

const annotation = (name: string, color: string, expr: string, more: Json): Json => ({
  name,
  enable: true,
  hide: false,
  iconColor: color,
  datasource,
  target: { refId: name, expr, interval: '60s', datasource },
  ...more,
});

const annotations = (): Json[] => [
  annotation(
    'Reloads',
    colours.neutral,
    `${prefix}_exporter_config_last_reload_success_timestamp_seconds{${ofExporter}} * 1000`,
    { useValueForTime: true, titleFormat: 'Configuration read', textFormat: '{{job}} {{instance}}' },
  ),
  annotation(
    'New versions of the exporter',
    colours.warn,
    `max by (job, version, revision) (${prefix}_exporter_build_info{${ofExporter}}) unless max by (job, version, revision) (${prefix}_exporter_build_info{${ofExporter}} offset 10m)`,
    { titleFormat: 'New version', textFormat: '{{job}} {{version}} {{revision}}' },
  ),
];

/** The board as Grafana reads it. */
export function dashboard(board: Board): Json {
  const { uid, title, about } = board;
  return {
    uid,
    title: `Container registries / ${title}`,
    description: about,
    tags: [tag],
    schemaVersion: 39,
    version: 1,
    editable: false,
    fiscalYearStartMonth: 0,
    graphTooltip: 1,
    liveNow: false,
    refresh: '1m',
    time: { from: 'now-24h', to: 'now' },
    timepicker: {},
    timezone: 'browser',
    weekStart: '',
    // Every board with the tag, so that a further one is reached from all others.
    links: [
      {
        title: 'Container registries',
        type: 'dashboards',
        tags: [tag],
        asDropdown: false,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
        icon: 'external link',
        tooltip: '',
        url: '',
      },
    ],
    templating: { list: variables(board.variables, board.chosen) },
    annotations: { list: annotations() },
    panels: numbered(layout(board)),
  };
}
