import { capacity } from './boards/capacity.ts';
import { exporter } from './boards/exporter.ts';
import { fleet } from './boards/fleet.ts';
import { inUse } from './boards/in-use.ts';
import { pushes } from './boards/pushes.ts';
import { registry } from './boards/registry.ts';
import { repository } from './boards/repository.ts';
import { vulnerabilities } from './boards/vulnerabilities.ts';
import { dashboard } from './frame.ts';
import type { Json } from './panels.ts';

/** Every board, by the name of its file. */
export const dashboards: ReadonlyMap<string, Json> = new Map(
  Object.entries({
    fleet,
    registry,
    repository,
    vulnerabilities,
    'in-use': inUse,
    pushes,
    capacity,
    exporter,
  }).map(([name, board]) => [`${name}.json`, dashboard(board)]),
);

/** The files as they are checked in. */
export function renderDashboards(): Map<string, string> {
  return new Map(
    [...dashboards].map(([name, json]) => [`grafana/${name}`, `${JSON.stringify(json, null, 2)}\n`]),
  );
}
