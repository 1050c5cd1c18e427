import { createExposition } from '../../src/exposition.ts';
import type { RegistryLoop, RegistryStatus } from '../../src/loop.ts';
import type { RegistryView } from '../../src/metrics.ts';
import type { RepositoryTotals } from '../../src/model.ts';
import { createSelfMetrics } from '../../src/self-metrics.ts';
import { listen } from '../../src/server/listen.ts';
import { type AppOptions, createApp } from '../../src/server.ts';
import { recordingLog } from './web.ts';

/** A registry that only has a status: what the page and the endpoints need of a loop. */
const loopOf = (status: RegistryStatus): RegistryLoop => ({
  name: status.name,
  start: async () => {},
  stop: async () => {},
  poll: async () => {},
  look: () => {},
  receive: () => ({ saved: Promise.resolve(), lost() {} }),
  refused: () => {},
  status: () => status,
  ready: () => status.state !== 'waiting',
});

export const statusOf = (name: string, more: Partial<RegistryStatus> = {}): RegistryStatus => ({
  name,
  type: 'oci',
  state: 'up',
  series: 0,
  seriesDropped: 0,
  capabilities: {},
  failing: [],
  failedRepositories: 0,
  failedRepositoriesWithData: 0,
  notices: [],
  errors: [],
  ...more,
});

export const viewOf = (registry: string): RegistryView => ({
  registry,
  provider: 'oci',
  identity: {},
  polls: 1,
  failures: new Map(),
  capabilities: new Map(),
  seriesDropped: new Map(),
});

export const totalsOf = (repository: string, more: Partial<RepositoryTotals> = {}): RepositoryTotals => ({
  repository,
  tagged: 1,
  tags: 1,
  artifacts: {},
  practices: {},
  images: [],
  ...more,
});

/** The web application on a loopback socket, with registries of which only the status is made up. */
export async function startApp(
  options: Partial<AppOptions> & { readonly statuses?: readonly RegistryStatus[] } = {},
) {
  const exposition = createExposition();
  const { log, lines } = recordingLog();
  const build = { version: '1.2.3', revision: 'abc' };
  const loops = (options.statuses ?? []).map(loopOf);
  const { addresses, close } = await listen({
    addresses: [{ host: '127.0.0.1', port: 0 }],
    webConfigFile: undefined,
    log: log as never,
    app: (web) =>
      createApp({
        telemetryPath: '/metrics',
        maxRequests: 40,
        exposition,
        self: createSelfMetrics(build),
        log: log as never,
        build,
        loops: () => loops,
        entries: () => [],
        inUse: () => [],
        reload: async () => {},
        events: (_request, _response, next) => next(),
        web,
        ...options,
      }),
  });
  return { url: addresses[0] ?? '', exposition, lines, close };
}
