import picomatch from 'picomatch';
import { reasonOf } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution, Tagged } from './client.ts';
import type { Digests } from './digests.ts';

const day = 86_400;

/** Finds what a tag names, at the least cost that still shows a tag that moved. */
export interface TagResolver {
  /** Undefined: the tag is not there any more. */
  resolve(repository: string, tag: string): Promise<Tagged | undefined>;
  /**
   * Checks that all tags of a repository name one digest, as HEAD says: some proxies answer each HEAD alike. Two of the
   * tags are read, once for as long as the digest is the same. A single tag is not, where its manifest will be.
   * @returns false where HEAD is wrong, which is told: the tags have to be resolved again
   */
  confirm(repository: string, digest: string, tags: readonly string[]): Promise<boolean>;
}

export interface TagOptions {
  /** Patterns of tags that never move. */
  readonly stableTags: readonly string[];
  /** Such tags are looked at all the same once in so many seconds. */
  readonly stableTagsSeconds: number;
}

/** One HEAD per tag; a conditional GET where the registry does not answer HEAD or names no digest. */
export function createTagResolver(
  client: Distribution,
  digests: Pick<Digests, 'remembers'>,
  context: CollectContext,
  options: TagOptions,
): TagResolver {
  const { memory } = context;
  const isStable = options.stableTags.length > 0 ? picomatch([...options.stableTags]) : () => false;
  const noHead = memory.get('no-head');
  let useHead = !noHead || context.now() - noHead.storedAt >= day;

  /** Whether a tag names another manifest than HEAD says; one that moved a moment ago does not. */
  async function differs(repository: string, tag: string, digest: string): Promise<boolean> {
    const read = await client.read(repository, tag, undefined);
    if (!read || read.digest === digest) return false;
    return (await client.head(repository, tag)) === digest;
  }

  return {
    async confirm(repository, digest, tags) {
      const key = `head ${repository}`;
      if (!useHead || memory.get<string>(key)?.value === digest) return true;
      const isReadAnyway = tags.length === 1 && !digests.remembers(digest);
      for (const tag of isReadAnyway ? [] : new Set([tags[0] as string, tags.at(-1) as string])) {
        if (!(await differs(repository, tag, digest))) continue;
        memory.set('no-head', true);
        useHead = false;
        context.tell(
          'wrong answers to HEAD',
          { repository, tag, digest },
          'the registry, or a proxy before it, answers HEAD with the digest of another manifest: tags are read by GET instead',
        );
        return false;
      }
      memory.set(key, digest);
      return true;
    },
    async resolve(repository, tag) {
      const key = `tag ${JSON.stringify([repository, tag])}`;
      const known = memory.get<string>(key);
      const stable = isStable(tag);
      if (stable && known && context.now() - known.storedAt < options.stableTagsSeconds)
        return { digest: known.value };
      let broken = false;
      if (useHead) {
        const digest = await client.head(repository, tag).catch((error: unknown) => {
          broken = reasonOf(error) === 'server_error';
          if (!broken) throw error;
          return undefined;
        });
        if (digest !== undefined) {
          if (stable) memory.set(key, digest);
          return { digest };
        }
      }
      const read = await client.read(repository, tag, known?.value);
      if (!read) return undefined;
      // HEAD had no digest where GET has one: the registry does not do HEAD.
      if (useHead && !broken) {
        memory.set('no-head', true);
        useHead = false;
      }
      if (!useHead || stable) memory.set(key, read.digest);
      return read;
    },
  };
}
