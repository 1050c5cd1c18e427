import type { Providers, RegistryConfig } from '../config.ts';
import type { Exposition } from '../exposition.ts';
import type { InUseFeed } from '../in-use/feed.ts';
import type { RootLogger } from '../log.ts';
import type { ZeroShares } from '../loop/push-zeros.ts';
import { createRegistryLoop, type RegistryLoop } from '../loop.ts';
import { openMemory } from '../memory.ts';
import type { Provider } from '../provider.ts';
import type { SelfMetrics } from '../self-metrics.ts';
import { createStorage } from '../storage.ts';
import { targetOf } from '../target.ts';
import type { Handover } from './handover.ts';
import type { Shards } from './shards.ts';

/** What all loops share. */
export interface LoopEnvironment {
  readonly storagePath: string | undefined;
  readonly providers: Providers;
  readonly exposition: Exposition;
  readonly self: SelfMetrics;
  readonly log: RootLogger;
  readonly shards: Shards;
  readonly userAgent: string;
  /** Tells what runs. */
  readonly inUse: InUseFeed;
  readonly zeroShares: ZeroShares;
  /** Takes over what another shard saved; undefined where shards do not know each other, or save nothing. */
  readonly handover?: Handover | undefined;
}

export function providerOf(providers: Providers, { type }: RegistryConfig): Provider {
  const provider = providers[type];
  if (!provider) throw new Error(`no provider for ${type}`);
  return provider;
}

/** Tells the registry of a configuration from others. @throws when its options do not say which it is */
export function targetOfConfig(providers: Providers, config: RegistryConfig): string {
  const { type, options } = config;
  return targetOf({ type, options, identity: providerOf(providers, config).identity(options) });
}

/** Starts the loop of a registry. @param delayMs until its first poll */
export async function startLoop(
  environment: LoopEnvironment,
  config: RegistryConfig,
  delayMs: number,
): Promise<RegistryLoop> {
  const { storagePath, providers } = environment;
  const log = environment.log.child({ registry: config.name });
  const target = targetOfConfig(providers, config);
  const storage = createStorage({ path: storagePath, registry: config.name, target, log });
  const memory = await openMemory({ path: storage.memoryPath, target, log });
  const provider = providerOf(providers, config);
  const loop = createRegistryLoop({ ...environment, settings: config, provider, storage, memory, log });
  try {
    await loop.start(delayMs);
  } catch (error) {
    await stopLoop(environment, loop, 'gone');
    throw error;
  }
  return loop;
}

/** Stops a loop. What it saved carries a registry that is started again over; one that is gone leaves no series. */
export async function stopLoop(
  { exposition, self }: LoopEnvironment,
  loop: RegistryLoop,
  then: 'gone' | 'started again',
): Promise<void> {
  await loop.stop();
  if (then === 'gone') exposition.remove(loop.name);
  await self.forget(loop.name);
}
