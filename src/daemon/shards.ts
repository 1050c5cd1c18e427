import { createHash } from 'node:crypto';
import { CollectError } from '../errors.ts';

/**
 * Which of several exporters that share one configuration polls a registry.
 *
 * A jump consistent hash (Lamping and Veach, https://arxiv.org/abs/1406.2294): when a shard is added, only the
 * registries that go to it move, one of N on average.
 * @param name the registry's name, as in the label `registry`
 * @param count how many shards there are, from 1
 * @returns the shard's ordinal, from 0
 */
export function shardOf(name: string, count: number): number {
  let key = createHash('sha256').update(name).digest().readBigUInt64BE();
  let shard = 0;
  for (let next = 0; next < count; ) {
    shard = next;
    key = BigInt.asUintN(64, key * 2862933555777941757n + 1n);
    next = Math.floor(((shard + 1) * 2 ** 31) / (Number(key >> 33n) + 1));
  }
  return shard;
}

/** Which shard polls which registries, a line each; nothing where they are not divided. */
export function describeShards(
  registries: readonly { readonly name: string; readonly places?: object | undefined }[],
  count: number,
): string {
  if (count === 1) return '';
  const lines = Array.from({ length: count }, (_, shard) => {
    const own = registries.filter(({ name, places }) => !places && shardOf(name, count) === shard);
    return `shard ${shard}: ${own.map(({ name }) => name).join(', ') || 'none of those named here'}\n`;
  });
  const spread = registries.filter(({ places }) => places).map(({ name }) => name);
  if (spread.length > 0) lines.push(`over all shards: the registries that ${spread.join(', ')} covers\n`);
  return lines.join('');
}

/** What the command line says of this process's shard. */
export interface ShardFlags {
  /** From 0; undefined where it is not said. */
  readonly shard?: number | undefined;
  /** How many there are; undefined where the configuration says it. */
  readonly shards?: number | undefined;
}

/** The registries that this process polls. */
export interface Shards {
  /** How many shards there are. */
  count(): number;
  /** This one, from 0. */
  readonly ordinal: number;
  ownerOf(registry: string): number;
  owns(registry: string): boolean;
  /** Goes over to another number of shards. @returns whether it changed */
  set(count: number): boolean;
}

/**
 * How many shards there are: what the command line says before what the configuration says.
 * @throws CollectError `configuration` where nothing says which of several shards this process is
 */
export function shardCount({ shard, shards }: ShardFlags, configured: number): number {
  const count = shards ?? configured;
  if (count > 1 && shard === undefined)
    throw new CollectError(
      'configuration',
      `the registries are divided among ${count} shards: say with --shard which of them this process is, from 0 to ${count - 1}`,
    );
  return count;
}

export function createShards({ shard = 0 }: Pick<ShardFlags, 'shard'>): Shards {
  let shards = 1;
  return {
    ordinal: shard,
    count: () => shards,
    ownerOf: (registry) => shardOf(registry, shards),
    owns: (registry) => shardOf(registry, shards) === shard,
    set(count) {
      const isChanged = count !== shards;
      shards = count;
      return isChanged;
    },
  };
}
