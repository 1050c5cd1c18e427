import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Observation, RegistryFacts } from '../../src/model.ts';
import { letTimePass, type RunningLoop, runLoop } from '../support/running-loop.ts';
import { imageOf, listed, scripted } from './scripted.ts';

const open: RunningLoop[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const loop of open.splice(0)) await loop.stop();
});

/** A polled registry of which no more than `maxSeries` series may be exposed. */
async function polled(maxSeries: number, ...observations: Observation[]): Promise<RunningLoop> {
  const loop = await runLoop(scripted(() => observations).provider, { maxSeries });
  open.push(loop);
  await loop.poll();
  return loop;
}
/** From then on a listing decides against a push that succeeded. */
const untaggedMs = 2 * 60_000;
const facts = (all: RegistryFacts): Observation => ({ type: 'registry', facts: all });
const samples = async (loop: RunningLoop) =>
  (await loop.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const dropped = async (loop: RunningLoop): Promise<Record<string, number>> =>
  Object.fromEntries(
    (await loop.lines('series_dropped')).map((line) => [
      /reason="(\w+)"/.exec(line)?.[1],
      Number(line.split(' ').at(-1)),
    ]),
  );
const label = (lines: string[], name: string) =>
  lines.map((line) => new RegExp(`${name}="([^"]*)"`).exec(line)?.[1]);

/** Repositories of one image each, pushed one after the other, beginning with the first. */
const pushedInTurn = (...names: string[]) =>
  names.flatMap((name, at) => listed(name, imageOf(`${name}-1`, { pushedAt: 1_700_000_000 + at })));

/** Series of a registry whose repositories are left out: what is always there. */
const health = async () => (await samples(await polled(1))).length;

test('exactly as many series as allowed are all there, and one fewer drops the images', async () => {
  const all = await samples(await polled(1000, ...pushedInTurn('a', 'b')));
  const fits = await polled(all.length, ...pushedInTurn('a', 'b'));
  expect(await samples(fits)).toHaveLength(all.length);
  expect(Object.values(await dropped(fits))).toEqual([0, 0, 0, 0, 0]);
  const tight = await polled(all.length - 1, ...pushedInTurn('a', 'b'));
  expect(await dropped(tight)).toMatchObject({ image_cap: 2, repository_cap: 0 });
  expect(tight.log()).toContain('raise maxSeries');
});

test('single images go first, those of the repositories that were pushed to longest ago', async () => {
  const all = await samples(await polled(1000, ...pushedInTurn('old', 'new')));
  const loop = await polled(all.length - 1, ...pushedInTurn('old', 'new'));
  expect(label(await loop.lines('image_size_bytes'), 'repository')).toEqual(['new']);
  expect(label(await loop.lines('repository_tags'), 'repository').sort()).toEqual(['new', 'old']);
});

test('of repositories the ones that were pushed to last stay, whatever they are called', async () => {
  const room = (await health()) + 12;
  const loop = await polled(room, ...pushedInTurn('a', 'b', 'c', 'd'));
  const kept = label(await loop.lines('repository_tags'), 'repository').sort();
  expect(kept).toEqual(['c', 'd']);
  expect((await samples(loop)).length).toBeLessThanOrEqual(room);
  expect((await dropped(loop))['repository_cap']).toBeGreaterThan(0);
});

test('repositories that only events named take no place from those that a listing showed', async () => {
  // With the series of missed events and of all pushes, which are there once an event has told of a push.
  const room = (await health()) + 10;
  const loop = await polled(room, ...pushedInTurn('real'));
  const names = [...Array.from({ length: 20 }, (_, at) => `a-forged-${at}`), 'real'];
  loop.loop.receive(
    'test',
    names.map((repository) => ({ id: repository, type: 'pushed', repository })),
  );
  letTimePass(untaggedMs);
  await loop.poll();
  expect(await loop.lines('pushes_total')).toEqual([
    'pushes_total{repository=""} 20',
    'pushes_total{repository="real"} 1',
  ]);
  expect((await dropped(loop))['repository_cap']).toBe(0);
});

test('a repository with many images does not take the place of those of others', async () => {
  const many = listed('new', ...['1', '2', '3'].map((tag) => imageOf(tag, { pushedAt: 1_750_000_000 })));
  const old = pushedInTurn('old');
  const all = await samples(await polled(1000, ...many, ...old));
  const loop = await polled(all.length - 3, ...many, ...old);
  expect(label(await loop.lines('image_size_bytes'), 'repository')).toEqual(['old']);
  // Exactly the room that the repositories need leaves all of these.
  const bare = await polled(all.length - 8, ...many, ...old);
  expect(label(await bare.lines('repository_tags'), 'repository').sort()).toEqual(['new', 'old']);
  expect(await dropped(bare)).toMatchObject({ image_cap: 8, repository_cap: 0 });
});

test('where push times are unknown, what a listing showed still comes before what only events named', async () => {
  const real = listed('real', imageOf('v1'));
  const push = { id: '1', type: 'pushed', repository: 'a-forged-one' } as const;
  const whole = await polled(1000, ...real);
  whole.loop.receive('test', [push]);
  letTimePass(untaggedMs);
  await whole.poll();
  // One image and one count of pushes too many.
  const room = (await samples(whole)).length - 2;
  const loop = await polled(room, ...real);
  loop.loop.receive('test', [push]);
  letTimePass(untaggedMs);
  await loop.poll();
  expect(label(await loop.lines('repository_tags', 'pushes_total'), 'repository')).toEqual(['real']);
  expect((await dropped(loop))['repository_cap']).toBe(1);
});

describe('rows of the registry itself', () => {
  const projects = Array.from({ length: 5000 }, (_, at) => ({
    project: `project-${String(at).padStart(4, '0')}`,
    public: false,
    repositories: at,
    members: 1,
  }));

  test('5,000 projects keep within a cap of 100 and hide neither health nor repositories', async () => {
    const loop = await polled(100, facts({ projects, version: '1.2' }), ...pushedInTurn('a', 'b'));
    const lines = await samples(loop);
    expect(lines.length).toBeLessThanOrEqual(100);
    expect(await loop.lines('up', 'repositories', 'projects')).toEqual([
      'up{} 1',
      'repositories{} 2',
      'projects{visibility="public"} 0',
      'projects{visibility="private"} 5000',
    ]);
    expect(await loop.lines('info')).toHaveLength(1);
    expect(await loop.lines('repository_tags')).toHaveLength(2);
    // The projects that hold most.
    const kept = label(await loop.lines('project_repositories'), 'project');
    expect(kept[0]).toBe('project-4999');
    expect(await loop.value('project_repositories')).toBe(4999);
    expect(kept.length).toBeGreaterThan(5);
    expect(await dropped(loop)).toMatchObject({ registry_cap: (5000 - kept.length) * 3, repository_cap: 0 });
  });

  test('a small list stays whole beside a large one, and what is broken or about to expire comes first', async () => {
    const loop = await polled(
      130,
      facts({
        projects,
        credentials: Array.from({ length: 500 }, (_, at) => ({
          credential: `robot-${at}`,
          expiresAt: 2_000_000_000 - at,
        })),
        components: [
          { component: 'scanner', up: true },
          { component: 'database', up: false },
        ],
        replications: Array.from({ length: 300 }, (_, at) => ({ destination: `to-${at}`, up: at !== 299 })),
      }),
    );
    expect((await samples(loop)).length).toBeLessThanOrEqual(130);
    expect(await loop.lines('component_up')).toHaveLength(2);
    expect(await loop.value('credential_expiry_timestamp_seconds')).toBe(2_000_000_000 - 499);
    expect((await loop.lines('replication_up'))[0]).toBe('replication_up{destination="to-299"} 0');
  });

  test('what small lists do not need goes to a large one', async () => {
    const credentials = Array.from({ length: 500 }, (_, at) => ({
      credential: `robot-${at}`,
      expiresAt: 2e9 + at,
    }));
    const room = (await health()) + 100;
    const loop = await polled(
      room,
      facts({
        credentials,
        components: [{ component: 'core', up: true }],
        settings: [{ setting: 's', on: true }],
      }),
    );
    expect((await loop.lines('credential_expiry_timestamp_seconds')).length).toBeGreaterThan(90);
    expect(await loop.lines('component_up', 'setting')).toHaveLength(2);
  });

  test('they leave room for repositories, and repositories for them', async () => {
    const names = Array.from({ length: 200 }, (_, at) => `app-${at}`);
    const loop = await polled(200, facts({ projects }), ...pushedInTurn(...names));
    expect((await samples(loop)).length).toBeLessThanOrEqual(200);
    expect((await loop.lines('project_repositories')).length).toBeGreaterThan(5);
    expect((await loop.lines('repository_tags')).length).toBeGreaterThan(10);
  });
});

test('what always is there is there, however low the cap', async () => {
  const loop = await polled(
    1,
    facts({ projects: [{ project: 'p', repositories: 1 }] }),
    ...pushedInTurn('a'),
  );
  expect(await loop.lines('up', 'info', 'repositories', 'project_repositories', 'repository_tags')).toEqual([
    'info{host="registry.example.com",account="",region=""} 1',
    'up{} 1',
    'repositories{} 1',
  ]);
});
