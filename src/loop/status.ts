import type { Provider } from '../provider.ts';
import type { Notice } from './notices.ts';
import type { RegistrySettings } from './settings.ts';
import type { RecordedError, RegistryState } from './state.ts';

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
  readonly state: RegistryState;
  readonly series: number;
  /** Whether there is data that is not too old. */
  readonly fresh: boolean;
  /** Whether data of the repository is shown. */
  hasData(repository: string): boolean;
  readonly notices: readonly Notice[];
  readonly polling: Progress | undefined;
  /** Unix milliseconds. */
  readonly nextPollAt: number | undefined;
}): RegistryStatus {
  const { settings, provider, state, series, fresh, hasData, notices, polling, nextPollAt } = input;
  const stale = state.snapshot !== undefined && !fresh;
  const { host } = { ...state.identity, ...state.snapshot?.identity };
  const waiting = state.up === undefined && state.snapshot === undefined;
  return {
    name: settings.name,
    type: provider.type,
    state: waiting ? 'waiting' : stale ? 'stale' : state.up === false ? 'down' : 'up',
    series,
    seriesDropped: [...state.seriesDropped.values()].reduce((sum, count) => sum + count, 0),
    capabilities: Object.fromEntries(state.capabilities),
    failing: [...state.failing].map(([capability, error]) => ({ capability, ...error })),
    failedRepositories: state.failedRepositories.size,
    failedRepositoriesWithData: state.failedRepositories
      .values()
      .filter(hasData)
      .reduce((count) => count + 1, 0),
    notices,
    errors: state.errors,
    host,
    lastSuccessAt: state.lastSuccessAt,
    lastAttemptAt: state.lastAttemptAt,
    pollDurationSeconds: state.pollDurationSeconds,
    nextPollAt: nextPollAt && nextPollAt / 1000,
    repositories: state.snapshot?.repositoryCount,
    polling,
  };
}
