import { type Config, loadConfig, type Providers, type RegistryConfig } from './config.ts';
import { CollectError } from './errors.ts';
import type { Exposition } from './exposition.ts';
import type { RootLogger } from './log.ts';
import { createRegistryLoop, type RegistryLoop } from './loop.ts';
import { openMemory } from './memory.ts';
import { createPlaceFinder, type EntryStatus, type PlaceFinder } from './places.ts';
import type { Provider } from './provider.ts';
import { createQueue } from './queue.ts';
import type { Secret } from './secret.ts';
import type { SelfMetrics } from './self-metrics.ts';
import { createStorage } from './storage.ts';
import { targetOf } from './target.ts';

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

/** An entry of the configuration and the loops that it became: one, or one for each of its places. */
interface Running {
  readonly config: RegistryConfig;
  readonly loops: Map<string, { readonly config: RegistryConfig; readonly loop: RegistryLoop }>;
  readonly finder?: PlaceFinder;
}

/** Loops start so far apart, so that a restart with many registries is no thundering herd. */
const startGapMs = 200;

export function createDaemon(input: {
  readonly configFile: string;
  readonly storagePath: string | undefined;
  readonly providers: Providers;
  readonly exposition: Exposition;
  readonly self: SelfMetrics;
  readonly log: RootLogger;
  readonly userAgent: string;
}): Daemon {
  const { configFile, storagePath, providers, exposition, self, log, userAgent } = input;
  let running = new Map<string, Running>();
  const changes = createQueue();
  let pendingChanges = 0;
  /** A reload that has not begun yet. */
  let waiting: Promise<void> | undefined;

  const providerOf = ({ type }: RegistryConfig): Provider => {
    const provider = providers[type];
    if (!provider) throw new Error(`no provider for ${type}`);
    return provider;
  };

  const targetOfConfig = (config: RegistryConfig): string => {
    const { type, options } = config;
    return targetOf({ type, options, identity: providerOf(config).identity(options) });
  };

  async function startLoop(config: RegistryConfig, delayMs: number): Promise<RegistryLoop> {
    const provider = providerOf(config);
    const bound = log.child({ registry: config.name });
    const target = targetOfConfig(config);
    const storage = createStorage({ path: storagePath, registry: config.name, target, log: bound });
    const memory = await openMemory({ path: storage.memoryPath, target, log: bound });
    const loop = createRegistryLoop({
      settings: config,
      provider,
      storage,
      memory,
      exposition,
      self,
      log: bound,
      userAgent,
    });
    try {
      await loop.start(delayMs);
    } catch (error) {
      await stopLoop(config.name, loop, true);
      throw error;
    }
    return loop;
  }

  /** What is saved carries a changed registry over; one that is gone leaves no series. */
  async function stopLoop(name: string, loop: RegistryLoop, gone: boolean): Promise<void> {
    await loop.stop();
    if (gone) exposition.remove(name);
    await self.forget(name);
  }

  /** Starts, stops and leaves the loops of an entry's places. */
  async function settle(entry: Running, registries: ReadonlyMap<string, RegistryConfig>): Promise<void> {
    for (const [name, { config, loop }] of entry.loops) {
      const now = registries.get(name);
      if (now?.source === config.source) continue;
      entry.loops.delete(name);
      await stopLoop(name, loop, !now);
    }
    const taken = new Set(
      [...running].flatMap(([name, other]) => (other === entry ? [] : [name, ...other.loops.keys()])),
    );
    let started = 0;
    let conflict: string | undefined;
    for (const [name, config] of registries) {
      if (entry.loops.has(name)) continue;
      if (taken.has(name)) {
        conflict = name;
        continue;
      }
      entry.loops.set(name, { config, loop: await startLoop(config, started * startGapMs) });
      started += 1;
    }
    if (conflict !== undefined)
      throw new CollectError(
        'configuration',
        `a place of ${entry.config.name} would be named ${JSON.stringify(conflict)}, which another registry is: change nameTemplate`,
      );
  }

  function startFinder(config: RegistryConfig): Running {
    const provider = providerOf(config);
    const labels = { registry: config.name, provider: provider.label };
    const entry: Running = {
      config,
      loops: new Map(),
      finder: createPlaceFinder({
        config,
        provider,
        log: log.child({ registry: config.name }),
        userAgent,
        observe(operation, code, seconds) {
          self.apiRequests.inc({ ...labels, operation, code });
          self.apiRequestDuration.observe({ ...labels, operation }, seconds);
        },
        searched: (up) => {
          if (running.get(config.name) === entry) self.placesUp.set(labels, Number(up));
        },
        found: (registries) =>
          queueChange(async () => {
            if (running.get(config.name) === entry) await settle(entry, registries);
          }),
      }),
    };
    return entry;
  }

  /** One change at a time. */
  function queueChange(change: () => Promise<void>): Promise<void> {
    pendingChanges += 1;
    return changes.run(change).finally(() => {
      pendingChanges -= 1;
    });
  }

  /** Ends an entry. Names of places are found again: one that became another kind must not leave them behind. */
  async function stopEntry({ config, loops, finder }: Running, gone: boolean): Promise<void> {
    finder?.stop();
    for (const [name, { loop }] of loops) await stopLoop(name, loop, gone || finder !== undefined);
    await self.forget(config.name);
  }

  async function startEntry(config: RegistryConfig, delayMs: number): Promise<void> {
    if (config.places) {
      const entry = startFinder(config);
      running.set(config.name, entry);
      entry.finder?.start();
      return;
    }
    // What the configuration names outright goes before a place that happens to have the name.
    for (const { loops } of running.values()) {
      const place = loops.get(config.name);
      if (place && loops.delete(config.name)) await stopLoop(config.name, place.loop, true);
    }
    const loop = await startLoop(config, delayMs);
    running.set(config.name, { config, loops: new Map([[config.name, { config, loop }]]) });
  }

  /** Starts what the configuration has and does not run yet, in its order. */
  async function startMissing(registries: readonly RegistryConfig[]): Promise<void> {
    let started = 0;
    for (const config of registries) {
      const kept = running.get(config.name);
      // To the end, as the configuration has it.
      if (kept && running.delete(config.name)) running.set(config.name, kept);
      else await startEntry(config, config.places ? 0 : startGapMs * started++);
    }
  }

  /** Goes over to a configuration. When one of its registries cannot be started, all is as it was before. */
  async function apply({ registries }: Config): Promise<void> {
    for (const config of registries) if (!config.places) targetOfConfig(config);
    const wanted = new Map(registries.map((config) => [config.name, config]));
    const before = running;
    const isKept = ({ config }: Running) => wanted.get(config.name)?.source === config.source;
    const others = [...before.values()].filter((entry) => !isKept(entry));
    for (const entry of others) await stopEntry(entry, !wanted.has(entry.config.name));
    // From here on what was stopped is not shown any more.
    running = new Map([...before].filter(([, entry]) => isKept(entry)));
    try {
      await startMissing(registries);
    } catch (error) {
      for (const [name, entry] of running) {
        if (before.get(name) === entry) continue;
        await stopEntry(entry, true);
        running.delete(name);
      }
      for (const { config } of before.values())
        await startMissing([config]).catch((err) =>
          log.error(
            { err, registry: config.name },
            'a registry of the old configuration cannot be started again',
          ),
        );
      throw error;
    }
  }

  const allLoops = () => [...running.values()].flatMap(({ loops }) => [...loops.values()]);

  return {
    loops: () => allLoops().map(({ loop }) => loop),
    entries: () =>
      [...running.values()].flatMap(({ finder, loops }) =>
        finder ? [{ ...finder.status(), registries: loops.size }] : [],
      ),
    eventTarget(registry) {
      const found = allLoops().find(({ config }) => config.name === registry);
      return found?.config.eventsToken && { loop: found.loop, token: found.config.eventsToken };
    },
    starting: () =>
      pendingChanges > 0 || [...running.values()].some(({ finder, loops }) => finder && loops.size === 0),
    reload() {
      // Whoever comes while one waits shares it: it takes the file as it is when its turn comes.
      waiting ??= queueChange(async () => {
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
      });
      return waiting;
    },
    async stop() {
      for (const { finder } of running.values()) finder?.stop();
      await changes.drained();
      await Promise.all(allLoops().map(({ loop }) => loop.stop()));
    },
  };
}
