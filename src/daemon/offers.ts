import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryConfig } from '../config.ts';
import type { Logger } from '../provider.ts';
import type { Secret } from '../secret.ts';
import {
  createStorage,
  type HandedOver,
  type RegistryStorage,
  receiveFile,
  type SavedCounters,
} from '../storage.ts';

/** What another shard says: the file, that it has none, that it is not done with the registry, or nothing. */
export type PeerAnswer = AsyncIterable<Uint8Array> | 'nothing' | 'not yet' | 'no answer';

/** Asks another shard for a file of a registry's state. Never fails. */
export type AskPeer = (
  shard: number,
  wanted: { readonly registry: string; readonly kind: HandedOver; readonly token: Secret | undefined },
) => Promise<PeerAnswer>;

/** What another shard saved of a registry. */
export interface Offer {
  readonly shard: number;
  readonly counters: SavedCounters;
}

/** What other shards saved of one registry. */
export interface Offers {
  /** The one that polled the registry most, and whether a shard is not done with it or does not answer. */
  best(shards: readonly number[]): Promise<{
    readonly offer: Offer | undefined;
    readonly isEarly: boolean;
    readonly isSilent: boolean;
  }>;
  /** Takes the place of what lies in a storage, unless that knows more; the counters at last. */
  adopt(offer: Offer, own: RegistryStorage): Promise<void>;
  /** Removes what was received. */
  clear(): Promise<void>;
}

/**
 * Reads what other shards saved with the same eyes as what lies on the own disk: it is written to a folder apart, and
 * taken over as far as shapes, checksum, target and times are right.
 */
export function createOffers(input: {
  readonly config: RegistryConfig;
  readonly target: string;
  readonly storagePath: string;
  readonly ask: AskPeer;
  readonly log: Logger;
}): Offers {
  const { config, target, ask, log } = input;
  const { name: registry, eventsToken: token } = config;
  const path = join(input.storagePath, 'from-other-shards');
  const received = createStorage({ path, registry, target, log });

  /** @returns whether the file lies in the folder now, or what the shard said instead */
  async function receive(shard: number, kind: HandedOver, folder = path) {
    const answer = await ask(shard, { registry, kind, token });
    if (typeof answer === 'string') return answer;
    try {
      await receiveFile(folder, registry, kind, answer);
      return 'received';
    } catch (err) {
      log.warn({ err, shard }, `the ${kind} that another shard saved could not be read`);
      return 'nothing';
    }
  }

  return {
    async best(shards) {
      let offer: Offer | undefined;
      const answers = new Set<string>();
      for (const shard of shards) {
        const answer = await receive(shard, 'counters');
        answers.add(answer);
        const counters = answer === 'received' ? await received.loadCounters() : undefined;
        if (counters && counters.polls > (offer?.counters.polls ?? -1)) offer = { shard, counters };
      }
      return { offer, isEarly: answers.has('not yet'), isSilent: answers.has('no answer') };
    },
    async adopt({ shard, counters }, own) {
      const before = await own.loadCounters();
      if (before && before.polls > counters.polls) return;
      const answer = await receive(shard, 'snapshot');
      const snapshot = answer === 'received' ? await received.loadSnapshot() : undefined;
      if (snapshot) await own.saveSnapshot(snapshot);
      // These are read line by line when the registry starts, and what does not fit is left out.
      await receive(shard, 'memory', input.storagePath);
      const hasJournal = (await receive(shard, 'pushes', input.storagePath)) === 'received';
      // Lines of a journal of this shard are in counters that were saved here: they are not counted again.
      const journal = hasJournal ? 0 : (before?.journal ?? 0);
      await own.saveCounters({ ...counters, journal: Math.max(journal, counters.journal ?? 0) });
      log.info({ shard, polls: counters.polls }, 'went on from the state that another shard saved');
    },
    async clear() {
      for (const kind of ['counters', 'snapshot'] as const)
        await rm(join(path, `${encodeURIComponent(registry)}.${kind}`), { force: true }).catch(() => {});
    },
  };
}
