import { type Config, loadConfig } from './config.ts';
import { createApply } from './daemon/apply.ts';
import { createEntries, type Entries } from './daemon/entries.ts';
import { createHandover } from './daemon/handover.ts';
import { createInUse, type InUseStatus } from './daemon/in-use.ts';
import { type LoopEnvironment, targetOfConfig } from './daemon/loops.ts';
import type { AskPeer } from './daemon/offers.ts';
import { createShards, type ShardFlags, type Shards } from './daemon/shards.ts';
import { createZeroShares } from './loop/push-zeros.ts';
import type { OidcSender } from './loop/settings.ts';
import type { RegistryLoop } from './loop.ts';
import type { EntryStatus } from './places.ts';
import { createQueue } from './queue.ts';
import type { Secret } from './secret.ts';
import { type HandedOver, savedFile } from './storage.ts';

export { type HandedOver, handedOver } from './storage.ts';

/** A registry that accepts events, and the token of those who may send them. */
export interface EventTarget {
  readonly loop: Pick<RegistryLoop, 'receive' | 'refused'>;
  readonly token: Secret;
  /** Who else may send. */
  readonly oidc?: OidcSender | undefined;
}

/** One that another shard polls. */
export interface EventTargetElsewhere {
  readonly shard: number;
  readonly token: Secret;
  readonly oidc?: OidcSender | undefined;
}

/** All loops, and how a new configuration changes them. */
export interface Daemon {
  loops(): readonly RegistryLoop[];
  /** Entries that cover several registries. */
  entries(): readonly EntryStatus[];
  /** Sources of what runs. */
  inUse(): readonly InUseStatus[];
  eventTarget(registry: string): EventTarget | EventTargetElsewhere | undefined;
  /** Whether registries are being started, or those of an entry have not been found yet. */
  starting(): boolean;
  /**
   * Reads the configuration and starts, stops and leaves loops accordingly; a registry whose part did not change is
   * left running. @throws when it is refused, or cannot be started: everything runs on as before then.
   */
  reload(): Promise<void>;
  stop(): Promise<void>;
  /** A file of a registry that this shard polled before and another one polls now. */
  savedState(registry: string, kind: HandedOver): Promise<SavedState | 'nothing' | 'not yet'>;
}

/** What was saved of a registry, and the token of those who may have it; undefined where it has none. */
export interface SavedState {
  readonly pieces: AsyncIterable<Uint8Array>;
  readonly token: Secret | undefined;
}

export interface DaemonOptions
  extends Omit<LoopEnvironment, 'shards' | 'inUse' | 'zeroShares' | 'handover'>,
    ShardFlags {
  readonly configFile: string;
  /** Asks other shards; undefined where their addresses are not known. */
  readonly askPeer?: AskPeer | undefined;
}

/** What takes over the state of registries that move, where states are saved and other shards can be asked. */
function handoverOf({ storagePath, askPeer: ask, providers, log }: DaemonOptions, shards: Shards) {
  if (storagePath === undefined || ask === undefined) return undefined;
  return createHandover({
    ...{ storagePath, shards, ask, log },
    targetOf: (config) => targetOfConfig(providers, config),
  });
}

type Found = ReturnType<Entries['find']>;

/** Where push events of a registry go. */
function eventTargetOf(registry: string, entry: Found, shards: Shards): ReturnType<Daemon['eventTarget']> {
  const { config, loop } = entry ?? {};
  const token = config?.eventsToken;
  const oidc = config?.eventsOidc;
  if (loop) return token && { loop, token, oidc };
  // One that is this shard's and does not run is being started, or cannot be.
  return token && !shards.owns(registry) ? { shard: shards.ownerOf(registry), token, oidc } : undefined;
}

/** What lies on the disk of a registry that is not polled here. */
async function savedOf(
  storagePath: string | undefined,
  entry: Found,
  kind: HandedOver,
  shards: Shards,
): Promise<SavedState | 'nothing' | 'not yet'> {
  if (!entry || storagePath === undefined) return 'nothing';
  if (entry.loop || shards.owns(entry.config.name)) return 'not yet';
  const pieces = await savedFile(storagePath, entry.config.name, kind);
  return pieces ? { pieces, token: entry.config.eventsToken } : 'nothing';
}

export function createDaemon(options: DaemonOptions): Daemon {
  const { configFile, providers, self, log } = options;
  const shards = createShards(options);
  const changes = createQueue();
  let pendingChanges = 0;
  /** What runs now. */
  let applied: Config | undefined;
  /** A reload that has not begun yet. */
  let waiting: Promise<void> | undefined;
  const inUse = createInUse({ ...options, knowsAll: () => shards.count() === 1 });
  const entries = createEntries(
    { ...options, shards, inUse, zeroShares: createZeroShares(), handover: handoverOf(options, shards) },
    queueChange,
  );
  const apply = createApply({ options, shards, entries });

  /** One change at a time. */
  function queueChange(change: () => Promise<void>): Promise<void> {
    pendingChanges += 1;
    return changes.run(change).finally(() => {
      pendingChanges -= 1;
    });
  }

  function tellRead({ registries }: Config): void {
    const { ordinal } = shards;
    const [count, polled] = [shards.count(), entries.loops().length];
    const divided = count > 1 && { shard: ordinal, shards: count, polled };
    log.info({ registries: registries.length, ...divided }, 'the configuration was read');
    if (ordinal >= count)
      log.warn({ shard: ordinal, shards: count }, 'there are fewer shards: this one polls no registry');
    self.divided(ordinal, count);
  }

  async function load(): Promise<void> {
    waiting = undefined;
    try {
      const config = await loadConfig(configFile, providers);
      await inUse.apply(config.inUse);
      await apply(config).catch(async (error) => {
        await inUse.apply(applied?.inUse);
        throw error;
      });
      applied = config;
      tellRead(config);
    } catch (error) {
      self.reloaded(false);
      throw error;
    }
    self.reloaded(true);
  }

  const isChanging = (): boolean =>
    pendingChanges > 0 || [...entries.all().values()].some(({ finder, registries }) => finder && !registries);

  return {
    loops: () => entries.loops().map(({ loop }) => loop),
    entries: () =>
      [...entries.all().values()].flatMap(({ finder, loops }) =>
        finder ? [{ ...finder.status(), registries: loops.size }] : [],
      ),
    inUse: inUse.sources,
    eventTarget: (registry) => eventTargetOf(registry, entries.find(registry), shards),
    starting: () => isChanging() || entries.isWaiting(),
    // While registries are started and stopped it is not on the disk yet.
    savedState: async (registry, kind) =>
      isChanging() ? 'not yet' : savedOf(options.storagePath, entries.find(registry), kind, shards),
    reload() {
      // Reloads that come while one waits share it: it reads the file as it is then.
      waiting ??= queueChange(load);
      return waiting;
    },
    async stop() {
      entries.close();
      for (const { finder } of entries.all().values()) finder?.stop();
      await changes.drained();
      await inUse.stop();
      await Promise.all(entries.loops().map(({ loop }) => loop.stop()));
    },
  };
}
