import { indexTypes, kindOfType } from '../../media-types.ts';
import type { Image, Kind } from '../../model.ts';
import { isPastTime } from '../../wire.ts';
import type { FindingsOf } from './findings.ts';
import { type DockerImageRow, isCount } from './rows.ts';

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

const isDigest = (text: string): boolean => /^sha\d+:[0-9a-f]{32,128}$/.test(text);
/** https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests */
const isTag = (text: string): boolean => /^\w[\w.-]{0,127}$/.test(text);
const longestName = 512;

/** Whether the image can be told from others, and where it is. */
export const isNamed = ({ packageName, digest }: DockerImageRow): boolean =>
  packageName !== '' && packageName.length <= longestName && isDigest(digest);

/** A field of a message that cannot be understood. */
export type OddField =
  | 'imageSizeBytes'
  | 'uploadTime'
  | 'tags'
  | 'mediaType'
  | 'artifactType'
  | 'imageManifests';

/** The fields of an image that cannot be understood. */
export function oddFields(row: DockerImageRow): readonly OddField[] {
  const odd: OddField[] = [];
  if (!isCount(row.sizeBytes)) odd.push('imageSizeBytes');
  if (row.uploadedAt !== 0 && !isPastTime(row.uploadedAt)) odd.push('uploadTime');
  if (row.oddTags || !row.tags.every(isTag)) odd.push('tags');
  if (row.mediaType === undefined) odd.push('mediaType');
  if (row.artifactType === undefined) odd.push('artifactType');
  if (row.oddManifests || !row.manifests.every(({ digest }) => isDigest(digest))) odd.push('imageManifests');
  return odd;
}

/** Whether it lists something, and what is not told: any manifest without a tag may be a platform of it. */
export const listsUnknown = (row: DockerImageRow): boolean =>
  kindOf(row) === 'index' && row.manifests.length === 0;

function kindOf({ mediaType = '', artifactType = '', tags }: DockerImageRow): Kind {
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
  // An index lists something: none is an answer without its list.
  if (manifests.length === 0) return {};
  return { platforms: digests(false), ...(attestations.length > 0 && { attestations }) };
}

/**
 * What the registry shows of a manifest, and what is known of its vulnerabilities.
 * @param odd what of it cannot be understood
 */
export function toImage(
  row: DockerImageRow,
  findingsOf: FindingsOf | undefined,
  odd: readonly OddField[],
): Image {
  const kind = kindOf(row);
  const { digest, sizeBytes, uploadedAt } = row;
  const tags = odd.includes('tags') ? row.tags.filter(isTag) : row.tags;
  const isImage = kind === 'image' || kind === 'index';
  // Filled in step by step: there may be millions, and each spread would be an object more.
  const image: { -readonly [Key in keyof Image]: Image[Key] } = {
    digest,
    kind,
    // A tag that only attaches something is no version of an image.
    tags: isImage || !tags.some(isAttached) ? tags : [],
  };
  if (sizeBytes > 0 && !odd.includes('imageSizeBytes')) image.sizeBytes = sizeBytes;
  if (uploadedAt > 0 && !odd.includes('uploadTime')) image.pushedAt = uploadedAt;
  if (kind === 'index' && !odd.includes('imageManifests')) Object.assign(image, listed(row.manifests));
  if (isImage && findingsOf) Object.assign(image, findingsOf.of(digest, kind));
  return image;
}
