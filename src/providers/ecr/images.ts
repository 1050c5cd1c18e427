import { CollectError } from '../../errors.ts';
import { splitTags } from '../../images/attached-tags.ts';
import { isDigest } from '../../images/digest.ts';
import { imageConfigs, indexTypes, kindOfType } from '../../media-types.ts';
import type { Image, Kind, ScanStatus } from '../../model.ts';
import { countsOf, secondsOf, statusOf, type TellOdd, type Words } from './words.ts';

/**
 * `ImageDetail` as far as it is used. Checked by hand, field by field: there are millions of them.
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html
 */
interface ImageDetail {
  readonly imageDigest?: unknown;
  readonly imageTags?: unknown;
  readonly imageSizeInBytes?: unknown;
  readonly imagePushedAt?: unknown;
  readonly lastRecordedPullTime?: unknown;
  readonly imageManifestMediaType?: unknown;
  readonly artifactMediaType?: unknown;
  readonly subjectManifestDigest?: unknown;
  readonly imageStatus?: unknown;
  readonly imageScanStatus?: { readonly status?: unknown } | null;
  readonly imageScanFindingsSummary?: {
    readonly imageScanCompletedAt?: unknown;
    readonly findingSeverityCounts?: unknown;
  } | null;
}

/** A row of `DescribeImages`. */
export interface ListedImage {
  readonly image: Image;
  /** Whether only its manifest tells what it is: a Sigstore bundle may be a signature or an attestation. */
  readonly bundle: boolean;
  /** Whether it has tags is unknown. */
  readonly unknownTags: boolean;
  /** Whether the state of its scan was given and could not be understood. */
  readonly unknownScan: boolean;
}

const noTags: readonly string[] = [];
/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests; ECR allows 300 characters. */
const tagForm = /^\w[\w.-]{0,299}$/;

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** moto leaves out the size of an index, which nobody needs. */
function bytesOf(value: unknown, kind: Kind, odd: TellOdd): number | undefined {
  if ((value === undefined || value === null) && kind === 'index') return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  odd('imageSizeInBytes', 'no number of bytes');
  return undefined;
}

/**
 * Tags that can be such; what is none is left out.
 * @returns undefined where it is unknown whether the image has any
 */
function tagsOf(value: unknown, odd: TellOdd): readonly string[] | undefined {
  if (value === undefined || value === null) return noTags;
  const isTag = (tag: unknown) => typeof tag === 'string' && tagForm.test(tag);
  if (Array.isArray(value) && value.every(isTag)) return value;
  odd('imageTags', 'something that is no tag');
  const tags: readonly string[] = Array.isArray(value) ? value.filter(isTag) : noTags;
  return tags.length > 0 ? tags : undefined;
}

function kindOf({ imageManifestMediaType, artifactMediaType }: ImageDetail): Kind {
  if (indexTypes.has(String(imageManifestMediaType))) return 'index';
  const type = textOf(artifactMediaType);
  return type === undefined || imageConfigs.has(type) ? 'image' : (kindOfType(type) ?? 'other');
}

/** An image whose tags say what it is attached to. */
function attach(image: Image, tags: readonly string[]): Image {
  const { imageTags, attachedTags } = splitTags(tags, image.digest);
  const [first] = attachedTags;
  if (!first || imageTags.length > 0) return { ...image, tags: imageTags };
  return { ...image, tags: imageTags, kind: first.kind ?? 'other', subject: first.subject };
}

/** One that is being restored cannot be pulled yet. */
function isArchived(status: unknown, words: Words): true | undefined {
  if (status === 'ACTIVE' || status === undefined || status === null) return undefined;
  if (status === 'ARCHIVED' || status === 'ACTIVATING') return true;
  words.unknown('imageStatus', status);
  return undefined;
}

/**
 * ECR scans what runs: of an index its platforms, and nothing of what is attached.
 * @returns `unknown` for a status that could not be understood, which is reported
 */
function scanStatusOf(
  { imageScanStatus: scanStatus }: ImageDetail,
  kind: Kind,
  { words, odd }: ReadingImages,
): ScanStatus | 'unknown' | undefined {
  if (scanStatus === undefined || scanStatus === null) return undefined;
  const word = typeof scanStatus === 'object' ? scanStatus.status : scanStatus;
  if (typeof word !== 'string') odd('imageScanStatus', 'no state of a scan');
  const status = typeof word === 'string' ? statusOf(word, words) : undefined;
  if (status === undefined) return 'unknown';
  return kind === 'image' || status === 'complete' ? status : undefined;
}

/** What `DescribeImages` says of findings: from classic basic scanning only. */
function summaryOf(
  detail: ImageDetail,
  { words, odd, now }: ReadingImages,
): Pick<Image, 'scannedAt' | 'findings'> {
  const summary = detail.imageScanFindingsSummary;
  const scannedAt = secondsOf(summary?.imageScanCompletedAt, 'imageScanCompletedAt', odd, now);
  const bySeverity = summary?.findingSeverityCounts;
  const counts = bySeverity || scannedAt !== undefined ? countsOf(bySeverity, words, odd) : undefined;
  return { scannedAt, findings: counts && { counts } } as Pick<Image, 'scannedAt' | 'findings'>;
}

const noSummary = {} as Pick<Image, 'scannedAt' | 'findings'>;

/** What reading rows of `DescribeImages` needs. */
export interface ReadingImages {
  readonly words: Words;
  readonly odd: TellOdd;
  /** Unix seconds. */
  readonly now: number;
}

/** @returns undefined for an image without a digest, which is reported */
function toListed(detail: ImageDetail, reading: ReadingImages): ListedImage | undefined {
  const { words, odd, now } = reading;
  const digest = detail.imageDigest;
  if (typeof digest !== 'string' || !isDigest(digest)) {
    odd('imageDigest', 'an image without a digest');
    return undefined;
  }
  const givenTags = tagsOf(detail.imageTags, odd);
  const tags = givenTags ?? noTags;
  const kind = kindOf(detail);
  const { scannedAt, findings } =
    kind === 'image' && detail.imageScanFindingsSummary ? summaryOf(detail, reading) : noSummary;
  const scanStatus = scanStatusOf(detail, kind, reading);
  // All at once, what is absent as undefined: objects of one shape take half the memory and time of grown ones.
  const image = {
    digest,
    kind,
    tags,
    sizeBytes: bytesOf(detail.imageSizeInBytes, kind, odd),
    pushedAt: secondsOf(detail.imagePushedAt, 'imagePushedAt', odd, now),
    pulledAt: secondsOf(detail.lastRecordedPullTime, 'lastRecordedPullTime', odd, now),
    subject: textOf(detail.subjectManifestDigest),
    archived: isArchived(detail.imageStatus, words),
    scanStatus: scanStatus === 'unknown' ? undefined : scanStatus,
    scannedAt,
    findings,
  } as Image;
  const bundle = kind === 'attestation' && String(detail.artifactMediaType).includes('sigstore.bundle');
  const isAttached = tags.some((tag) => tag.startsWith('sha256-'));
  return {
    image: isAttached ? attach(image, tags) : image,
    bundle,
    unknownTags: givenTags === undefined,
    unknownScan: scanStatus === 'unknown',
  };
}

/** Images of a page of `DescribeImages` as far as they could be understood. */
export interface ImageRows {
  readonly images: readonly ListedImage[];
  /** Whether there are images without a digest. */
  readonly lacksImages: boolean;
}

/** As many as AWS puts on a page at most; some stand-ins put all on one. */
const rowsAtOnce = 1000;

/**
 * The images of a page of `DescribeImages`, at most 1,000 at once; odd parts are left out and reported.
 * @throws CollectError `invalid_response` when it is no page of images
 */
export function* imagesOf(page: { imageDetails?: unknown }, reading: ReadingImages): Generator<ImageRows> {
  const { imageDetails } = page;
  if (!Array.isArray(imageDetails))
    throw new CollectError('invalid_response', 'DescribeImages was answered without a list of images');
  // Nothing of an answer but its images is to live on while the next one is waited for.
  page.imageDetails = [];
  for (let start = 0; start === 0 || start < imageDetails.length; start += rowsAtOnce) {
    const rows: readonly unknown[] = imageDetails.slice(start, start + rowsAtOnce);
    const details = rows.filter((row): row is ImageDetail => typeof row === 'object' && row !== null);
    if (details.length < rows.length) reading.odd('imageDetails', 'something that is no image');
    if (details.length === 0 && rows.length > 0)
      throw new CollectError('invalid_response', 'DescribeImages was answered with a list of other things');
    const images = details.flatMap((detail) => toListed(detail, reading) ?? []);
    yield { images, lacksImages: images.length < details.length };
  }
}
