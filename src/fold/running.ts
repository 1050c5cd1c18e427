import type { ImageTotals, RepositoryFacts, RepositoryTotals } from '../model.ts';
import { effective, type ImageRow, type Listing } from './rows.ts';

/** What is kept of an image because it runs. */
export type RunningFacts = Pick<ImageTotals, 'runs' | 'scanStatus' | 'stale'>;

/** The images of a repository that run, and what runs without being among them. */
interface Running {
  readonly rows: ReadonlyMap<ImageRow, RunningFacts>;
  readonly others: RepositoryTotals['running'];
}

/** What a repository lists. */
interface Listed {
  readonly listing: Listing;
  readonly tagged: readonly ImageRow[];
  readonly untagged: readonly ImageRow[];
  readonly unlisted: readonly ImageRow[];
}

/** Whether every image of the repository was listed: what is not among them is not there. */
const isWhole = ({ listsUntagged, unreadTags, unknownKinds = [], newestUnknown }: RepositoryFacts): boolean =>
  listsUntagged === true && !unreadTags && unknownKinds.length === 0 && !newestUnknown;

/** Finds the image that a digest leads to: its own, or the index whose platform it is, the newest tagged one first. */
function createFinder({
  listing,
  tagged,
  untagged,
  unlisted,
}: Listed): (digest: string) => ImageRow | undefined {
  const byDigest = new Map<string, ImageRow>();
  const images = [...tagged, ...untagged, ...unlisted];
  for (const row of images) byDigest.set(row.digest, row);
  for (const row of images)
    for (const platform of row.platforms ?? []) if (!byDigest.has(platform)) byDigest.set(platform, row);
  return (digest) => {
    const row = byDigest.get(digest);
    if (row) return row;
    const other = listing.rows.get(digest);
    // What is archived has to be restored before it can be pulled.
    return other && !other.archived ? effective(other, listing) : undefined;
  };
}

/**
 * Finds the images that run.
 * @param running digests that containers name; undefined where nothing tells what runs
 * @param stale what the retention expectation would remove; undefined where that is not known
 */
export function readRunning(
  listed: Listed,
  running: ReadonlySet<string> | undefined,
  stale: readonly ImageRow[] | undefined,
): Running {
  if (!running || running.size === 0) return { rows: new Map(), others: undefined };
  const { facts } = listed.listing;
  const find = createFinder(listed);
  const removed = stale && new Set(stale);
  const absent = new Set(facts.absent);
  const rows = new Map<ImageRow, { runs: string[] } & RunningFacts>();
  const missing: string[] = [];
  const unclear: string[] = [];
  const isMissing = (digest: string) => !facts.fetchesMissing && (absent.has(digest) || isWhole(facts));
  for (const digest of [...running].sort()) {
    const row = find(digest);
    if (!row) (isMissing(digest) ? missing : unclear).push(digest);
    else if (!rows.get(row)?.runs.push(digest)) rows.set(row, factsOf(row, digest, removed));
  }
  return { rows, others: { missing, unclear } };
}

/** What is kept of an image that a digest leads to. @param removed what the retention expectation would remove */
const factsOf = (row: ImageRow, digest: string, removed: ReadonlySet<ImageRow> | undefined) => ({
  runs: [digest],
  scanStatus: row.scanStatus,
  // What is not listed is none of the untagged images that the expectation is about.
  stale: row.unlisted ? undefined : removed?.has(row),
});
