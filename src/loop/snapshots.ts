import type { CycleResult } from '../fold.ts';
import type { RegistrySnapshot } from '../model.ts';
import type { Logger } from '../provider.ts';
import { commit, type EmptyListings, isEmpty } from './commit.ts';

/** Keeps the snapshot of a registry: what its cycles read, merged. */
export interface Snapshots {
  current(): RegistrySnapshot | undefined;
  /** Whether a listing has shown the repository, and no later one its end. */
  has(repository: string): boolean;
  /**
   * Merges what a cycle read.
   * @returns whether repositories that the listing does not show are taken for gone
   */
  take(
    result: CycleResult,
    cycle: {
      /** The repositories that were looked at; undefined for a whole poll. */
      readonly only: readonly string[] | undefined;
      readonly listsRepositories: boolean;
    },
  ): Promise<{ readonly believed: boolean }>;
  /** Takes over what an earlier run saved. */
  restore(snapshot: RegistrySnapshot | undefined): void;
  moveBack(seconds: number): void;
}

/**
 * A look at a name that was never listed and has nothing: some registries answer so for any name that is asked for.
 */
function withoutInvented(result: CycleResult, has: (repository: string) => boolean): CycleResult {
  const complete = [...result.complete].filter(([name, totals]) => has(name) || !isEmpty(totals));
  return complete.length === result.complete.size ? result : { ...result, complete: new Map(complete) };
}

/** The snapshot as if everything in it had been read so many seconds earlier. */
function earlier(snapshot: RegistrySnapshot, seconds: number): RegistrySnapshot {
  const moved = (at: number | undefined) => (at === undefined ? undefined : at - seconds);
  return {
    ...snapshot,
    observedAt: moved(snapshot.observedAt),
    factsAt: moved(snapshot.factsAt),
    repositories: new Map(
      [...snapshot.repositories].map(([name, entry]) => [
        name,
        { ...entry, observedAt: entry.observedAt - seconds },
      ]),
    ),
  };
}

export function createSnapshots(input: {
  readonly staleAfterSeconds: number;
  readonly log: Logger;
}): Snapshots {
  const { staleAfterSeconds, log } = input;
  const empty: EmptyListings = { registry: false, repositories: new Set(), groups: new Set() };
  let snapshot: RegistrySnapshot | undefined;
  const has = (repository: string) => snapshot?.repositories.has(repository) === true;

  function tell(doubted: readonly string[], emptyAtFirst: boolean): void {
    if (emptyAtFirst)
      log.warn(
        snapshot?.identity ?? {},
        'the registry shows no repository at all: there is no number of them until the next poll says so too. If there should be some, check the address (of AWS account and region), the credentials and what they, or anybody without, may list',
      );
    for (const what of doubted)
      log.warn(
        {},
        `${what} came back empty all of a sudden: the last data stays until the next poll confirms it`,
      );
  }

  return {
    current: () => snapshot,
    has,
    async take(result, { only, listsRepositories }) {
      const scoped = only !== undefined;
      const {
        snapshot: merged,
        doubted,
        emptyAtFirst = false,
      } = await commit({
        previous: snapshot,
        result: scoped ? withoutInvented(result, has) : result,
        empty,
        now: Date.now() / 1000,
        staleAfterSeconds,
        scoped,
        listsRepositories,
      });
      snapshot = merged;
      tell(doubted, emptyAtFirst);
      return { believed: listsRepositories && doubted.length === 0 && !emptyAtFirst };
    },
    restore(saved) {
      snapshot = saved;
    },
    moveBack(seconds) {
      if (snapshot) snapshot = earlier(snapshot, seconds);
    },
  };
}
