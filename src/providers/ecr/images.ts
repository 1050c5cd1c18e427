import { CollectError } from '../../errors.ts';
import { imageConfigs, indexTypes, kindOfType } from '../../media-types.ts';
import type { Image, Kind, ScanStatus } from '../../model.ts';
import { countsOf, statusOf, type Words } from './words.ts';

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
}

export interface ImagePage {
  readonly images: readonly ListedImage[];
  readonly nextToken: string | undefined;
}

const noTags: readonly string[] = [];
const cosignKinds: Readonly<Record<string, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' };
const attached = /^sha256-([0-9a-f]{64})(?:\.(sig|att|sbom))?$/;

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
/** Times of the JSON protocol are Unix seconds with a fraction; ISO 8601 is allowed too. */
export function secondsOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Math.floor(value);
  const milliseconds = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

/** Most rows have one of two types: comparing is quicker than looking up a string that was parsed a moment ago. */
function createTypes<T>(meaning: (type: string) => T): (type: string) => T {
  const known: { readonly type: string; readonly means: T }[] = [];
  return (type) => {
    for (const one of known) if (one.type === type) return one.means;
    const means = meaning(type);
    if (known.length < 4) known.push({ type, means });
    return means;
  };
}
const isIndex = createTypes((type) => indexTypes.has(type));
const kindOfArtifact = createTypes(
  (type): Kind => (imageConfigs.has(type) ? 'image' : (kindOfType(type) ?? 'other')),
);

function kindOf({ imageManifestMediaType, artifactMediaType }: ImageDetail): Kind {
  if (typeof imageManifestMediaType === 'string' && isIndex(imageManifestMediaType)) return 'index';
  const type = textOf(artifactMediaType);
  return type === undefined ? 'image' : kindOfArtifact(type);
}

/**
 * Tags by which something is attached to an image: cosign's, and the specification's own for registries without
 * referrers. https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
 */
function attach(image: Image, tags: readonly string[]): Image {
  const own = tags.filter((tag) => !attached.test(tag));
  if (own.length > 0) return { ...image, tags: own };
  const [, hex, suffix] = attached.exec(tags[0] ?? '') ?? [];
  return { ...image, tags: own, kind: cosignKinds[suffix ?? ''] ?? 'other', subject: `sha256:${hex}` };
}

/** One that is being restored cannot be pulled yet. */
function isArchived(status: unknown, words: Words): true | undefined {
  if (status === 'ACTIVE' || status === undefined) return undefined;
  if (status === 'ARCHIVED' || status === 'ACTIVATING') return true;
  words.unknown('imageStatus', String(status));
  return undefined;
}

/** ECR scans what runs: of an index its platforms, and nothing of what is attached. */
function scanStatusOf(detail: ImageDetail, kind: Kind, words: Words): ScanStatus | undefined {
  const word = textOf(detail.imageScanStatus?.status);
  const status = word === undefined ? undefined : statusOf(word, words);
  return kind === 'image' || status === 'complete' ? status : undefined;
}

function toListed(detail: ImageDetail, words: Words): ListedImage {
  const digest = textOf(detail.imageDigest);
  if (digest === undefined)
    throw new CollectError('invalid_response', 'DescribeImages listed an image without its digest');
  const tags = Array.isArray(detail.imageTags) ? (detail.imageTags as readonly string[]) : noTags;
  const kind = kindOf(detail);
  const summary = kind === 'image' ? detail.imageScanFindingsSummary : undefined;
  const scannedAt = secondsOf(summary?.imageScanCompletedAt);
  const counts = summary?.findingSeverityCounts;
  const size = detail.imageSizeInBytes;
  // All at once, what is absent as undefined: objects of one shape take half the memory and time of grown ones.
  const image = {
    digest,
    kind,
    tags,
    sizeBytes: typeof size === 'number' ? size : undefined,
    pushedAt: secondsOf(detail.imagePushedAt),
    pulledAt: secondsOf(detail.lastRecordedPullTime),
    subject: textOf(detail.subjectManifestDigest),
    archived: isArchived(detail.imageStatus, words),
    scanStatus: scanStatusOf(detail, kind, words),
    scannedAt,
    findings: scannedAt !== undefined || counts ? { counts: countsOf(counts, words) } : undefined,
  } as Image;
  const bundle = kind === 'attestation' && String(detail.artifactMediaType).includes('sigstore.bundle');
  const isAttached = tags.some((tag) => tag.startsWith('sha256-') && attached.test(tag));
  return { image: isAttached ? attach(image, tags) : image, bundle };
}

/** @throws CollectError `invalid_response` when it is no page of images */
export function parseImagePage(answer: unknown, words: Words): ImagePage {
  const { imageDetails, nextToken } = (answer ?? {}) as { imageDetails?: unknown; nextToken?: unknown };
  if (!Array.isArray(imageDetails))
    throw new CollectError('invalid_response', 'DescribeImages was answered without a list of images');
  return {
    images: imageDetails.map((detail) => toListed((detail ?? {}) as ImageDetail, words)),
    nextToken: textOf(nextToken),
  };
}
