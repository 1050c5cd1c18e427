import type {
  Findings,
  Image,
  ImageTotals,
  Kind,
  RepositoryFacts,
  RepositoryTotals,
  ScanStatus,
} from '../model.ts';
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

function newest(rows: readonly ImageRow[], time: (row: ImageRow) => number | undefined): number | undefined {
  let latest: number | undefined;
  for (const row of rows) {
    const one = time(row);
    if (one !== undefined && (latest === undefined || one > latest)) latest = one;
  }
  return latest;
}

/** An image as it counts: an index carries what its platforms say. */
interface Effective {
  readonly row: ImageRow;
  readonly sizeBytes: number | undefined;
  readonly findings: Findings | undefined;
  readonly scanStatus: ScanStatus | undefined;
  readonly scannedAt: number | undefined;
  readonly pushedAt: number | undefined;
}

function effective(row: ImageRow, rows: ReadonlyMap<string, ImageRow>): Effective {
  const { sizeBytes, findings, scanStatus, scannedAt, pushedAt } = row;
  if (row.kind !== 'index') return { row, sizeBytes, findings, scanStatus, scannedAt, pushedAt };
  const platforms = (row.platforms ?? []).map((digest) => rows.get(digest));
  const present = platforms.filter((platform) => platform !== undefined);
  const ofPlatforms = maximumFindings(present.map((platform) => platform.findings));
  return {
    row,
    // The sum of the platforms, whatever the vendor says of the index; unknown when one of them is.
    sizeBytes: row.platforms && sumKnown(platforms, (platform) => platform?.sizeBytes),
    // Registries that scan indexes say it of the index itself; most scan its platforms.
    findings: findings ?? ofPlatforms,
    scanStatus: scanStatus ?? worstStatus(present.map((platform) => platform.scanStatus)),
    scannedAt: scannedAt ?? newest(present, (platform) => platform.scannedAt),
    pushedAt: pushedAt ?? newest(present, (platform) => platform.pushedAt),
  };
}

/** Newest first; those of unknown time last; then by digest, so that the order never depends on the listing. */
function byAge(a: Effective, b: Effective): number {
  const [left, right] = [a.pushedAt ?? Number.NEGATIVE_INFINITY, b.pushedAt ?? Number.NEGATIVE_INFINITY];
  if (left !== right) return right > left ? 1 : -1;
  return a.row.digest < b.row.digest ? -1 : 1;
}

function boundedSet(tagged: readonly Effective[], selection: ImageSelection): ImageTotals[] {
  const images: ImageTotals[] = [];
  for (const [place, image] of tagged.entries()) {
    const { row } = image;
    for (const tag of [...row.tags].sort()) {
      if (place >= selection.perRepository && !selection.matches(tag)) continue;
      images.push({
        tag,
        digest: row.digest,
        ...(image.sizeBytes !== undefined && { sizeBytes: image.sizeBytes }),
        ...(image.pushedAt !== undefined && { pushedAt: image.pushedAt }),
        ...(image.scannedAt !== undefined && { scannedAt: image.scannedAt }),
        ...(row.signed !== undefined && { signed: row.signed }),
        ...(row.inUse !== undefined && { inUse: row.inUse }),
        ...(image.findings !== undefined && { findings: image.findings }),
      });
    }
  }
  return images;
}

/** What the expectation would remove; undefined while it cannot be told (no expectation, or an unknown time). */
function staleOf(
  tagged: readonly Effective[],
  untagged: readonly Effective[],
  retention: Retention | undefined,
  now: number,
): Effective[] | undefined {
  if (!retention) return undefined;
  const { keepLast = 0, maxAgeSeconds, untaggedMaxAgeSeconds } = retention;
  const stale: Effective[] = [];
  const judge = (image: Effective, maxAge: number): boolean => {
    if (image.pushedAt === undefined) return false;
    if (now - image.pushedAt > maxAge) stale.push(image);
    return true;
  };
  if (maxAgeSeconds !== undefined || retention.keepLast !== undefined)
    for (const image of tagged.slice(keepLast)) if (!judge(image, maxAgeSeconds ?? 0)) return undefined;
  if (untaggedMaxAgeSeconds !== undefined)
    for (const image of untagged) if (!judge(image, untaggedMaxAgeSeconds)) return undefined;
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
  for (const row of rows.values()) for (const platform of row.platforms ?? []) listed.add(platform);

  const tagged: Effective[] = [];
  const untagged: Effective[] = [];
  const sized: ImageRow[] = [];
  const archived: Effective[] = [];
  const archivedSized: ImageRow[] = [];
  const artifacts: Partial<Record<Kind, number>> = {};
  let tags = 0;
  for (const row of rows.values()) {
    tags += row.tags.length;
    // A tagged manifest that an index lists as well is an image that people pull by its own name.
    const part = row.tags.length === 0 && (row.kind === 'platform' || listed.has(row.digest));
    const kind = part && (row.kind === 'image' || row.kind === 'platform') ? 'platform' : row.kind;
    if (row.archived) {
      if (kind === 'image' || kind === 'platform') archivedSized.push(row);
      if (kind === 'image' || kind === 'index') archived.push(effective(row, rows));
      continue;
    }
    if (kind !== 'index' && (kind === 'image' || kind === 'platform')) sized.push(row);
    if (kind === 'image' || kind === 'index')
      (row.tags.length > 0 ? tagged : untagged).push(effective(row, rows));
    else artifacts[kind] = (artifacts[kind] ?? 0) + 1;
  }
  for (const kind of facts.unknownKinds ?? []) delete artifacts[kind];
  tagged.sort(byAge);
  const images = [...tagged, ...untagged];

  // A platform that two indexes share is one row, hence counted once; an index adds nothing of its own. An index
  // whose platforms are not all there makes the sum unknown.
  const whole = images.every((image) => image.row.kind !== 'index' || image.sizeBytes !== undefined);
  const sizeBytes = whole ? sumKnown(sized, (row) => row.sizeBytes) : undefined;
  const archivedBytes = sumKnown(archivedSized, (row) => row.sizeBytes);
  const lastPushAt = newest([...rows.values()], (row) => row.pushedAt) ?? facts.pushedAt;
  const lastPullAt = newest([...rows.values()], (row) => row.pulledAt) ?? facts.pulledAt;
  const signedImages = sumKnown(images, ({ row }) =>
    row.signed === undefined ? undefined : Number(row.signed),
  );
  const scans = countScans(images);
  const vulnerableImages = vulnerableCounts(images.map((image) => image.findings));
  const stale = staleOf(tagged, untagged, options.retention, options.now);
  const reclaimable = stale && sumKnown(stale, (image) => image.sizeBytes);

  return {
    repository,
    tagged: tagged.length,
    ...(facts.listsUntagged && { untagged: untagged.length }),
    ...(archived.length > 0 && { archived: archived.length }),
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
    images: boundedSet(tagged, options.images),
  };
}

/** Images by scan status, or undefined where no image has one: the registry does not tell. */
function countScans(images: readonly Effective[]): Partial<Record<ScanStatus, number>> | undefined {
  const scans: Record<ScanStatus, number> = { complete: 0, pending: 0, failed: 0, unsupported: 0, none: 0 };
  let known = false;
  for (const { scanStatus } of images) {
    if (!scanStatus) continue;
    known = true;
    scans[scanStatus] += 1;
  }
  return known ? scans : undefined;
}
