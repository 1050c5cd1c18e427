import { CollectError } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';

const day = 86_400;

/** A manifest that things may be attached to. */
export interface Target {
  readonly digest: string;
  /** Asked about at each poll; others once in `referrersSeconds`. */
  readonly everyPoll: boolean;
}

export interface Answer {
  /** Digests of what is attached. */
  readonly digests: readonly string[];
  /** Whether they are others than before. */
  readonly changed: boolean;
}

/** The referrers API, as far as a registry offers it. */
export interface Referrers {
  /**
   * What the API says is attached; nothing where the repository does not offer it, which is remembered for a day.
   * @throws CollectError where it cannot be told
   */
  ask(repository: string, target: Target): Promise<Answer>;
  /** Whether the repository is known not to offer it. */
  isAbsent(repository: string): boolean;
}

const nothing: Answer = { digests: [], changed: false };

export function createReferrers(
  client: Distribution,
  context: CollectContext,
  referrersSeconds: number,
): Referrers {
  const { memory } = context;
  const offerKey = (repository: string) => `referrers-api ${repository}`;
  /** Whether the repository offered the API when it was asked within the last day. */
  const offered = (repository: string): boolean | undefined => {
    const known = memory.get<boolean>(offerKey(repository));
    return known && context.now() - known.storedAt < day ? known.value : undefined;
  };
  const noted = new Set<string>();
  const note = (repository: string, offers: boolean): void => {
    if (offers && noted.has(repository)) return;
    memory.set(offerKey(repository), offers);
    noted.add(repository);
  };

  return {
    isAbsent: (repository) => offered(repository) === false,
    async ask(repository, { digest, everyPoll }) {
      const key = `referrers ${JSON.stringify([repository, digest])}`;
      const known = memory.get<string[]>(key);
      const recent = known && context.now() - known.storedAt < referrersSeconds;
      if (recent && !everyPoll) return { digests: known.value, changed: false };
      if (offered(repository) === false) return nothing;
      const found = await client.referrers(repository, digest);
      if (!found) {
        // A gateway's refusal is no word of the registry's: else all images would lose their signatures for a day.
        if (offered(repository))
          throw new CollectError(
            'invalid_response',
            `the referrers API does not answer for ${digest} of ${repository}, though the registry has it`,
          );
        note(repository, false);
        return nothing;
      }
      note(repository, true);
      const digests = [...new Set(found.map((descriptor) => descriptor.digest))].sort();
      const changed = !known || known.value.join() !== digests.join();
      memory.set(key, digests);
      return { digests, changed };
    },
  };
}
