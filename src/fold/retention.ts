import type { ImageRow } from './rows.ts';

/** What a team expects its retention policy to keep; what it would not keep is stale. Ages in seconds. */
export interface Retention {
  /** The newest tagged images are kept whatever their age. */
  readonly keepLast?: number;
  /** Tagged images older than this are stale. */
  readonly maxAgeSeconds?: number;
  /** Untagged images older than this are stale. */
  readonly untaggedMaxAgeSeconds?: number;
}

/** What the expectation would remove; undefined while it cannot be told (no expectation, or an unknown time). */
export function staleOf(
  tagged: readonly ImageRow[],
  /** Undefined where they are not listed, or cannot be told from other things. */
  untagged: readonly ImageRow[] | undefined,
  retention: Retention | undefined,
  now: number,
): ImageRow[] | undefined {
  if (!retention) return undefined;
  const { keepLast, maxAgeSeconds, untaggedMaxAgeSeconds } = retention;
  /** Those that are older; undefined where one's age is unknown. */
  const olderThan = (images: readonly ImageRow[] | undefined, seconds: number): ImageRow[] | undefined =>
    images?.every(({ pushedAt }) => pushedAt !== undefined)
      ? images.filter(({ pushedAt = now }) => now - pushedAt > seconds)
      : undefined;
  // Without an age, whatever is not among those that are kept is stale; but which these are, only times tell.
  const oldTagged =
    maxAgeSeconds === undefined && keepLast === undefined
      ? []
      : olderThan(tagged.slice(keepLast ?? 0), maxAgeSeconds ?? Number.NEGATIVE_INFINITY);
  const oldUntagged = untaggedMaxAgeSeconds === undefined ? [] : olderThan(untagged, untaggedMaxAgeSeconds);
  return oldTagged && oldUntagged && [...oldTagged, ...oldUntagged];
}
