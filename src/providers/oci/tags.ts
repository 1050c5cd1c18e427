import picomatch from 'picomatch';
import { reasonOf } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution, Tagged } from './client.ts';

const day = 86_400;

/** Finds what a tag names, at the least cost that still shows a tag that moved. */
export interface TagResolver {
  /** Undefined: the tag is not there any more. */
  resolve(repository: string, tag: string): Promise<Tagged | undefined>;
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
  context: CollectContext,
  options: TagOptions,
): TagResolver {
  const { memory } = context;
  const isStable = options.stableTags.length > 0 ? picomatch([...options.stableTags]) : () => false;
  const noHead = memory.get('no-head');
  let useHead = !noHead || context.now() - noHead.storedAt >= day;

  return {
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
