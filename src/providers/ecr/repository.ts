import type { DescribeImagesCommandOutput } from '@aws-sdk/client-ecr';
import pMap from 'p-map';
import { type Bounded, createBounded } from '../../bounded.ts';
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
import { type Fullest, practicesOf, type Repository } from './repositories.ts';
import type { Scanning } from './scanning.ts';
import { createUnread, lackingOf, lacksPush, type Unread } from './unread.ts';
import type { Words } from './words.ts';

/** What reading one repository needs; lives for one cycle. */
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
  /** The SDK's pages of `DescribeImages`. */
  describeImages(repositoryName: string): AsyncIterable<DescribeImagesCommandOutput>;
}

/** What a manifest adds to what the listing says. */
function described(image: Image, { platforms, attestations, signature }: ManifestRecord): Image {
  if (platforms) return { ...image, platforms, ...(attestations && { attestations }) };
  return signature ? { ...image, kind: 'signature' } : image;
}

/** What Inspector says of an image; of an index only if it has something to say, since its platforms are scanned. */
function inspected(image: Image, repository: string, inspection: Inspection): Image {
  if (image.kind !== 'image' && image.kind !== 'index') return image;
  const found = inspection.of(repository, image.digest);
  if (!found) return image;
  const { scanStatus, scannedAt, inUse, counts } = found;
  const isOwn = image.kind === 'image' || scanStatus === 'complete';
  return {
    ...image,
    ...(inUse !== undefined && { inUse }),
    ...(isOwn && scanStatus && { scanStatus }),
    ...(isOwn && scannedAt !== undefined && { scannedAt }),
    ...(isOwn && counts && { findings: { counts } }),
  };
}

const zero = { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 };

/** A repository whose images are listed. */
interface Listed {
  readonly repository: string;
  /** Digests of all its images, and when each was pushed. */
  readonly listed: ReadonlyMap<string, number | undefined>;
  readonly scansOnPush: boolean;
  readonly unread: Unread;
}

/** What a call for a single image adds to the listing and to what Inspector says in bulk. */
async function scanOf(
  { inspection, findings, scanning }: Scope,
  { repository, listed, scansOnPush, unread }: Listed,
  digest: string,
): Promise<ScanResult | undefined> {
  const image = { repository, digest, pushedAt: listed.get(digest) };
  if (inspection) {
    const { scanStatus, scannedAt, all } = inspection.of(repository, digest) ?? {};
    if (scanStatus !== 'complete' || scannedAt === undefined) return undefined;
    if (all === 0) return { findings: { counts: zero, fixable: zero } };
    const result = await findings.enhanced(image, scannedAt);
    // Its state and time are those of the coverage, as for all other images.
    return result?.findings && { findings: result.findings };
  }
  if (scanning.native === false) return undefined;
  const result = await findings.basic(image, scansOnPush);
  if (result !== 'failed') return result;
  unread.scans = true;
  return undefined;
}

/**
 * Everything that is known of one repository: its images page by page, then what has to be asked about some of them.
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
 */
export async function* readRepository(scope: Scope, repository: Repository): AsyncGenerator<Observation> {
  const { context, words, scanning, inspection, fullest } = scope;
  const name = repository.repositoryName;
  const bounded = createBounded(context.images);
  const pause = createYielder();
  const unread = createUnread();
  /** When each image was pushed. */
  const listed = new Map<string, number | undefined>();

  const operation = 'DescribeImages';
  const odd = tellOdd(context, operation);

  function observe(row: ListedImage): Image {
    listed.set(row.image.digest, row.image.pushedAt);
    let image = withManifest(scope, row, unread);
    unread.rows ||= row.unknownTags;
    if (!image.archived) {
      if (lacksPush(image)) {
        unread.pushes = true;
        odd('imagePushedAt', 'an image without the time of its push');
      }
      if (row.unknownScan && !inspection) unread.scans = true;
      if (inspection) image = inspected(image, name, inspection);
      // The classic scanner says all in the listing: what has no state there has no scan.
      else if (scanning.native === false && image.kind === 'image' && !image.scanStatus && !row.unknownScan)
        image = { ...image, scanStatus: 'none' };
    }
    bounded.add(image);
    return image;
  }

  const practices = practicesOf(repository, scanning, words);
  yield {
    type: 'repository',
    repository: name,
    facts: { listsUntagged: true, partialIndexes: true, practices },
  };
  try {
    const reading = {
      words,
      now: context.now(),
      odd(at: string, problem: string) {
        if (at === 'lastRecordedPullTime') unread.pulls = true;
        odd(at, problem);
      },
    };
    for await (const page of pagesOf(operation, scope.describeImages(name)))
      for (const rows of imagesOf(page, reading)) {
        unread.rows ||= rows.lacksImages;
        yield { type: 'images', repository: name, images: rows.images.map(observe) };
        await pause();
      }
    const read = await readManifests(scope, name, unread, bounded);
    if (read.length > 0) yield { type: 'images', repository: name, images: read };
    const scanned = await readScans(
      scope,
      { repository: name, listed, scansOnPush: practices.scan_on_push === true, unread },
      bounded,
    );
    if (scanned.length > 0) yield { type: 'images', repository: name, images: scanned };
  } catch (error) {
    if (nameOf(error) !== 'RepositoryNotFoundException') throw error;
    inspection?.done(name);
    yield { type: 'repository-gone', repository: name };
    return;
  }
  if (unread.rows) fullest.failed(name);
  else fullest.count(name, listed.size);
  if (scanning.type === undefined || inspection?.lacks(name)) unread.scans = true;
  inspection?.done(name);
  yield { type: 'repository-complete', repository: name, facts: lackingOf(unread) };
}

function withManifest({ manifests }: Scope, { image, bundle }: ListedImage, unread: Unread): Image {
  if (image.kind !== 'index' && !bundle) return image;
  const record = manifests?.known(image.digest);
  if (record) return described(image, record);
  // What is archived cannot be pulled, and reading a manifest is what a pull does.
  if (!image.archived) unread.images.set(image.digest, image);
  else if (bundle) unread.archivedBundle = true;
  return image;
}

async function readManifests(
  { manifests, context }: Scope,
  repository: string,
  unread: Unread,
  bounded: Bounded,
): Promise<Image[]> {
  if (!manifests || unread.images.size === 0) return [];
  const images: Image[] = [];
  try {
    for await (const [digest, record] of manifests.read(repository, [...unread.images.keys()])) {
      const image = unread.images.get(digest);
      if (!image) continue;
      unread.images.delete(digest);
      const seen = described(image, record);
      images.push(seen);
      bounded.add(seen);
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (nameOf(error) === 'RepositoryNotFoundException') throw error;
    context.degraded('images', error);
  }
  return images;
}

/** Findings of the images of the bounded set, or of their platforms, that the listing did not bring. */
async function readScans(scope: Scope, of: Listed, bounded: Bounded): Promise<Image[]> {
  const asked = bounded.all().flatMap((image): Pick<Image, 'digest' | 'kind'>[] => {
    if (image.platforms)
      return image.platforms.flatMap((digest) =>
        // An index may list platforms that were never pushed here or are deleted.
        of.listed.has(digest) ? { digest, kind: 'image' as const } : [],
      );
    const isTold = !scope.inspection && image.scanStatus !== undefined;
    return isTold ? [] : [{ digest: image.digest, kind: image.kind }];
  });
  const { concurrency } = scope.context;
  const scanned = await pMap(
    asked,
    async (image) => ({ ...image, ...(await scanOf(scope, of, image.digest)) }),
    { concurrency },
  );
  return scanned.filter(({ scanStatus, findings }) => scanStatus !== undefined || findings !== undefined);
}
