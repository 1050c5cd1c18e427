import { createHash } from 'node:crypto';
import type { EstateImage, EstateRepository } from './estate.ts';

/**
 * What Docker Hub shows of an estate, and how: only what tags name, with the platforms of an index inside its tag.
 * Repositories have one name below the namespace, so that `team/app` becomes `team-app`.
 */
export const hubName = (name: string): string => name.replaceAll('/', '-');

/** What an estate does not have, made of the name. */
export function extrasOf(repository: EstateRepository) {
  const [first = 0, second = 0, third = 0] = createHash('sha256').update(repository.name).digest();
  return {
    isPrivate: first % 2 === 0,
    stars: second,
    immutableTags: third % 3 === 0,
    storageBytes: [...repository.images.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

const cosignSuffix: Readonly<Record<string, string>> = {
  signature: 'sig',
  sbom: 'sbom',
  attestation: 'att',
};

/** Artifacts by the tag that cosign gives them; of an index, attestations lie inside as buildx puts them. */
function attachedTags(repository: EstateRepository): Map<string, EstateImage> {
  const tags = new Map<string, EstateImage>();
  for (const image of repository.images.values()) {
    const suffix = cosignSuffix[image.kind];
    const subject = repository.images.get(image.subject ?? '');
    if (suffix === undefined || !subject || subject.tags.length === 0) continue;
    if (image.kind === 'attestation' && subject.kind === 'index') continue;
    tags.set(`${subject.digest.replace(':', '-')}.${suffix}`, image);
  }
  return tags;
}

const insideAttestations = (repository: EstateRepository, index: EstateImage): EstateImage[] =>
  [...repository.images.values()].filter(
    ({ kind, subject }) => kind === 'attestation' && subject === index.digest,
  );

/** The part of a repository that can be seen. */
export function visible(repository: EstateRepository): EstateRepository {
  const images = new Map<string, EstateImage>();
  const show = (image: EstateImage | undefined) => image && images.set(image.digest, image);
  for (const image of repository.images.values()) {
    if (image.tags.length === 0) continue;
    show(image);
    for (const digest of image.platforms ?? []) show(repository.images.get(digest));
    if (image.kind === 'index') for (const one of insideAttestations(repository, image)) show(one);
  }
  for (const image of attachedTags(repository).values()) show(image);
  return { ...repository, images };
}

/** Docker's times have nine digits after the point where something was pulled. */
const time = (seconds: number | undefined): string | null =>
  seconds === undefined ? null : new Date(seconds * 1000).toISOString().replace('Z', '000000Z');

const imageEntry = (image: EstateImage, architecture: string, os: string) => ({
  architecture,
  features: '',
  variant: architecture === 'arm64' ? 'v8' : null,
  digest: image.digest,
  os,
  os_features: '',
  os_version: null,
  size: image.sizeBytes,
  // Of no importance: an image that nobody used for a month is there all the same.
  status: image.pulledAt === undefined ? 'inactive' : image.sizeBytes % 7 === 0 ? 'hibernating' : 'active',
  last_pulled: time(image.pulledAt),
  last_pushed: time(image.pushedAt),
});

function imagesOf(repository: EstateRepository, image: EstateImage) {
  if (image.kind !== 'index') return [imageEntry(image, image.architecture ?? 'amd64', 'linux')];
  const platforms = (image.platforms ?? []).flatMap((digest) => repository.images.get(digest) ?? []);
  return [
    ...platforms.map((platform) => imageEntry(platform, platform.architecture ?? 'amd64', 'linux')),
    ...insideAttestations(repository, image).map((one) => imageEntry(one, 'unknown', 'unknown')),
  ];
}

const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  image: 'application/vnd.oci.image.manifest.v1+json',
};

/** A tag as the API answers it: https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/ListRepositoryTags */
function tagEntry(repository: EstateRepository, name: string, image: EstateImage, contentType: string) {
  const images = imagesOf(repository, image);
  return {
    creator: 7,
    id: Number.parseInt(createHash('sha256').update(name).digest('hex').slice(0, 7), 16),
    images,
    last_updated: time(image.pushedAt),
    last_updater: 7,
    last_updater_username: 'ci',
    name,
    repository: 11,
    // Of an index it is that of one platform only.
    full_size: images[0]?.size ?? 0,
    v2: true,
    tag_status: 'active',
    tag_last_pulled: time(image.pulledAt),
    tag_last_pushed: time(image.pushedAt),
    media_type: image.kind === 'index' ? mediaTypes.index : mediaTypes.image,
    content_type: contentType,
    digest: image.digest,
  };
}

/** All tags of a repository, those that were pushed last first, as the API lists them. */
export function tagEntries(repository: EstateRepository) {
  const tags = [...repository.images.values()].flatMap((image) =>
    image.tags.map((tag) => tagEntry(repository, tag, image, 'image')),
  );
  const attached = [...attachedTags(repository)].map(([tag, image]) =>
    tagEntry(repository, tag, image, 'unrecognized'),
  );
  return [...tags, ...attached].sort(
    (a, b) => (b.last_updated ?? '').localeCompare(a.last_updated ?? '') || (a.name < b.name ? -1 : 1),
  );
}

/** A repository as the listing answers it, and by itself with more. */
export function repositoryEntry(namespace: string, repository: EstateRepository) {
  const { isPrivate, stars, storageBytes } = extrasOf(repository);
  const pushed = Math.max(
    repository.createdAt,
    ...[...repository.images.values()].map((one) => one.pushedAt),
  );
  return {
    name: hubName(repository.name),
    namespace,
    repository_type: 'image',
    status: 1,
    status_description: 'active',
    description: 'simulated',
    is_private: isPrivate,
    star_count: stars,
    pull_count: repository.pulls,
    last_updated: repository.images.size > 0 ? time(pushed) : null,
    last_modified: time(repository.createdAt),
    date_registered: time(repository.createdAt),
    affiliation: '',
    media_types: Object.values(mediaTypes),
    content_types: ['image'],
    categories: [],
    // A repository that nothing was pushed to has no size.
    storage_size: repository.images.size > 0 ? storageBytes : null,
  };
}

export function repositoryInfo(namespace: string, repository: EstateRepository) {
  const { immutableTags } = extrasOf(repository);
  return {
    user: namespace,
    ...repositoryEntry(namespace, repository),
    is_automated: false,
    collaborator_count: 0,
    hub_user: namespace,
    has_starred: false,
    full_description: null,
    permissions: { read: true, write: false, admin: false },
    immutable_tags_settings: { enabled: immutableTags, rules: immutableTags ? ['.*'] : [] },
    source: null,
  };
}
