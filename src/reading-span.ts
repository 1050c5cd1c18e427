import type { Memory } from './provider.ts';

/** What is longer ago is not caught up: whoever is called for it has seen it elsewhere. */
const longestGapSeconds = 24 * 3600;
/** A longer span is read in several readings, so that each ends in time. */
const longestSpanSeconds = 3600;

/** A span of time that is asked of a source which keeps a history. Times are Unix seconds. */
export interface ReadingSpan {
  readonly from: number;
  readonly to: number;
  /** Called when all of it was read: the next one goes on there. */
  done(): void;
}

/**
 * The span that a reading asks for: from where the last good one ended, also after an outage or a restart, and some time
 * before, since facts come late.
 * @param name of the source
 * @param since what happened before is not the exporter's to count
 * @param lateSeconds so much later than it happened something may still come
 */
export function spanOf(
  { memory, now }: { readonly memory: Memory; now(): number },
  {
    name,
    since,
    lateSeconds,
  }: { readonly name: string; readonly since: number; readonly lateSeconds: number },
): ReadingSpan {
  const at = now();
  const key = `push events of ${name} read until`;
  // A clock that was set back must not leave a gap.
  const readUntil = Math.min(memory.get<number>(key)?.value ?? at, at);
  // Nor ask for a time that has not come.
  const first = since <= at ? since : 0;
  const from = Math.max(first, at - longestGapSeconds, readUntil - lateSeconds);
  const to = Math.min(at, from + longestSpanSeconds);
  return { from, to, done: () => memory.set(key, to) };
}

/** So many ids are remembered: more than happen within the time that is asked for again and again. */
const givenAtMost = 50_000;

/** Remembers what a source gave, since it is asked for the same time again and again. */
export interface GivenBefore {
  has(id: string): boolean;
  add(ids: Iterable<string>): void;
}

export function createGivenBefore(atMost = givenAtMost): GivenBefore {
  const kept = new Set<string>();
  return {
    has: (id) => kept.has(id),
    add(ids) {
      for (const id of ids) kept.add(id);
      for (const first of kept) {
        if (kept.size <= atMost) break;
        kept.delete(first);
      }
    },
  };
}
