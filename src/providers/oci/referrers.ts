import type { CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';

const day = 86_400;
const watchedAtMost = 1_000;

const keyOf = (repository: string, digest: string): string =>
  `referrers ${JSON.stringify([repository, digest])}`;

/** A manifest that things may be attached to. */
export interface Target {
  readonly digest: string;
  /** Asked about at each poll; others once in `referrersSeconds`. */
  readonly everyPoll: boolean;
}

/** What the referrers API says of a target. */
export interface TargetReferrers {
  /** Digests of what is attached. */
  readonly digests: readonly string[];
  /** Whether they are others than before. */
  readonly changed: boolean;
  /** Whether all that was listed could be understood. */
  readonly complete: boolean;
}

/** The referrers API, as far as a registry offers it. */
export interface Referrers {
  /**
   * What the API says is attached; `refused` where it says that it is not offered.
   * @throws CollectError where the answer does not say
   */
  ask(repository: string, target: Target): Promise<TargetReferrers | 'refused'>;
  /** Whether the repository is known to offer it or not; undefined where it was not asked within a day. */
  offered(repository: string): boolean | undefined;
  /** Asks again at each poll: what is odd is often replaced. */
  watch(repository: string, digest: string): void;
  /** Remembers for a day that the repository does not offer it. */
  setAbsent(repository: string): void;
}

export function createReferrers(
  client: Distribution,
  context: CollectContext,
  referrersSeconds: number,
): Referrers {
  const { memory } = context;
  const offerKey = (repository: string) => `referrers-api ${repository}`;
  /** Whether the repository offered the API when it was asked within the last day. */
  const offered = (repository: string): boolean | undefined => {
    const remembered = memory.get<boolean>(offerKey(repository));
    return remembered && context.now() - remembered.storedAt < day ? remembered.value : undefined;
  };
  const noted = new Set<string>();
  const watched = context.session.keep('oci: subjects of odd attachments', () => new Set<string>());

  return {
    offered,
    watch(repository, digest) {
      if (watched.size < watchedAtMost) watched.add(keyOf(repository, digest));
    },
    setAbsent: (repository) => memory.set(offerKey(repository), false),
    async ask(repository, { digest, everyPoll }) {
      const key = keyOf(repository, digest);
      const remembered = memory.get<string[]>(key);
      const recent = remembered && context.now() - remembered.storedAt < referrersSeconds;
      if (recent && !everyPoll && !watched.delete(key))
        return { digests: remembered.value, changed: false, complete: true };
      const referrers = await client.referrers(repository, digest);
      if (!referrers) return 'refused';
      if (!noted.has(repository)) memory.set(offerKey(repository), true);
      noted.add(repository);
      const digests = referrers.digests.toSorted();
      const changed = !remembered || remembered.value.join() !== digests.join();
      if (referrers.complete) memory.set(key, digests);
      return { digests, changed, complete: referrers.complete };
    },
  };
}
