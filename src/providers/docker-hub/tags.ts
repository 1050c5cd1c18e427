import { createHash } from 'node:crypto';
import { defined } from '../../defined.ts';
import { splitTags } from '../../images/attached-tags.ts';
import type { Image, Kind } from '../../model.ts';
import { meaningOf } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import { newestOf } from '../../times.ts';
import { type Hub, maxWalks, newWalk } from './client.ts';
import type { ListedTag, TaggedImage } from './wire.ts';

/**
 * Kinds of content as Docker Hub names them. `unrecognized` is its own word for what it does not know, such as the
 * caches of builds; a signature is one too, and its tag tells it apart.
 */
const kinds: Readonly<Record<string, Kind>> = {
  image: 'image',
  helm: 'chart',
  plugin: 'other',
  compose: 'other',
  volume: 'other',
  extension: 'other',
  model: 'other',
  wasm: 'other',
  artifact: 'other',
  unrecognized: 'other',
};

/** buildx lists what it attests of a platform as one more platform: https://docs.docker.com/build/metadata/attestations/attestation-storage/ */
const isAttestation = ({ architecture, os }: TaggedImage): boolean =>
  architecture === 'unknown' && os === 'unknown';

/** Stands for the digest where Docker Hub names none, as of images pushed before 2016; it does not look like one. */
const withoutDigest = (what: string): string =>
  `unknown:${createHash('sha256').update(what).digest('hex').slice(0, 16)}`;

const timesOf = (tag: ListedTag, parts: readonly TaggedImage[]): Pick<Image, 'pushedAt' | 'pulledAt'> => ({
  pushedAt: tag.tag_last_pushed ?? newestOf(parts.map((part) => part.last_pushed)) ?? tag.last_updated,
  pulledAt: newestOf([tag.tag_last_pulled, ...parts.map((part) => part.last_pulled)]),
});

/** A manifest that an index lists; the fold makes a platform of an image that no tag names. */
const partOf = (image: TaggedImage, digest: string): Image => ({
  digest,
  kind: isAttestation(image) ? 'attestation' : 'image',
  sizeBytes: image.size,
  pushedAt: image.last_pushed,
  pulledAt: image.last_pulled,
});

/** An index and the manifests that it lists. */
function indexOf(tag: ListedTag, parts: readonly TaggedImage[]): Image[] {
  const digestOf = (part: TaggedImage, at: number) =>
    part.digest ?? withoutDigest(`${tag.digest ?? tag.name} ${at}`);
  const images = parts.map((part, at) => partOf(part, digestOf(part, at)));
  const platforms = images.filter(({ kind }) => kind === 'image').map(({ digest }) => digest);
  const index: Image = {
    digest: tag.digest ?? withoutDigest(platforms.toSorted().join(' ') || tag.name),
    kind: 'index',
    tags: [tag.name],
    ...timesOf(tag, parts),
    // Docker Hub has not looked into one that lists nothing yet: its size is unknown, and not 0.
    platforms: platforms.length > 0 ? platforms : undefined,
  };
  return [...images, index];
}

/** @param tags none where the tag says what something is attached to */
function singleOf(tag: ListedTag, kind: Kind, tags: readonly string[] = [tag.name]): Image {
  const [only] = tag.images ?? [];
  return {
    digest: tag.digest ?? only?.digest ?? withoutDigest(tag.name),
    kind,
    tags,
    // Of a tag without images Docker Hub says 0: it has not looked into it.
    sizeBytes: only ? (only.size ?? tag.full_size) : tag.full_size || undefined,
    ...timesOf(tag, only ? [only] : []),
  };
}

/** What a tag names; the digest that it signs is added to `signed`. */
function imagesOf(tag: ListedTag, signed: Set<string>, tell: CollectContext['tell']): Image[] {
  const [attached] = splitTags([tag.name], tag.digest).attachedTags;
  if (attached) {
    if (attached.kind === 'signature') signed.add(attached.subject);
    return [singleOf(tag, attached.kind ?? 'other', [])];
  }
  const content = tag.content_type ?? 'image';
  const kind = meaningOf({ tell }, 'a kind of content', kinds, content, 'it counts as other') ?? 'other';
  if (kind !== 'image') return [singleOf(tag, kind)];
  const parts = tag.images ?? [];
  const isIndex = /manifest\.list|image\.index/.test(tag.media_type ?? '') || parts.length > 1;
  return isIndex ? indexOf(tag, parts) : [singleOf(tag, 'image')];
}

/** One image of two that have the same digest: it keeps the kind that was seen first, and the newest times. */
function merged(before: Image | undefined, image: Image): Image {
  if (!before) return image;
  const tags = [...(before.tags ?? []), ...(image.tags ?? [])];
  return {
    ...before,
    ...defined(image),
    kind: before.kind,
    tags: tags.length > 0 ? tags : undefined,
    pushedAt: newestOf([before.pushedAt, image.pushedAt]),
    pulledAt: newestOf([before.pulledAt, image.pulledAt]),
  };
}

export interface Tags {
  /** One for each digest that tags name. */
  readonly images: readonly Image[];
  /** Whether a tag is named `latest`. */
  readonly hasLatest: boolean;
  /** Tags whose entry could not be understood, and those that are counted and not shown. */
  readonly unread: number;
}

async function walkTags(
  pages: AsyncIterable<readonly ListedTag[]>,
  tell: CollectContext['tell'],
): Promise<Omit<Tags, 'unread'>> {
  const images = new Map<string, Image>();
  const signed = new Set<string>();
  let hasLatest = false;
  for await (const page of pages)
    for (const tag of page) {
      hasLatest ||= tag.name === 'latest';
      for (const image of imagesOf(tag, signed, tell))
        images.set(image.digest, merged(images.get(image.digest), image));
    }
  const all = [...images.values()];
  return {
    images: all.map((image) => (signed.has(image.digest) ? { ...image, signed: true } : image)),
    hasLatest,
  };
}

/**
 * Reads all tags of a repository.
 * @throws CollectError `not_found` when there is definitely no such repository
 */
export async function readTags(
  hub: Hub,
  repository: string,
  { tell }: Pick<CollectContext, 'tell'>,
): Promise<Tags> {
  for (let walks = 1; ; walks += 1) {
    const walk = newWalk();
    try {
      const tags = await walkTags(hub.tags(repository, walk), tell);
      // What moved between two pages would be missing.
      if ((walk.moved || walk.missing > 0) && walks < maxWalks) continue;
      if (walk.missing > 0)
        tell(
          `tags of ${repository}`,
          { repository, missing: walk.missing },
          'Docker Hub counts more tags of a repository than it lists: its images are not all known',
        );
      return { ...tags, unread: walk.odd + walk.missing };
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // The reference leaves open whether 404 means no repository or no tags.
      await hub.repository(repository);
      return { images: [], hasLatest: false, unread: 0 };
    }
  }
}
