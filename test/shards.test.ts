import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { describeShards, shardOf } from '../src/daemon/shards.ts';
import { defineProvider } from '../src/provider.ts';
import { imageOf, listed, until } from './loop/scripted.ts';
import { startDaemon } from './support/running-daemon.ts';

/** Several exporters that divide the registries of one configuration among them. */

const names = Array.from({ length: 10_000 }, (_, at) => `registry-${at}`);

describe('the shard of a registry', () => {
  test('each shard has about as many as the others', () => {
    for (const count of [1, 2, 3, 7, 50]) {
      const sizes = Array.from({ length: count }, () => 0);
      for (const name of names) sizes[shardOf(name, count)] = (sizes[shardOf(name, count)] ?? 0) + 1;
      expect(Math.min(...sizes)).toBeGreaterThan((names.length / count) * 0.7);
      expect(Math.max(...sizes)).toBeLessThan((names.length / count) * 1.3);
    }
  });

  test.each([
    [1, 2],
    [3, 4],
    [9, 10],
  ])('from %i to %i shards only those move that go to the new one, and back again', (before, after) => {
    const moved = names.filter((name) => shardOf(name, before) !== shardOf(name, after));
    expect(moved.every((name) => shardOf(name, after) === after - 1)).toBe(true);
    expect(moved.length / names.length).toBeCloseTo(1 / after, 1);
  });

  test('is told before a start', () => {
    const registries = [{ name: 'prod' }, { name: 'dev' }, { name: 'clouds', places: {} }, { name: 'hub' }];
    expect(describeShards(registries, 1)).toBe('');
    expect(describeShards(registries, 2)).toBe(
      [0, 1]
        .map((shard) => {
          const own = ['prod', 'dev', 'hub'].filter((name) => shardOf(name, 2) === shard);
          return `shard ${shard}: ${own.join(', ') || 'none of those named here'}\n`;
        })
        .concat('over all shards: the registries that clouds covers\n')
        .join(''),
    );
  });
});

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const provider = defineProvider({
  type: 'cloud',
  label: 'cloud',
  options: z.strictObject({ all: z.boolean().optional(), region: z.string().optional() }),
  capabilities: { repositories: 'all' },
  identity: ({ region }) => ({ region }),
  placeValues: ['region'],
  places: (options) =>
    options.all
      ? async () =>
          Array.from({ length: 12 }, (_, at) => ({
            values: { region: `r${at}` },
            options: { region: `r${at}` },
          }))
      : undefined,
  async *collect() {
    yield* listed('app', imageOf('v1'));
  },
});
const own = Array.from({ length: 12 }, (_, at) => `own-${at}`);
const configOf = (shards: number) =>
  `shards: ${shards}\nregistries:\n  - { name: all, type: cloud, all: true, schedule: 24h }\n${own
    .map((name) => `  - { name: ${name}, type: cloud, schedule: 24h }\n`)
    .join('')}`;
const everything = [...own, ...Array.from({ length: 12 }, (_, at) => `all-r${at}`)].toSorted();

async function start(shard: number, shards: number) {
  const running = await startDaemon({ cloud: provider }, configOf(shards), { shard });
  open.push(running.stop);
  const shown = async () =>
    (await running.labels('repository_tags')).map((labels) => /registry="([^"]+)"/.exec(labels)?.[1] ?? '');
  const mine = (count: number) => everything.filter((name) => shardOf(name, count) === shard);
  return { ...running, shown, mine };
}

test('registries and the places of an entry are divided; a change of the number moves the least', async () => {
  const daemons = await Promise.all([0, 1, 2].map((shard) => start(shard, 3)));
  for (const { shown, mine } of daemons)
    await until(async () => (await shown()).toSorted().join() === mine(3).join());
  const all = await Promise.all(daemons.map(({ shown }) => shown()));
  expect(all.flat().toSorted()).toEqual(everything);

  const before = daemons.map(({ daemon }) => daemon.loops());
  for (const { reload } of daemons) await reload(configOf(4));
  daemons.push(await start(3, 4));
  for (const { shown, mine } of daemons)
    await until(async () => (await shown()).toSorted().join() === mine(4).join());
  // What stays where it was goes on undisturbed.
  for (const { daemon, mine } of daemons.slice(0, 3))
    expect(
      daemon
        .loops()
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(mine(4));
  for (const [at, { daemon }] of daemons.slice(0, 3).entries())
    expect(daemon.loops().every((loop) => before[at]?.includes(loop))).toBe(true);

  // Back to three: the fourth, which still runs, polls nothing and says so.
  for (const { reload } of daemons) await reload(configOf(3));
  await until(async () => (await daemons[3]?.shown())?.length === 0);
  expect(daemons[3]?.lines.join('\n')).toContain('there are fewer shards: this one polls no registry');
  expect(daemons[3]?.daemon.starting()).toBe(false);
});

test('an exporter that does not know which shard it is does not start, and goes on as before', async () => {
  await expect(startDaemon({ cloud: provider }, configOf(3))).rejects.toThrow(
    'the registries are divided among 3 shards: say with --shard which of them this process is, from 0 to 2',
  );
  const { daemon, reload, own: metrics, stop } = await startDaemon({ cloud: provider }, configOf(1));
  open.push(stop);
  await until(() => daemon.loops().length === 24);
  await expect(reload(configOf(2))).rejects.toThrow('--shard');
  expect(daemon.loops()).toHaveLength(24);
  expect(await metrics()).toContain('container_registry_exporter_shards 1\n');
  expect(await metrics()).toContain('container_registry_exporter_shard_info{shard="0"} 1\n');
});
