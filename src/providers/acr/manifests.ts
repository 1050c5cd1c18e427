import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { jsonIn } from '../../http/parse.ts';
import { splitTags } from '../../images/attached-tags.ts';
import { isDigest } from '../../images/digest.ts';
import { parseManifest } from '../../images/manifest.ts';
import { imageConfigs, indexTypes, kindOfType } from '../../media-types.ts';
import type { Kind } from '../../model.ts';
import type { ManifestEntry, Reference } from './registry.ts';

/** What the list of manifests tells of one. */
export interface Listed {
  /** Absent where the list does not tell: the manifest has to be read. */
  readonly kind?: Kind | undefined;
  /** Tags of images; not those that attach something to another manifest. */
  readonly tags: readonly string[];
  /** What a signature signs, where a tag tells it. */
  readonly subject?: string | undefined;
}

/** What a manifest tells that the list does not; immutable, and remembered by digest. */
export interface Detail {
  readonly kind: Kind;
  readonly subject?: string;
  /** Of an index. */
  readonly platforms?: readonly string[];
  /** Of an index: what was built along with its platforms and describes them. */
  readonly attestations?: readonly string[];
}

/**
 * buildkit lists attestations as platforms of an unknown system.
 * https://docs.docker.com/build/metadata/attestations/attestation-storage/
 */
const isUnknownSystem = ({ architecture, os }: Partial<Reference | ManifestEntry>): boolean =>
  architecture === 'unknown' && os === 'unknown';

const none: readonly string[] = [];

/** What a manifest is, by its types; undefined where they do not tell. */
function kindOf(entry: Partial<ManifestEntry>): Kind | undefined {
  const { mediaType = '', configMediaType = '', artifactType = '' } = entry;
  if (indexTypes.has(mediaType)) return 'index';
  if (imageConfigs.has(configMediaType) && !artifactType)
    return isUnknownSystem(entry) ? 'attestation' : 'image';
  const byType = kindOfType(artifactType) ?? kindOfType(configMediaType);
  // Signatures are read all the same, for what they sign.
  if (byType) return byType === 'signature' ? undefined : byType;
  if (artifactType) return imageConfigs.has(artifactType) ? 'image' : 'other';
  // Docker's schema 1 has neither sizes nor a configuration.
  if (/docker\.distribution\.manifest\.v1\+/.test(mediaType)) return 'other';
  // Some entries have no type of their configuration, but the system that was read from it.
  return !configMediaType && entry.architecture && entry.os ? 'image' : undefined;
}

export function listed(entry: Partial<ManifestEntry>): Listed {
  const { imageTags: tags, attachedTags } = splitTags(entry.tags ?? none, entry.digest);
  const [attached] = attachedTags;
  if (!attached || tags.length > 0) return { kind: kindOf(entry), tags };
  // A tag without a suffix names a list of what is attached.
  return { kind: attached.kind ?? 'other', tags, subject: attached.kind && attached.subject };
}

/** The parts of an index, from what the registry says that it refers to. */
export function detailOfReferences(references: readonly Reference[]): Detail {
  const attestations = references.filter(isUnknownSystem).map(({ digest }) => digest);
  return {
    kind: 'index',
    platforms: references.filter((reference) => !isUnknownSystem(reference)).map(({ digest }) => digest),
    ...(attestations.length > 0 && { attestations }),
  };
}

const withSubject = z.object({
  subject: z.object({ digest: z.string().refine(isDigest, 'no digest') }).nullish(),
});

/** Documents of other forms than those of images have none of these. */
const isManifest = (json: unknown): boolean =>
  typeof json === 'object' &&
  json !== null &&
  ['config', 'manifests', 'layers', 'blobs', 'subject'].some((key) => key in json);

/**
 * What a manifest is; `other` for a document of another form.
 * @throws CollectError `invalid_response` for a manifest of which a part cannot be understood
 */
export function detailOfManifest(body: Buffer): Detail {
  let manifest: ReturnType<typeof parseManifest>;
  let subject: string | undefined;
  try {
    const json: unknown = jsonIn(body);
    if (!isManifest(json)) return { kind: 'other' };
    manifest = parseManifest({ body, parsed: { value: json } });
    subject = withSubject.parse(json).subject?.digest;
  } catch (cause) {
    throw new CollectError('invalid_response', 'a manifest is not what its media type says', { cause });
  }
  const { kind, children, incomplete } = manifest;
  if (incomplete) throw new CollectError('invalid_response', 'an index lists something without a digest');
  const attestations =
    children?.filter((child) => child.kind === 'attestation').map(({ digest }) => digest) ?? [];
  return {
    kind,
    subject,
    ...(children && {
      platforms: children.filter((child) => child.kind !== 'attestation').map(({ digest }) => digest),
    }),
    ...(attestations.length > 0 && { attestations }),
  };
}
