import pMap from 'p-map';
import picomatch from 'picomatch';
import { reasonOf } from '../../errors.ts';
import type { Attempts, Thing, Unread } from '../../failing.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution, Tagged } from './client.ts';
import type { Digests } from './digests.ts';
import { isTag } from './names.ts';

const day = 86_400;

export interface TagOptions {
  /** Patterns of tags that never move. */
  readonly stableTags: readonly string[];
  /** Such tags are looked at all the same once in so many seconds. */
  readonly stableTagsSeconds: number;
}

/**
 * Finds what a tag names, at the least cost that still shows a tag that moved: one HEAD per tag; a conditional GET where
 * the registry does not answer HEAD or names no digest.
 */
export class TagResolver {
  readonly #client: Distribution;
  readonly #digests: Digests;
  readonly #context: CollectContext;
  readonly #stableSeconds: number;
  readonly #isStable: (tag: string) => boolean;
  #usesHead: boolean;

  constructor(client: Distribution, digests: Digests, context: CollectContext, options: TagOptions) {
    this.#client = client;
    this.#digests = digests;
    this.#context = context;
    this.#stableSeconds = options.stableTagsSeconds;
    this.#isStable = options.stableTags.length > 0 ? picomatch([...options.stableTags]) : () => false;
    const noHead = context.memory.get('no-head');
    this.#usesHead = !noHead || context.now() - noHead.storedAt >= day;
  }

  /** Undefined: the tag is not there any more. */
  async resolve(repository: string, tag: string): Promise<Tagged | undefined> {
    const { memory, now } = this.#context;
    const key = `tag ${JSON.stringify([repository, tag])}`;
    const last = memory.get<string>(key);
    const isStable = this.#isStable(tag);
    if (isStable && last && now() - last.storedAt < this.#stableSeconds) return { digest: last.value };
    const head = await this.#head(repository, tag);
    if (head !== undefined && head !== 'failed') {
      if (isStable) memory.set(key, head);
      return { digest: head };
    }
    const read = await this.#client.read(repository, tag, last?.value);
    if (!read) return undefined;
    // HEAD had no digest where GET has one: the registry does not do HEAD, unless the tag was pushed in between.
    if (head !== 'failed' && (await this.#head(repository, tag)) === undefined) this.#giveUpHead();
    if (!this.#usesHead || isStable) memory.set(key, read.digest);
    return read;
  }

  /**
   * Checks that all tags of a repository name one digest, as HEAD says: some proxies answer each HEAD alike. Two of the
   * tags are read, once for as long as the digest is the same. A single tag is not, where its manifest will be read.
   * @returns false where HEAD is wrong, which is reported: the tags have to be resolved again
   */
  async confirm(repository: string, digest: string, tags: readonly string[]): Promise<boolean> {
    const { memory, tell } = this.#context;
    const key = `head ${repository}`;
    if (!this.#usesHead || memory.get<string>(key)?.value === digest) return true;
    const isReadAnyway = tags.length === 1 && !this.#digests.remembers(digest);
    const sample = isReadAnyway ? [] : new Set([tags[0] as string, tags.at(-1) as string]);
    for (const tag of sample) {
      if (!(await this.#differs(repository, tag, digest))) continue;
      this.#giveUpHead();
      tell(
        'wrong answers to HEAD',
        { repository, tag, digest },
        'the registry, or a proxy before it, answers HEAD with the digest of another manifest: tags are read by GET instead',
      );
      return false;
    }
    memory.set(key, digest);
    return true;
  }

  /** The digest that HEAD names, if any; `failed` where the server broke, which says nothing of HEAD as such. */
  async #head(repository: string, tag: string): Promise<string | 'failed' | undefined> {
    if (!this.#usesHead) return undefined;
    try {
      return await this.#client.head(repository, tag);
    } catch (error) {
      if (reasonOf(error) !== 'server_error') throw error;
      return 'failed';
    }
  }

  #giveUpHead(): void {
    if (this.#usesHead) this.#context.memory.set('no-head', true);
    this.#usesHead = false;
  }

  /** Whether a tag names another manifest than HEAD says; one that moved a moment ago does not. */
  async #differs(repository: string, tag: string, digest: string): Promise<boolean> {
    const read = await this.#client.read(repository, tag, undefined);
    if (!read || read.digest === digest) return false;
    return (await this.#client.head(repository, tag)) === digest;
  }
}

/** What became of a tag: what it names, that it is not there, or why that could not be read. */
export type Look = { readonly tag: string } & (
  | { readonly tagged: Tagged }
  /** Listed all the same, or gone since. */
  | { readonly missing: true; readonly listed: boolean }
  | { readonly unread: Unread }
);

/** A tag as something that may fail. */
export const thingOf = (tag: string): Thing => ({
  kind: 'tag',
  name: tag,
  effect: 'it is left out, and what counts or sums all images is unknown',
});

/** Whether a tag is still listed. */
export type StillListed = (tag: string) => Promise<boolean>;

/** Reads the list of tags once more when it is first asked. */
export function createStillListed(client: Distribution, repository: string): StillListed {
  let listed: Promise<ReadonlySet<string>> | undefined;
  return async (tag) => {
    listed ??= client.tags(repository).then((names) => new Set(names));
    return (await listed).has(tag);
  };
}

/** What looking at tags needs. */
export interface TagScope {
  readonly context: CollectContext;
  readonly tags: TagResolver;
  readonly attempts: Attempts;
  readonly stillListed: StillListed;
  /** Tags that were listed at the polls before, and under which there was nothing. */
  readonly empty: Set<string>;
  readonly repository: string;
}

const emptyAtMost = 10_000;
const keyOfTag = (repository: string, tag: string): string => `${repository}:${tag}`;

/**
 * A tag that was listed and is not there has vanished since, or is left over in the registry: a second list tells, once.
 * It is asked for at each poll all the same, since something may be pushed under it.
 */
async function look(
  { attempts, repository, stillListed, empty, tags }: TagScope,
  tag: string,
): Promise<Look> {
  const key = keyOfTag(repository, tag);
  const answer = await attempts.attempt(thingOf(tag), async () => {
    const tagged = await tags.resolve(repository, tag);
    return tagged ?? { listed: empty.has(key) || (await stillListed(tag)) };
  });
  if (!('value' in answer)) return { tag, unread: answer };
  if ('digest' in answer.value) {
    empty.delete(key);
    return { tag, tagged: answer.value };
  }
  const { listed } = answer.value;
  if (listed && empty.size < emptyAtMost) empty.add(key);
  return { tag, missing: true, listed };
}

/**
 * Finds what tags name. The distribution registry before 3 lists tags whose manifest was deleted, for ever:
 * https://github.com/distribution/distribution/issues/1293
 */
export async function lookUp(scope: TagScope, names: readonly string[]): Promise<readonly Look[]> {
  const { context, repository } = scope;
  const looks = await pMap(names, (tag) => look(scope, tag), { concurrency: context.concurrency });
  const empty = looks.filter((look) => 'missing' in look && look.listed).map(({ tag }) => tag);
  if (empty.length > 0)
    context.tell(
      `empty tags of ${repository}`,
      { repository, number: empty.length, tags: empty.slice(0, 5) },
      'the registry lists tags, but there is nothing under them: they are left out, and cannot be pulled. Delete them, or push to them again',
    );
  return looks;
}

/** Finds what the tags of images name. Where all of them name the same, that is checked. */
export async function lookUpImages(scope: TagScope, tags: readonly string[]): Promise<readonly Look[]> {
  const looks = await lookUp(scope, tags);
  const named = looks.filter((look) => 'tagged' in look);
  const digest = named[0]?.tagged.digest;
  const isShared = named.every(({ tagged }) => !tagged.document && tagged.digest === digest);
  if (digest === undefined || !isShared) return looks;
  const { context, repository } = scope;
  try {
    const names = named.map(({ tag }) => tag);
    if (await scope.tags.confirm(repository, digest, names)) return looks;
  } catch (error) {
    // What cannot be read now is read, and fails, as part of the repository.
    context.signal.throwIfAborted();
    context.log.debug({ repository, err: error }, 'the digest that all tags name could not be checked');
    return looks;
  }
  return lookUp(scope, tags);
}

/** The tags of a list; what stands there and can be none is left out and reported. */
export function possibleTags(
  context: CollectContext,
  repository: string,
  listed: readonly string[],
): readonly string[] {
  const impossible = listed.filter((tag) => !isTag(tag));
  if (impossible.length === 0) return listed;
  const names = impossible.slice(0, 5).map((tag) => tag.slice(0, 140));
  context.tell(
    `impossible tags of ${repository}`,
    { repository, number: impossible.length, names },
    'the list of tags holds what can be no tag: left out',
  );
  return listed.filter(isTag);
}
