import { z } from 'zod';
import type { JsonAnswer } from '../http/json.ts';
import { jsonIn } from '../http/parse.ts';
import { imageConfigs, indexTypes, isSigningBundle, kindOfType, predicateOf } from '../media-types.ts';
import type { Kind } from '../model.ts';
import { isPastTime } from '../times.ts';
import { parseWire } from '../wire.ts';
import { blobId } from './digest.ts';
import { artifactManifest, type Descriptor, imageManifest, indexManifest } from './forms.ts';

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

/** The bytes of a manifest or blob, and their JSON where it has been parsed already. */
export type Document = Pick<JsonAnswer, 'body' | 'parsed'>;

/** @throws SyntaxError for what is no JSON */
export const jsonOf = ({ body, parsed }: Document): unknown => (parsed ? parsed.value : jsonIn(body));

/** What a vulnerability report is written in. */
export type ReportForm = 'sarif' | 'statement';

/** A manifest that an index lists. */
export interface Child {
  readonly digest: string;
  /** What the index says that it is, where it says so. */
  readonly kind?: Kind;
}

/** What is remembered of a manifest; small, since there is one per digest that was ever seen. */
export interface ManifestRecord {
  readonly kind: Kind;
  /** Of the manifest itself. */
  readonly bytes: number;
  /** Identity and size of each blob, flat: id, bytes, id, bytes… Absent where the sizes are not known. */
  readonly blobs?: readonly number[];
  /** Of an image: its config blob. */
  readonly config?: string;
  /** Of an index: the manifests that it lists. */
  readonly children?: readonly Child[];
  /** Of an index: it lists something that has no digest. */
  readonly incomplete?: true;
  /** Blobs that are vulnerability reports. */
  readonly reports?: readonly { readonly digest: string; readonly form: ReportForm }[];
  /** Of an attestation: a part of it could not be understood, which may name a report. */
  readonly reportsUnknown?: true | undefined;
  /** From `org.opencontainers.image.created`, Unix seconds. */
  readonly annotatedAt?: number;
  /** What of it could not be understood. */
  readonly odd?: string;
}

/** Unix seconds of an RFC 3339 time that has passed, or undefined. */
function pastSeconds(time: string | undefined): number | undefined {
  const seconds = time === undefined ? Number.NaN : Math.floor(Date.parse(time) / 1000);
  return isPastTime(seconds) ? seconds : undefined;
}

/** Layers that stay on their vendor's servers and are not stored in the registry. */
const isForeign = (mediaType = '') => mediaType.includes('nondistributable') || mediaType.includes('foreign');

type ImageManifest = z.infer<typeof imageManifest>;

/** Whether a layer is part of the file system of an image. */
const isFileSystem = (type: string): boolean => /\.(image\.layer|image\.rootfs)\./.test(type);

/** The kind that all of the media types stand for. */
function sharedKind(types: readonly (string | undefined)[]): Kind | undefined {
  const first = kindOfType(types[0] ?? '');
  return first && types.every((type) => kindOfType(type ?? '') === first) ? first : undefined;
}

function kindOf(manifest: ImageManifest): Kind {
  if (isSigningBundle(manifest.annotations)) return 'signature';
  const configType = manifest.config?.mediaType ?? '';
  const byType = kindOfType(manifest.artifactType ?? '') ?? kindOfType(configType);
  if (byType) return byType;
  // cosign and buildkit write an image config over layers that are no file systems.
  const byLayers = sharedKind((manifest.layers ?? []).map((layer) => layer.mediaType));
  if (byLayers) return byLayers;
  if (manifest.artifactType && !imageConfigs.has(manifest.artifactType)) return 'other';
  const isImage =
    configType === ''
      ? (manifest.layers ?? []).some(({ mediaType: type = '' }) => isFileSystem(type))
      : imageConfigs.has(configType);
  return isImage ? 'image' : 'other';
}

function reportsOf(manifest: ImageManifest): { digest: string; form: ReportForm }[] {
  const reports: { digest: string; form: ReportForm }[] = [];
  for (const layer of manifest.layers ?? []) {
    if (layer.digest === undefined) continue;
    const predicate = predicateOf(layer.annotations) || predicateOf(manifest.annotations);
    if (layer.mediaType?.includes('sarif') || manifest.artifactType?.includes('sarif'))
      reports.push({ digest: layer.digest, form: 'sarif' });
    else if (/\/attestation\/vulns?\//.test(predicate))
      reports.push({ digest: layer.digest, form: 'statement' });
  }
  return reports;
}

/** Ids and sizes of blobs, each once: an image that repeats a layer stores it once. Undefined where a size is unknown. */
function flatBlobs(blobs: readonly Descriptor[] | undefined): number[] | undefined {
  if (!blobs) return undefined;
  const sizes = new Map<number, number>();
  for (const { mediaType: type, digest: name, size } of blobs) {
    if (isForeign(type)) continue;
    if (name === undefined || size === undefined) return undefined;
    sizes.set(blobId(name), size);
  }
  return [...sizes].flat();
}

const unsized = 'a part of it has no digest or no size';

const isManifestType = (type: string): boolean =>
  type === '' || indexTypes.has(type) || /\.manifest\.v\d+(\+\w+)?$/.test(type);

const attestationOf = (child: Descriptor): boolean =>
  child.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest';

/**
 * An index of platforms is a multi-platform image. What else is stored as an index is none: the cache of BuildKit is
 * an index of layers (https://github.com/moby/buildkit#registry-push-image-and-cache-separately), and an index may
 * group artifacts.
 */
function parseIndex(index: z.infer<typeof indexManifest>, bytes: number): ManifestRecord {
  const listed = index.manifests ?? [];
  const isManifest = ({ mediaType: type = '' }: Descriptor) => isManifestType(type);
  const blobs = flatBlobs(listed.filter((child) => !isManifest(child)));
  const children: Child[] = [];
  let whole = index.manifests !== undefined;
  for (const child of listed.filter(isManifest)) {
    if (child.digest === undefined) {
      whole = false;
      continue;
    }
    const kind = attestationOf(child) ? 'attestation' : childKind(child);
    children.push({ digest: child.digest, kind });
  }
  return {
    kind: indexKind(index.artifactType, listed.length, whole ? children.length : listed.length),
    bytes,
    blobs,
    children,
    ...(!whole && { incomplete: true as const }),
    odd: whole && blobs ? undefined : unsized,
  };
}

function childKind({ artifactType }: Descriptor): Kind | undefined {
  if (artifactType === undefined || artifactType === '' || imageConfigs.has(artifactType)) return undefined;
  return kindOfType(artifactType) ?? 'other';
}

function indexKind(artifactType: string | undefined, listed: number, manifests: number): Kind {
  if (artifactType && !imageConfigs.has(artifactType)) return kindOfType(artifactType) ?? 'other';
  return listed > 0 && manifests === 0 ? 'other' : 'index';
}

function parseArtifact(artifact: z.infer<typeof artifactManifest>, bytes: number): ManifestRecord {
  const blobs = flatBlobs(artifact.blobs);
  return {
    kind: isSigningBundle(artifact.annotations)
      ? 'signature'
      : (kindOfType(artifact.artifactType) ?? 'other'),
    bytes,
    ...(blobs ? { blobs } : { odd: unsized }),
  };
}

/** When a report was attached, as its annotation says. */
function annotatedTime(manifest: ImageManifest): Pick<ManifestRecord, 'annotatedAt' | 'odd'> {
  const text = manifest.annotations?.['org.opencontainers.image.created'];
  if (text === undefined) return {};
  const annotatedAt = pastSeconds(text);
  return annotatedAt === undefined
    ? { odd: 'org.opencontainers.image.created: no time that has passed' }
    : { annotatedAt };
}

function parseImage(manifest: ImageManifest, bytes: number): ManifestRecord {
  const kind = kindOf(manifest);
  const blobs = flatBlobs(manifest.config && manifest.layers && [manifest.config, ...manifest.layers]);
  const reports = kind === 'attestation' ? reportsOf(manifest) : [];
  return {
    kind,
    bytes,
    ...(blobs ? { blobs } : { odd: unsized }),
    ...(kind === 'image' && manifest.config?.digest && { config: manifest.config.digest }),
    ...(reports.length > 0 && { reports, ...annotatedTime(manifest) }),
  };
}

/**
 * The record of a manifest. Its fields decide what it is, since media types are often wrong.
 * @throws ZodError or SyntaxError when it is none of the documents that a registry may hold.
 */
export function parseManifest(document: Document): ManifestRecord {
  const json = jsonOf(document);
  const bytes = document.body.length;
  let odd: string | undefined;
  const read = <Schema extends z.ZodType>(schema: Schema): z.infer<Schema> => {
    const parsed = parseWire(json, schema, ({ at, problem }) => {
      odd ??= `${at}: ${problem}`;
    });
    if (!parsed.success) throw parsed.error;
    return parsed.data;
  };
  const shape = read(z.looseObject({}));
  if (shape['schemaVersion'] === 1) return { kind: 'other', bytes };
  const record =
    'manifests' in shape
      ? parseIndex(read(indexManifest), bytes)
      : 'config' in shape
        ? parseImage(read(imageManifest), bytes)
        : parseArtifact(read(artifactManifest), bytes);
  const what = odd ?? record.odd;
  const isVague = record.kind === 'attestation' && (odd !== undefined || !record.blobs);
  return { ...record, odd: what, reportsUnknown: isVague || undefined };
}

/** Stored bytes of one manifest: itself and its blobs; undefined where the blobs' sizes are not known. */
export function sizeOf(record: ManifestRecord): number | undefined {
  if (!record.blobs) return undefined;
  let sum = record.bytes;
  for (let at = 1; at < record.blobs.length; at += 2) sum += record.blobs[at] ?? 0;
  return Number.isSafeInteger(sum) ? sum : undefined;
}
