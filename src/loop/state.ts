import type { FailureReason } from '../errors.ts';
import type { PushCounts, RegistryView } from '../metrics.ts';
import type { RegistryFacts, RegistryIdentity, RegistrySnapshot } from '../model.ts';
import { keptMessage } from '../names.ts';
import type { SavedCounters } from '../storage.ts';

/** A failure as people read it on the status page. */
export interface RecordedError {
  /** Unix seconds. */
  readonly at: number;
  readonly reason: FailureReason;
  readonly message: string;
}

/** Pushes to a repository that no listing has shown yet. */
export interface WaitingPushes extends PushCounts {
  /** When the first came, milliseconds of the monotonic clock. */
  readonly since: number;
}

/** Everything that a loop knows of its registry between cycles. */
export interface RegistryState {
  identity: RegistryIdentity;
  up: boolean | undefined;
  lastAttemptAt: number | undefined;
  lastSuccessAt: number | undefined;
  pollDurationSeconds: number | undefined;
  polls: number;
  /** Polls that failed since the last that did not. */
  failedInARow: number;
  readonly failures: Map<FailureReason, number>;
  capabilities: Map<string, boolean>;
  /** Why capabilities fail, and since when. */
  failing: ReadonlyMap<string, RecordedError>;
  /** Repositories that the last poll could not read. */
  failedRepositories: ReadonlySet<string>;
  snapshot: RegistrySnapshot | undefined;
  readonly pushes: Map<string, PushCounts>;
  readonly waiting: Map<string, WaitingPushes>;
  readonly requests: Map<string, number>;
  readonly events: Map<string, number>;
  seriesDropped: Map<string, number>;
  /** Whether the last saving worked; undefined without a place to save to. */
  saved: boolean | undefined;
  /** Newest first, a handful. */
  errors: RecordedError[];
}

export const initialState = (identity: RegistryIdentity): RegistryState => ({
  identity,
  up: undefined,
  lastAttemptAt: undefined,
  lastSuccessAt: undefined,
  pollDurationSeconds: undefined,
  polls: 0,
  failedInARow: 0,
  failures: new Map(),
  capabilities: new Map(),
  failing: new Map(),
  failedRepositories: new Set(),
  snapshot: undefined,
  pushes: new Map(),
  waiting: new Map(),
  requests: new Map(),
  events: new Map(),
  seriesDropped: new Map(),
  saved: undefined,
  errors: [],
});

const recent = 5;

/** Keeps an error for the status page. */
export function recordError(state: RegistryState, error: RecordedError): void {
  state.errors = [{ ...error, message: keptMessage(error.message) }, ...state.errors].slice(0, recent);
}

/** What of the state becomes series of the registry itself. Data is left out when it is older than allowed. */
export function viewOf(
  registry: string,
  provider: string,
  state: RegistryState,
  fresh: { readonly registry: boolean; readonly facts: boolean },
): RegistryView {
  const { snapshot } = state;
  const facts: RegistryFacts | undefined = fresh.facts ? snapshot?.facts : undefined;
  return {
    registry,
    provider,
    identity: { ...state.identity, ...snapshot?.identity },
    polls: state.polls,
    failures: state.failures,
    capabilities: state.capabilities,
    seriesDropped: state.seriesDropped,
    saved: state.saved,
    up: state.up,
    lastSuccessAt: state.lastSuccessAt,
    lastAttemptAt: state.lastAttemptAt,
    pollDurationSeconds: state.pollDurationSeconds,
    failedInARow: state.up === undefined ? undefined : state.failedInARow,
    facts,
    lists: facts,
    repositoryCount: fresh.registry ? snapshot?.repositoryCount : undefined,
  };
}

const split = (key: string): [string, string] => {
  const [left = '', right = ''] = key.split('\t');
  return [left, right];
};

const plain = (counts: ReadonlyMap<string, PushCounts>) =>
  Object.fromEntries(
    [...counts].map(([name, { pushes, failures }]) => [name, { pushes, failures: { ...failures } }]),
  );

/**
 * The counters as they are saved.
 * @param journal number of the last line of the push journal that they contain
 */
export function savedCounters(state: RegistryState, journal: number): SavedCounters {
  const triples = (counts: ReadonlyMap<string, number>) =>
    [...counts].map(([key, count]) => [...split(key), count] as const);
  return {
    polls: state.polls,
    failures: Object.fromEntries(state.failures),
    pushes: plain(state.pushes),
    waiting: plain(state.waiting),
    journal,
    requests: triples(state.requests),
    events: triples(state.events),
  };
}

/** Takes saved counters over into a state that has not counted yet. */
export function restoreCounters(state: RegistryState, saved: SavedCounters): void {
  state.polls = saved.polls;
  for (const [reason, count] of Object.entries(saved.failures))
    state.failures.set(reason as FailureReason, count);
  for (const [name, counts] of Object.entries(saved.pushes)) state.pushes.set(name, counts);
  for (const [name, counts] of Object.entries(saved.waiting ?? {}))
    state.waiting.set(name, { ...counts, since: performance.now() });
  for (const [operation, code, count] of saved.requests) state.requests.set(`${operation}\t${code}`, count);
  for (const [source, outcome, count] of saved.events) state.events.set(`${source}\t${outcome}`, count);
}
