import type { Config } from '../config.ts';
import type { Entries } from './entries.ts';
import type { Entry } from './entry.ts';
import { type LoopEnvironment, targetOfConfig } from './loops.ts';
import { type ShardFlags, type Shards, shardCount } from './shards.ts';

/** What a change of the configuration works with. */
interface ApplyInput {
  readonly options: Pick<LoopEnvironment, 'providers' | 'log'> & ShardFlags;
  readonly shards: Shards;
  readonly entries: Entries;
}

/** @returns goes over to a configuration; when one of its registries cannot be started, all is as it was before */
export function createApply({ options, shards, entries }: ApplyInput): (config: Config) => Promise<void> {
  const { providers, log } = options;

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

  return async ({ registries, shards: configured }) => {
    for (const config of registries) if (!config.places) targetOfConfig(providers, config);
    const shardsBefore = shards.count();
    const isDivided = shards.set(shardCount(options, configured));
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
      if (isDivided) await entries.divide();
    } catch (error) {
      shards.set(shardsBefore);
      const started = [...entries.all().values()].filter((entry) => !kept.has(entry));
      await entries.stop(started, () => true);
      for (const { config } of before) await startAgain(config);
      if (isDivided) await entries.divide();
      throw error;
    }
  };
}
