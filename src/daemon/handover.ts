import type { RegistryConfig } from '../config.ts';
import type { RootLogger } from '../log.ts';
import { createStorage } from '../storage.ts';
import { type AskPeer, createOffers } from './offers.ts';
import { type Shards, shardOf } from './shards.ts';

/**
 * State that follows a registry to another shard: its new owner asks those that polled it before for what they saved,
 * and goes on from there.
 */
export interface Handover {
  /**
   * Takes over what another shard saved of a registry, where it knows more than what lies here.
   * @returns `later` while another shard still polls it: until then nothing is missed
   */
  take(config: RegistryConfig): Promise<'done' | 'later'>;
}

/** A rollout restarts one shard after the other. After this time a registry is polled without the state. */
const stillPolledMs = 10 * 60_000;
/** A shard that does not answer may be starting, or gone for good. */
const silentMs = 20_000;

/**
 * The shards that may have polled a registry when there were fewer, the latest first. Those that are gone since cannot
 * be asked.
 */
export function formerOwners(registry: string, count: number, own: number): number[] {
  const fewer = Array.from({ length: count - 1 }, (_, at) => shardOf(registry, count - 1 - at));
  return [...new Set(fewer)].filter((shard) => shard !== own);
}

export function createHandover(input: {
  readonly storagePath: string;
  readonly shards: Shards;
  readonly ask: AskPeer;
  readonly log: RootLogger;
  targetOf(config: RegistryConfig): string;
}): Handover {
  const { storagePath, shards, ask, targetOf } = input;
  /** Since when registries wait, on the monotonic clock. */
  const waitingSince = new Map<string, number>();

  function mayWait(registry: string, limitMs: number): boolean {
    const now = performance.now();
    const since = waitingSince.get(registry) ?? now;
    waitingSince.set(registry, since);
    return now - since < limitMs;
  }

  async function attempt(config: RegistryConfig): Promise<'done' | 'later'> {
    const { name: registry, intervalMs } = config;
    const target = targetOf(config);
    const log = input.log.child({ registry });
    const own = createStorage({ path: storagePath, registry, target, log });
    const savedAt = await own.savedAt();
    // It was polled here a moment ago.
    if (savedAt !== undefined && Date.now() - savedAt * 1000 < 2 * intervalMs) return 'done';
    const offers = createOffers({ config, target, storagePath, ask, log });
    try {
      const { offer, isEarly, isSilent } = await offers.best(
        formerOwners(registry, shards.count(), shards.ordinal),
      );
      if (isEarly && mayWait(registry, stillPolledMs)) return 'later';
      if (isEarly) log.warn({}, 'another shard does not let go of the registry: polled here as well');
      if (offer) await offers.adopt(offer, own);
      else if (isSilent && savedAt === undefined && mayWait(registry, silentMs)) return 'later';
      return 'done';
    } finally {
      await offers.clear();
    }
  }

  return {
    async take(config) {
      if (shards.count() === 1) return 'done';
      const result = await attempt(config).catch((err) => {
        const log = input.log.child({ registry: config.name });
        log.warn({ err }, 'the state of another shard could not be taken over: polled without it');
        return 'done' as const;
      });
      if (result === 'done') waitingSince.delete(config.name);
      return result;
    },
  };
}
