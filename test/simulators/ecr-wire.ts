import { type Severity, severities } from '../../src/model.ts';
import type { EstateImage, EstateRepository } from './estate.ts';

/** An estate in ECR's words: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html */

/** How the account scans: the classic scanner, AWS's own, or Inspector. */
export type ScanMode = 'clair' | 'native' | 'enhanced';

/** A number that is always the same for a digest: to show things in this way or that. */
export const variant = (digest: string, of: number): number => Number.parseInt(digest.slice(7, 13), 16) % of;

const oci = 'application/vnd.oci.image.';
const docker = 'application/vnd.docker.';

/** Cosign's tag for what is attached to an image. */
const cosignTag = (image: EstateImage, suffix: string): string[] => [
  `${(image.subject ?? '').replace(':', '-')}.${suffix}`,
];

interface Shape {
  readonly imageManifestMediaType: string;
  readonly artifactMediaType?: string;
  readonly subjectManifestDigest?: string;
  readonly tags?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

function attachedShape(image: EstateImage): Shape {
  const manifest = `${oci}manifest.v1+json`;
  const { subject = '' } = image;
  const byTag = (suffix: string): Shape => ({
    imageManifestMediaType: manifest,
    artifactMediaType: `${oci}config.v1+json`,
    tags: cosignTag(image, suffix),
  });
  const referrer = (artifactMediaType: string, annotations?: Record<string, string>): Shape => ({
    imageManifestMediaType: manifest,
    artifactMediaType,
    subjectManifestDigest: subject,
    ...(annotations && { annotations }),
  });
  const bundle = 'application/vnd.dev.sigstore.bundle.v0.3+json';
  const shapes: Partial<Record<EstateImage['kind'], readonly (() => Shape)[]>> = {
    signature: [
      () => referrer('application/vnd.cncf.notary.signature'),
      () => byTag('sig'),
      () => referrer(bundle, { 'dev.sigstore.bundle.content': 'message-signature' }),
    ],
    sbom: [
      () => referrer('application/spdx+json'),
      () => byTag('sbom'),
      () => referrer('application/vnd.cyclonedx+json'),
    ],
    attestation: [
      () => referrer('application/vnd.in-toto+json'),
      () => byTag('att'),
      () =>
        referrer(bundle, {
          'dev.sigstore.bundle.content': 'dsse-envelope',
          'dev.sigstore.bundle.predicateType': 'https://slsa.dev/provenance/v1',
        }),
    ],
  };
  const choices = shapes[image.kind] ?? [];
  const chosen = choices[variant(image.digest, choices.length)];
  return chosen ? chosen() : referrer('application/octet-stream');
}

export function shapeOf(image: EstateImage): Shape {
  const isOci = variant(image.digest, 2) === 0;
  if (image.kind === 'index')
    return {
      imageManifestMediaType: isOci ? `${oci}index.v1+json` : `${docker}distribution.manifest.list.v2+json`,
    };
  if (image.kind === 'image' || image.kind === 'platform')
    return isOci
      ? { imageManifestMediaType: `${oci}manifest.v1+json`, artifactMediaType: `${oci}config.v1+json` }
      : {
          imageManifestMediaType: `${docker}distribution.manifest.v2+json`,
          artifactMediaType: `${docker}container.image.v1+json`,
        };
  return attachedShape(image);
}

/** The manifest as `BatchGetImage` gives it, as far as anybody reads it. */
export function manifestOf(image: EstateImage): string {
  const { imageManifestMediaType: mediaType, annotations, artifactMediaType } = shapeOf(image);
  if (image.kind !== 'index')
    return JSON.stringify({
      schemaVersion: 2,
      mediaType,
      artifactType: artifactMediaType,
      annotations,
      layers: [],
    });
  const child = mediaType.replace('index', 'manifest').replace('.list', '');
  const manifests = (image.platforms ?? []).map((digest, at) => ({
    mediaType: child,
    digest,
    size: 1000,
    platform: { os: 'linux', architecture: at === 0 ? 'amd64' : 'arm64' },
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType, manifests });
}

/** `findingSeverityCounts`: severities without findings are left out. */
export function countsOf(
  counts: Readonly<Record<Severity, number>>,
  unknown: string,
): Record<string, number> {
  const words: Readonly<Record<Severity, string>> = {
    CRITICAL: 'CRITICAL',
    HIGH: 'HIGH',
    MEDIUM: 'MEDIUM',
    LOW: 'LOW',
    NEGLIGIBLE: 'INFORMATIONAL',
    UNKNOWN: unknown,
  };
  return Object.fromEntries(
    severities.flatMap((severity) => (counts[severity] > 0 ? [[words[severity], counts[severity]]] : [])),
  );
}

/** What ECR says of a scan of its own; undefined when there was none. */
export function scanStatusOf(image: EstateImage): string | undefined {
  const words = {
    complete: ['COMPLETE'],
    pending: ['IN_PROGRESS', 'PENDING'],
    failed: ['FAILED', 'LIMIT_EXCEEDED'],
    unsupported: ['UNSUPPORTED_IMAGE'],
    none: [undefined, 'SCAN_ELIGIBILITY_EXPIRED', 'FINDINGS_UNAVAILABLE'],
  } as const;
  const choices = words[image.scan.status];
  return choices[variant(image.digest, choices.length)];
}

export const isScanned = ({ kind }: EstateImage): boolean => kind === 'image' || kind === 'platform';

/** A row of `DescribeImages`. */
export function detailOf(
  repository: EstateRepository,
  image: EstateImage,
  options: { readonly account: string; readonly mode: ScanMode },
): Record<string, unknown> {
  const { imageManifestMediaType, artifactMediaType, subjectManifestDigest, tags = [] } = shapeOf(image);
  const imageTags = [...image.tags, ...tags];
  const sizes = (image.platforms ?? []).map((digest) => repository.images.get(digest)?.sizeBytes ?? 0);
  const status = options.mode === 'clair' && isScanned(image) ? scanStatusOf(image) : undefined;
  const { counts, at } = image.scan;
  return {
    registryId: options.account,
    repositoryName: repository.name,
    imageDigest: image.digest,
    ...(imageTags.length > 0 && { imageTags }),
    // "the max size of all manifests in the list"
    imageSizeInBytes: image.platforms ? Math.max(...sizes) : image.sizeBytes,
    imagePushedAt: image.pushedAt,
    imageManifestMediaType,
    ...(artifactMediaType && { artifactMediaType }),
    ...(subjectManifestDigest && { subjectManifestDigest }),
    ...(image.pulledAt !== undefined && { lastRecordedPullTime: image.pulledAt }),
    imageStatus: image.archived ? 'ARCHIVED' : 'ACTIVE',
    ...(image.archived && { lastArchivedAt: image.pushedAt + 1 }),
    ...(status && { imageScanStatus: { status, description: 'simulated' } }),
    ...(status &&
      counts && {
        imageScanFindingsSummary: {
          imageScanCompletedAt: at,
          vulnerabilitySourceUpdatedAt: at,
          findingSeverityCounts: countsOf(counts, 'UNDEFINED'),
        },
      }),
  };
}

/** What Inspector knows to run an image: an index runs as one of its platforms, here the last one. */
export function inUseOf(repository: EstateRepository, image: EstateImage): number {
  let inUse = image.inUse;
  for (const other of repository.images.values())
    if (other.platforms?.at(-1) === image.digest && !other.archived) inUse += other.inUse;
  return inUse;
}
