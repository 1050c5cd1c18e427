import type { Json } from '../../grafana/panels.ts';

/** A query of a panel. */
export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly format: 'table' | 'time_series';
  readonly instant: boolean;
  readonly range: boolean;
  readonly legendFormat?: string;
  readonly datasource: unknown;
}

/** A panel as Grafana reads it, as far as tests look at it. */
export interface PanelJson {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly collapsed?: boolean;
  readonly interval?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: unknown;
  readonly targets?: readonly Target[];
  readonly transformations?: readonly { readonly id: string; readonly options: unknown }[];
  readonly fieldConfig?: {
    readonly defaults: { readonly unit?: string; readonly noValue?: string; readonly mappings?: unknown };
  };
  readonly options?: {
    readonly sortBy?: readonly { readonly displayName: string; readonly desc: boolean }[];
    readonly reduceOptions?: unknown;
    readonly legend?: { readonly showLegend: boolean };
    readonly colorMode?: string;
    readonly textMode?: string;
  };
  readonly panels?: readonly PanelJson[];
}

/** A variable of a dashboard. */
export interface VariableJson {
  readonly name: string;
  readonly label?: string;
  readonly type: 'datasource' | 'query' | 'textbox' | 'custom' | 'constant';
  readonly query: string | { readonly query: string };
  readonly regex?: string;
  readonly refresh?: number;
  readonly hide?: number;
  readonly datasource?: unknown;
  readonly multi?: boolean;
  readonly includeAll?: boolean;
  readonly allValue?: string | null;
  readonly current?: { readonly value?: string | readonly string[] };
}

/** A dashboard as Grafana reads it. */
export interface DashboardJson {
  readonly uid: string;
  readonly title: string;
  readonly editable: boolean;
  readonly panels: readonly PanelJson[];
  readonly templating: { readonly list: readonly VariableJson[] };
  readonly annotations: {
    readonly list: readonly { readonly name: string; readonly target: { readonly expr: string } }[];
  };
}

/** The dashboard as it is in its file. */
export const asRead = (dashboard: Json): DashboardJson =>
  JSON.parse(JSON.stringify(dashboard)) as DashboardJson;

/** All panels that draw something, those in collapsed rows included. */
export const drawnPanels = ({ panels }: DashboardJson): PanelJson[] =>
  panels.flatMap((panel) => (panel.type === 'row' ? (panel.panels ?? []) : [panel]));

/** PromQL in which Grafana's variables are replaced by something that selects everything. */
export const withEverything = (expr: string): string =>
  expr
    .replaceAll('$__rate_interval', '1m')
    .replaceAll('$__range', '1h')
    .replaceAll('$__interval', '1m')
    .replaceAll(/=~"\$[^"]*"/g, '=~".*"')
    .replaceAll(/\$\{?\w+\}?/g, '1');

/** The queries of all panels of a dashboard, with everything selected. */
export const dashboardQueries = (dashboard: Json): string[] =>
  drawnPanels(asRead(dashboard)).flatMap(({ targets = [] }) =>
    targets.map(({ expr }) => withEverything(expr)),
  );
