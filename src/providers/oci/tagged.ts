import pMap from 'p-map';
import { CollectError } from '../../errors.ts';
import type { Attempts, Thing, Unread } from '../../failing.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution, Tagged } from './client.ts';
import { isTag } from './names.ts';
import type { TagResolver } from './tags.ts';

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
  effect: 'it is left out, and unless there is nothing under it, what counts or sums all images is unknown',
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

/**
 * Finds what tags name. A tag that was listed and is not there has vanished since, or is left over in the registry: a
 * second list tells.
 */
export async function lookUp(
  scope: {
    readonly context: CollectContext;
    readonly tags: TagResolver;
    readonly attempts: Attempts;
    readonly stillListed: StillListed;
    readonly repository: string;
  },
  tags: readonly string[],
): Promise<readonly Look[]> {
  const { context, attempts, repository, stillListed } = scope;
  return pMap(
    tags,
    async (tag): Promise<Look> => {
      const look = await attempts.attempt(thingOf(tag), async () => {
        const tagged = await scope.tags.resolve(repository, tag);
        if (tagged) return tagged;
        if (!(await stillListed(tag))) return undefined;
        throw new CollectError(
          'not_found',
          `${repository}:${tag} is listed among the tags, but there is nothing under it`,
        );
      });
      if (!('value' in look))
        return look.error.reason === 'not_found'
          ? { tag, missing: true, listed: true }
          : { tag, unread: look };
      return look.value ? { tag, tagged: look.value } : { tag, missing: true, listed: false };
    },
    { concurrency: context.concurrency },
  );
}

/** Finds what the tags of images name. Where all of them name the same, that is checked. */
export async function lookUpImages(
  scope: Parameters<typeof lookUp>[0],
  tags: readonly string[],
): Promise<readonly Look[]> {
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

/** The tags of a list; what stands there and can be none is told and left out. */
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
