import type { RegistryConfig } from '../config.ts';
import type { Entry } from './entry.ts';
import { type LoopEnvironment, startLoop } from './loops.ts';

/** How soon another shard is asked again whether it still polls a registry. */
const askAgainMs = 5_000;

/** Starts registries of this shard: now, or when the shard that polled them before lets go of them. */
export interface OwnStart {
  start(entry: Entry, config: RegistryConfig, delayMs: number): Promise<void>;
  /** Whether registries wait for another shard. */
  isWaiting(): boolean;
  /** Nothing that waits is started any more. */
  close(): void;
}

/** @param queueChange runs a change when no other is being made */
export function createOwnStart(
  environment: LoopEnvironment,
  running: ReadonlyMap<string, Entry>,
  queueChange: (change: () => Promise<void>) => Promise<void>,
): OwnStart {
  const { handover, shards, log } = environment;
  const waiting = new Map<string, NodeJS.Timeout>();
  let isClosed = false;

  async function start(entry: Entry, config: RegistryConfig, delayMs: number): Promise<void> {
    const { name } = config;
    clearTimeout(waiting.get(name));
    waiting.delete(name);
    if ((await handover?.take(config)) !== 'later')
      entry.loops.set(name, { config, loop: await startLoop(environment, config, delayMs) });
    else if (!isClosed) waiting.set(name, setTimeout(() => void again(entry, config), askAgainMs).unref());
  }

  /** The configuration may have changed meanwhile, or the registry have been started with another one. */
  const isWanted = (entry: Entry, { name, source }: RegistryConfig): boolean =>
    !isClosed &&
    running.get(entry.config.name) === entry &&
    entry.registries?.get(name)?.source === source &&
    shards.owns(name) &&
    [...running.values()].every(({ loops }) => !loops.has(name));

  const again = (entry: Entry, config: RegistryConfig): Promise<void> =>
    queueChange(async () => {
      if (isWanted(entry, config)) await start(entry, config, 0);
      else waiting.delete(config.name);
    }).catch((err) => log.error({ err, registry: config.name }, 'a registry cannot be started'));

  return {
    start,
    isWaiting: () => waiting.size > 0,
    close() {
      isClosed = true;
      for (const timer of waiting.values()) clearTimeout(timer);
    },
  };
}
