import { reasonOf } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import type { Hub } from './client.ts';
import type { RepositoryDetail } from './wire.ts';

/** Whether tags of a repository cannot be moved; undefined where that is unknown, or not known yet. */
export type TagRules = (repository: string, listed: RepositoryDetail) => Promise<boolean | undefined>;

/** The listing does not tell, and one request per repository in each poll would double them: so many in a poll. */
const readsPerPoll = 60;
/** After so many failures in a poll no more are read. */
const failuresAtMost = 3;

export function createTagRules(
  hub: Hub,
  context: Pick<CollectContext, 'memory' | 'now' | 'degraded' | 'signal' | 'tell'>,
  intervalSeconds: number,
): TagRules {
  const { memory, now } = context;
  let left = readsPerPoll;
  let failures = 0;

  async function read(repository: string): Promise<boolean | undefined> {
    left -= 1;
    try {
      const enabled = (await hub.repository(repository)).immutable_tags_settings?.enabled;
      if (enabled === undefined)
        context.tell(
          'immutable tags',
          { repository },
          'Docker Hub does not tell whether tags of a repository can be moved: immutable_tags is unknown',
        );
      return enabled;
    } catch (error) {
      context.signal.throwIfAborted();
      // Deleted meanwhile: its tags will say so.
      if (reasonOf(error) === 'not_found') return undefined;
      failures += 1;
      if (failures >= failuresAtMost) left = 0;
      context.degraded('practices', error);
      return undefined;
    }
  }

  return async (repository, listed) => {
    const enabled = listed.immutable_tags_settings?.enabled;
    if (enabled !== undefined) return enabled;
    const key = `docker-hub immutable tags ${repository}`;
    const remembered = memory.get<boolean>(key);
    const isRecent = remembered && now() - remembered.storedAt < intervalSeconds;
    if (isRecent || left <= 0) return remembered?.value;
    const current = await read(repository);
    if (current !== undefined) memory.set(key, current);
    return current ?? remembered?.value;
  };
}
