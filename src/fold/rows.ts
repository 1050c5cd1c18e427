import { defined } from '../defined.ts';
import type { Image, RepositoryFacts } from '../model.ts';
import { newestOf } from '../times.ts';
import { maximumFindings, newestScan, worstStatus } from './findings.ts';

/** What is held of a manifest while its repository is being listed. */
export type ImageRow = Image & { readonly tags: readonly string[] };

export const none: readonly string[] = [];

/** The row of an image, with the tags of an earlier sighting of the same digest. */
export function toRow(image: Image, seen?: ImageRow): ImageRow {
  // Nearly all are seen once and have tags: those are kept as they came, since a poll may see millions.
  if (!seen && image.tags) return image as ImageRow;
  const tags = image.tags ?? none;
  return {
    ...seen,
    ...defined(image),
    tags: seen ? [...new Set([...seen.tags, ...tags])] : tags,
  };
}

/** Larger sums are not exact, hence unknown. */
const exact = (sum: number | undefined): number | undefined =>
  sum !== undefined && Number.isSafeInteger(sum) ? sum : undefined;

/** Sums what is known of every one, or undefined as soon as one is unknown. */
export function sumKnown<T>(items: Iterable<T>, value: (item: T) => number | undefined): number | undefined {
  let sum = 0;
  for (const item of items) {
    const number = value(item);
    if (number === undefined) return undefined;
    sum += number;
  }
  return exact(sum);
}

/** Sums what is known, or undefined when nothing is. */
function sumSome<T>(items: Iterable<T>, value: (item: T) => number | undefined): number | undefined {
  let sum: number | undefined;
  for (const item of items) {
    const number = value(item);
    if (number !== undefined) sum = (sum ?? 0) + number;
  }
  return exact(sum);
}

/** All manifests of the repository, and what is told of them by others. */
export interface Listing {
  readonly rows: ReadonlyMap<string, ImageRow>;
  readonly facts: RepositoryFacts;
  /** Digests that a signature is about. */
  readonly signed: ReadonlySet<string>;
}

/** A row as it counts: an index carries what its platforms say; any other row is itself. */
export function effective(row: ImageRow, { rows, facts }: Listing): ImageRow {
  if (row.kind !== 'index') return row;
  // An index may list a manifest twice, for two variants of a processor that run the same image: stored once.
  const platforms = [...new Set(row.platforms)].map((digest) => rows.get(digest));
  const present = platforms.filter((platform) => platform !== undefined);
  const { sizeBytes: _, sizeWithPlatforms, ...own } = row;
  // Of an index whose platforms are not listed: what they take, as the registry states it.
  const unlistedBytes = present.length === 0 ? sizeWithPlatforms : undefined;
  // The sum of the platforms, whatever the vendor says of the index; unknown when one of them is.
  const sizeBytes =
    unlistedBytes ??
    (row.platforms &&
      sumKnown(facts.partialIndexes ? present : platforms, (platform) => platform?.sizeBytes));
  // Registries that scan indexes say it of the index itself; most scan its platforms.
  const findings = row.findings ?? maximumFindings(present.map((platform) => platform.findings));
  const scanStatus = row.scanStatus ?? worstStatus(present.map((platform) => platform.scanStatus));
  // A scan of its own that has no time is none of theirs.
  const scannedAt = row.scanStatus === 'complete' ? row.scannedAt : (row.scannedAt ?? newestScan(present));
  const pushedAt = row.pushedAt ?? newestOf(present.map((platform) => platform.pushedAt));
  // What runs an index runs one of its platforms.
  const inUse = row.inUse ?? sumSome(present, (platform) => platform.inUse);
  return {
    ...own,
    sizeBytes,
    sizeWithPlatforms: unlistedBytes,
    findings,
    scanStatus,
    scannedAt,
    pushedAt,
    inUse,
  };
}

/** Whether an image has a signature; undefined where that cannot be told. */
export const isSigned = ({ digest, signed }: ImageRow, listing: Listing): boolean | undefined =>
  signed ?? (listing.facts.listsSignatures ? listing.signed.has(digest) : undefined);
