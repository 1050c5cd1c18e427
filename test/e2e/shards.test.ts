import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { shardOf } from '../../src/daemon/shards.ts';
import { everyRegistry, type SimulatedRegistry } from '../simulators/every-registry.ts';
import { eventually, freePort, type RunningProgram, tempDir } from '../support/programs.ts';
import { startExporter } from '../support/real-programs.ts';

/** Exporter processes that divide sixty registries: every series exactly once, also after one more has come. */

const dir = tempDir();
const simulated = new Map<string, SimulatedRegistry>();
const config = join(dir.path, 'exporter.yaml');
const shards: { readonly exporter: RunningProgram; readonly port: number }[] = [];

function configure(count: number): void {
  const registries = [...simulated].map(([name, { registry }]) => ({
    name,
    type: 'oci',
    schedule: '1h',
    ...registry,
    http: { timeout: '60s', requestsPerSecond: 10_000 },
  }));
  writeFileSync(config, stringify({ shards: count, registries }));
}

/** As a pod of a StatefulSet names itself. */
async function startShard(ordinal: number): Promise<void> {
  const port = await freePort();
  const storage = join(dir.path, `storage-${ordinal}`);
  const flags = [`--shard=exporter-${ordinal}`, '--no-config.watch'];
  shards.push({ exporter: await startExporter({ config, port, storage, flags }), port });
}

const registryOf = (series: string): string => /\bregistry="([^"]+)"/.exec(series)?.[1] ?? '';

/** Series of registries that a shard exposes: all but what it tells of itself. */
async function seriesOf({ port }: { readonly port: number }): Promise<string[]> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => /^container_registry_(?!api_request|exporter_)/.test(line) && registryOf(line) !== '')
    .map((line) => line.slice(0, line.lastIndexOf(' ')));
}

const samplesOf = async (): Promise<string[][]> => Promise.all(shards.map(seriesOf));

/** Waits until each shard shows the repositories of its registries and of no other. */
async function divided(count: number): Promise<string[][]> {
  return eventually(async () => {
    const samples = await samplesOf();
    for (const [ordinal, series] of samples.entries()) {
      const shown = new Set(series.filter((line) => line.includes('_repository_tags{')).map(registryOf));
      const own = [...simulated.keys()].filter((name) => shardOf(name, count) === ordinal);
      expect([...shown].toSorted(), `shard ${ordinal}`).toEqual(own.toSorted());
    }
    return samples;
  });
}

beforeAll(async () => {
  const { oci } = everyRegistry;
  if (!oci) throw new Error('the simulators have no registry of type oci');
  for (let at = 0; at < 60; at += 1)
    simulated.set(`registry-${at}`, await oci({ seed: at, repositories: 2, now: 1_795_000_000 }));
  configure(3);
  for (const ordinal of [0, 1, 2]) await startShard(ordinal);
});
afterAll(async () => {
  for (const { exporter } of shards) await exporter.stop();
  for (const registry of simulated.values()) await registry.close();
  dir.remove();
});

test('three shards show every series exactly once', async () => {
  const series = (await divided(3)).flat();
  expect(new Set(series).size).toBe(series.length);
  expect(new Set(series.map(registryOf)).size).toBe(60);
});

test('when a fourth comes, nothing is shown twice, what stays goes on, and a quarter moves', async () => {
  const before = await divided(3);
  configure(4);
  const moving = [...simulated.keys()].filter((name) => shardOf(name, 4) === 3);
  expect(moving.length).toBeGreaterThan(5);
  expect(moving.length).toBeLessThan(30);
  let watching = true;
  const seen = (async () => {
    while (watching) {
      const samples = await samplesOf();
      const all = samples.flat();
      expect(new Set(all).size).toBe(all.length);
      for (const [ordinal, series] of before.entries()) {
        const shown = new Set(samples[ordinal]);
        const staying = series.filter((line) => !moving.includes(registryOf(line)));
        expect(staying.filter((line) => !shown.has(line))).toEqual([]);
      }
    }
  })();
  // Those that lose registries first, as their configuration changes; then the one that gets them.
  for (const { exporter } of shards) exporter.process.kill('SIGHUP');
  for (const { exporter } of shards) await eventually(() => expect(exporter.output()).toContain('shards=4'));
  await startShard(3);
  const series = (await divided(4)).flat();
  watching = false;
  await seen;
  expect(new Set(series).size).toBe(series.length);
  expect(series.toSorted()).toEqual(before.flat().toSorted());
});
