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
import { vulnerableCounts } from './findings.ts';
import { type Retention, staleOf } from './retention.ts';
import { effective, type ImageRow, isSigned, type Listing, newest, none, sumKnown } from './rows.ts';
import { shownTags } from './tags.ts';

function boundedSet(tagged: readonly ImageRow[], selection: ImageSelection, listing: Listing): ImageTotals[] {
  const images: ImageTotals[] = [];
  for (const [place, row] of tagged.entries()) {
    const isNew = place < selection.perRepository;
    const tags = shownTags(row.tags, { isNew, matches: (tag) => selection.matches(tag) });
    if (tags.length === 0) continue;
    const signed = isSigned(row, listing);
    for (const tag of tags)
      images.push({
        tag,
        digest: row.digest,
        sizeBytes: row.sizeBytes,
        pushedAt: row.pushedAt,
        scannedAt: row.scannedAt,
        signed,
        inUse: row.inUse,
        findings: row.findings,
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
  return row.tags.length === 0 && (row.kind === 'platform' || listed.has(row.digest)) ? 'platform' : row.kind;
}

function sortOut(rows: ReadonlyMap<string, ImageRow>, facts: RepositoryFacts): Sorted {
  const listed = new Set<string>();
  const attestations = new Set<string>();
  const signed = new Set<string>();
  for (const row of rows.values()) {
    for (const digest of row.platforms ?? none) listed.add(digest);
    for (const digest of row.attestations ?? none) attestations.add(digest);
    if (row.kind === 'signature' && row.subject !== undefined && !row.archived) signed.add(row.subject);
  }
  const listing: Listing = { rows, facts, signed };

  const tagged: ImageRow[] = [];
  const untagged: ImageRow[] = [];
  const sized: ImageRow[] = [];
  const archived: ImageRow[] = [];
  const archivedSized: ImageRow[] = [];
  const artifacts: Partial<Record<Kind, number>> = {};
  const primary: ImageRow[] = [];
  let tags = 0;
  for (const row of rows.values()) {
    tags += row.tags.length;
    const kind = kindOf(row, listed, attestations);
    if (!attached.has(kind) && row.subject === undefined) primary.push(row);
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
  for (const kind of facts.unknownKinds ?? []) delete artifacts[kind];
  tagged.sort(byAge);
  return { listing, tagged, untagged, sized, archived, archivedSized, artifacts, tags, primary };
}

const toldFields = Object.keys(toldNumbers.shape) as (keyof ToldNumbers)[];

/** The numbers that are exported as the registry tells them. */
const told = (from: ToldNumbers): ToldNumbers =>
  Object.fromEntries(toldFields.map((field) => [field, from[field]]));

/** The totals of a repository of which some images could not be read: nothing that counts or sums them all. */
function withUnread(totals: RepositoryTotals, unread: number | 'all'): RepositoryTotals {
  const { repository, tags = 0, practices, images } = totals;
  return {
    ...told(totals),
    repository,
    tags: unread === 'all' ? undefined : tags + unread,
    artifacts: {},
    practices,
    images,
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
  const { listing, tagged, untagged, sized, archived, archivedSized, artifacts, tags, primary } = sorted;
  // Some of those without a tag may be platforms: what is an image for sure is what has one.
  const doubtful = facts.unknownKinds?.includes('platform') ?? false;
  const images = doubtful ? tagged : [...tagged, ...untagged];

  // A platform that two indexes share is one row, hence counted once; an index adds nothing of its own. An index
  // whose platforms are not all there makes the sum unknown.
  const whole = [...tagged, ...untagged].every(
    (image) => image.kind !== 'index' || image.sizeBytes !== undefined,
  );
  const listedBytes = whole ? sumKnown(sized, (row) => row.sizeBytes) : undefined;
  const unlistedBytes = sumKnown([...tagged, ...untagged], (image) =>
    image.kind === 'index' ? (image.sizeWithPlatforms ?? 0) : 0,
  );
  const sizeBytes = sumKnown([listedBytes, unlistedBytes], (bytes) => bytes);
  const archivedBytes = sumKnown(archivedSized, (row) => row.sizeBytes);
  const lastPushAt = newest(primary, (row) => row.pushedAt) ?? facts.pushedAt;
  const lastPullAt = newest(primary, (row) => row.pulledAt) ?? facts.pulledAt;
  const signedImages = sumKnown(images, (image) => {
    const signed = isSigned(image, listing);
    return signed === undefined ? undefined : Number(signed);
  });
  const scans = facts.findingsUnknown ? undefined : countScans(images);
  const vulnerableImages = facts.findingsUnknown ? undefined : vulnerableCounts(images);
  const showsUntagged = facts.listsUntagged && !doubtful;
  const stale = staleOf(tagged, showsUntagged ? untagged : undefined, options.retention, options.now);
  const reclaimable = stale && sumKnown(stale, (image) => image.sizeBytes);
  // An archived index may not be read any more: then nobody knows which of the others are its platforms.
  const unread = archived.some((row) => row.kind === 'index' && !row.platforms);
  const showsArchived =
    archived.length > 0 && !(unread && archived.some((row) => row.kind === 'image' && row.tags.length === 0));

  const totals: RepositoryTotals = {
    ...told(facts),
    repository,
    tagged: tagged.length,
    untagged: showsUntagged ? untagged.length : undefined,
    archived: showsArchived ? archived.length : undefined,
    archivedBytes: archived.length > 0 ? archivedBytes : undefined,
    tags,
    artifacts,
    sizeBytes,
    reclaimableBytes: reclaimable,
    staleImages: stale?.length,
    lastPushAt: facts.newestUnknown ? undefined : lastPushAt,
    lastPullAt: facts.lastPullUnknown ? undefined : lastPullAt,
    findings: facts.newestUnknown ? undefined : tagged[0]?.findings,
    vulnerableImages,
    scans,
    signedImages,
    practices: facts.practices ?? {},
    images: boundedSet(tagged, options.images, listing),
  };
  return facts.unreadTags === undefined || facts.unreadTags === 0
    ? totals
    : withUnread(totals, facts.unreadTags);
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
