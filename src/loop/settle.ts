import { reasonOf } from '../errors.ts';
import type { CycleResult } from '../fold.ts';
import type { Capability, Logger } from '../provider.ts';
import { commit, type EmptyListings } from './commit.ts';
import type { CycleContext } from './context.ts';
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
    options: { readonly scoped: boolean; readonly listsRepositories: boolean },
  ): Promise<void>;
  /** Counts a poll of the whole registry, how long it took, and its failure when it failed. */
  pollEnded(seconds: number, capabilities: Pick<CycleContext, 'failing' | 'absent'>, failure: unknown): void;
  /** Tells how a look at single repositories ended. */
  lookEnded(repositories: readonly string[], failure: unknown): void;
}

const unixNow = (): number => Date.now() / 1000;
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

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

export function createSettling(input: {
  readonly state: RegistryState;
  /** Those that the provider has and the configuration uses. */
  readonly capabilities: readonly Capability[];
  readonly staleAfterSeconds: number;
  readonly troubles: Troubles;
  readonly log: Logger;
}): Settling {
  const { state, capabilities, staleAfterSeconds, troubles, log } = input;
  const empty: EmptyListings = { registry: false, repositories: new Set(), groups: new Set() };
  const tellOfRepositories = createRepositoryTroubles(troubles);

  return {
    async merge(result, options) {
      const failures = [...result.failed, ...result.failedGroups];
      const [firstFailure] = failures;
      if (!result.cut && firstFailure && learnedNothing(result)) throw firstFailure[1];
      const now = unixNow();
      const previous = state.snapshot;
      const { snapshot, doubted } = await commit({
        previous,
        result,
        empty,
        now,
        staleAfterSeconds,
        ...options,
      });
      const isGone = (name: string) => previous?.repositories.has(name) && !snapshot.repositories.has(name);
      for (const name of state.pushes.keys()) if (isGone(name)) state.pushes.delete(name);
      state.snapshot = snapshot;
      if (!options.scoped) state.failedRepositories = result.failed.size;
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
        whole: !options.scoped && !result.cut,
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
        'the poll failed: the last good data stays until it is too old',
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
