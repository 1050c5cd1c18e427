import { createHash } from 'node:crypto';
import { z } from 'zod';
import { imageConfigs, isSigningBundle, kindOfType, predicateOf } from '../../media-types.ts';
import type { Kind } from '../../model.ts';

/**
 * Every media type that a registry must be ready to answer with: distribution answers an OCI image with 404 when
 * its type is missing from `Accept`. Schema 1 is left out on purpose: it was removed in distribution 3.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
 */
export const manifestAccept = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

const annotations = z.record(z.string(), z.string()).nullish();

const descriptor = z.object({
  mediaType: z.string().default(''),
  digest: z.string().regex(/^[a-z0-9+._-]+:[A-Za-z0-9=_-]{32,}$/),
  size: z.number().nonnegative(),
  artifactType: z.string().nullish(),
  annotations,
});

const imageManifest = z.object({
  mediaType: z.string().nullish(),
  artifactType: z.string().nullish(),
  config: descriptor,
  layers: z.array(descriptor).nullable(),
  annotations,
});

/** An index, a Docker manifest list, and the answer of the referrers API: all have this shape. */
export const indexManifest = z.object({
  mediaType: z.string().nullish(),
  artifactType: z.string().nullish(),
  manifests: z.array(descriptor).nullable(),
  annotations,
});

/** What the OCI 1.1 release candidates pushed; some registries still hold them. */
const artifactManifest = z.object({
  artifactType: z.string(),
  blobs: z.array(descriptor).nullish(),
  annotations,
});

export type Descriptor = z.infer<typeof descriptor>;

/** What a vulnerability report is written in. */
export type ReportForm = 'sarif' | 'statement';

/** What is remembered of a manifest; small, since there is one per digest that was ever seen. */
export interface ManifestRecord {
  readonly kind: Kind;
  /** Of the manifest itself. */
  readonly bytes: number;
  /** Identity and size of each blob, flat: id, bytes, id, bytes… Absent where the sizes are not known. */
  readonly blobs?: readonly number[];
  /** Of an image: its config blob. */
  readonly config?: string;
  /** Of an index: what it lists. */
  readonly children?: readonly { readonly digest: string; readonly attestation: boolean }[];
  /** Blobs that are vulnerability reports. */
  readonly reports?: readonly { readonly digest: string; readonly form: ReportForm }[];
  /** From `org.opencontainers.image.created`, Unix seconds. */
  readonly annotatedAt?: number;
}

/** 52 bits of a digest: enough to tell a registry's blobs apart, and a small number instead of a string. */
export function blobId(digest: string): number {
  const hex = /^[a-z0-9+._-]+:([0-9a-f]{13})/.exec(digest)?.[1];
  if (hex !== undefined) return Number.parseInt(hex, 16);
  return Number.parseInt(createHash('sha256').update(digest).digest('hex').slice(0, 13), 16);
}

/** Whether `body` is what `digest` names; undefined where the algorithm is not known here. */
export function matchesDigest(body: Buffer, digest: string): boolean | undefined {
  const [, algorithm, hex] = /^(sha256|sha512):([0-9a-f]+)$/.exec(digest) ?? [];
  if (algorithm === undefined || hex === undefined) return undefined;
  return createHash(algorithm).update(body).digest('hex') === hex;
}

/** Unix seconds of an RFC 3339 time, or undefined. */
export function toSeconds(time: string | null | undefined): number | undefined {
  const milliseconds = time ? Date.parse(time) : Number.NaN;
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

/** Layers that stay on their vendor's servers and are not stored in the registry. */
const isForeign = (mediaType: string) =>
  mediaType.includes('nondistributable') || mediaType.includes('foreign');

type ImageManifest = z.infer<typeof imageManifest>;

function kindOf(manifest: ImageManifest): Kind {
  if (isSigningBundle(manifest.annotations)) return 'signature';
  const configType = manifest.config.mediaType;
  const layers = manifest.layers ?? [];
  const byType = kindOfType(manifest.artifactType ?? '') ?? kindOfType(configType);
  if (byType) return byType;
  // cosign and buildkit write an image config over layers that are no file systems.
  const first = layers[0] && kindOfType(layers[0].mediaType);
  if (first && layers.every((layer) => kindOfType(layer.mediaType) === first)) return first;
  if (manifest.artifactType && !imageConfigs.has(manifest.artifactType)) return 'other';
  return imageConfigs.has(configType) ? 'image' : 'other';
}

function reportsOf(manifest: ImageManifest): { digest: string; form: ReportForm }[] {
  const reports: { digest: string; form: ReportForm }[] = [];
  for (const layer of manifest.layers ?? []) {
    const predicate = predicateOf(layer.annotations) || predicateOf(manifest.annotations);
    if (layer.mediaType.includes('sarif') || manifest.artifactType?.includes('sarif'))
      reports.push({ digest: layer.digest, form: 'sarif' });
    else if (/\/attestation\/vulns?\//.test(predicate))
      reports.push({ digest: layer.digest, form: 'statement' });
  }
  return reports;
}

/** Ids and sizes of blobs, each once: an image that repeats a layer stores it once. */
function flatBlobs(blobs: readonly Descriptor[]): number[] {
  const sizes = new Map<number, number>();
  for (const blob of blobs) if (!isForeign(blob.mediaType)) sizes.set(blobId(blob.digest), blob.size);
  return [...sizes].flat();
}

/**
 * The record of a manifest.
 * @throws ZodError or SyntaxError when it is none of the documents that a registry may hold.
 */
export function parseManifest(body: Buffer): ManifestRecord {
  const json: unknown = JSON.parse(body.toString('utf8'));
  const bytes = body.length;
  const shape = z.looseObject({ schemaVersion: z.number().nullish() }).parse(json);
  if (shape.schemaVersion === 1) return { kind: 'other', bytes };
  if ('manifests' in shape) {
    const index = indexManifest.parse(json);
    const children = (index.manifests ?? []).map((child) => ({
      digest: child.digest,
      attestation: child.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest',
    }));
    return { kind: 'index', bytes, blobs: [], children };
  }
  if (!('config' in shape)) {
    const artifact = artifactManifest.parse(json);
    const annotatedAt = toSeconds(artifact.annotations?.['org.opencontainers.image.created']);
    return {
      kind: kindOfType(artifact.artifactType) ?? 'other',
      bytes,
      blobs: flatBlobs(artifact.blobs ?? []),
      ...(annotatedAt !== undefined && { annotatedAt }),
    };
  }
  const manifest = imageManifest.parse(json);
  const kind = kindOf(manifest);
  const reports = kind === 'attestation' ? reportsOf(manifest) : [];
  const annotatedAt = toSeconds(manifest.annotations?.['org.opencontainers.image.created']);
  return {
    kind,
    bytes,
    blobs: flatBlobs([manifest.config, ...(manifest.layers ?? [])]),
    ...(kind === 'image' && { config: manifest.config.digest }),
    ...(reports.length > 0 && { reports }),
    ...(annotatedAt !== undefined && { annotatedAt }),
  };
}

/** Stored bytes of one manifest: itself and its blobs; undefined where the blobs' sizes are not known. */
export function sizeOf(record: ManifestRecord): number | undefined {
  if (!record.blobs) return undefined;
  let sum = record.bytes;
  for (let at = 1; at < record.blobs.length; at += 2) sum += record.blobs[at] ?? 0;
  return sum;
}
