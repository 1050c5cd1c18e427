import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { shardOf } from '../../src/daemon/shards.ts';
import { everyRegistry, type SimulatedRegistry } from '../simulators/every-registry.ts';
import { eventually, freePort, type RunningProgram, tempDir } from '../support/programs.ts';
import { startExporter } from '../support/real-programs.ts';

/**
 * Exporter processes that divide sixty registries: every series exactly once, also after one more has come, and counters
 * that go on where they were.
 */

const dir = tempDir();
const simulated = new Map<string, SimulatedRegistry>();
const config = join(dir.path, 'exporter.yaml');
const shards: { readonly exporter: RunningProgram; readonly port: number }[] = [];
/** All shards have the same port, on addresses of loopback that end with their number. */
let peersPort = 0;
const token = 'a-token-of-enough-length';

function configure(count: number): void {
  const registries = [...simulated].map(([name, { registry }]) => ({
    name,
    type: 'oci',
    schedule: '1h',
    ...registry,
    events: { token },
    http: { timeout: '60s', requestsPerSecond: 10_000 },
  }));
  writeFileSync(config, stringify({ shards: count, registries }));
}

/** As a pod of a StatefulSet names itself. */
async function startShard(ordinal: number): Promise<void> {
  const port = await freePort();
  const storage = join(dir.path, `storage-${ordinal}`);
  const flags = [
    `--shard=exporter-${ordinal}`,
    `--web.listen-address=127.0.0.1${ordinal}:${peersPort}`,
    `--shard.peers=http://127.0.0.1{shard}:${peersPort}`,
    '--no-config.watch',
  ];
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

/** Values of a counter by registry, of all shards together. */
async function countsOf(metric: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { port } of shards)
    for (const line of (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).split('\n'))
      if (line.startsWith(`container_registry_${metric}{`)) {
        const name = registryOf(line);
        counts.set(name, (counts.get(name) ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1)));
      }
  return counts;
}

/** Sends push events of a registry to the first shard, as many as its name says. */
async function push(registry: string): Promise<void> {
  const repository = /repository="([^"]+)"/.exec(
    (await samplesOf())
      .flat()
      .find((line) => registryOf(line) === registry && line.includes('_repository_tags{')) ?? '',
  )?.[1];
  const count = 1 + Number(registry.split('-')[1]);
  const events = Array.from({ length: count }, (_, at) => ({
    id: `${registry} ${at}`,
    action: 'push',
    target: { repository, tag: `v${at}`, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
  }));
  const answer = await fetch(`http://127.0.0.1:${shards[0]?.port}/events/${registry}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ events }),
  });
  expect(answer.status).toBe(202);
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
  peersPort = await freePort();
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

test('when a fourth comes, nothing is shown twice, what stays and what is counted goes on, and a quarter moves', async () => {
  await divided(3);
  for (const name of simulated.keys()) await push(name);
  const pushes = new Map([...simulated.keys()].map((name) => [name, 1 + Number(name.split('-')[1])]));
  await eventually(async () => expect(await countsOf('pushes_total')).toEqual(pushes));
  const polls = await countsOf('polls_total');
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
  // What the others saved is shown at once; whether a registry is up only its first poll tells.
  await divided(4);
  await eventually(async () => {
    const series = (await samplesOf()).flat();
    expect(new Set(series).size).toBe(series.length);
    expect(series.toSorted()).toEqual(before.flat().toSorted());
  });
  watching = false;
  await seen;

  // Neither doubled nor begun again, and each registry that moved says from where.
  expect(await countsOf('pushes_total')).toEqual(pushes);
  const pollsAfter = await countsOf('polls_total');
  for (const name of moving) expect(pollsAfter.get(name), name).toBe((polls.get(name) ?? 0) + 1);
  const fourth = shards[3]?.exporter.output() ?? '';
  for (const name of moving)
    expect(fourth).toMatch(
      new RegExp(
        `went on from the state that another shard saved.*registry=${name}\\b|registry=${name}\\b.*went on from the state`,
      ),
    );
});
