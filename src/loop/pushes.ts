import type { PushCounts } from '../metrics.ts';
import type { RegistryState, WaitingPushes } from './state.ts';

/** The name under which pushes are counted whose repository no listing has shown. */
const unlisted = '';

/** So many names wait for a listing that confirms them, for so long; others are counted as unlisted. */
const waitingAtMost = 1_000;
const waitingMs = 10 * 60_000;

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
  isKnown(repository: string): boolean;
  add(repository: string, increment: PushIncrement): void;
  /** Moves what waits, and drops the counts of repositories that are no more. */
  settle(listing: Listing): void;
}

const sum = (a: PushCounts, b: PushIncrement): PushCounts => {
  const failures = { ...a.failures };
  for (const [reason, count] of Object.entries(b.failures))
    failures[reason] = (failures[reason] ?? 0) + count;
  return { pushes: a.pushes + b.pushes, failures };
};
const none: PushCounts = { pushes: 0, failures: {} };

export function createPushes(
  state: Pick<RegistryState, 'pushes' | 'waiting' | 'snapshot'>,
  now: () => number = () => performance.now(),
): Pushes {
  /** The old counts stay as they were, so that a change is seen. */
  const count = (name: string, increment: PushIncrement) =>
    void state.pushes.set(name, sum(state.pushes.get(name) ?? none, increment));

  const giveUp = (name: string, waiting: WaitingPushes) => {
    state.waiting.delete(name);
    count(unlisted, waiting);
  };

  const isKnown = (repository: string): boolean =>
    state.snapshot?.repositories.has(repository) === true ||
    (repository !== unlisted && state.pushes.has(repository));

  return {
    isKnown,
    add(repository, increment) {
      if (isKnown(repository)) return count(repository, increment);
      const before = state.waiting.get(repository);
      // The first ones stay, since they are looked at first.
      if (!before && state.waiting.size >= waitingAtMost) return count(unlisted, increment);
      const since = before?.since ?? now();
      state.waiting.set(repository, { ...sum(before ?? none, increment), since });
    },
    settle({ has, lacks }) {
      for (const name of state.pushes.keys())
        if (name !== unlisted && !has(name) && lacks(name, Number.NEGATIVE_INFINITY))
          state.pushes.delete(name);
      for (const [name, waiting] of state.waiting)
        if (has(name)) {
          state.waiting.delete(name);
          count(name, waiting);
        } else if (lacks(name, waiting.since) || now() - waiting.since > waitingMs) giveUp(name, waiting);
    },
  };
}
