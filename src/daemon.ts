import { type Config, loadConfig, type Providers, type RegistryConfig } from './config.ts';
import type { EventTarget } from './events.ts';
import type { Exposition } from './exposition.ts';
import type { RootLogger } from './log.ts';
import { createRegistryLoop, type RegistryLoop } from './loop.ts';
import { openMemory } from './memory.ts';
import type { SelfMetrics } from './self-metrics.ts';
import { createStorage } from './storage.ts';

/** All loops, and how a new configuration changes them. */
export interface Daemon {
  loops(): readonly RegistryLoop[];
  eventTarget(registry: string): EventTarget | undefined;
  /**
   * Reads the configuration and starts, stops and leaves loops accordingly; a registry whose part did not change is
   * left running. @throws ConfigError, in which case everything runs on as before.
   */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

interface Running {
  readonly config: RegistryConfig;
  readonly loop: RegistryLoop;
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

  async function start(config: RegistryConfig, delayMs: number): Promise<Running> {
    const provider = providers[config.type];
    if (!provider) throw new Error(`no provider for ${config.type}`);
    const bound = log.child({ registry: config.name });
    const storage = createStorage({
      path: storagePath,
      registry: config.name,
      target: JSON.stringify([config.type, provider.identity(config.options)]),
      log: bound,
    });
    const memory = await openMemory({ path: storage.memoryPath, log: bound });
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
    return { config, loop };
  }

  async function apply({ registries }: Config): Promise<void> {
    const next = new Map<string, Running>();
    const wanted = new Map(registries.map((config) => [config.name, config]));
    for (const [name, { config, loop }] of running) {
      const now = wanted.get(name);
      if (now?.source === config.source) continue;
      await loop.stop();
      // What is saved carries a changed registry over; one that is gone leaves no series.
      if (!now) {
        exposition.remove(name);
      }
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
      next.set(config.name, await start(config, started * startGapMs));
      started += 1;
    }
  }

  return {
    loops: () => [...running.values()].map(({ loop }) => loop),
    eventTarget(registry) {
      const found = running.get(registry);
      return found?.config.eventsToken && { loop: found.loop, token: found.config.eventsToken };
    },
    reload() {
      // One at a time, each with the file as it is when its turn comes.
      turn = turn
        .catch(() => {})
        .then(async () => {
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
      return turn;
    },
    async stop() {
      await turn.catch(() => {});
      await Promise.all([...running.values()].map(({ loop }) => loop.stop()));
    },
  };
}
