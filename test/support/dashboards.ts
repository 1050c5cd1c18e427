import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';

/** A panel as tests look at it. */
export interface DashboardPanel {
  readonly title: string;
  readonly description: string;
  readonly id: number;
  readonly position: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  /** PromQL, with Grafana's variables replaced by something that selects everything. */
  readonly queries: readonly string[];
}

interface PanelJson {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: DashboardPanel['position'];
  readonly targets?: readonly { readonly expr?: string }[];
  readonly panels?: readonly PanelJson[];
}

/** What Grafana puts in place of its variables when all values are chosen. */
const expandQuery = (expr: string): string =>
  expr
    .replaceAll('$__rate_interval', '1m')
    .replaceAll('$__range', '1h')
    .replaceAll('$__interval', '1m')
    .replaceAll(/=~"\$\w+"/g, '=~".*"')
    .replaceAll(/\$\{?\w+\}?/g, '1');

/** All panels that draw something, those in collapsed rows included. */
export function dashboardPanels(dashboard: Dashboard): DashboardPanel[] {
  const walk = (panels: readonly PanelJson[]): PanelJson[] =>
    panels.flatMap((panel) => (panel.type === 'row' ? walk(panel.panels ?? []) : [panel]));
  const { panels } = JSON.parse(JSON.stringify(dashboard)) as { panels: PanelJson[] };
  return walk(panels).map(({ id, title, description, gridPos, targets }) => ({
    id,
    title,
    description: description ?? '',
    position: gridPos,
    queries: (targets ?? []).flatMap(({ expr }) => (expr ? [expandQuery(expr)] : [])),
  }));
}

/** Names of the variables, in the order in which they are offered. */
export function dashboardVariables(dashboard: Dashboard): string[] {
  return (dashboard.templating?.list ?? []).map(({ name }) => name);
}
