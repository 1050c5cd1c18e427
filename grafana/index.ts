import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { operations } from './operations.ts';
import { overview } from './overview.ts';

/** Every dashboard, by the name of its file. */
export const dashboards: ReadonlyMap<string, Dashboard> = new Map([
  ['overview.json', numbered(overview())],
  ['operations.json', numbered(operations())],
]);

/** The builder gives rows the id 0 and panels none, and Grafana wants each of its own. */
function numbered(dashboard: Dashboard): Dashboard {
  return {
    ...dashboard,
    panels: dashboard.panels?.map((panel, index) => ({ ...panel, id: index + 1 })) ?? [],
  };
}

/** Keys in one order, so that a change of the SDK does not reorder the files. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

/** The files as they are checked in. */
export function renderDashboards(): Map<string, string> {
  return new Map(
    [...dashboards].map(([name, dashboard]) => [
      `grafana/${name}`,
      `${JSON.stringify(sorted(JSON.parse(JSON.stringify(dashboard))), null, 2)}\n`,
    ]),
  );
}
