import pMap from 'p-map';
import { type Bounded, createBounded } from '../../bounded.ts';
import { severityCounts } from '../../images/severity.ts';
import type { Image, Observation } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { createYielder } from '../../yielding.ts';
import { pagesOf, tellOdd } from './answers.ts';
import type { Aws } from './client.ts';
import { nameOf } from './errors.ts';
import type { ImageFindings, ScanResult } from './findings.ts';
import { imagesOf, type ListedImage } from './images.ts';
import type { Inspection } from './inspector.ts';
import type { ManifestRecord, Manifests } from './manifests.ts';
import type { Fullest } from './quotas.ts';
import { practicesOf, type Repository } from './repositories.ts';
import type { Scanning } from './scanning.ts';
import { createUnread, factsOf, lacksPush, type Unread } from './unread.ts';
import type { TellOdd, Words } from './words.ts';

/** What reading repositories needs; lives for one cycle. */
export interface Scope {
  readonly context: CollectContext;
  readonly aws: Aws;
  readonly words: Words;
  readonly scanning: Scanning;
  /** With enhanced scanning only. */
  readonly inspection: Inspection | undefined;
  /** Undefined where manifests are not to be read. */
  readonly manifests: Manifests | undefined;
  readonly findings: ImageFindings;
  readonly fullest: Fullest;
}

/** One repository while it is read. */
interface Reading extends Scope {
  readonly repository: string;
  readonly bounded: Bounded;
  readonly unread: Unread;
  /** When each image was pushed, by digest. */
  readonly pushes: Map<string, number | undefined>;
  readonly scansOnPush: boolean;
  readonly odd: TellOdd;
}

/** What a manifest adds to what the listing says. */
function described(image: Image, { platforms, attestations, signature }: ManifestRecord): Image {
  if (platforms) return { ...image, platforms, attestations };
  return signature ? { ...image, kind: 'signature' } : image;
}

/** An image with what Inspector says of it; of an index only if Inspector scanned it: its platforms are scanned. */
function inspected(image: Image, repository: string, inspection: Inspection): Image {
  if (image.kind !== 'image' && image.kind !== 'index') return image;
  const row = inspection.of(repository, image.digest);
  if (!row) return image;
  const { scanStatus, scannedAt, inUse, counts } = row;
  const ofUse = { ...image, inUse };
  if (image.kind === 'index' && scanStatus !== 'complete') return ofUse;
  return { ...ofUse, scanStatus, scannedAt, findings: counts && { counts } };
}

/** What a call for a single image adds to the listing and to what Inspector says in bulk. */
async function scanOf(reading: Reading, digest: string): Promise<ScanResult | undefined> {
  const { repository, inspection, findings, scanning, pushes, scansOnPush, unread } = reading;
  const image = { repository, digest, pushedAt: pushes.get(digest) };
  if (inspection) {
    const { scanStatus, scannedAt, all } = inspection.of(repository, digest) ?? {};
    if (scanStatus !== 'complete' || scannedAt === undefined) return undefined;
    if (all === 0) return { findings: { counts: severityCounts(), fixable: severityCounts() } };
    const result = await findings.enhanced(image, scannedAt);
    // Its status and time are those of the coverage, as for all other images.
    return result?.findings && { findings: result.findings };
  }
  if (scanning.native === false) return undefined;
  const result = await findings.basic(image, scansOnPush);
  if (result !== 'failed') return result;
  unread.scans = true;
  return undefined;
}

/** The image of a row of the listing, with what is known of it besides. */
function imageOf(reading: Reading, row: ListedImage): Image {
  const { repository, inspection, scanning, unread, pushes, bounded, odd } = reading;
  pushes.set(row.image.digest, row.image.pushedAt);
  let image = withManifest(reading, row);
  unread.rows ||= row.unknownTags;
  if (!image.archived) {
    if (lacksPush(image)) {
      unread.pushes = true;
      odd('imagePushedAt', 'an image without the time of its push');
    }
    if (row.unknownScan && !inspection) unread.scans = true;
    if (inspection) image = inspected(image, repository, inspection);
    // The classic scanner says all in the listing: what has no status there has no scan.
    else if (scanning.native === false && image.kind === 'image' && !image.scanStatus && !row.unknownScan)
      image = { ...image, scanStatus: 'none' };
  }
  bounded.add(image);
  return image;
}

/** Images of the listing as they come, then again those of which more had to be asked. */
async function* readImages(reading: Reading): AsyncGenerator<readonly Image[]> {
  const { aws, context, words, repository, unread, odd } = reading;
  const pause = createYielder();
  const rowsReading = {
    words,
    now: context.now(),
    odd(at: string, problem: string) {
      if (at === 'lastRecordedPullTime') unread.pulls = true;
      odd(at, problem);
    },
  };
  const ask = (nextToken: string | undefined) =>
    aws.ecr.describeImages({
      repositoryName: repository,
      // Pages are of 100 unless asked for more, and archived images are left out unless asked for.
      maxResults: 1000,
      filter: { imageStatus: 'ANY' },
      nextToken,
    });
  for await (const page of pagesOf({ operation: 'DescribeImages', ask }))
    for (const { images, lacksImages } of imagesOf(page, rowsReading)) {
      unread.rows ||= lacksImages;
      yield images.map((row) => imageOf(reading, row));
      await pause();
    }
  yield await readManifests(reading);
  yield await readScans(reading);
}

/**
 * Everything that is known of one repository: its images page by page, then what has to be asked about some of them.
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
 */
export async function* readRepository(scope: Scope, row: Repository): AsyncGenerator<Observation> {
  const { context, words, scanning, inspection, fullest } = scope;
  const repository = row.repositoryName;
  const practices = practicesOf(row, scanning, words);
  const reading: Reading = {
    ...scope,
    repository,
    bounded: createBounded(context.images, repository),
    unread: createUnread(),
    pushes: new Map(),
    scansOnPush: practices.scan_on_push === true,
    odd: tellOdd(context, 'DescribeImages'),
  };
  const { unread, pushes } = reading;
  yield { type: 'repository', repository, facts: { listsUntagged: true, partialIndexes: true, practices } };
  try {
    for await (const images of readImages(reading))
      if (images.length > 0) yield { type: 'images', repository, images };
  } catch (error) {
    if (nameOf(error) !== 'RepositoryNotFoundException') throw error;
    inspection?.done(repository);
    yield { type: 'repository-gone', repository };
    return;
  }
  if (unread.rows) fullest.failed(repository);
  else fullest.count(repository, pushes.size);
  if (scanning.type === undefined || inspection?.lacks(repository)) unread.scans = true;
  inspection?.done(repository);
  yield { type: 'repository-complete', repository, facts: factsOf(unread) };
}

function withManifest({ manifests, unread }: Reading, { image, bundle }: ListedImage): Image {
  if (image.kind !== 'index' && !bundle) return image;
  const record = manifests?.remembered(image.digest);
  if (record) return described(image, record);
  // What is archived cannot be pulled, and reading a manifest is what a pull does.
  if (!image.archived) unread.images.set(image.digest, image);
  else if (bundle) unread.archivedBundle = true;
  return image;
}

/** Images that only their manifests tell about. */
async function readManifests({ manifests, context, repository, unread, bounded }: Reading): Promise<Image[]> {
  if (!manifests || unread.images.size === 0) return [];
  const images: Image[] = [];
  try {
    for await (const [digest, record] of manifests.read(repository, [...unread.images.keys()])) {
      const image = unread.images.get(digest);
      if (!image) continue;
      unread.images.delete(digest);
      const whole = described(image, record);
      images.push(whole);
      bounded.add(whole);
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (nameOf(error) === 'RepositoryNotFoundException') throw error;
    context.degraded('images', error);
  }
  return images;
}

/** Findings of the images of the bounded set, or of their platforms, that the listing did not bring. */
async function readScans(reading: Reading): Promise<Image[]> {
  const { inspection, pushes, bounded, context } = reading;
  const asked = bounded.all().flatMap((image): Pick<Image, 'digest' | 'kind'>[] => {
    if (image.platforms)
      return image.platforms.flatMap((digest) =>
        // An index may list platforms that were never pushed here or are deleted.
        pushes.has(digest) ? { digest, kind: 'image' as const } : [],
      );
    const isTold = !inspection && image.scanStatus !== undefined;
    return isTold ? [] : [{ digest: image.digest, kind: image.kind }];
  });
  const scanned = await pMap(
    asked,
    async (image) => ({ ...image, ...(await scanOf(reading, image.digest)) }),
    { concurrency: context.concurrency },
  );
  return scanned.filter(({ scanStatus, findings }) => scanStatus !== undefined || findings !== undefined);
}
