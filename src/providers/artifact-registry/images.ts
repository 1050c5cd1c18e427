import { indexTypes, kindOfType } from '../../media-types.ts';
import type { Image, Kind } from '../../model.ts';
import type { FindingsOf } from './findings.ts';
import type { DockerImageRow } from './rows.ts';

/** Artifact types of plain images, where a client or the registry filled the field for them too. */
const imageTypes =
  /^(application\/vnd\.(oci\.image|docker\.(container\.image|distribution\.manifest|image))\b.*)?$/;

/**
 * Tags that attach something: cosign's (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md), and
 * without a suffix the index of all that is attached
 * (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema).
 */
const attachedTag = /^sha256-[0-9a-f]{64}(?:\.(sig|att|sbom))?$/;
const attachedKinds: Readonly<Record<string, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' };
const isAttached = (tag: string): boolean => tag.startsWith('sha256-') && attachedTag.test(tag);

function kindOf({ mediaType, artifactType, tags }: DockerImageRow): Kind {
  if (tags.length > 0 && tags.every(isAttached))
    return attachedKinds[attachedTag.exec(tags[0] ?? '')?.[1] ?? ''] ?? 'other';
  if (artifactType !== '' && !imageTypes.test(artifactType)) return kindOfType(artifactType) ?? 'other';
  return indexTypes.has(mediaType) ? 'index' : 'image';
}

/** What an index lists: platforms, and what attests them. */
function listed(manifests: DockerImageRow['manifests']): Partial<Image> {
  const digests = (attestation: boolean) =>
    manifests.filter((one) => one.attestation === attestation).map(({ digest }) => digest);
  const attestations = digests(true);
  return { platforms: digests(false), ...(attestations.length > 0 && { attestations }) };
}

/** What the registry shows of a manifest, and what is known of its vulnerabilities. */
export function toImage(row: DockerImageRow, findingsOf: FindingsOf | undefined): Image {
  const kind = kindOf(row);
  const { digest, tags, sizeBytes, uploadedAt } = row;
  const isImage = kind === 'image' || kind === 'index';
  // Filled in step by step: there may be millions, and each spread would be an object more.
  const image: { -readonly [Key in keyof Image]: Image[Key] } = {
    digest,
    kind,
    // A tag that only attaches something is no version of an image.
    tags: isImage || !tags.some(isAttached) ? tags : [],
  };
  if (sizeBytes > 0) image.sizeBytes = sizeBytes;
  if (uploadedAt > 0) image.pushedAt = uploadedAt;
  if (kind === 'index') Object.assign(image, listed(row.manifests));
  if (isImage && findingsOf) Object.assign(image, findingsOf(digest, kind));
  return image;
}
