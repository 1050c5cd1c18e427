import { type Config, loadConfig } from './config.ts';
import { createApply } from './daemon/apply.ts';
import { createEntries } from './daemon/entries.ts';
import { createInUse, type InUseStatus } from './daemon/in-use.ts';
import type { LoopEnvironment } from './daemon/loops.ts';
import { createShards, type ShardFlags } from './daemon/shards.ts';
import type { OidcSender } from './loop/settings.ts';
import type { RegistryLoop } from './loop.ts';
import type { EntryStatus } from './places.ts';
import { createQueue } from './queue.ts';
import type { Secret } from './secret.ts';

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
}

export interface DaemonOptions extends Omit<LoopEnvironment, 'shards' | 'inUse'>, ShardFlags {
  readonly configFile: string;
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
  const entries = createEntries({ ...options, shards, inUse }, queueChange);
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

  return {
    loops: () => entries.loops().map(({ loop }) => loop),
    entries: () =>
      [...entries.all().values()].flatMap(({ finder, loops }) =>
        finder ? [{ ...finder.status(), registries: loops.size }] : [],
      ),
    inUse: inUse.sources,
    eventTarget(registry) {
      const { config, loop } = entries.find(registry) ?? {};
      const token = config?.eventsToken;
      const oidc = config?.eventsOidc;
      if (loop) return token && { loop, token, oidc };
      // One that is this shard's and does not run is being started, or cannot be.
      return token && !shards.owns(registry) ? { shard: shards.ownerOf(registry), token, oidc } : undefined;
    },
    starting: () =>
      pendingChanges > 0 ||
      [...entries.all().values()].some(({ finder, registries }) => finder && !registries),
    reload() {
      // Reloads that come while one waits share it: it reads the file as it is then.
      waiting ??= queueChange(load);
      return waiting;
    },
    async stop() {
      for (const { finder } of entries.all().values()) finder?.stop();
      await changes.drained();
      await inUse.stop();
      await Promise.all(entries.loops().map(({ loop }) => loop.stop()));
    },
  };
}
