import { type FailureReason, reasonOf } from '../errors.ts';
import type { CycleResult } from '../fold.ts';
import type { RegistryView } from '../metrics.ts';
import type { RegistrySnapshot } from '../model.ts';
import type { Capability } from '../provider.ts';
import type { SavedCounters } from '../storage.ts';
import type { CycleContext } from './context.ts';
import { earlier, messageOf, type RecentErrors, type RecordedError } from './recent-errors.ts';
import { createRepositoryTroubles, type Troubles } from './troubles.ts';

/** How the polls of a registry went: what its metrics say of that, and what the status page adds. */
export interface Outcome
  extends Pick<
    RegistryView,
    | 'up'
    | 'lastAttemptAt'
    | 'lastSuccessAt'
    | 'pollDurationSeconds'
    | 'failedInARow'
    | 'unread'
    | 'polls'
    | 'failures'
    | 'capabilities'
  > {
  /** Why capabilities fail, and since when. */
  readonly failing: ReadonlyMap<string, RecordedError>;
  /** Repositories that the last poll could not read. */
  readonly failedRepositories: ReadonlySet<string>;
}

/** Records how polls end: for metrics, for the status page, and in the log. */
export interface Outcomes {
  current(): Outcome;
  /** A poll of the whole registry ended. */
  pollEnded(poll: {
    readonly seconds: number;
    readonly failure: unknown;
    readonly failing: CycleContext['failing'];
    readonly absent: CycleContext['absent'];
    /** What is known of the registry now. */
    readonly snapshot: RegistrySnapshot | undefined;
  }): void;
  /** A look at single repositories ended. */
  lookEnded(repositories: readonly string[], failure: unknown): void;
  /** Some repositories of a cycle may have failed while others were read. */
  repositoriesRead(
    result: CycleResult,
    of: { readonly isLook: boolean; hasData(repository: string): boolean },
  ): void;
  /** Data of an earlier run is shown. */
  restored(observedAt: number | undefined): void;
  saved(): Pick<SavedCounters, 'polls' | 'failures'>;
  /** Goes on from saved counts. */
  restore(saved: SavedCounters): void;
  moveBack(seconds: number): void;
}

type Written = { -readonly [Field in keyof Outcome]: Outcome[Field] };

/** Failing capabilities with their reasons, each since when it fails. */
const failingSince = (
  before: Outcome['failing'],
  failing: CycleContext['failing'],
  now: number,
): Outcome['failing'] =>
  new Map(
    [...failing].map(([capability, error]) => [
      capability,
      { at: before.get(capability)?.at ?? now, reason: reasonOf(error), message: messageOf(error) },
    ]),
  );

/** Which capabilities worked: what a failed poll did not come to is unknown, neither did it work nor did it fail. */
function capabilitiesAfter(
  succeeded: boolean,
  all: readonly Capability[],
  { failing, absent }: Pick<CycleContext, 'failing' | 'absent'>,
): Outcome['capabilities'] {
  const tried = succeeded ? all.filter((capability) => !absent.has(capability)) : [];
  return new Map(
    [...new Set([...tried, ...failing.keys()])].map((capability) => [capability, !failing.has(capability)]),
  );
}

function moveBack(outcome: Written, seconds: number): void {
  const moved = (at: number | undefined) => (at === undefined ? undefined : at - seconds);
  outcome.lastSuccessAt = moved(outcome.lastSuccessAt);
  outcome.lastAttemptAt = moved(outcome.lastAttemptAt);
  outcome.failing = new Map(
    [...outcome.failing].map(([capability, error]) => [capability, earlier(error, seconds)]),
  );
}

/** Tells in the log why a poll failed, once while the reason lasts. */
function tellOfPoll(troubles: Troubles, failure: unknown, hasData: boolean): void {
  const consequence = hasData ? 'the last good data stays until it is too old' : 'there is no data yet';
  troubles.tell('error', 'the poll', failure, `the poll failed: ${consequence}`);
}

export function createOutcomes(input: {
  /** Those that the provider has and the configuration uses. */
  readonly capabilities: readonly Capability[];
  readonly errors: RecentErrors;
  readonly troubles: Troubles;
}): Outcomes {
  const { capabilities, errors, troubles } = input;
  const failures = new Map<FailureReason, number>();
  const outcome: Written = {
    polls: 0,
    failures,
    capabilities: new Map(),
    failing: new Map(),
    failedRepositories: new Set(),
  };
  const tellOfRepositories = createRepositoryTroubles(troubles);
  const countFailure = (reason: FailureReason): void =>
    void failures.set(reason, (failures.get(reason) ?? 0) + 1);

  return {
    current: () => outcome,
    pollEnded({ seconds, failure, failing, absent, snapshot }) {
      const now = Date.now() / 1000;
      outcome.polls += 1;
      outcome.lastAttemptAt = now;
      // Milliseconds are as fine as anybody reads it.
      outcome.pollDurationSeconds = Math.round(seconds * 1000) / 1000;
      outcome.up = failure === undefined;
      outcome.failedInARow = outcome.up ? 0 : (outcome.failedInARow ?? 0) + 1;
      outcome.failing = failingSince(outcome.failing, failing, now);
      outcome.capabilities = capabilitiesAfter(outcome.up, capabilities, { failing, absent });
      if (failure !== undefined) {
        countFailure(reasonOf(failure));
        errors.add(failure);
        return tellOfPoll(troubles, failure, snapshot !== undefined);
      }
      // The time that is saved, so that a restart does not change it.
      outcome.lastSuccessAt = snapshot?.observedAt ?? now;
      troubles.over('the poll');
      for (const capability of capabilities)
        if (!failing.has(capability)) troubles.over(`the capability ${capability}`, { capability });
    },
    lookEnded(repositories, failure) {
      const what = 'the look at pushed repositories';
      if (failure === undefined) return troubles.over(what);
      const message = 'pushed repositories could not be looked at: the next poll will';
      troubles.tell('warn', what, failure, message, { repositories });
    },
    repositoriesRead(result, { isLook, hasData }) {
      const all = [...result.failed, ...result.failedGroups];
      if (!isLook) {
        outcome.failedRepositories = new Set(result.failed.keys());
        outcome.unread = all.length;
      }
      // A poll that was cut short counts as failed already.
      if (all.length > 0 && !result.cut) countFailure('partial');
      for (const [repository, error] of all.slice(-5))
        errors.add(error, `${repository}: ${messageOf(error)}`);
      tellOfRepositories(result, { whole: !isLook && !result.cut, isKnown: hasData });
    },
    restored(observedAt) {
      outcome.lastSuccessAt = observedAt;
    },
    saved: () => ({ polls: outcome.polls, failures: Object.fromEntries(failures) }),
    restore(saved) {
      outcome.polls = saved.polls;
      for (const [reason, count] of Object.entries(saved.failures))
        failures.set(reason as FailureReason, count);
    },
    moveBack: (seconds) => moveBack(outcome, seconds),
  };
}
