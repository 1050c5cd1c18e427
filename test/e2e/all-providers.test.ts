import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { dashboards } from '../../grafana/index.ts';
import { providers } from '../../src/providers/index.ts';
import { everyRegistry, type SimulatedRegistry } from '../simulators/every-registry.ts';
import { dashboardQueries } from '../support/dashboards.ts';
import { eventually, freePort, programs, type RunningProgram, tempDir } from '../support/programs.ts';
import { queryMetrics } from '../support/promql.ts';
import { startExporter, startPrometheus } from '../support/real-programs.ts';
import { queryPrometheus } from './reading.ts';

/**
 * One exporter process that reads a registry of every provider at once. Each is broken in turn: it alone fails, keeps
 * its last data, and comes back; the others do not notice.
 */
const dir = tempDir();
const types = Object.keys(everyRegistry);
const running = new Map<string, SimulatedRegistry>();
/** What runs, as a cron job would write it. */
const whatRuns = join(dir.path, 'running');
let exporter: RunningProgram;
let port = 0;

beforeAll(async () => {
  for (const [at, [type, start]] of Object.entries(everyRegistry).entries())
    running.set(type, await start({ seed: 30 + at, repositories: 5, now: 1_795_000_000 }));
  const registries = [...running].map(([type, { registry }]) => ({
    name: `the-${type}`,
    type,
    schedule: '1s',
    timeout: '5m',
    ...registry,
    // A simulator has no quota to keep to.
    http: { retries: 0, timeout: '60s', requestsPerSecond: 10_000 },
  }));
  const config = join(dir.path, 'exporter.yaml');
  writeFileSync(whatRuns, '');
  const sources = [{ name: 'hosts', type: 'file', path: whatRuns, interval: '1s' }];
  writeFileSync(config, stringify({ registries, inUse: { sources } }));
  port = await freePort();
  exporter = await startExporter({ config, port, storage: join(dir.path, 'storage') });
});

afterAll(async () => {
  await exporter?.stop();
  for (const participant of running.values()) await participant.close();
  dir.remove();
});

/** Samples of one registry, as a participant's truth gives them. */
async function samples(type: string, families: readonly string[]): Promise<string[]> {
  const shared = `registry="the-${type}",provider="${providers[type]?.label}"`;
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return (
    text
      .split('\n')
      .filter((line) => line.includes(shared))
      .map((line) => line.replace('container_registry_', '').replace(`${shared},`, '').replace(shared, ''))
      .filter((line) => families.includes(line.slice(0, line.indexOf('{'))))
      // The truth of a registry is not what runs of it.
      .filter((line) => !line.startsWith('image_in_use') || !line.includes('source="hosts"'))
      .toSorted()
  );
}
async function value(type: string, family: string): Promise<number | undefined> {
  const [line] = await samples(type, [family]);
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}
const of = (type: string): SimulatedRegistry => running.get(type) as SimulatedRegistry;
const seesTruth = async (type: string): Promise<void> =>
  expect(await samples(type, of(type).families), type).toEqual(of(type).truth().toSorted());
const failures = async (type: string): Promise<string[]> =>
  (await samples(type, ['poll_failures_total'])).filter((line) => !line.endsWith(' 0'));
/** Waits for polls that began after this call, of each. */
async function morePolls(all: readonly string[]): Promise<void> {
  const before = new Map<string, number>();
  for (const type of all) before.set(type, (await value(type, 'polls_total')) ?? 0);
  for (const type of all)
    await eventually(async () =>
      expect(await value(type, 'polls_total')).toBeGreaterThanOrEqual((before.get(type) ?? 0) + 2),
    );
}

test('every provider takes part', () => {
  expect(types.toSorted()).toEqual(Object.keys(providers).toSorted());
});

test('one poll of each shows everything that is there, side by side', async () => {
  for (const type of types) await eventually(() => seesTruth(type));
  for (const type of types) {
    expect(await value(type, 'up'), type).toBe(1);
    expect(await failures(type), type).toEqual([]);
  }
});

/** A label of a line of the exposition. */
const labelOf = (line: string, name: string): string =>
  new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? '';

/** How people name an image of a registry where it runs. */
async function referenceOf(type: string, line: string): Promise<string> {
  const [info = ''] = await samples(type, ['info']);
  const place = type === 'artifact-registry' ? `/${labelOf(info, 'account')}` : '';
  const host = type === 'docker-hub' ? 'docker.io' : labelOf(info, 'host');
  return `${host}${place}/${labelOf(line, 'repository')}@${labelOf(line, 'digest')}`;
}

test('what runs is found in the registry of every provider', async () => {
  const running = [`quay.io/somebody/else@sha256:${'e'.repeat(64)}`];
  for (const type of types) {
    const [line = ''] = await samples(type, ['image_pushed_timestamp_seconds']);
    running.push(await referenceOf(type, line));
  }
  writeFileSync(whatRuns, running.join('\n'));
  for (const type of types)
    await eventually(async () => {
      const lines = await samples(type, ['repository_in_use_images']);
      expect(
        lines.filter((line) => !line.endsWith(' 0')).map((line) => labelOf(line, 'state')),
        type,
      ).toEqual(['present']);
    });
});

describe.skipIf(!programs('prometheus'))('a real Prometheus', () => {
  let prometheus: RunningProgram;
  let url = '';
  beforeAll(async () => {
    const own = await freePort();
    url = `http://127.0.0.1:${own}`;
    const folder = join(dir.path, 'prometheus');
    prometheus = await startPrometheus({ folder, port: own, target: `127.0.0.1:${port}` });
  });
  afterAll(() => prometheus?.stop());

  test('has every metric that the boards ask for, but those of what has not happened', async () => {
    const queries = [...dashboards.values()].flatMap(dashboardQueries);
    const names = new Set(queries.flatMap((query) => queryMetrics(query).map(({ metric }) => metric)));
    // Push events, retention expectations and entries for several registries are not part of this configuration.
    const absent = [
      'all_push_failures_total',
      'all_pushes_total',
      'events_source_lag_seconds',
      'events_source_last_event_timestamp_seconds',
      'events_source_up',
      'events_total',
      'missed_push_events_total',
      'places_up',
      'push_failures_total',
      'pushes_total',
      'repository_in_use_stale_images',
      'repository_reclaimable_bytes',
      'repository_stale_images',
    ];
    await eventually(async () => {
      const missing: string[] = [];
      for (const name of names)
        if (name.startsWith('container_registry_') && (await queryPrometheus(url, name)).length === 0)
          missing.push(name.replace('container_registry_', ''));
      expect(missing.toSorted()).toEqual(absent);
    });
  });

  test('answers every query of the boards', async () => {
    for (const query of [...dashboards.values()].flatMap(dashboardQueries)) await queryPrometheus(url, query);
  });
});

/**
 * Breaks a registry between two polls. What breaks in the middle of one is a detail that could not be read, and is
 * unknown from then on: in that case the registry is mended and broken again.
 */
async function breakBetweenPolls(type: string): Promise<void> {
  const isTrue = async () =>
    isDeepStrictEqual(await samples(type, of(type).families), of(type).truth().toSorted());
  for (let tried = 0; tried < 30; tried += 1) {
    of(type).break();
    await eventually(async () => expect(await value(type, 'up')).toBe(0));
    if (await isTrue()) return;
    of(type).mend();
    await eventually(() => seesTruth(type));
  }
  await seesTruth(type);
}

describe.each(types)('%s broken', (broken) => {
  const others = types.filter((type) => type !== broken);

  test('fails alone and keeps its last data; the others go on; mended, it comes back', async () => {
    const before = new Map<string, string[]>();
    for (const type of others) before.set(type, await failures(type));
    await breakBetweenPolls(broken);
    await morePolls(types);
    expect(await failures(broken)).not.toEqual([]);
    await seesTruth(broken);
    for (const type of others) {
      expect(await value(type, 'up'), type).toBe(1);
      expect(await failures(type), type).toEqual(before.get(type));
      await seesTruth(type);
    }
    of(broken).mend();
    await eventually(async () => expect(await value(broken, 'up')).toBe(1));
    await seesTruth(broken);
  });
});
