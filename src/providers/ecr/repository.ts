import pMap from 'p-map';
import type { Image, Kind, Observation } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { createTokenGuard } from './answers.ts';
import { type Bounded, createBounded } from './bounded.ts';
import type { Aws } from './client.ts';
import { nameOf } from './errors.ts';
import type { ImageFindings, ScanResult } from './findings.ts';
import { type ListedImage, parseImagePage } from './images.ts';
import type { Inspection } from './inspector.ts';
import type { ManifestRecord, Manifests } from './manifests.ts';
import { type Fullest, practicesOf, type Repository } from './repositories.ts';
import type { Scanning } from './scanning.ts';
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
  describeImages(input: { readonly repositoryName: string; readonly nextToken?: string }): {
    readonly input: object;
  };
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

/** What a call for a single image adds to the listing and to what Inspector says in bulk. */
async function scanOf(
  { inspection, findings, scanning }: Scope,
  repository: string,
  digest: string,
): Promise<ScanResult | undefined> {
  if (inspection) {
    const { scanStatus, scannedAt, all } = inspection.of(repository, digest) ?? {};
    if (scanStatus !== 'complete' || scannedAt === undefined) return undefined;
    if (all === 0) return { findings: { counts: zero, fixable: zero } };
    const result = await findings.enhanced(repository, digest, scannedAt);
    // Its state and time are those of the coverage, as for all other images.
    return result?.findings && { findings: result.findings };
  }
  return scanning.native === false ? undefined : findings.basic(repository, digest);
}

/**
 * Everything that is known of one repository: its images page by page, then what has to be asked about some of them.
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
 */
export async function* readRepository(scope: Scope, repository: Repository): AsyncGenerator<Observation> {
  const { context, aws, words, scanning, inspection, fullest } = scope;
  const name = repository.repositoryName;
  const bounded = createBounded(context.images);
  const unread: Unread = { images: new Map(), archivedBundle: false };
  let count = 0;

  function observe(listed: ListedImage): Image {
    let image = withManifest(scope, listed, unread);
    if (!image.archived) {
      if (inspection) image = inspected(image, name, inspection);
      // The classic scanner says all in the listing: what has no state there has no scan.
      else if (scanning.native === false && image.kind === 'image' && image.scanStatus === undefined)
        image = { ...image, scanStatus: 'none' };
    }
    bounded.add(image);
    return image;
  }

  /** A function of its own, so that nothing of an answer but its images lives on while the next one is waited for. */
  async function readPage(nextToken: string | undefined) {
    const input = { repositoryName: name, ...(nextToken !== undefined && { nextToken }) };
    const answer = await aws.ecr.ask(() => scope.describeImages(input), 'DescribeImages');
    const page = parseImagePage(answer, words);
    count += page.images.length;
    return { images: page.images.map(observe), next: page.nextToken };
  }

  const practices = practicesOf(repository, scanning, words);
  yield {
    type: 'repository',
    repository: name,
    facts: { listsUntagged: true, partialIndexes: true, practices },
  };
  try {
    const guard = createTokenGuard('DescribeImages');
    for (let nextToken: string | undefined; ; ) {
      const { images, next } = await readPage(nextToken);
      yield { type: 'images', repository: name, images };
      if (next === undefined) break;
      guard(next);
      nextToken = next;
    }
    const read = await readManifests(scope, name, unread, bounded);
    if (read.length > 0) yield { type: 'images', repository: name, images: read };
    const scanned = await readScans(scope, name, bounded);
    if (scanned.length > 0) yield { type: 'images', repository: name, images: scanned };
  } catch (error) {
    if (nameOf(error) !== 'RepositoryNotFoundException') throw error;
    yield { type: 'repository-gone', repository: name };
    return;
  } finally {
    inspection?.done(name);
  }
  fullest.count(name, count);
  yield { type: 'repository-complete', repository: name, facts: lackingOf(unread) };
}

/** What cannot be told, since manifests were not read. */
interface Unread {
  readonly images: Map<string, Image>;
  /** A Sigstore bundle in the archive may be a signature. */
  archivedBundle: boolean;
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
    for (const [digest, record] of await manifests.read(repository, [...unread.images.keys()])) {
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
async function readScans(scope: Scope, repository: string, bounded: Bounded): Promise<Image[]> {
  const asked = bounded.all().flatMap((image): Pick<Image, 'digest' | 'kind'>[] => {
    if (image.platforms) return image.platforms.map((digest) => ({ digest, kind: 'image' }));
    const isTold = !scope.inspection && image.scanStatus !== undefined;
    return isTold ? [] : [{ digest: image.digest, kind: image.kind }];
  });
  const { concurrency } = scope.context;
  const scanned = await pMap(
    asked,
    async (image) => ({ ...image, ...(await scanOf(scope, repository, image.digest)) }),
    { concurrency },
  );
  return scanned.filter(({ scanStatus, findings }) => scanStatus !== undefined || findings !== undefined);
}

function lackingOf({ images, archivedBundle }: Unread) {
  const all = [...images.values()];
  const unknownKinds: Kind[] = [];
  if (all.some(({ kind }) => kind === 'index')) unknownKinds.push('platform', 'attestation');
  const bundles = all.some(({ kind }) => kind !== 'index');
  if (bundles) unknownKinds.push('signature', 'attestation');
  return { listsSignatures: !bundles && !archivedBundle, ...(unknownKinds.length > 0 && { unknownKinds }) };
}
