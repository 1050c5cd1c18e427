import { type Config, loadConfig } from './config.ts';
import { createEntries, type Entry } from './daemon/entries.ts';
import { type LoopEnvironment, targetOfConfig } from './daemon/loops.ts';
import type { RegistryLoop } from './loop.ts';
import type { EntryStatus } from './places.ts';
import { createQueue } from './queue.ts';
import type { Secret } from './secret.ts';

/** A registry that accepts events, and the token of those who may send them. */
export interface EventTarget {
  readonly loop: Pick<RegistryLoop, 'receive' | 'refused'>;
  readonly token: Secret;
}

/** All loops, and how a new configuration changes them. */
export interface Daemon {
  loops(): readonly RegistryLoop[];
  /** Entries that cover several registries. */
  entries(): readonly EntryStatus[];
  eventTarget(registry: string): EventTarget | undefined;
  /** Whether registries are being started, or those of an entry have not been found yet. */
  starting(): boolean;
  /**
   * Reads the configuration and starts, stops and leaves loops accordingly; a registry whose part did not change is
   * left running. @throws when it is refused, or cannot be started: everything runs on as before then.
   */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

export function createDaemon(options: LoopEnvironment & { readonly configFile: string }): Daemon {
  const { configFile, providers, self, log } = options;
  const changes = createQueue();
  let pendingChanges = 0;
  /** A reload that has not begun yet. */
  let waiting: Promise<void> | undefined;
  const entries = createEntries(options, queueChange);

  /** One change at a time. */
  function queueChange(change: () => Promise<void>): Promise<void> {
    pendingChanges += 1;
    return changes.run(change).finally(() => {
      pendingChanges -= 1;
    });
  }

  /** Goes over to a configuration. When one of its registries cannot be started, all is as it was before. */
  async function apply({ registries }: Config): Promise<void> {
    for (const config of registries) if (!config.places) targetOfConfig(providers, config);
    const wanted = new Map(registries.map((config) => [config.name, config]));
    const before = [...entries.all().values()];
    const isWanted = ({ config }: Entry) => wanted.get(config.name)?.source === config.source;
    const kept = new Set(before.filter(isWanted));
    await entries.stop(
      before.filter((entry) => !kept.has(entry)),
      ({ config }) => !wanted.has(config.name),
    );
    try {
      await entries.start(registries);
    } catch (error) {
      const started = [...entries.all().values()].filter((entry) => !kept.has(entry));
      await entries.stop(started, () => true);
      for (const { config } of before) await startAgain(config);
      throw error;
    }
  }

  async function startAgain(config: Entry['config']): Promise<void> {
    try {
      await entries.start([config]);
    } catch (err) {
      log.error(
        { err, registry: config.name },
        'a registry of the old configuration cannot be started again',
      );
    }
  }

  async function load(): Promise<void> {
    waiting = undefined;
    try {
      const config = await loadConfig(configFile, providers);
      await apply(config);
      log.info({ registries: config.registries.length }, 'the configuration was read');
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
    eventTarget(registry) {
      const target = entries.loops().find(({ config }) => config.name === registry);
      return target?.config.eventsToken && { loop: target.loop, token: target.config.eventsToken };
    },
    starting: () =>
      pendingChanges > 0 ||
      [...entries.all().values()].some(({ finder, loops }) => finder && loops.size === 0),
    reload() {
      // Reloads that come while one waits share it: it reads the file as it is then.
      waiting ??= queueChange(load);
      return waiting;
    },
    async stop() {
      for (const { finder } of entries.all().values()) finder?.stop();
      await changes.drained();
      await Promise.all(entries.loops().map(({ loop }) => loop.stop()));
    },
  };
}
