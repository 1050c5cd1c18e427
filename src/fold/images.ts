import { byAge, type ImageSelection } from '../bounded.ts';
import {
  type ImageTotals,
  type Kind,
  type RepositoryFacts,
  type RepositoryTotals,
  type ScanStatus,
  type ToldNumbers,
  toldNumbers,
} from '../model.ts';
import { newestOf } from '../times.ts';
import { newestScan, vulnerableCounts } from './findings.ts';
import { type Retention, staleOf } from './retention.ts';
import { effective, type ImageRow, isSigned, type Listing, none, sumKnown } from './rows.ts';
import { type RunningFacts, readRunning } from './running.ts';
import { shownTags } from './tags.ts';

/** Tagged images, and those without a tag that run. */
function withRunning(
  tagged: readonly ImageRow[],
  running: ReadonlyMap<ImageRow, unknown>,
): readonly ImageRow[] {
  if (running.size === 0) return tagged;
  const isTagged = new Set(tagged);
  return [...tagged, ...[...running.keys()].filter((row) => !isTagged.has(row))];
}

/** The images that are exported one by one, each under its tags. One that runs is there without a tag, too. */
function boundedSet(
  tagged: readonly ImageRow[],
  selection: ImageSelection,
  listing: Listing,
  running: ReadonlyMap<ImageRow, RunningFacts>,
): ImageTotals[] {
  const images: ImageTotals[] = [];
  for (const [index, row] of withRunning(tagged, running).entries()) {
    const runs = running.get(row);
    const tags = shownTags(row.tags, {
      isNew: index < selection.perRepository || runs !== undefined,
      matches: (tag) => selection.matches(tag),
    });
    if (tags.length === 0 && !runs) continue;
    const signed = isSigned(row, listing);
    for (const tag of tags.length > 0 ? tags : [''])
      images.push({
        tag,
        digest: row.digest,
        sizeBytes: row.sizeBytes,
        pushedAt: row.pushedAt,
        scannedAt: row.scannedAt,
        signed,
        inUse: row.inUse,
        findings: row.findings,
        ...runs,
      });
  }
  return images;
}

/** What the manifests of a repository count as. */
interface Sorted {
  readonly listing: Listing;
  /** Newest first. */
  readonly tagged: readonly ImageRow[];
  readonly untagged: readonly ImageRow[];
  /** What the repository's size is the sum of. */
  readonly sized: readonly ImageRow[];
  /** Found only because they run. */
  readonly unlisted: readonly ImageRow[];
  readonly archived: readonly ImageRow[];
  readonly archivedSized: readonly ImageRow[];
  readonly artifacts: Readonly<Partial<Record<Kind, number>>>;
  readonly tags: number;
  /** Everything that is not attached to an image: what is pushed and pulled for its own sake. */
  readonly primary: readonly ImageRow[];
}

/** What is attached to images: pushed and pulled by those who sign, scan and verify. */
const attached: ReadonlySet<Kind> = new Set(['signature', 'sbom', 'attestation']);

/** What a manifest counts as, by what others of its repository say of it. */
function kindOf(row: ImageRow, listed: ReadonlySet<string>, attestations: ReadonlySet<string>): Kind {
  if (row.kind !== 'image' && row.kind !== 'platform') return row.kind;
  if (attestations.has(row.digest)) return 'attestation';
  // A tagged manifest that an index lists as well is an image that people pull by its own name.
  return row.tags.length === 0 && listed.has(row.digest) ? 'platform' : row.kind;
}

/** What manifests say of others: digests of platforms and attestations that indexes list, and of what is signed. */
function referencesOf(rows: ReadonlyMap<string, ImageRow>) {
  const listed = new Set<string>();
  const attestations = new Set<string>();
  const signed = new Set<string>();
  for (const row of rows.values()) {
    for (const digest of row.platforms ?? none) listed.add(digest);
    for (const digest of row.attestations ?? none) attestations.add(digest);
    if (row.kind === 'signature' && row.subject !== undefined && !row.archived) signed.add(row.subject);
  }
  return { listed, attestations, signed };
}

/** What the registry lists. */
function* listedOf(rows: ReadonlyMap<string, ImageRow>): Generator<ImageRow> {
  for (const row of rows.values()) if (!row.unlisted) yield row;
}

/** Images that were found only because they run. */
function unlistedOf(listing: Listing): ImageRow[] {
  const rows: ImageRow[] = [];
  for (const row of listing.rows.values())
    if (row.unlisted && isImage(row.kind)) rows.push(effective(row, listing));
  return rows;
}

function sortOut(rows: ReadonlyMap<string, ImageRow>, facts: RepositoryFacts): Sorted {
  const { listed, attestations, signed } = referencesOf(rows);
  const listing: Listing = { rows, facts, signed };
  const artifacts: Partial<Record<Kind, number>> = {};
  const sorted = {
    ...{ listing, artifacts, tags: 0 },
    tagged: [] as ImageRow[],
    untagged: [] as ImageRow[],
    sized: [] as ImageRow[],
    unlisted: unlistedOf(listing),
    archived: [] as ImageRow[],
    archivedSized: [] as ImageRow[],
    primary: [] as ImageRow[],
  };
  const imagesLike = (row: ImageRow): ImageRow[] => {
    if (row.archived) return sorted.archived;
    return row.tags.length > 0 ? sorted.tagged : sorted.untagged;
  };
  for (const row of listedOf(rows)) {
    sorted.tags += row.tags.length;
    const kind = kindOf(row, listed, attestations);
    if (isPrimary(row, kind)) sorted.primary.push(row);
    if (isStored(kind)) (row.archived ? sorted.archivedSized : sorted.sized).push(row);
    if (isImage(kind)) imagesLike(row).push(effective(row, listing));
    else if (!row.archived) artifacts[kind] = (artifacts[kind] ?? 0) + 1;
  }
  for (const kind of facts.unknownKinds ?? []) delete artifacts[kind];
  sorted.tagged.sort(byAge);
  return sorted;
}

const isPrimary = (row: ImageRow, kind: Kind): boolean => !attached.has(kind) && row.subject === undefined;
/** Whether it counts as an image. */
const isImage = (kind: Kind): boolean => kind === 'image' || kind === 'index';
/** Whether its bytes count: those of an index are its platforms'. */
const isStored = (kind: Kind): boolean => kind === 'image' || kind === 'platform';

/**
 * Bytes of the images, as stored. A platform that two indexes share is one row, hence counted once; an index adds
 * nothing of its own. An index whose platforms are not all there makes the sum unknown.
 */
function sizeOf({ tagged, untagged, sized }: Sorted): number | undefined {
  const indexes = [...tagged, ...untagged].filter(({ kind }) => kind === 'index');
  if (!indexes.every(({ sizeBytes }) => sizeBytes !== undefined)) return undefined;
  const listedBytes = sumKnown(sized, (row) => row.sizeBytes);
  const unlistedBytes = sumKnown(indexes, ({ sizeWithPlatforms = 0 }) => sizeWithPlatforms);
  return sumKnown([listedBytes, unlistedBytes], (bytes) => bytes);
}

/** Images in archive storage, and their bytes. */
function archivedOf({
  archived,
  archivedSized,
}: Sorted): Pick<RepositoryTotals, 'archived' | 'archivedBytes'> {
  if (archived.length === 0) return {};
  const archivedBytes = sumKnown(archivedSized, (row) => row.sizeBytes);
  // An archived index may not be read any more: then nobody knows which of the others are its platforms.
  const isUnread = archived.some((row) => row.kind === 'index' && !row.platforms);
  const mayBePlatform = archived.some((row) => row.kind === 'image' && row.tags.length === 0);
  return { archived: isUnread && mayBePlatform ? undefined : archived.length, archivedBytes };
}

/** When anything was pushed and pulled last, in the repository that the rows are of. */
function lastTimes(
  { primary }: Sorted,
  facts: RepositoryFacts,
): Pick<RepositoryTotals, 'lastPushAt' | 'lastPullAt'> {
  const pushedAt = newestOf(primary.map((row) => row.pushedAt)) ?? facts.pushedAt;
  const pulledAt = newestOf(primary.map((row) => row.pulledAt)) ?? facts.pulledAt;
  return {
    lastPushAt: facts.newestUnknown ? undefined : pushedAt,
    lastPullAt: facts.lastPullUnknown ? undefined : pulledAt,
  };
}

const toldFields = Object.keys(toldNumbers.shape) as (keyof ToldNumbers)[];

/** The numbers that are exported as the registry tells them. */
const told = (from: ToldNumbers): ToldNumbers =>
  Object.fromEntries(toldFields.map((field) => [field, from[field]]));

/** The totals of a repository of which some images could not be read: nothing that counts or sums them all. */
function withUnread(totals: RepositoryTotals, unread: number | 'all'): RepositoryTotals {
  const { repository, tags = 0, practices, images, running } = totals;
  return {
    ...told(totals),
    repository,
    tags: unread === 'all' ? undefined : tags + unread,
    artifacts: {},
    practices,
    images,
    running,
  };
}

/** The totals of one repository, from all of its manifests. */
export function foldImages(
  repository: string,
  facts: RepositoryFacts,
  rows: ReadonlyMap<string, ImageRow>,
  options: { readonly images: ImageSelection; readonly retention?: Retention; readonly now: number },
): RepositoryTotals {
  const sorted = sortOut(rows, facts);
  const { listing, tagged, untagged, artifacts, tags } = sorted;
  // Some of those without a tag may be platforms: what is an image for sure is what has one.
  const doubtful = facts.unknownKinds?.includes('platform') ?? false;
  const images = doubtful ? tagged : [...tagged, ...untagged];
  const signedImages = sumKnown(images, (image) => {
    const signed = isSigned(image, listing);
    return signed === undefined ? undefined : Number(signed);
  });
  const shownUntagged = facts.listsUntagged && !doubtful ? untagged : undefined;
  const stale = staleOf(tagged, shownUntagged, options.retention, options.now);
  const running = readRunning(sorted, options.images.running?.(repository), stale);

  const totals: RepositoryTotals = {
    ...told(facts),
    ...archivedOf(sorted),
    ...lastTimes(sorted, facts),
    repository,
    tagged: tagged.length,
    untagged: shownUntagged?.length,
    tags,
    artifacts,
    sizeBytes: sizeOf(sorted),
    reclaimableBytes: stale && sumKnown(stale, (image) => image.sizeBytes),
    staleImages: stale?.length,
    findings: facts.newestUnknown ? undefined : tagged[0]?.findings,
    vulnerableImages: facts.findingsUnknown ? undefined : vulnerableCounts(images),
    scans: facts.findingsUnknown ? undefined : countScans(images),
    // Of platforms too: an index whose other platform waits for its scan hides a time that is missing.
    lastScanAt: facts.findingsUnknown ? undefined : newestScan([...images, ...sorted.sized]),
    signedImages,
    practices: facts.practices ?? {},
    images: boundedSet(tagged, options.images, listing, running.rows),
    running: running.others,
  };
  return facts.unreadTags === undefined || facts.unreadTags === 0
    ? totals
    : withUnread(totals, facts.unreadTags);
}

/** Images by scan status, or undefined where no image has one: the registry does not tell. */
function countScans(images: readonly ImageRow[]): Partial<Record<ScanStatus, number>> | undefined {
  const scans: Record<ScanStatus, number> = { complete: 0, pending: 0, failed: 0, unsupported: 0, none: 0 };
  let isTold = false;
  for (const { scanStatus } of images) {
    if (!scanStatus) continue;
    isTold = true;
    scans[scanStatus] += 1;
  }
  return isTold ? scans : undefined;
}
