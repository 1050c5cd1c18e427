import { afterEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { createPushes, type Pushes } from '../../src/loop/pushes.ts';
import { letTimePass, type RunningLoop, runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, type Script, scripted, until } from './scripted.ts';

/** Names in push events are untrusted: what becomes of those that no listing has shown. */

/** From then on a listing decides against a push that succeeded. */
const untaggedMs = 2 * 60_000;

let loops: RunningLoop[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const loop of loops) await loop.stop();
  loops = [];
});
async function start(script: Script, settings: object = {}) {
  const { provider, say } = scripted(script);
  const loop = await runLoop(provider, settings as never);
  loops.push(loop);
  const pushTo = (...names: string[]) =>
    loop.loop.receive(
      'test',
      names.map((repository) => ({ id: String(Math.random()), type: 'pushed', repository })),
    );
  return { loop, say, pushTo, pushes: () => loop.lines('pushes_total') };
}
const looksFor =
  (...there: string[]): Script =>
  ({ only }) =>
    (only ?? []).flatMap((name) =>
      there.includes(name)
        ? listed(name, imageOf('v1'))
        : [{ type: 'repository-gone' as const, repository: name }],
    );

test('a push to a repository that is new gets series of its own once a look has shown it', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app'));
  await loop.poll();
  say(looksFor('new'));
  pushTo('new', 'new');
  await until(async () => (await pushes()).length > 0);
  expect(await loop.lines('pushes_total', 'repository_tags')).toEqual([
    'repository_tags{repository="app"} 1',
    'repository_tags{repository="new"} 1',
    'pushes_total{repository="new"} 2',
  ]);
});

test('a platform is pushed before the tag of its index: the push is counted where it belongs', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app'));
  await loop.poll();
  let looks = 0;
  // As a registry answers that shows a repository from its first tag on.
  say((context) => {
    looks += 1;
    return looksFor('app')(context);
  });
  pushTo('multi');
  await until(() => looks > 0);
  say(holding('app'));
  await loop.poll();
  say(looksFor('multi'));
  pushTo('multi');
  await until(async () => (await pushes()).length > 0);
  expect(await pushes()).toEqual(['pushes_total{repository="multi"} 2']);
});

test('a push that failed waits for no tag', async () => {
  const { loop, pushes } = await start(holding('app'));
  await loop.poll();
  loop.loop.receive('test', [{ id: '1', type: 'failed', repository: 'forged', reason: 'denied' }]);
  await loop.poll();
  expect(await pushes()).toEqual(['pushes_total{repository=""} 1']);
});

test('pushes to names that are not there count as one series, and the real ones stay', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app', 'web'), { maxSeries: 60 });
  await loop.poll();
  const before = await loop.lines('repository_tags');
  expect(before).toHaveLength(2);
  let looked = 0;
  say((context) => {
    looked += context.only?.length ?? 0;
    return looksFor('app', 'web')(context);
  });
  pushTo(...Array.from({ length: 640 }, (_, at) => `0-forged/${at}`), 'app');
  // Published at the end of the look, which has asked for all of its names by then.
  await until(async () => (await pushes()).length > 0);
  expect(looked).toBe(31);
  expect(await pushes()).toEqual(['pushes_total{repository="app"} 1']);
  // A listing tells of all, looked at or not.
  letTimePass(untaggedMs);
  say(holding('app', 'web'));
  await loop.poll();
  expect(await pushes()).toEqual(['pushes_total{repository=""} 640', 'pushes_total{repository="app"} 1']);
  expect(await loop.lines('repository_tags')).toEqual(before);
});

test('a look that finds nothing under an unknown name does not make a repository of it', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app'));
  await loop.poll();
  // Some registries answer with an empty list for any name.
  say(({ only }) => (only ?? []).flatMap((name) => listed(name)));
  pushTo('forged');
  letTimePass(untaggedMs);
  pushTo('forged');
  await until(async () => (await pushes()).length > 0);
  expect(await loop.lines('repositories', 'repository_tags', 'pushes_total')).toEqual([
    'repositories{} 1',
    'repository_tags{repository="app"} 1',
    'pushes_total{repository=""} 2',
  ]);
});

test('while a look fails the pushes wait, and the next listing gives them their series', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app'));
  await loop.poll();
  say(({ only }) => (only ?? []).flatMap((name) => failed(name, new CollectError('timeout', 'too late'))));
  pushTo('new');
  await until(() => loop.log().includes('could not be looked at'));
  expect(await pushes()).toEqual([]);
  say(holding('app', 'new'));
  await loop.poll();
  expect(await pushes()).toEqual(['pushes_total{repository="new"} 1']);
});

test('a listed repository that cannot be read has series of its own', async () => {
  const { loop, pushTo, pushes } = await start(() => [
    ...listed('app', imageOf('v1')),
    ...failed('broken', new CollectError('server_error', '500')),
  ]);
  pushTo('broken', 'forged');
  letTimePass(untaggedMs);
  await loop.poll();
  expect(await pushes()).toEqual(['pushes_total{repository=""} 1', 'pushes_total{repository="broken"} 1']);
});

test('a listing that began before the push does not decide against it', async () => {
  const gate = Promise.withResolvers<void>();
  const { loop, say, pushTo, pushes } = await start(async function* () {
    await gate.promise;
    yield* listed('app', imageOf('v1'));
  });
  const poll = loop.poll();
  pushTo('new');
  gate.resolve();
  await poll;
  expect(await pushes()).toEqual([]);
  say(holding('app', 'new'));
  await loop.poll();
  expect(await pushes()).toEqual(['pushes_total{repository="new"} 1']);
});

test('a listing that broke off, or is doubted, decides against no name', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app'));
  await loop.poll();
  pushTo('new');
  for (const script of [
    () => [
      ...listed('app', imageOf('v1')),
      { type: 'group-failed' as const, prefix: 'team/', error: new CollectError('timeout', 'too late') },
    ],
    () => [],
  ] satisfies Script[]) {
    say(script);
    await loop.poll();
    expect(await pushes()).toEqual([]);
  }
});

test('counts of a repository that is gone vanish with it, those of unlisted names stay', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app', 'web'));
  await loop.poll();
  say(looksFor('app'));
  pushTo('app', 'web', 'forged');
  await until(async () => (await pushes()).length > 0);
  letTimePass(untaggedMs);
  say(holding('app'));
  await loop.poll();
  expect(await pushes()).toEqual(['pushes_total{repository=""} 1', 'pushes_total{repository="app"} 1']);
});

test('repositories that the configuration leaves out are neither counted nor looked at', async () => {
  const { loop, say, pushTo, pushes } = await start(holding('app'), {
    repositories: { exclude: ['cache/**'] },
  });
  await loop.poll();
  const looked: string[] = [];
  say((context) => {
    looked.push(...(context.only ?? []));
    return looksFor('app')(context);
  });
  pushTo('cache/alpine', 'app');
  await until(async () => (await pushes()).length > 0);
  expect(looked).toEqual(['app']);
  expect(await pushes()).toEqual(['pushes_total{repository="app"} 1']);
});

describe('bounds', () => {
  const pushesAt = (now: () => number) => createPushes(() => false, now);
  const waiting = (pushes: Pushes) => Object.keys(pushes.saved().waiting ?? {});
  const one = { pushes: 1, failures: {} };
  const undecided = { has: () => false, lacks: () => false };

  test('no more than a thousand names wait; the others are counted as unlisted at once, and none is lost', () => {
    const pushes = pushesAt(() => 0);
    for (let at = 0; at < 5000; at += 1) pushes.add(`forged-${at}`, one);
    expect(waiting(pushes)).toHaveLength(1000);
    expect(waiting(pushes)[0]).toBe('forged-0');
    pushes.add('forged-0', one);
    expect([...pushes.counts()]).toEqual([['', { pushes: 4000, failures: {} }]]);
  });

  test('a name waits for ten minutes at most', () => {
    const clock = vi.fn(() => 0);
    const pushes = pushesAt(clock);
    pushes.add('new', { pushes: 1, failures: { quota: 1 } });
    clock.mockReturnValue(10 * 60_000);
    pushes.confirm(undecided);
    expect(waiting(pushes)).toHaveLength(1);
    clock.mockReturnValue(10 * 60_000 + 1);
    pushes.confirm(undecided);
    expect(waiting(pushes)).toEqual([]);
    expect([...pushes.counts()]).toEqual([['', { pushes: 1, failures: { quota: 1 } }]]);
  });
});
