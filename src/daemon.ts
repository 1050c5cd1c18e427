import { type Config, loadConfig, type Providers, type RegistryConfig } from './config.ts';
import { CollectError } from './errors.ts';
import type { EventTarget } from './events.ts';
import type { Exposition } from './exposition.ts';
import type { RootLogger } from './log.ts';
import { createRegistryLoop, type RegistryLoop } from './loop.ts';
import { openMemory } from './memory.ts';
import { createPlaceFinder, type EntryStatus, type PlaceFinder } from './places.ts';
import type { Provider } from './provider.ts';
import type { SelfMetrics } from './self-metrics.ts';
import { createStorage } from './storage.ts';
import { targetOf } from './target.ts';

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
   * left running. @throws ConfigError, in which case everything runs on as before.
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
  let turn: Promise<void> = Promise.resolve();
  let changes = 0;

  const providerOf = ({ type }: RegistryConfig): Provider => {
    const provider = providers[type];
    if (!provider) throw new Error(`no provider for ${type}`);
    return provider;
  };

  async function startLoop(config: RegistryConfig, delayMs: number): Promise<RegistryLoop> {
    const provider = providerOf(config);
    const bound = log.child({ registry: config.name });
    const { type, options } = config;
    const target = targetOf({ type, options, identity: provider.identity(options) });
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
    await loop.start(delayMs);
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
          inTurn(async () => {
            if (running.get(config.name) === entry) await settle(entry, registries);
          }),
      }),
    };
    return entry;
  }

  /** One change at a time. */
  function inTurn(change: () => Promise<void>): Promise<void> {
    changes += 1;
    turn = turn
      .catch(() => {})
      .then(change)
      .finally(() => {
        changes -= 1;
      });
    return turn;
  }

  async function apply({ registries }: Config): Promise<void> {
    const next = new Map<string, Running>();
    const wanted = new Map(registries.map((config) => [config.name, config]));
    for (const [name, { config, loops, finder }] of running) {
      const now = wanted.get(name);
      if (now?.source === config.source) continue;
      finder?.stop();
      // Names of places are found again; an entry that became another kind must not leave them behind.
      for (const [loopName, { loop }] of loops) await stopLoop(loopName, loop, !now || finder !== undefined);
      await self.forget(name);
    }
    for (const config of registries) {
      const before = running.get(config.name);
      if (before && before.config.source === config.source) next.set(config.name, before);
    }
    // From here on what was stopped is not shown any more, whatever becomes of the others.
    running = next;
    let started = 0;
    for (const config of registries) {
      if (next.has(config.name)) continue;
      if (config.places) {
        const entry = startFinder(config);
        next.set(config.name, entry);
        entry.finder?.start();
        continue;
      }
      // What the configuration names outright goes before a place that happens to have the name.
      for (const { loops } of next.values()) {
        const place = loops.get(config.name);
        if (place && loops.delete(config.name)) await stopLoop(config.name, place.loop, true);
      }
      const loop = await startLoop(config, started * startGapMs);
      next.set(config.name, { config, loops: new Map([[config.name, { config, loop }]]) });
      started += 1;
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
      changes > 0 || [...running.values()].some(({ finder, loops }) => finder && loops.size === 0),
    reload() {
      // With the file as it is when its turn comes.
      return inTurn(async () => {
        let config: Config;
        try {
          config = await loadConfig(configFile, providers);
        } catch (error) {
          self.reloaded(false);
          throw error;
        }
        await apply(config);
        self.reloaded(true);
        log.info({ registries: config.registries.length }, 'the configuration was read');
      });
    },
    async stop() {
      for (const { finder } of running.values()) finder?.stop();
      await turn.catch(() => {});
      await Promise.all(allLoops().map(({ loop }) => loop.stop()));
    },
  };
}
