import { reasonOf } from '../errors.ts';
import type { CycleResult } from '../fold.ts';
import { keptMessage } from '../names.ts';
import type { Capability, Logger } from '../provider.ts';
import { commit, type EmptyListings, isEmpty } from './commit.ts';
import type { CycleContext } from './context.ts';
import type { Listing, Pushes } from './pushes.ts';
import { type RegistryState, recordError } from './state.ts';
import { createRepositoryTroubles, type Troubles } from './troubles.ts';

/** What the end of a cycle changes in a registry's state. */
export interface Settling {
  /**
   * Takes over what a cycle learned.
   * @throws the first failure when it learned nothing: the cycle failed, and the state is as it was
   */
  merge(
    result: CycleResult,
    options: {
      /** The repositories that were looked at; undefined for a whole poll. */
      readonly only: readonly string[] | undefined;
      readonly listsRepositories: boolean;
      /** When the cycle began, milliseconds of the monotonic clock. */
      readonly begunAt: number;
    },
  ): Promise<void>;
  /** Counts a poll of the whole registry, how long it took, and its failure when it failed. */
  pollEnded(seconds: number, capabilities: Pick<CycleContext, 'failing' | 'absent'>, failure: unknown): void;
  /** Tells how a look at single repositories ended. */
  lookEnded(repositories: readonly string[], failure: unknown): void;
}

const unixNow = (): number => Date.now() / 1000;
const messageOf = (error: unknown): string =>
  keptMessage(error instanceof Error ? error.message : String(error));

/** Whether a cycle read no repository to its end. */
export const learnedNothing = ({ complete, gone }: CycleResult): boolean => complete.size + gone.size === 0;

/** Failing capabilities with their reasons, each since when it fails. */
const failingNow = (
  before: RegistryState['failing'],
  failing: CycleContext['failing'],
  now: number,
): RegistryState['failing'] =>
  new Map(
    [...failing].map(([capability, error]) => [
      capability,
      { at: before.get(capability)?.at ?? now, reason: reasonOf(error), message: messageOf(error) },
    ]),
  );

/**
 * A look at a name that was never listed and has nothing: some registries answer so for any name that is asked for.
 */
function withoutInvented(result: CycleResult, isListed: (repository: string) => boolean): CycleResult {
  const complete = [...result.complete].filter(([name, totals]) => isListed(name) || !isEmpty(totals));
  return complete.length === result.complete.size ? result : { ...result, complete: new Map(complete) };
}

/** What a cycle told of the names in push events. */
function listingOf(
  { failed, failedGroups, cut }: CycleResult,
  has: (repository: string) => boolean,
  { only, begunAt, trusted }: { only: readonly string[] | undefined; begunAt: number; trusted: boolean },
): Listing {
  const looked = new Set(only);
  const complete = trusted && !cut && failedGroups.size === 0;
  return {
    // What a listing has shown is there, also when it could not be read.
    has: (name) => has(name) || (!only && failed.has(name)),
    lacks: (name, since) => complete && !failed.has(name) && (only ? looked.has(name) : since <= begunAt),
  };
}

export function createSettling(input: {
  readonly state: RegistryState;
  readonly pushes: Pushes;
  /** Those that the provider has and the configuration uses. */
  readonly capabilities: readonly Capability[];
  readonly staleAfterSeconds: number;
  readonly troubles: Troubles;
  readonly log: Logger;
}): Settling {
  const { state, pushes, capabilities, staleAfterSeconds, troubles, log } = input;
  const empty: EmptyListings = { registry: false, repositories: new Set(), groups: new Set() };
  const tellOfRepositories = createRepositoryTroubles(troubles);

  return {
    async merge(told, { only, listsRepositories, begunAt }) {
      const scoped = only !== undefined;
      const isListed = (name: string) => state.snapshot?.repositories.has(name) === true;
      const result = scoped ? withoutInvented(told, isListed) : told;
      const failures = [...result.failed, ...result.failedGroups];
      const [firstFailure] = failures;
      if (!told.cut && firstFailure && learnedNothing(told)) throw firstFailure[1];
      const now = unixNow();
      const previous = state.snapshot;
      const { snapshot, doubted, emptyAtFirst } = await commit({
        previous,
        result,
        empty,
        now,
        staleAfterSeconds,
        scoped,
        listsRepositories,
      });
      state.snapshot = snapshot;
      if (!scoped) state.failedRepositories = new Set(result.failed.keys());
      const trusted = listsRepositories && doubted.length === 0 && !emptyAtFirst;
      pushes.settle(listingOf(result, isListed, { only, begunAt, trusted }));
      if (emptyAtFirst)
        log.warn(
          snapshot.identity,
          'the registry shows no repository at all: there is no number of them until the next poll says so too. If there should be some, check the address (of AWS account and region), the credentials and what they, or anybody without, may list',
        );
      for (const what of doubted)
        log.warn(
          {},
          `${what} came back empty all of a sudden: the last data stays until the next poll confirms it`,
        );
      if (firstFailure) {
        // A poll that was cut short counts as failed already.
        if (!result.cut) state.failures.set('partial', (state.failures.get('partial') ?? 0) + 1);
        for (const [repository, error] of failures.slice(-5))
          recordError(state, {
            at: now,
            reason: reasonOf(error),
            message: `${repository}: ${messageOf(error)}`,
          });
      }
      tellOfRepositories(result, {
        whole: !scoped && !result.cut,
        isKnown: (name) => snapshot.repositories.has(name),
      });
    },
    pollEnded(seconds, { failing, absent }, failure) {
      const now = unixNow();
      state.polls += 1;
      state.lastAttemptAt = now;
      // Milliseconds are as fine as anybody reads it.
      state.pollDurationSeconds = Math.round(seconds * 1000) / 1000;
      state.up = failure === undefined;
      state.failedInARow = state.up ? 0 : state.failedInARow + 1;
      state.failing = failingNow(state.failing, failing, now);
      if (failure === undefined) {
        troubles.over('the poll');
        for (const capability of capabilities)
          if (!failing.has(capability)) troubles.over(`the capability ${capability}`, { capability });
        // The time that is saved, so that a restart does not change it.
        state.lastSuccessAt = state.snapshot?.observedAt ?? now;
        state.capabilities = new Map(
          capabilities
            .filter((capability) => failing.has(capability) || !absent.has(capability))
            .map((capability) => [capability, !failing.has(capability)]),
        );
        return;
      }
      // What a poll did not come to is unknown: neither did it work, nor did it fail.
      state.capabilities = new Map([...failing.keys()].map((capability) => [capability, false]));
      const reason = reasonOf(failure);
      state.failures.set(reason, (state.failures.get(reason) ?? 0) + 1);
      recordError(state, { at: now, reason, message: messageOf(failure) });
      troubles.tell(
        'error',
        'the poll',
        failure,
        state.snapshot
          ? 'the poll failed: the last good data stays until it is too old'
          : 'the poll failed: there is no data yet',
      );
    },
    lookEnded(repositories, failure) {
      if (failure === undefined) troubles.over('the look at pushed repositories');
      else
        troubles.tell(
          'warn',
          'the look at pushed repositories',
          failure,
          'pushed repositories could not be looked at: the next poll will',
          { repositories },
        );
    },
  };
}
