import { reasonOf } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import type { Hub } from './client.ts';
import type { RepositoryDetail } from './wire.ts';

/** Whether tags of a repository cannot be moved. */
export interface TagRules {
  /** Undefined: not known yet, or not to be known. */
  immutable(repository: string, listed: RepositoryDetail): Promise<boolean | undefined>;
}

/** The listing does not tell, and a request for each repository in each poll would double them: so many per poll. */
const readsPerPoll = 60;
/** After so many failures in a poll no more are read. */
const failuresAtMost = 3;

export function createTagRules(options: {
  readonly hub: Hub;
  readonly context: Pick<CollectContext, 'memory' | 'now' | 'degraded' | 'signal' | 'tell'>;
  readonly intervalSeconds: number;
}): TagRules {
  const { hub, context, intervalSeconds } = options;
  const { memory, now } = context;
  let left = readsPerPoll;
  let failures = 0;
  return {
    async immutable(repository, listed) {
      const key = `docker-hub immutable tags ${repository}`;
      const told = listed.immutable_tags_settings?.enabled;
      if (typeof told === 'boolean') return told;
      const known = memory.get<boolean>(key);
      if ((known && now() - known.storedAt < intervalSeconds) || left <= 0) return known?.value;
      left -= 1;
      try {
        const enabled = (await hub.repository(repository)).immutable_tags_settings?.enabled;
        if (enabled === undefined) {
          context.tell(
            'immutable tags',
            { repository },
            'Docker Hub does not tell whether tags of a repository can be moved: immutable_tags is unknown',
          );
          return known?.value;
        }
        memory.set(key, enabled);
        return enabled;
      } catch (error) {
        context.signal.throwIfAborted();
        // Deleted meanwhile: its tags will say so.
        if (reasonOf(error) === 'not_found') return undefined;
        failures += 1;
        if (failures >= failuresAtMost) left = 0;
        context.degraded('practices', error);
        return known?.value;
      }
    },
  };
}
