import type { RegistryConfig } from '../config.ts';
import { CollectError } from '../errors.ts';
import type { RegistryLoop } from '../loop.ts';
import { createPlaceFinder } from '../places.ts';
import type { Entry, RunningLoop } from './entry.ts';
import { type LoopEnvironment, providerOf, stopLoop } from './loops.ts';
import { createOwnStart, type OwnStart } from './own-start.ts';

/** Loops start so far apart, so that a restart with many registries is no thundering herd. */
const startGapMs = 200;

/** The entries that run, by name, in the configuration's order. */
export interface Entries {
  all(): ReadonlyMap<string, Entry>;
  loops(): readonly RunningLoop[];
  /** A registry by its name, with its loop where this shard polls it. */
  find(
    registry: string,
  ): { readonly config: RegistryConfig; readonly loop: RegistryLoop | undefined } | undefined;
  /** Starts entries that do not run yet, and brings all into the order given. */
  start(configs: readonly RegistryConfig[]): Promise<void>;
  /** Starts and stops registries, after the number of shards changed. */
  divide(): Promise<void>;
  /** Whether registries wait for another shard to let go of them. */
  isWaiting(): boolean;
  /** Nothing that waits is started any more. */
  close(): void;
  /** Stops entries. @param isGone whether the configuration has none of that name any more */
  stop(entries: readonly Entry[], isGone: (entry: Entry) => boolean): Promise<void>;
}

/** @param queueChange runs a change when no other is being made */
export function createEntries(
  environment: LoopEnvironment,
  queueChange: (change: () => Promise<void>) => Promise<void>,
): Entries {
  const running = new Map<string, Entry>();
  const own = createOwnStart(environment, running, queueChange);

  async function startOne(config: RegistryConfig, delayMs: number): Promise<void> {
    if (config.places) {
      const isRunning = (entry: Entry) => running.get(config.name) === entry;
      const entry = createEntryOfPlaces(environment, config, isRunning, (registries) =>
        queueChange(async () => {
          if (!isRunning(entry)) return;
          entry.registries = registries;
          await applyRegistries(environment, running, entry, own.start);
        }),
      );
      running.set(config.name, entry);
      return entry.finder?.start();
    }
    const entry: Entry = { config, loops: new Map(), registries: new Map([[config.name, config]]) };
    if (environment.shards.owns(config.name)) {
      // What the configuration names outright goes before a place that happens to have the name.
      for (const { loops } of running.values()) {
        const place = loops.get(config.name);
        if (place && loops.delete(config.name)) await stopLoop(environment, place.loop, 'gone');
      }
      await own.start(entry, config, delayMs);
    }
    running.set(config.name, entry);
  }

  async function stopOne(entry: Entry, isGone: boolean): Promise<void> {
    const { config, loops, finder } = entry;
    // From here on it is not shown any more.
    running.delete(config.name);
    finder?.stop();
    // Names of places are found again: an entry that became another kind must not leave them behind.
    const then = isGone || finder ? 'gone' : 'started again';
    for (const { loop } of loops.values()) await stopLoop(environment, loop, then);
    await environment.self.forget(config.name);
  }

  return {
    all: () => running,
    loops: () => [...running.values()].flatMap(({ loops }) => [...loops.values()]),
    find(name) {
      for (const { registries, loops } of running.values()) {
        const config = registries?.get(name);
        if (config) return { config, loop: loops.get(name)?.loop };
      }
      return undefined;
    },
    async start(configs) {
      let started = 0;
      for (const config of configs) {
        const kept = running.get(config.name);
        // To the end, as the configuration has it.
        if (kept && running.delete(config.name)) running.set(config.name, kept);
        else await startOne(config, config.places ? 0 : startGapMs * started++);
      }
    },
    async divide() {
      for (const entry of running.values())
        if (entry.registries) await applyRegistries(environment, running, entry, own.start);
    },
    isWaiting: own.isWaiting,
    close: own.close,
    async stop(entries, isGone) {
      for (const entry of entries) await stopOne(entry, isGone(entry));
    },
  };
}

/** An entry whose registries have to be found first. */
function createEntryOfPlaces(
  { providers, log, self, userAgent }: LoopEnvironment,
  config: RegistryConfig,
  isRunning: (entry: Entry) => boolean,
  onRegistries: (registries: ReadonlyMap<string, RegistryConfig>) => Promise<void>,
): Entry {
  const provider = providerOf(providers, config);
  const labels = { registry: config.name, provider: provider.label };
  const finder = createPlaceFinder({
    ...{ config, provider, userAgent, found: onRegistries },
    log: log.child({ registry: config.name }),
    observe(operation, code, seconds) {
      self.apiRequests.inc({ ...labels, operation, code });
      self.apiRequestDuration.observe({ ...labels, operation }, seconds);
    },
    searched(up) {
      if (isRunning(entry)) self.placesUp.set(labels, Number(up));
    },
  });
  const entry: Entry = { config, loops: new Map(), finder };
  return entry;
}

/** Starts and stops loops of an entry, so that it has those of its registries that this shard polls. */
async function applyRegistries(
  environment: LoopEnvironment,
  running: ReadonlyMap<string, Entry>,
  entry: Entry,
  start: OwnStart['start'],
): Promise<void> {
  const registries = new Map([...(entry.registries ?? [])].filter(([name]) => environment.shards.owns(name)));
  for (const [name, { config, loop }] of entry.loops) {
    const wanted = registries.get(name);
    if (wanted?.source === config.source) continue;
    entry.loops.delete(name);
    await stopLoop(environment, loop, wanted ? 'started again' : 'gone');
  }
  const taken = new Set(
    [...running].flatMap(([name, other]) => (other === entry ? [] : [name, ...other.loops.keys()])),
  );
  const missing = [...registries].filter(([name]) => !entry.loops.has(name));
  const startable = missing.filter(([name]) => !taken.has(name));
  for (const [position, [, config]] of startable.entries()) await start(entry, config, position * startGapMs);
  const conflict = missing.find(([name]) => taken.has(name));
  if (conflict)
    throw new CollectError(
      'configuration',
      `a place of ${entry.config.name} would be named ${JSON.stringify(conflict[0])}, which another registry is: change nameTemplate`,
    );
}
