import { createHash } from 'node:crypto';
import { type Severity, severities } from '../../src/model.ts';
import type { Estate, EstateImage, EstateRepository, EstateScan } from './estate.ts';
import {
  contentFamilies,
  contentLines,
  imageFamilies,
  imageLines,
  line,
  lines,
  partsOf,
  repositoryTruth,
} from './estate-truth.ts';

/**
 * An estate as Azure shows it: manifests in the shape that `_manifests` answers, their bytes, and what of the truth
 * can be seen there at all.
 */

const oci = 'application/vnd.oci.image.manifest.v1+json';
const docker = 'application/vnd.docker.distribution.manifest.v2+json';
const empty = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
};

/** A number that is always the same for an image. */
const pick = ({ digest }: EstateImage, among: number): number =>
  Number.parseInt(digest.slice(-6), 16) % among;

const artifactTypes: Readonly<Record<string, string>> = {
  signature: 'application/vnd.cncf.notary.signature',
  sbom: 'application/spdx+json',
  attestation: 'application/vnd.in-toto+json',
};
const suffixes: Readonly<Record<string, string>> = { signature: 'sig', sbom: 'sbom', attestation: 'att' };

/** Whether cosign pushed it, under a tag that names what it is about; there is one such tag for a subject and kind. */
function cosignTag(repository: EstateRepository, image: EstateImage): string | undefined {
  const { kind, subject } = image;
  if (subject === undefined || pick(image, 2) === 0) return undefined;
  const first = [...repository.images.values()].find(
    (other) => other.kind === kind && other.subject === subject && pick(other, 2) === 1,
  );
  return first === image ? `${subject.replace(':', '-')}.${suffixes[kind]}` : undefined;
}

/** The bytes of a manifest that is read: of what is attached to an image, and of an index. */
export function manifestBytes(repository: EstateRepository, image: EstateImage): Buffer {
  const { kind, subject, platforms } = image;
  if (platforms)
    return Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: platforms.map((digest) => ({
          mediaType: oci,
          digest,
          size: 500,
          platform: { os: 'linux', architecture: repository.images.get(digest)?.architecture },
        })),
        annotations: { 'org.opencontainers.image.ref.name': image.digest },
      }),
    );
  const artifactType = artifactTypes[kind];
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: oci,
      ...(kind !== 'signature' && { artifactType }),
      config: kind === 'signature' ? { ...empty, mediaType: artifactType } : empty,
      layers: [{ mediaType: artifactType, digest: image.digest, size: image.sizeBytes }],
      ...(subject !== undefined && {
        subject: { mediaType: docker, digest: subject, size: 500 },
      }),
    }),
  );
}

const digests = new WeakMap<EstateImage, string>();

/** The digest that the registry knows a manifest by: what can be read has the digest of its bytes. */
export function wireDigest(repository: EstateRepository, image: EstateImage): string {
  if (image.subject === undefined) return image.digest;
  const known = digests.get(image);
  if (known !== undefined) return known;
  const digest = `sha256:${createHash('sha256').update(manifestBytes(repository, image)).digest('hex')}`;
  digests.set(image, digest);
  return digest;
}

/** .NET writes seven digits of a second. */
const dotnetTime = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, '.1234567Z');

export interface WireManifest {
  readonly digest: string;
  readonly [field: string]: unknown;
}

const changeable = { deleteEnabled: true, writeEnabled: true, readEnabled: true, listEnabled: true };

/**
 * A manifest as the service describes it; what its published model leaves out is from recordings of the SDK's own tests.
 * https://github.com/Azure/azure-sdk-for-js/tree/main/sdk/containerregistry/container-registry
 */
export function wireManifest(
  repository: EstateRepository,
  image: EstateImage,
  withReferences: boolean,
): WireManifest {
  const { kind, tags, pushedAt, platforms } = image;
  const digest = wireDigest(repository, image);
  const common = {
    digest,
    createdTime: dotnetTime(pushedAt),
    lastUpdateTime: dotnetTime(pushedAt + 60),
    changeableAttributes: { ...changeable, ...(pick(image, 7) === 0 && { quarantineState: 'Passed' }) },
  };
  const tag = cosignTag(repository, image);
  const named = tag !== undefined ? [tag] : tags;
  const withTags = named.length > 0 ? { tags: named } : {};
  if (platforms)
    return {
      ...common,
      imageSize: pick(image, 2) === 0 ? 0 : 5325,
      mediaType:
        pick(image, 2) === 0
          ? 'application/vnd.docker.distribution.manifest.list.v2+json'
          : 'application/vnd.oci.image.index.v1+json',
      ...withTags,
      ...(withReferences && {
        references: platforms.map((part) => ({
          digest: part,
          architecture: repository.images.get(part)?.architecture ?? 'amd64',
          os: 'linux',
        })),
      }),
    };
  const sized = { ...common, imageSize: image.sizeBytes };
  if (kind === 'image' || kind === 'platform')
    return {
      ...sized,
      architecture: image.architecture ?? 'amd64',
      os: 'linux',
      ...(pick(image, 3) === 0
        ? { mediaType: oci, configMediaType: 'application/vnd.oci.image.config.v1+json' }
        : {
            mediaType: docker,
            // Some of the recorded entries lack it.
            ...(pick(image, 5) > 0 && { configMediaType: 'application/vnd.docker.container.image.v1+json' }),
          }),
      ...withTags,
    };
  const artifactType = artifactTypes[kind];
  return {
    ...sized,
    mediaType: oci,
    configMediaType:
      tag !== undefined
        ? 'application/vnd.oci.image.config.v1+json'
        : kind === 'signature'
          ? artifactType
          : empty.mediaType,
    ...(tag === undefined && kind !== 'signature' && pick(image, 3) === 0 && { artifactType }),
    ...withTags,
  };
}

/** What Defender tells of an image; undefined of one that has no finding, scanned or not. */
export function visibleScan({ scan }: EstateImage): EstateScan | undefined {
  if (!scan.counts) return undefined;
  const counts = { ...scan.counts, NEGLIGIBLE: 0 };
  if (Object.values(counts).every((count) => count === 0)) return undefined;
  return { ...scan, counts, ...(scan.fixable && { fixable: { ...scan.fixable, NEGLIGIBLE: 0 } }) };
}

/** Families that {@link estateTruth} covers. */
export const truthFamilies = [
  ...contentFamilies,
  ...imageFamilies,
  'storage_bytes',
  'repository_signed_images',
  'repository_findings',
  'repository_fixable_findings',
  'repository_vulnerable_images',
  'repository_image_scans',
  'repository_practice',
  'image_findings',
] as const;

const shown = severities.filter((severity) => severity !== 'NEGLIGIBLE');
const bySeverity = (counts: Readonly<Partial<Record<Severity, number>>> | undefined) =>
  counts && Object.fromEntries(shown.map((severity) => [severity, counts[severity]]));

/** The samples that an estate has to lead to. */
export function estateTruth(
  estate: Estate,
  settings: { readonly practices: Readonly<Record<string, boolean>>; readonly storageBytes: number },
): string[] {
  const out = [
    ...line('repositories', {}, estate.repositories.size),
    ...line('storage_bytes', {}, settings.storageBytes),
  ];
  for (const repository of estate.repositories.values()) {
    const images = new Map(
      [...repository.images].map(([digest, image]) => [
        digest,
        { ...image, scan: visibleScan(image) ?? ({ status: 'none' } as const) },
      ]),
    );
    const seen = { ...repository, images };
    const truth = repositoryTruth(seen);
    const labels = { repository: repository.name };
    const scanned = [...images.values()].filter(
      (image) =>
        (image.kind === 'image' || image.kind === 'index') &&
        partsOf(seen, image).every(({ scan }) => scan.status === 'complete'),
    ).length;
    const latest = [...images.values()].some(({ tags }) => tags.includes('latest'));
    out.push(
      ...contentLines(labels, truth),
      ...line('repository_signed_images', labels, truth.signed),
      ...lines('repository_findings', labels, 'severity', bySeverity(truth.findings)),
      ...lines('repository_fixable_findings', labels, 'severity', bySeverity(truth.fixable)),
      ...lines('repository_vulnerable_images', labels, 'severity', bySeverity(truth.vulnerable)),
      ...(scanned > 0
        ? lines('repository_image_scans', labels, 'status', {
            complete: scanned,
            pending: 0,
            failed: 0,
            unsupported: 0,
            none: 0,
          })
        : []),
      ...Object.entries({ ...settings.practices, no_latest_tag: !latest }).flatMap(([practice, followed]) =>
        line('repository_practice', { ...labels, practice }, Number(followed)),
      ),
    );
    out.push(
      ...imageLines(labels, seen, truth, (own, image) => {
        const counts = partsOf(seen, image).flatMap(({ scan }) => scan.counts ?? []);
        const most = shown.map((severity) => [severity, Math.max(...counts.map((each) => each[severity]))]);
        return counts.length > 0 ? lines('image_findings', own, 'severity', Object.fromEntries(most)) : [];
      }),
    );
  }
  return out;
}
