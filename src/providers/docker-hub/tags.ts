import { createHash } from 'node:crypto';
import type { Image, Kind } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import { type Hub, maxWalks, type Walk } from './client.ts';
import type { ListedTag, TaggedImage } from './wire.ts';

/** The manifests that the tags of one repository name. */
interface TaggedManifests {
  add(tag: ListedTag): void;
  images(): readonly Image[];
  /** Whether a tag is named `latest`. */
  readonly hasLatest: boolean;
}

/**
 * Kinds of content as Docker Hub names them. `unrecognized` is its own word for what it does not know, such as the
 * caches of builds; a signature is one too, and told by its tag.
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

/** cosign's tags: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md */
const attachedKinds: Readonly<Record<string, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' };

const latestOf = (times: readonly (number | undefined)[]): number | undefined => {
  const known = times.filter((time) => time !== undefined);
  return known.length > 0 ? Math.max(...known) : undefined;
};

/** buildx lists what it attests of a platform as one more platform: https://docs.docker.com/build/metadata/attestations/attestation-storage/ */
const isAttestation = ({ architecture, os }: TaggedImage): boolean =>
  architecture === 'unknown' && os === 'unknown';

/** An identity where Docker Hub names no digest, as of images pushed before 2016; it is no digest and does not look like one. */
const unnamed = (what: string): string =>
  `unknown:${createHash('sha256').update(what).digest('hex').slice(0, 16)}`;

/**
 * @param unknownKind told of a kind of content that is not known here; it counts as `other`
 */
function createTaggedManifests(unknownKind: (kind: string) => void): TaggedManifests {
  const rows = new Map<string, Image>();
  const signed = new Set<string>();
  let hasLatest = false;

  /** One row per digest, whatever names it and however often: the newest times are those of the manifest. */
  function put(image: Image): void {
    const before = rows.get(image.digest);
    if (!before) {
      rows.set(image.digest, image);
      return;
    }
    const tags = [...(before.tags ?? []), ...(image.tags ?? [])];
    const pushedAt = latestOf([before.pushedAt, image.pushedAt]);
    const pulledAt = latestOf([before.pulledAt, image.pulledAt]);
    rows.set(image.digest, {
      ...before,
      ...image,
      // What an index lists may have a tag of its own; either way it is what it was first seen as.
      kind: before.kind,
      ...(tags.length > 0 && { tags }),
      ...(pushedAt !== undefined && { pushedAt }),
      ...(pulledAt !== undefined && { pulledAt }),
    });
  }

  const timesOf = (tag: ListedTag, parts: readonly TaggedImage[]): Pick<Image, 'pushedAt' | 'pulledAt'> => {
    const pushedAt =
      tag.tag_last_pushed ?? latestOf(parts.map((part) => part.last_pushed)) ?? tag.last_updated;
    const pulledAt = latestOf([tag.tag_last_pulled, ...parts.map((part) => part.last_pulled)]);
    return { ...(pushedAt !== undefined && { pushedAt }), ...(pulledAt !== undefined && { pulledAt }) };
  };

  /** A manifest that an index lists. */
  function part(image: TaggedImage, digest: string): Image {
    const pushedAt = image.last_pushed;
    const pulledAt = image.last_pulled;
    const size = image.size ?? undefined;
    return {
      digest,
      // The fold makes a platform of an image that an index lists and no tag names.
      kind: isAttestation(image) ? 'attestation' : 'image',
      ...(size !== undefined && { sizeBytes: size }),
      ...(pushedAt !== undefined && { pushedAt }),
      ...(pulledAt !== undefined && { pulledAt }),
    };
  }

  /** An index, and what it lists. */
  function addIndex(tag: ListedTag, parts: readonly TaggedImage[]): void {
    const named = parts.map((image, place) => {
      const digest = image.digest ?? unnamed(`${tag.digest ?? tag.name} ${place}`);
      return { image, digest };
    });
    for (const { image, digest } of named) put(part(image, digest));
    const platforms = named.filter(({ image }) => !isAttestation(image)).map(({ digest }) => digest);
    put({
      digest: tag.digest ?? unnamed(platforms.toSorted().join(' ') || tag.name),
      kind: 'index',
      tags: [tag.name],
      ...timesOf(tag, parts),
      // One that lists nothing has not been looked into yet: its size is unknown, and not 0.
      ...(platforms.length > 0 && { platforms }),
    });
  }

  function addSingle(tag: ListedTag, kind: Kind, tags: readonly string[]): void {
    const [only] = tag.images ?? [];
    // Of a tag without images Docker Hub says 0: it has not looked into it.
    const size = only ? (only.size ?? tag.full_size) : tag.full_size || undefined;
    put({
      digest: tag.digest ?? only?.digest ?? unnamed(tag.name),
      kind,
      tags,
      ...(size !== undefined && { sizeBytes: size }),
      ...timesOf(tag, only ? [only] : []),
    });
  }

  return {
    add(tag) {
      const [, hex, suffix] = /^sha256-([0-9a-f]{64})(?:\.([a-z]+))?$/.exec(tag.name) ?? [];
      if (hex !== undefined) {
        const kind = attachedKinds[suffix ?? ''] ?? 'other';
        if (kind === 'signature') signed.add(`sha256:${hex}`);
        // It says what something is attached to, and is no version of an image.
        return addSingle(tag, kind, []);
      }
      if (tag.name === 'latest') hasLatest = true;
      const contentType = tag.content_type ?? 'image';
      const kind = kinds[contentType];
      if (kind === undefined) unknownKind(contentType);
      if (kind !== 'image') return addSingle(tag, kind ?? 'other', [tag.name]);
      const parts = tag.images ?? [];
      const isIndex = /manifest\.list|image\.index/.test(tag.media_type ?? '') || parts.length > 1;
      return isIndex ? addIndex(tag, parts) : addSingle(tag, 'image', [tag.name]);
    },
    images: () =>
      [...rows.values()].map((image) => (signed.has(image.digest) ? { ...image, signed: true } : image)),
    get hasLatest() {
      return hasLatest;
    },
  };
}

/**
 * Reads all tags of a repository.
 * @throws CollectError `not_found` when it is definitely not there
 */
export async function readTags(
  hub: Hub,
  repository: string,
  { tell }: Pick<CollectContext, 'tell'>,
): Promise<{
  readonly images: readonly Image[];
  readonly hasLatest: boolean;
  /** Tags whose entry could not be understood. */
  readonly unread: number;
}> {
  const unknownKind = (kind: string) =>
    tell(
      `content ${kind}`,
      { repository, content: kind },
      'Docker Hub has a kind of content that is not known here: counted as other',
    );
  for (let walks = 1; ; walks += 1) {
    const walk: Walk = { moved: false, odd: 0 };
    const manifests = createTaggedManifests(unknownKind);
    try {
      for await (const page of hub.tags(repository, walk)) for (const tag of page) manifests.add(tag);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // No tags are no deletion: the reference leaves open which of the two a 404 means.
      await hub.repository(repository);
      return { images: [], hasLatest: false, unread: 0 };
    }
    // What moved between two pages would be missing.
    if (!walk.moved || walks >= maxWalks)
      return { images: manifests.images(), hasLatest: manifests.hasLatest, unread: walk.odd };
  }
}
