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
  /** Undefined where they cannot be told from other things. */
  untagged: readonly ImageRow[] | undefined,
  retention: Retention | undefined,
  now: number,
): ImageRow[] | undefined {
  if (!retention) return undefined;
  const { keepLast = 0, maxAgeSeconds, untaggedMaxAgeSeconds } = retention;
  const stale: ImageRow[] = [];
  const judge = (image: ImageRow, maxAge: number): boolean => {
    if (image.pushedAt === undefined) return false;
    if (now - image.pushedAt > maxAge) stale.push(image);
    return true;
  };
  if (maxAgeSeconds !== undefined || retention.keepLast !== undefined)
    for (const image of tagged.slice(keepLast)) if (!judge(image, maxAgeSeconds ?? 0)) return undefined;
  if (untaggedMaxAgeSeconds !== undefined) {
    if (!untagged) return undefined;
    for (const image of untagged) if (!judge(image, untaggedMaxAgeSeconds)) return undefined;
  }
  return stale;
}
