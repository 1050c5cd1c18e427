import pMap from 'p-map';
import { byAge } from '../../bounded.ts';
import { CollectError } from '../../errors.ts';
import type { Failing, Unread } from '../../failing.ts';
import { type AttachedTag, isSubject, namesItself, splitTags } from '../../images/attached-tags.ts';
import { sizeOf } from '../../images/manifest.ts';
import type { Image, Kind, Observation, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Attached, type AttachedManifest, readAttachments } from './attachments.ts';
import type { Distribution, Tagged } from './client.ts';
import { type Described, describe, hasNoSecret } from './describe.ts';
import type { Digests } from './digests.ts';
import type { Referrers } from './referrers.ts';
import { type Running, readRunning } from './running.ts';
import {
  createStillListed,
  type Look,
  lookUp,
  lookUpImages,
  possibleTags,
  type TagResolver,
  type TagScope,
  thingOf,
} from './tags.ts';

/** What reading one repository needs; lives for one cycle. */
export interface Scope {
  readonly context: CollectContext;
  readonly client: Distribution;
  readonly digests: Digests;
  readonly tags: TagResolver;
  readonly referrers: Referrers;
  readonly failing: Failing;
  readonly empty: TagScope['empty'];
  /** Repositories that could be read whole before. */
  readonly whole: Set<string>;
}

/** One repository while it is read. */
type Reading = Scope & TagScope;

function toImage(
  described: Described,
  tags: readonly string[] | undefined,
  extra: Partial<Image> = {},
): Image {
  const { digest, record, kind, pushedAt, platforms } = described;
  const sizeBytes = kind === 'index' ? undefined : sizeOf(record);
  return {
    digest,
    kind: tags === undefined && kind === 'image' ? 'platform' : kind,
    ...(tags && { tags }),
    sizeBytes,
    pushedAt,
    ...(platforms && { platforms }),
    ...extra,
  };
}

const isImage = ({ kind }: Described): boolean => kind === 'image' || kind === 'index';

/**
 * Reads what a digest names. Some registries know manifests by their tag only: they route no digests.
 * @returns `gone` where the tag is gone meanwhile
 */
async function describeTagged(
  scope: Reading,
  tagged: Tagged,
  tag: string,
): Promise<Described | Unread | 'gone'> {
  const { repository, client, attempts, stillListed } = scope;
  const described = await describe(scope, tagged.digest, { document: tagged.document });
  if (described !== 'gone' || tagged.document) return described;
  const read = await attempts.attempt(thingOf(tag), async () => {
    const manifest = await client.read(repository, tag, undefined);
    if (manifest || !(await stillListed(tag))) return manifest;
    throw new CollectError(
      'invalid_response',
      `${repository}:${tag} names ${tagged.digest}, which the registry does not have`,
    );
  });
  if (!('value' in read)) return read;
  return read.value ? describe(scope, read.value.digest, { document: read.value.document }) : 'gone';
}

/** The manifests that tags name. */
interface Contents {
  /** Newest first. */
  readonly described: readonly { readonly image: Described; readonly tags: readonly string[] }[];
  /** Tags of which it could not be read what they name. */
  readonly unread: number;
  /** Tags that name something, read or not. */
  readonly names: readonly string[];
  /** An image may be newer than those whose time was read. */
  readonly newestUnknown: boolean;
  /** What runs without a tag. */
  readonly running: Running;
}

async function readContents(scope: Reading, looks: readonly Look[]): Promise<Omit<Contents, 'running'>> {
  const { concurrency } = scope.context;
  const byDigest = new Map<string, { tagged: Tagged; tags: string[] }>();
  const names: string[] = [];
  let unread = 0;
  for (const look of looks) {
    if ('missing' in look) continue;
    names.push(look.tag);
    if ('unread' in look) unread += 1;
    else {
      const { digest } = look.tagged;
      const seen = byDigest.get(digest);
      if (seen) seen.tags.push(look.tag);
      else byDigest.set(digest, { tagged: look.tagged, tags: [look.tag] });
    }
  }
  const described = new Map<string, { image: Described; tags: string[] }>();
  await pMap(
    byDigest.values(),
    async ({ tagged, tags }) => {
      const image = await describeTagged(scope, tagged, tags[0] as string);
      if (image === 'gone') return;
      if ('error' in image) unread += tags.length;
      else {
        const seen = described.get(image.digest);
        if (seen) seen.tags.push(...tags);
        else described.set(image.digest, { image, tags });
      }
    },
    { concurrency },
  );
  return {
    described: [...described.values()].sort((a, b) => byAge(a.image, b.image)),
    unread,
    names,
    newestUnknown: unread > 0 || [...described.values()].some(({ image }) => image.timeUnread),
  };
}

/** What runs and has no tag. Counted apart: it is not what the repository lists. */
async function readUntagged(scope: Reading, { described }: Pick<Contents, 'described'>): Promise<Running> {
  const attempts = scope.failing.of(scope.repository, { tolerant: true });
  try {
    return await readRunning(
      { ...scope, attempts },
      described.map(({ image }) => image),
    );
  } finally {
    attempts.end();
  }
}

/** A tag that attaches something, and what became of it. */
interface AttachedLook {
  readonly attached: AttachedTag;
  readonly look: Look;
}

/**
 * Finds what tags name, those of images and those that attach something. One that is made of a digest is of an image
 * where it names just that; where it could not be read and that digest has no other tag, it may be either.
 */
async function lookUpAll(reading: Reading, signing: Reading, names: readonly string[]) {
  const { imageTags, attachedTags } = splitTags(names);
  const images = await lookUpImages(reading, imageTags);
  const tagged = new Set(images.map((look) => ('tagged' in look ? look.tagged.digest : undefined)));
  const looks = await lookUp(
    signing,
    attachedTags.map(({ tag }) => tag),
  );
  const attached: AttachedLook[] = [];
  const own: Look[] = [];
  for (const [place, look] of looks.entries()) {
    const tag = attachedTags[place] as AttachedTag;
    const isOwn = 'tagged' in look && namesItself(tag, look.tagged.digest);
    if (!isOwn) attached.push({ attached: tag, look });
    if (isOwn || ('unread' in look && tag.kind === undefined && !tagged.has(tag.subject))) own.push(look);
  }
  return { images: [...images, ...own], attached };
}

/** The manifests that attaching tags name. */
async function readAttachedTags(scope: Reading, looks: readonly AttachedLook[]): Promise<AttachedManifest[]> {
  // A tag that was deleted meanwhile attaches nothing; one that cannot be read may attach a signature.
  const listed = looks.filter(({ look }) => !('missing' in look) || look.listed);
  const read = async ({ attached, look }: AttachedLook): Promise<AttachedManifest> => {
    const described = 'tagged' in look ? await describeTagged(scope, look.tagged, look.tag) : 'gone';
    const manifest = described === 'gone' || 'error' in described ? undefined : described;
    return { ...attached, manifest };
  };
  return pMap(listed, read, { concurrency: scope.context.concurrency });
}

/** What is attached to the images of the repository. */
async function readAttached(
  signing: Reading,
  contents: Contents,
  looks: readonly AttachedLook[],
): Promise<Attached> {
  const { perRepository, matches, running } = signing.context.images;
  const runs = running?.(signing.repository);
  const all = [...contents.described, ...contents.running.described.map((image) => ({ image, tags: [] }))];
  const subjects = all
    .filter(({ image }) => isImage(image))
    .map(({ image, tags }, place) => ({
      digest: image.digest,
      bounded:
        place < perRepository ||
        tags.some((tag) => matches(tag)) ||
        [image, ...image.parts].some(({ digest }) => runs?.has(digest)),
      parts: image.parts.map((part) => part.digest),
    }));
  const digests = subjects.flatMap(({ digest, parts }) => [digest, ...parts]);
  const whole = looks.map((of) => {
    const { subject } = of.attached;
    if (subject.startsWith('sha256:')) return of;
    const digest = digests.find((candidate) => isSubject(subject, candidate));
    return digest === undefined ? of : { ...of, attached: { ...of.attached, subject: digest } };
  });
  return readAttachments(signing, subjects, await readAttachedTags(signing, whole));
}

/** Every manifest of the repository once. */
function toImages({ described, running }: Contents, attached: Attached): Image[] {
  const images = new Map(attached.artifacts.map((artifact) => [artifact.digest, artifact]));
  for (const { image } of described)
    for (const part of image.parts)
      images.set(part.digest, toImage(part, undefined, attached.findingsOf(part.digest)));
  for (const { image, tags } of described)
    images.set(image.digest, toImage(image, tags, isImage(image) ? attached.factsOf(image.digest) : {}));
  const add = (image: Image) => {
    if (!images.has(image.digest)) images.set(image.digest, { ...image, unlisted: true });
  };
  for (const image of running.described) {
    add(toImage(image, [], attached.factsOf(image.digest)));
    for (const part of image.parts) add(toImage(part, undefined, attached.findingsOf(part.digest)));
  }
  return [...images.values()];
}

function toFacts(contents: Contents, attached: Attached): RepositoryFacts {
  const newest = contents.described.find(({ image }) => isImage(image))?.image;
  const clean = newest && !contents.newestUnknown ? hasNoSecret(newest) : undefined;
  // An index that lists what has no digest has more platforms or attestations than were seen.
  const named = contents.described.every(({ image }) => image.kind !== 'index' || image.platforms);
  const unknownKinds: readonly Kind[] = [
    ...(attached.complete ? [] : (['signature', 'sbom', 'attestation', 'other'] as const)),
    ...(named ? [] : (['platform', 'attestation'] as const)),
  ];
  return {
    practices: {
      no_latest_tag: !contents.names.includes('latest'),
      no_secret_in_config: clean,
    },
    // The distribution API names tags only: what has none is seen where an index or a referrer leads to it.
    listsUntagged: false,
    absent: contents.running.absent,
    ...(contents.unread > 0 && { unreadTags: contents.unread }),
    ...(contents.newestUnknown && { newestUnknown: true }),
    ...(!attached.findingsComplete && { findingsUnknown: true }),
    ...(unknownKinds.length > 0 && { unknownKinds }),
  };
}

/**
 * All that the distribution API shows of one repository: its tags, what they name, and what is attached to that.
 * @throws CollectError when the tags cannot be read, or suddenly not what some of them name
 */
export async function* readRepository(scope: Scope, repository: string): AsyncGenerator<Observation> {
  const { context, client, digests, failing, whole } = scope;
  const listed = await client.tags(repository);
  if (!listed) {
    whole.delete(repository);
    yield { type: 'repository-gone', repository };
    return;
  }
  const attempts = failing.of(repository);
  // Counted apart: signatures that cannot be read are no failure of the repository.
  const signingAttempts = failing.of(repository, { tolerant: true });
  const stillListed = createStillListed(client, repository);
  const reading: Reading = { ...scope, repository, stillListed, attempts };
  const signing: Reading = { ...reading, attempts: signingAttempts };
  let contents: Contents;
  let attached: Attached;
  try {
    const looks = await lookUpAll(reading, signing, possibleTags(context, repository, listed));
    const tagged = await readContents(reading, looks.images);
    contents = { ...tagged, running: await readUntagged(reading, tagged) };
    // What was read a moment ago is more than what is left of it now: the last data stays until the next poll.
    const [news] = attempts.fresh;
    if (news && contents.newestUnknown && whole.delete(repository)) throw news.error;
    attached = await readAttached(signing, contents, looks.attached);
  } finally {
    attempts.end();
    signingAttempts.end();
  }
  if (contents.unread > 0) digests.incomplete();
  if (!contents.newestUnknown) whole.add(repository);
  yield { type: 'repository', repository, facts: toFacts(contents, attached) };
  yield { type: 'images', repository, images: toImages(contents, attached) };
  yield { type: 'repository-complete', repository };
}
