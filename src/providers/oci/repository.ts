import pMap from 'p-map';
import type { Image, Observation } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Attachments, splitTags } from './attachments.ts';
import type { Distribution } from './client.ts';
import type { ConfigRecord } from './config-blob.ts';
import type { Digests } from './digests.ts';
import { type ManifestRecord, sizeOf } from './manifest.ts';
import type { TagResolver } from './tags.ts';

/** What reading one repository needs; lives for one cycle. */
export interface Scope {
  readonly context: CollectContext;
  readonly client: Distribution;
  readonly digests: Digests;
  readonly tags: TagResolver;
  readonly attachments: Attachments;
}

/** A manifest of the repository and what is known of it. */
interface Described {
  readonly digest: string;
  readonly record: ManifestRecord;
  readonly config?: ConfigRecord | undefined;
  /** Of an index: its platforms (nested indexes resolved), as far as they are there. */
  readonly parts: readonly Described[];
  readonly platforms?: readonly string[];
  readonly createdAt?: number | undefined;
}

const maximum = (times: readonly (number | undefined)[]): number | undefined =>
  times.reduce((a, b) => (a === undefined || (b !== undefined && b > a) ? b : a), undefined);

/** An index may list indexes; deeper than this it is not something that people build. */
const deepest = 3;

async function describe(
  scope: Scope,
  repository: string,
  digest: string,
  depth = 0,
): Promise<Described | undefined> {
  const record = await scope.digests.manifest(repository, digest, depth > 0);
  if (!record) return undefined;
  if (record.kind !== 'index') {
    const config = record.config ? await scope.digests.config(repository, record.config) : undefined;
    return { digest, record, config, parts: [], createdAt: config?.createdAt };
  }
  const parts: Described[] = [];
  const platforms: string[] = [];
  for (const child of depth < deepest ? (record.children ?? []) : []) {
    const part = await describe(scope, repository, child.digest, depth + 1);
    if (part?.record.kind === 'index') {
      parts.push(...part.parts);
      platforms.push(...(part.platforms ?? []));
      continue;
    }
    const attestation = child.attestation || part?.record.kind === 'attestation';
    // A platform that is not there stays listed: the index's size is then unknown, and not too small.
    if (!attestation) platforms.push(child.digest);
    if (part) parts.push(attestation ? { ...part, record: { ...part.record, kind: 'attestation' } } : part);
  }
  return { digest, record, parts, platforms, createdAt: maximum(parts.map((part) => part.createdAt)) };
}

/** Whether nothing in the image's configuration looks like a secret; undefined where one was not read. */
function hasNoSecret(image: Described): boolean | undefined {
  if (image.record.kind !== 'index') return image.config && image.config.secrets === 0;
  const known = image.parts
    .filter((part) => part.record.kind === 'image')
    .map((part) => (part.config ? part.config.secrets === 0 : undefined));
  if (known.includes(false)) return false;
  return known.length === 0 || known.includes(undefined) ? undefined : true;
}

function toImage(
  described: Described,
  tags: readonly string[] | undefined,
  extra: Partial<Image> = {},
): Image {
  const { digest, record, createdAt, platforms } = described;
  const sizeBytes = record.kind === 'index' ? undefined : sizeOf(record);
  return {
    digest,
    kind: tags === undefined && record.kind === 'image' ? 'platform' : record.kind,
    ...(tags && { tags }),
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(createdAt !== undefined && { pushedAt: createdAt }),
    ...(platforms && { platforms }),
    ...extra,
  };
}

/** Newest first; those of unknown age last; by digest where the age is the same. */
function byAge(a: Described, b: Described): number {
  const [left, right] = [a.createdAt ?? Number.NEGATIVE_INFINITY, b.createdAt ?? Number.NEGATIVE_INFINITY];
  if (left !== right) return right > left ? 1 : -1;
  return a.digest < b.digest ? -1 : 1;
}

/**
 * All that the distribution API shows of one repository: its tags, what they name, and what is attached to that.
 * @throws CollectError when the tags or a manifest cannot be read.
 */
export async function readRepository(scope: Scope, repository: string): Promise<Observation[]> {
  const { context } = scope;
  const listed = await scope.client.tags(repository);
  if (!listed) return [{ type: 'repository-gone', repository }];
  const { imageTags, attachedTags } = splitTags(listed);

  const concurrency = context.concurrency;
  const tagsOf = new Map<string, string[]>();
  const resolved = await pMap(imageTags, (tag) => scope.tags.resolve(repository, tag), { concurrency });
  for (const [at, digest] of resolved.entries()) {
    const tag = imageTags[at];
    // A tag that vanished since the list was read is not there any more.
    if (digest === undefined || tag === undefined) continue;
    tagsOf.set(digest, [...(tagsOf.get(digest) ?? []), tag]);
  }
  const described = await pMap([...tagsOf.keys()], (digest) => describe(scope, repository, digest), {
    concurrency,
  });
  const tagged = described.filter((one) => one !== undefined).sort(byAge);
  const isImage = (one: Described) => one.record.kind === 'image' || one.record.kind === 'index';
  const images = tagged.filter(isImage);

  const { perRepository, matches } = context.images;
  const subjects = images.map((image, place) => ({
    digest: image.digest,
    bounded: place < perRepository || (tagsOf.get(image.digest) ?? []).some((tag) => matches(tag)),
  }));
  const attached = await scope.attachments.read(repository, subjects, attachedTags);

  const out = new Map<string, Image>();
  for (const artifact of attached.artifacts) out.set(artifact.digest, artifact);
  for (const image of tagged) {
    for (const part of image.parts)
      out.set(part.digest, toImage(part, undefined, attached.findingsOf(part.digest)));
  }
  for (const image of tagged) {
    const facts = isImage(image) ? attached.factsOf(image.digest) : {};
    out.set(image.digest, toImage(image, tagsOf.get(image.digest) ?? [], facts));
  }

  const newest = images[0];
  const clean = newest && hasNoSecret(newest);
  const practices = {
    no_latest_tag: !imageTags.includes('latest'),
    ...(clean !== undefined && { no_secret_in_config: clean }),
  };
  return [
    // The distribution API names tags only: what has none is seen where an index or a referrer leads to it.
    {
      type: 'repository',
      repository,
      facts: {
        practices,
        listsUntagged: false,
        ...(!attached.complete && { unknownKinds: ['signature', 'sbom', 'attestation', 'other'] }),
      },
    },
    { type: 'images', repository, images: [...out.values()] },
    { type: 'repository-complete', repository },
  ];
}
