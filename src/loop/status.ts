import type { Provider } from '../provider.ts';
import type { Notice, Notices } from './notices.ts';
import type { Outcomes } from './outcomes.ts';
import type { Publisher } from './publish.ts';
import type { RecentErrors, RecordedError } from './recent-errors.ts';
import type { RegistrySettings } from './settings.ts';
import type { Snapshots } from './snapshots.ts';
import type { Views } from './views.ts';

/** How far the poll in progress is. */
export interface Progress {
  /** Unix seconds. */
  readonly startedAt: number;
  readonly done: number;
  readonly total: number;
}

/** One registry as the status page shows it. Times are Unix seconds. */
export interface RegistryStatus {
  readonly name: string;
  readonly type: string;
  /** `waiting`: no cycle ended yet and nothing was read back; `stale`: data is older than allowed and left out. */
  readonly state: 'waiting' | 'up' | 'down' | 'stale';
  readonly host?: string;
  readonly lastSuccessAt?: number;
  readonly lastAttemptAt?: number;
  readonly pollDurationSeconds?: number;
  readonly nextPollAt?: number;
  readonly repositories?: number;
  readonly series: number;
  readonly seriesDropped: number;
  readonly capabilities: Readonly<Record<string, boolean>>;
  /** Failing capabilities, each with its reason and since when it fails. */
  readonly failing: readonly (RecordedError & { readonly capability: string })[];
  /** Repositories that the last poll could not read. */
  readonly failedRepositories: number;
  /** How many of these have data of an earlier poll that is still shown. */
  readonly failedRepositoriesWithData: number;
  /** What is odd about the registry and left out. */
  readonly notices: readonly Notice[];
  readonly errors: readonly RecordedError[];
  /** Of the poll in progress. */
  readonly polling?: Progress;
}

/** What people are shown of a registry at this moment. */
export function statusOf(input: {
  readonly settings: RegistrySettings;
  readonly provider: Provider;
  readonly outcomes: Pick<Outcomes, 'current'>;
  readonly snapshots: Pick<Snapshots, 'current'>;
  readonly publisher: Pick<Publisher, 'series' | 'seriesDropped' | 'hasFreshData'>;
  readonly views: Pick<Views, 'hasData'>;
  readonly errors: Pick<RecentErrors, 'all'>;
  readonly notices: Pick<Notices, 'current'>;
  readonly cycles: { progress(): Progress | undefined };
  /** Unix milliseconds. */
  readonly nextPollAt: number | undefined;
}): RegistryStatus {
  const { settings, provider, publisher, nextPollAt } = input;
  const outcome = input.outcomes.current();
  const snapshot = input.snapshots.current();
  const { up, capabilities, failing, failedRepositories } = outcome;
  const stale = snapshot !== undefined && !publisher.hasFreshData();
  const { host } = { ...provider.identity(settings.options), ...snapshot?.identity };
  const waiting = up === undefined && snapshot === undefined;
  return {
    name: settings.name,
    type: provider.type,
    state: waiting ? 'waiting' : stale ? 'stale' : up === false ? 'down' : 'up',
    series: publisher.series(),
    seriesDropped: [...publisher.seriesDropped().values()].reduce((sum, count) => sum + count, 0),
    capabilities: Object.fromEntries(capabilities),
    failing: [...failing].map(([capability, error]) => ({ capability, ...error })),
    failedRepositories: failedRepositories.size,
    failedRepositoriesWithData: [...failedRepositories].filter(input.views.hasData).length,
    notices: input.notices.current(),
    errors: input.errors.all(),
    host,
    lastSuccessAt: outcome.lastSuccessAt,
    lastAttemptAt: outcome.lastAttemptAt,
    pollDurationSeconds: outcome.pollDurationSeconds,
    nextPollAt: nextPollAt && nextPollAt / 1000,
    repositories: snapshot?.repositoryCount,
    polling: input.cycles.progress(),
  };
}
