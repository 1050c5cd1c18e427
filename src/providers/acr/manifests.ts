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
  readonly kind?: Kind;
  /** Tags of images; not those that attach something to another manifest. */
  readonly tags: readonly string[];
  /** What a signature signs, where a tag tells it. */
  readonly subject?: string;
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

export function listed(entry: Partial<ManifestEntry>): Listed {
  const { mediaType, configMediaType, artifactType } = entry;
  let tags = entry.tags ?? none;
  if (tags.some((tag) => tag.startsWith('sha256-'))) {
    const { imageTags, attachedTags } = splitTags(tags);
    const [attached] = attachedTags;
    if (attached && imageTags.length === 0)
      // A tag without a suffix names a list of what is attached.
      return {
        kind: attached.kind ?? 'other',
        tags: none,
        ...(attached.kind && { subject: attached.subject }),
      };
    tags = imageTags;
  }
  if (indexTypes.has(mediaType ?? '')) return { kind: 'index', tags };
  if (imageConfigs.has(configMediaType ?? '') && !artifactType)
    return { kind: isUnknownSystem(entry) ? 'attestation' : 'image', tags };
  // Signatures are read all the same, for what they sign.
  const byType = kindOfType(artifactType ?? '') ?? kindOfType(configMediaType ?? '');
  if (byType) return byType === 'signature' ? { tags } : { kind: byType, tags };
  if (artifactType) return { kind: imageConfigs.has(artifactType) ? 'image' : 'other', tags };
  // Docker's schema 1 has neither sizes nor a configuration.
  if (/docker\.distribution\.manifest\.v1\+/.test(mediaType ?? '')) return { kind: 'other', tags };
  // Some entries have no type of their configuration, but the system that was read from it.
  if (!configMediaType && entry.architecture && entry.os) return { kind: 'image', tags };
  return { tags };
}

/** The parts of an index, from what the registry says that it refers to. */
export function detailOfReferences(references: readonly Reference[]): Detail {
  const attestations = references.filter(isUnknownSystem).map(({ digest }) => digest);
  return {
    kind: 'index',
    platforms: references.filter((one) => !isUnknownSystem(one)).map(({ digest }) => digest),
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
