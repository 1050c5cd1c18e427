import { splitTags } from '../../images/attached-tags.ts';
import { indexTypes, kindOfType } from '../../media-types.ts';
import type { Image, Kind, RepositoryFacts } from '../../model.ts';
import type { FindingsOf } from './findings.ts';
import type { DockerImageRow } from './rows.ts';

/** Artifact types of plain images, where a client or the registry filled the field for them too. */
const imageTypes =
  /^(application\/vnd\.(oci\.image|docker\.(container\.image|distribution\.manifest|image))\b.*)?$/;

/** An image whose name tells where it is. */
export type NamedRow = DockerImageRow & { readonly name: NonNullable<DockerImageRow['name']> };
export const isNamed = (row: DockerImageRow): row is NamedRow => row.name !== undefined;

/** What is not known of a package because something of an image could not be understood. */
export type Doubts = Pick<
  RepositoryFacts,
  'newestUnknown' | 'unreadTags' | 'unknownKinds' | 'findingsUnknown'
>;

export function doubtsOf(row: DockerImageRow): Doubts {
  const { uploadTime, tags, mediaType, artifactType, imageManifests } = row;
  const isTold = mediaType !== undefined && artifactType !== undefined;
  // An index lists something: none is an answer without its list, and any manifest without a tag may be a platform.
  const hidesParts =
    imageManifests === undefined || (indexTypes.has(mediaType ?? '') && imageManifests.length === 0);
  return {
    ...(uploadTime === undefined && { newestUnknown: true }),
    ...((tags === undefined || tags.left > 0 || !isTold) && { unreadTags: 'all' }),
    // It has the findings of its platforms: which these are is not known.
    ...(hidesParts && isIndex(row) && { unknownKinds: ['platform'], findingsUnknown: true }),
  };
}

const isIndex = (row: DockerImageRow): boolean => row.imageManifests === undefined || kindOf(row) === 'index';

function kindOf({ name, mediaType = '', artifactType = '', tags }: DockerImageRow): Kind {
  const { imageTags, attachedTags } = splitTags(tags?.items ?? [], name?.digest);
  // A tag without a suffix names the list of all that is attached.
  if (attachedTags.length > 0 && imageTags.length === 0) return attachedTags[0]?.kind ?? 'other';
  if (artifactType !== '' && !imageTypes.test(artifactType)) return kindOfType(artifactType) ?? 'other';
  return indexTypes.has(mediaType) ? 'index' : 'image';
}

/** What an index lists: platforms, and what attests them, which buildx lists as a platform that nothing runs on. */
function listed({ imageManifests = [] }: DockerImageRow): Pick<Image, 'platforms' | 'attestations'> {
  if (imageManifests.length === 0) return {};
  const parts = Object.groupBy(imageManifests, ({ architecture, os }) =>
    architecture === 'unknown' && os === 'unknown' ? 'attestations' : 'platforms',
  );
  return {
    platforms: parts.platforms?.map(({ digest }) => digest) ?? [],
    attestations: parts.attestations?.map(({ digest }) => digest),
  };
}

/** What the registry shows of a manifest, and what is known of its vulnerabilities. */
export function toImage(row: NamedRow, findingsOf: FindingsOf | undefined): Image {
  const kind = kindOf(row);
  const { digest } = row.name;
  const { imageTags, attachedTags } = splitTags(row.tags?.items ?? [], digest);
  const isImage = kind === 'image' || kind === 'index';
  return {
    digest,
    kind,
    // A tag that only attaches something is no version of an image.
    tags: isImage || attachedTags.length === 0 ? imageTags : [],
    sizeBytes: row.imageSizeBytes || undefined,
    pushedAt: row.uploadTime || undefined,
    ...(kind === 'index' && listed(row)),
    ...(isImage && findingsOf?.of(digest, kind)),
  };
}
