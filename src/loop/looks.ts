import { createTokenBucket } from '../token-bucket.ts';

/** Push events come in bursts, one per tag and platform: they are gathered for so long. */
const gatherMs = 2_000;
/**
 * Names that no listing has shown may be invented: so many looks a minute for all of them. One that was not there is
 * looked at again after ten seconds when it is pushed to: platforms of a new repository come before its first tag.
 */
const unknownEveryMs = 10_000;
const unknownPerMinute = 30;
const minuteMs = 60_000;
/** Beyond so many the next poll has to show them. */
const unknownQueued = 1_000;

/** Which repositories are to be looked at, and when. */
export interface Looks {
  want(repository: string): void;
  /** Milliseconds until there is something to look at, or undefined when nothing is wanted. */
  dueMs(): number | undefined;
  /** Takes what may be looked at now. */
  take(): string[];
  /** Wants nothing any more: a whole poll shows it. */
  clear(): void;
}

export function createLooks(
  isKnown: (repository: string) => boolean,
  now: () => number = () => performance.now(),
): Looks {
  const listedNames = new Set<string>();
  /** Each with the time from which on it may be looked at. */
  const unknown = new Map<string, number>();
  /** When each unknown name was looked at, for as long as that holds back another look. */
  const lookedAt = new Map<string, number>();
  const mayPass = createTokenBucket({ intervalMs: minuteMs / unknownPerMinute, burst: unknownPerMinute });
  /** The bucket was empty: it fills for a minute, since each look costs a whole cycle. */
  let pausedUntil = Number.NEGATIVE_INFINITY;

  const forgetOld = () => {
    for (const [name, at] of lookedAt) {
      if (now() - at < unknownEveryMs) return;
      lookedAt.delete(name);
    }
  };

  return {
    want(repository) {
      if (isKnown(repository)) return void listedNames.add(repository);
      forgetOld();
      if (unknown.has(repository) || unknown.size >= unknownQueued) return;
      const before = lookedAt.get(repository);
      unknown.set(repository, before === undefined ? now() : before + unknownEveryMs);
    },
    dueMs() {
      if (listedNames.size > 0) return gatherMs;
      // The first that was wanted: it waits ten seconds at most, and so do the others.
      const [dueAt] = unknown.values();
      return dueAt === undefined ? undefined : Math.max(gatherMs, Math.max(pausedUntil, dueAt) - now());
    },
    take() {
      const names = [...listedNames];
      listedNames.clear();
      if (now() < pausedUntil) return names;
      for (const [name, dueAt] of unknown) {
        if (dueAt > now()) continue;
        // A poll may have shown it meanwhile; it is looked at all the same, for it was pushed to.
        if (!isKnown(name)) {
          if (!mayPass(now())) {
            pausedUntil = now() + minuteMs;
            break;
          }
          lookedAt.delete(name);
          lookedAt.set(name, now());
        }
        unknown.delete(name);
        names.push(name);
      }
      return names;
    },
    clear() {
      listedNames.clear();
      unknown.clear();
    },
  };
}
