import type { Image, ImageTotals, Kind, RepositoryFacts, RepositoryTotals, ScanStatus } from '../model.ts';
import { maximumFindings, vulnerableCounts, worstStatus } from './findings.ts';

/** Which images are exported one by one. */
export interface ImageSelection {
  /** So many of the newest tagged images. */
  readonly perRepository: number;
  /** And every image with such a tag. */
  matches(tag: string): boolean;
}

/** What a team expects its retention policy to keep; what it would not keep is stale. Ages in seconds. */
export interface Retention {
  /** The newest tagged images are kept whatever their age. */
  readonly keepLast?: number;
  /** Tagged images older than this are stale. */
  readonly maxAgeSeconds?: number;
  /** Untagged images older than this are stale. */
  readonly untaggedMaxAgeSeconds?: number;
}

/** What is held of a manifest while its repository is being listed. */
export type ImageRow = Image & { readonly tags: readonly string[] };

const none: readonly string[] = [];

/** The row of an image, with the tags of an earlier sighting of the same digest. */
export function toRow(image: Image, seen?: ImageRow): ImageRow {
  // Nearly all are seen once and have tags: those are kept as they came, since a poll may see millions.
  if (!seen && image.tags) return image as ImageRow;
  const tags = image.tags ?? none;
  return { ...seen, ...image, tags: seen ? [...new Set([...seen.tags, ...tags])] : tags };
}

/** Sums what is known of every one, or undefined as soon as one is unknown. */
function sumKnown<T>(items: Iterable<T>, value: (item: T) => number | undefined): number | undefined {
  let sum = 0;
  for (const item of items) {
    const one = value(item);
    if (one === undefined) return undefined;
    sum += one;
  }
  return sum;
}

/** Sums what is known, or undefined when nothing is. */
function sumSome<T>(items: Iterable<T>, value: (item: T) => number | undefined): number | undefined {
  let sum: number | undefined;
  for (const item of items) {
    const one = value(item);
    if (one !== undefined) sum = (sum ?? 0) + one;
  }
  return sum;
}

function newest(rows: Iterable<ImageRow>, time: (row: ImageRow) => number | undefined): number | undefined {
  let latest: number | undefined;
  for (const row of rows) {
    const one = time(row);
    if (one !== undefined && (latest === undefined || one > latest)) latest = one;
  }
  return latest;
}

/** All manifests of the repository, and what is told of them by others. */
interface Listing {
  readonly rows: ReadonlyMap<string, ImageRow>;
  readonly facts: RepositoryFacts;
  /** Digests that a signature is about. */
  readonly signed: ReadonlySet<string>;
}

/** A row as it counts: an index carries what its platforms say; any other row is itself. */
function effective(row: ImageRow, { rows, facts }: Listing): ImageRow {
  if (row.kind !== 'index') return row;
  const platforms = (row.platforms ?? none).map((digest) => rows.get(digest));
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
  const scannedAt = row.scannedAt ?? newest(present, (platform) => platform.scannedAt);
  const pushedAt = row.pushedAt ?? newest(present, (platform) => platform.pushedAt);
  // What runs an index runs one of its platforms.
  const inUse = row.inUse ?? sumSome(present, (platform) => platform.inUse);
  return {
    ...own,
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(unlistedBytes !== undefined && { sizeWithPlatforms: unlistedBytes }),
    ...(findings && { findings }),
    ...(scanStatus && { scanStatus }),
    ...(scannedAt !== undefined && { scannedAt }),
    ...(pushedAt !== undefined && { pushedAt }),
    ...(inUse !== undefined && { inUse }),
  };
}

const isSigned = ({ digest, signed }: ImageRow, listing: Listing): boolean | undefined =>
  signed ?? (listing.facts.listsSignatures ? listing.signed.has(digest) : undefined);

/** Newest first; those of unknown time last; then by digest, so that the order never depends on the listing. */
function byAge(a: ImageRow, b: ImageRow): number {
  const [left, right] = [a.pushedAt ?? Number.NEGATIVE_INFINITY, b.pushedAt ?? Number.NEGATIVE_INFINITY];
  if (left !== right) return right > left ? 1 : -1;
  return a.digest < b.digest ? -1 : 1;
}

function boundedSet(tagged: readonly ImageRow[], selection: ImageSelection, listing: Listing): ImageTotals[] {
  const images: ImageTotals[] = [];
  for (const [place, row] of tagged.entries()) {
    const isNew = place < selection.perRepository;
    if (!isNew && !row.tags.some((tag) => selection.matches(tag))) continue;
    const signed = isSigned(row, listing);
    for (const tag of [...row.tags].sort()) {
      if (!isNew && !selection.matches(tag)) continue;
      images.push({
        tag,
        digest: row.digest,
        ...(row.sizeBytes !== undefined && { sizeBytes: row.sizeBytes }),
        ...(row.pushedAt !== undefined && { pushedAt: row.pushedAt }),
        ...(row.scannedAt !== undefined && { scannedAt: row.scannedAt }),
        ...(signed !== undefined && { signed }),
        ...(row.inUse !== undefined && { inUse: row.inUse }),
        ...(row.findings !== undefined && { findings: row.findings }),
      });
    }
  }
  return images;
}

/** What the expectation would remove; undefined while it cannot be told (no expectation, or an unknown time). */
function staleOf(
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

/** The totals of one repository, from all of its manifests. */
export function foldImages(
  repository: string,
  facts: RepositoryFacts,
  rows: ReadonlyMap<string, ImageRow>,
  options: { readonly images: ImageSelection; readonly retention?: Retention; readonly now: number },
): RepositoryTotals {
  const listed = new Set<string>();
  const attestations = new Set<string>();
  const signed = new Set<string>();
  for (const row of rows.values()) {
    for (const digest of row.platforms ?? none) listed.add(digest);
    for (const digest of row.attestations ?? none) attestations.add(digest);
    if (row.kind === 'signature' && row.subject !== undefined && !row.archived) signed.add(row.subject);
  }
  const listing: Listing = { rows, facts, signed };
  const unknown = new Set(facts.unknownKinds);

  const tagged: ImageRow[] = [];
  const untagged: ImageRow[] = [];
  const sized: ImageRow[] = [];
  const archived: ImageRow[] = [];
  const archivedSized: ImageRow[] = [];
  const artifacts: Partial<Record<Kind, number>> = {};
  let tags = 0;
  for (const row of rows.values()) {
    tags += row.tags.length;
    // A tagged manifest that an index lists as well is an image that people pull by its own name.
    const part = row.tags.length === 0 && (row.kind === 'platform' || listed.has(row.digest));
    const isImage = row.kind === 'image' || row.kind === 'platform';
    const kind = !isImage
      ? row.kind
      : attestations.has(row.digest)
        ? 'attestation'
        : part
          ? 'platform'
          : row.kind;
    if (row.archived) {
      if (kind === 'image' || kind === 'platform') archivedSized.push(row);
      if (kind === 'image' || kind === 'index') archived.push(effective(row, listing));
      continue;
    }
    if (kind === 'image' || kind === 'platform') sized.push(row);
    if (kind === 'image' || kind === 'index')
      (row.tags.length > 0 ? tagged : untagged).push(effective(row, listing));
    else artifacts[kind] = (artifacts[kind] ?? 0) + 1;
  }
  for (const kind of unknown) delete artifacts[kind];
  tagged.sort(byAge);
  // Some of those without a tag may be platforms: what is an image for sure is what has one.
  const doubtful = unknown.has('platform');
  const images = doubtful ? tagged : [...tagged, ...untagged];

  // A platform that two indexes share is one row, hence counted once; an index adds nothing of its own. An index
  // whose platforms are not all there makes the sum unknown.
  const whole = [...tagged, ...untagged].every(
    (image) => image.kind !== 'index' || image.sizeBytes !== undefined,
  );
  const listedBytes = whole ? sumKnown(sized, (row) => row.sizeBytes) : undefined;
  const unlistedBytes =
    sumSome([...tagged, ...untagged], (image) =>
      image.kind === 'index' ? image.sizeWithPlatforms : undefined,
    ) ?? 0;
  const sizeBytes = listedBytes === undefined ? undefined : listedBytes + unlistedBytes;
  const archivedBytes = sumKnown(archivedSized, (row) => row.sizeBytes);
  const lastPushAt = newest(rows.values(), (row) => row.pushedAt) ?? facts.pushedAt;
  const lastPullAt = newest(rows.values(), (row) => row.pulledAt) ?? facts.pulledAt;
  const signedImages = sumKnown(images, (image) => {
    const signed = isSigned(image, listing);
    return signed === undefined ? undefined : Number(signed);
  });
  const scans = countScans(images);
  const vulnerableImages = vulnerableCounts(images);
  const stale = staleOf(tagged, doubtful ? undefined : untagged, options.retention, options.now);
  const reclaimable = stale && sumKnown(stale, (image) => image.sizeBytes);
  // An archived index may not be read any more: then nobody knows which of the others are its platforms.
  const unread = archived.some((row) => row.kind === 'index' && !row.platforms);
  const showsArchived =
    archived.length > 0 && !(unread && archived.some((row) => row.kind === 'image' && row.tags.length === 0));

  return {
    repository,
    tagged: tagged.length,
    ...(facts.listsUntagged && !doubtful && { untagged: untagged.length }),
    ...(showsArchived && { archived: archived.length }),
    ...(archived.length > 0 && archivedBytes !== undefined && { archivedBytes }),
    tags,
    artifacts,
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(reclaimable !== undefined && { reclaimableBytes: reclaimable }),
    ...(stale && { staleImages: stale.length }),
    ...(lastPushAt !== undefined && { lastPushAt }),
    ...(lastPullAt !== undefined && { lastPullAt }),
    ...(facts.pulls !== undefined && { pulls: facts.pulls }),
    ...(facts.stars !== undefined && { stars: facts.stars }),
    ...(tagged[0]?.findings && { findings: tagged[0].findings }),
    ...(vulnerableImages && { vulnerableImages }),
    ...(scans && { scans }),
    ...(signedImages !== undefined && { signedImages }),
    practices: facts.practices ?? {},
    images: boundedSet(tagged, options.images, listing),
  };
}

/** Images by scan status, or undefined where no image has one: the registry does not tell. */
function countScans(images: readonly ImageRow[]): Partial<Record<ScanStatus, number>> | undefined {
  const scans: Record<ScanStatus, number> = { complete: 0, pending: 0, failed: 0, unsupported: 0, none: 0 };
  let known = false;
  for (const { scanStatus } of images) {
    if (!scanStatus) continue;
    known = true;
    scans[scanStatus] += 1;
  }
  return known ? scans : undefined;
}
