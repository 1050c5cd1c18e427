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
  const { keepLast = 0, maxAgeSeconds, untaggedMaxAgeSeconds } = retention;
  const stale: ImageRow[] = [];
  const judge = (image: ImageRow, oldest: number): boolean => {
    if (image.pushedAt === undefined) return false;
    if (now - image.pushedAt > oldest) stale.push(image);
    return true;
  };
  // Without an age, whatever is not among those that are kept is stale; but which these are, only times tell.
  const maxAge = maxAgeSeconds ?? Number.NEGATIVE_INFINITY;
  if (maxAgeSeconds !== undefined || retention.keepLast !== undefined)
    for (const image of tagged.slice(keepLast)) if (!judge(image, maxAge)) return undefined;
  if (untaggedMaxAgeSeconds !== undefined) {
    if (!untagged) return undefined;
    for (const image of untagged) if (!judge(image, untaggedMaxAgeSeconds)) return undefined;
  }
  return stale;
}
