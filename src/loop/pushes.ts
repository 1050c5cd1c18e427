import type { PushCounts } from '../metrics.ts';
import type { SavedCounters } from '../storage.ts';

/** The name under which pushes are counted whose repository no listing has shown. */
export const unlisted = '';

/** So many names wait for a listing that confirms them, for so long; others are counted as unlisted. */
const waitingAtMost = 1_000;
const waitingMs = 10 * 60_000;

/**
 * A listing decides against a name only if it began this long after a push that succeeded. Platforms are pushed before
 * the tag of their index, and a registry that answers by tags does not have the repository until then.
 */
const untaggedMs = 2 * 60_000;

/** Pushes to a repository that no listing has shown yet. */
interface WaitingPushes extends PushCounts {
  /** When the first came, milliseconds of the monotonic clock. */
  readonly since: number;
}

/** Pushes to count: all of them, and how many of them failed, by reason. */
export interface PushIncrement {
  readonly pushes: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** What the end of a cycle tells of names. */
export interface Listing {
  /** Whether the registry has the repository. */
  has(repository: string): boolean;
  /** Whether the registry is known not to have it: it was looked for since `since` and not found. */
  lacks(repository: string, since: number): boolean;
}

/**
 * Push counts by repository. Names in events are untrusted: a repository gets series of its own when a listing or a
 * look has shown it. Until then its pushes wait; they are counted as unlisted once it is clear that it is not there.
 * No count is ever taken back: Prometheus would take that for a restart of the counter.
 */
export interface Pushes {
  /** Counts by repository; those of names that are not confirmed under the empty one. */
  counts(): ReadonlyMap<string, PushCounts>;
  /** All that was ever counted, in repositories that are gone too; undefined before the first. */
  all(): PushCounts | undefined;
  /** Whether a listing has shown the repository, or pushes to it are counted already. */
  isKnown(repository: string): boolean;
  add(repository: string, increment: PushIncrement): void;
  /** Counts what waited for the end of a cycle, and drops the counts of repositories that are no more. */
  confirm(listing: Listing): void;
  saved(): Pick<SavedCounters, 'pushes' | 'allPushes' | 'waiting'>;
  /** Goes on from saved counts. */
  restore(saved: SavedCounters): void;
}

/** Counts and what is added to them. */
export const sumOfPushes = (a: PushCounts | undefined, b: PushIncrement): PushCounts => {
  if (!a) return { pushes: b.pushes, failures: b.failures };
  const failures = { ...a.failures };
  for (const [reason, count] of Object.entries(b.failures))
    failures[reason] = (failures[reason] ?? 0) + count;
  return { pushes: a.pushes + b.pushes, failures };
};
/** From when on a listing that does not show the name decides against it. */
const decidedFrom = ({ pushes, failures, since }: WaitingPushes): number => {
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  return pushes > failed ? since + untaggedMs : since;
};
const plainOf = ({ pushes, failures }: PushCounts) => ({ pushes, failures: { ...failures } });
const plain = (counts: ReadonlyMap<string, PushCounts>) =>
  Object.fromEntries([...counts].map(([name, pushes]) => [name, plainOf(pushes)]));

/** @param isListed whether a listing has shown the repository */
export function createPushes(
  isListed: (repository: string) => boolean,
  now: () => number = () => performance.now(),
): Pushes {
  const counts = new Map<string, PushCounts>();
  const unconfirmed = new Map<string, WaitingPushes>();
  let all: PushCounts | undefined;
  /** The old counts stay as they were, so that a change is seen. */
  const count = (name: string, increment: PushIncrement): void => {
    counts.set(name, sumOfPushes(counts.get(name), increment));
    all = sumOfPushes(all, increment);
  };

  const giveUp = (name: string, waiting: WaitingPushes) => {
    unconfirmed.delete(name);
    count(unlisted, waiting);
  };

  const isKnown = (repository: string): boolean =>
    isListed(repository) || (repository !== unlisted && counts.has(repository));

  return {
    counts: () => counts,
    all: () => all,
    isKnown,
    add(repository, increment) {
      if (repository === unlisted || isKnown(repository)) return count(repository, increment);
      const before = unconfirmed.get(repository);
      // The first ones stay, since they are looked at first.
      if (!before && unconfirmed.size >= waitingAtMost) return count(unlisted, increment);
      const since = before?.since ?? now();
      unconfirmed.set(repository, { ...sumOfPushes(before, increment), since });
    },
    confirm({ has, lacks }) {
      for (const name of counts.keys())
        if (name !== unlisted && !has(name) && lacks(name, Number.NEGATIVE_INFINITY)) counts.delete(name);
      for (const [name, waiting] of unconfirmed)
        if (has(name)) {
          unconfirmed.delete(name);
          count(name, waiting);
        } else if (lacks(name, decidedFrom(waiting)) || now() - waiting.since > waitingMs)
          giveUp(name, waiting);
    },
    saved: () => ({ pushes: plain(counts), allPushes: all && plainOf(all), waiting: plain(unconfirmed) }),
    restore(saved) {
      for (const [name, pushes] of Object.entries(saved.pushes)) count(name, pushes);
      // Without those of repositories that are gone the sum would be less than it was.
      all = saved.allPushes ?? all;
      for (const [name, pushes] of Object.entries(saved.waiting ?? {}))
        unconfirmed.set(name, { ...pushes, since: now() });
    },
  };
}
