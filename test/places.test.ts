import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { CollectError } from '../src/errors.ts';
import { placeName } from '../src/places.ts';
import { defineProvider, type PlacesSearch } from '../src/provider.ts';
import { imageOf, listed, until } from './loop/scripted.ts';
import { startDaemon } from './support/running-daemon.ts';

/** Entries that cover several registries, such as all regions of an account. */

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function start(config: string, regions: (context: PlacesSearch) => readonly string[]) {
  const provider = defineProvider({
    type: 'cloud',
    label: 'cloud',
    options: z.strictObject({ all: z.boolean().optional(), region: z.string().optional() }),
    capabilities: { repositories: 'all' },
    identity: ({ region }) => ({ ...(region !== undefined && { region }) }),
    placeValues: ['region'],
    places: (options) =>
      options.all
        ? async (context) =>
            regions(context).map((region) => ({ values: { account: '1234', region }, options: { region } }))
        : undefined,
    async *collect({ region }) {
      yield* listed(`app-${region}`, imageOf('v1'));
    },
  });
  const { stop, labels, own, ...running } = await startDaemon({ cloud: provider }, config);
  open.push(stop);
  return {
    ...running,
    repositories: () => labels('repository_tags'),
    placesUp: async () => (await own()).match(/places_up\{.*\} \d/g) ?? [],
  };
}

const entry = (more = '') =>
  `registries: [{ name: prod, type: cloud, all: true, schedule: 24h, placesInterval: 1s${more} }]`;

test('each place is a registry of its own, named by all that tells it apart', async () => {
  const { daemon, repositories, placesUp } = await start(entry(), () => ['eu', 'us']);
  await until(async () => (await repositories()).length === 2);
  expect(await repositories()).toEqual([
    'registry="prod-1234-eu",provider="cloud",repository="app-eu"',
    'registry="prod-1234-us",provider="cloud",repository="app-us"',
  ]);
  expect(await placesUp()).toEqual(['places_up{registry="prod",provider="cloud"} 1']);
  expect(daemon.entries()).toMatchObject([{ name: 'prod', type: 'cloud', up: true, registries: 2 }]);
});

test('until its places are found, and while the configuration is read, an entry is starting', async () => {
  let regions: string[] = [];
  const { daemon, repositories } = await start(entry(), () => regions);
  await until(() => daemon.entries()[0]?.up === false);
  expect(daemon.starting()).toBe(true);
  regions = ['eu'];
  await until(async () => (await repositories()).length === 1);
  expect(daemon.starting()).toBe(false);
  const reading = daemon.reload();
  expect(daemon.starting()).toBe(true);
  await reading;
  expect(daemon.starting()).toBe(false);
});

test('a place that is missing once goes on: it is believed to be gone when the next search says so too', async () => {
  let regions = ['eu', 'us'];
  let searches = 0;
  const { repositories, lines } = await start(entry(), () => {
    searches += 1;
    return regions;
  });
  await until(async () => (await repositories()).length === 2);
  regions = ['us'];
  const before = searches;
  await until(() => searches > before);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(await repositories()).toHaveLength(2);
  expect(lines.filter((line) => line.startsWith('warn a registry of the entry was not found'))).toHaveLength(
    1,
  );
  await until(async () => (await repositories()).length === 1);
  expect(searches).toBeGreaterThanOrEqual(before + 2);
});

test('no place at all is a failed search, and no entry without registries', async () => {
  let regions: string[] = [];
  const { daemon, repositories, placesUp } = await start(entry(), () => regions);
  await until(() => daemon.entries()[0]?.up === false);
  expect(daemon.entries()[0]?.error?.message).toContain('no registries were found for prod');
  regions = ['eu'];
  await until(async () => (await repositories()).length === 1);
  regions = [];
  await until(async () => (await placesUp())[0]?.endsWith(' 0') ?? false);
  expect(await repositories()).toHaveLength(1);
});

test('a place whose name another registry has leaves the others be; what is configured outright goes first', async () => {
  const { daemon, repositories, reload } = await start(entry(', nameTemplate: "{region}"'), () => [
    'eu',
    'us',
  ]);
  await until(async () => (await repositories()).length === 2);
  await reload(
    'registries: [{ name: prod, type: cloud, all: true, schedule: 24h, placesInterval: 1s, nameTemplate: "{region}" }, { name: eu, type: cloud, region: own, schedule: 24h }]',
  );
  await until(async () => (await repositories()).join().includes('app-own'));
  await until(() => daemon.entries()[0]?.up === false);
  expect(await repositories()).toEqual([
    'registry="eu",provider="cloud",repository="app-own"',
    'registry="us",provider="cloud",repository="app-us"',
  ]);
  expect(daemon.entries()[0]?.error?.message).toContain('would be named "eu"');
});

test('places that come and go are noticed; what stays is not disturbed', async () => {
  let regions = ['eu', 'us'];
  const { daemon, repositories } = await start(entry(', nameTemplate: "{region}.{name}"'), () => regions);
  await until(async () => (await repositories()).length === 2);
  const stays = daemon.loops().find(({ name }) => name === 'us.prod');
  regions = ['us', 'asia'];
  await until(async () => !(await repositories()).join().includes('eu.prod'));
  expect(await repositories()).toEqual([
    'registry="asia.prod",provider="cloud",repository="app-asia"',
    'registry="us.prod",provider="cloud",repository="app-us"',
  ]);
  expect(daemon.loops().find(({ name }) => name === 'us.prod')).toBe(stays);
});

test('a search that fails leaves what is known, and is told by log, metric and status', async () => {
  let broken = false;
  const { daemon, repositories, placesUp, lines } = await start(entry(), () => {
    if (broken) throw new CollectError('forbidden', 'the role lacks the permission to list regions');
    return ['eu'];
  });
  await until(async () => (await repositories()).length === 1);
  broken = true;
  await until(async () => (await placesUp())[0]?.endsWith(' 0') ?? false);
  expect(await repositories()).toHaveLength(1);
  expect(daemon.entries()).toMatchObject([{ up: false, registries: 1, error: { reason: 'forbidden' } }]);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(lines.filter((line) => line.startsWith('error'))).toEqual([
    'error not all registries of the entry could be looked for: those that are known go on the role lacks the permission to list regions',
  ]);
});

test('a part that cannot be looked for hides no other, and nothing of it is gone', async () => {
  let found = ['eu', 'us'];
  let searches = 0;
  let isWhole = false;
  const { daemon, repositories, placesUp, lines } = await start(entry(), ({ incomplete }) => {
    searches += 1;
    if (!isWhole) incomplete(new CollectError('forbidden', 'project p2: it has been deleted'));
    return found;
  });
  await until(async () => (await repositories()).length === 2);
  expect(await placesUp()).toEqual(['places_up{registry="prod",provider="cloud"} 0']);
  expect(daemon.entries()).toMatchObject([
    { up: false, registries: 2, error: { reason: 'forbidden', message: 'project p2: it has been deleted' } },
  ]);
  found = ['asia'];
  const before = searches;
  await until(() => searches > before + 2);
  expect(await repositories()).toHaveLength(3);
  expect(lines.filter((line) => /^(warn|error)/.test(line))).toEqual([
    'error not all registries of the entry could be looked for: those that are known go on project p2: it has been deleted',
  ]);
  isWhole = true;
  await until(async () => (await repositories()).length === 1);
  expect(await placesUp()).toEqual(['places_up{registry="prod",provider="cloud"} 1']);
});

test('a part that cannot be looked for, and nothing in the others, is that failure', async () => {
  const { daemon } = await start(entry(), ({ incomplete }) => {
    incomplete(new CollectError('forbidden', 'project p2: it has been deleted'));
    return [];
  });
  await until(() => daemon.entries()[0]?.up === false);
  expect(daemon.entries()[0]?.error?.message).toBe('project p2: it has been deleted');
});

test('names that two registries would share, or a template that names nothing, are refused', async () => {
  const { daemon, lines } = await start(entry(', nameTemplate: same'), () => ['eu', 'us']);
  await until(() => daemon.entries()[0]?.up === false);
  expect(daemon.entries()[0]?.error?.message).toBe(
    'two places of prod are both named "same": tell them apart in nameTemplate',
  );
  expect(lines.length).toBeGreaterThan(0);
  expect(() => placeName('prod', '{zone}', { region: 'eu' })).toThrow(
    'nameTemplate names {zone}, which places of prod do not have: use {region}, {name}',
  );
  expect(placeName('prod', undefined, { project: 'a:b', location: 'eu' })).toBe('prod-a-b-eu');
});

test('an entry that is taken out of the configuration takes its registries along', async () => {
  const { daemon, repositories, placesUp, reload } = await start(entry(), () => ['eu']);
  await until(async () => (await repositories()).length === 1);
  await reload('registries: [{ name: other, type: cloud, region: us, schedule: 24h }]');
  await until(async () => (await repositories()).join().includes('other'));
  expect(await repositories()).toEqual(['registry="other",provider="cloud",repository="app-us"']);
  expect(await placesUp()).toEqual([]);
  expect(daemon.entries()).toEqual([]);
});

test('an entry that is one place needs no name template, and none is made up', async () => {
  const { daemon } = await start(
    'registries: [{ name: one, type: cloud, region: eu, schedule: 24h }]',
    () => [],
  );
  expect(daemon.loops().map(({ name }) => name)).toEqual(['one']);
  expect(daemon.entries()).toEqual([]);
});
