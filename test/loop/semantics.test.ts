import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { createExposition, type Exposition } from '../../src/exposition.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, scripted, until } from './scripted.ts';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});
const started = async (...input: Parameters<typeof runLoop>): Promise<RunningLoop> => {
  const loop = await runLoop(...input);
  open.push(() => loop.stop());
  return loop;
};
const folder = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'loop-'));
  open.push(() => rm(path, { recursive: true, force: true }));
  return path;
};
const broken = new CollectError('server_error', 'broken');
const fails = () => {
  throw broken;
};
const tagged = async (loop: RunningLoop): Promise<string[]> =>
  (await loop.lines('repository_tags')).map((line) => line.replace('repository_tags', '')).sort();

test('before the first poll there is info but neither up nor a last success', async () => {
  const loop = await started(scripted(holding('app')).provider, {});
  expect(await loop.lines('info')).toHaveLength(1);
  expect(await loop.lines('up', 'last_success_timestamp_seconds', 'repositories')).toEqual([]);
  await loop.poll();
  expect(await loop.lines('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 1']);
});

test('a failed poll keeps the data until staleAfter; then it vanishes, while up is 0 and the last success stays', async () => {
  const { provider, say } = scripted(holding('app'));
  const loop = await started(provider, { staleAfter: '3s' });
  await loop.poll();
  const success = await loop.value('last_success_timestamp_seconds');
  say(fails);
  await loop.poll();
  expect(await loop.value('up')).toBe(0);
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
  await until(async () => (await tagged(loop)).length === 0);
  expect(await loop.lines('repositories', 'image_size_bytes')).toEqual([]);
  expect(await loop.value('up')).toBe(0);
  expect(await loop.value('last_success_timestamp_seconds')).toBe(success);
  expect(loop.loop.status().state).toBe('stale');
});

test('data may be allowed to be older than the longest timer of Node', async () => {
  const loop = await started(scripted(holding('app')).provider, { staleAfter: '60d' });
  await loop.poll();
  await sleep(100);
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
});

test('a listing of many repositories that breaks leaves all below it as they were', async () => {
  const { provider, say } = scripted(holding('here/app', 'there/app', 'there/web'));
  const loop = await started(provider, {});
  await loop.poll();
  say(() => [
    ...listed('here/app', imageOf('v1'), imageOf('v2')),
    // Of one that was open the poll knows a part, which is not shown.
    { type: 'repository', repository: 'there/app' },
    { type: 'images', repository: 'there/app', images: [imageOf('v1'), imageOf('v3')] },
    { type: 'group-failed', prefix: 'there/', error: broken },
  ]);
  await loop.poll();
  expect(await tagged(loop)).toEqual([
    '{repository="here/app"} 2',
    '{repository="there/app"} 1',
    '{repository="there/web"} 1',
  ]);
  expect(await loop.lines('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 3']);
  expect(await loop.lines('poll_failures_total')).toContain('poll_failures_total{reason="partial"} 1');
  expect(loop.log().match(/could not be listed/g)).toHaveLength(1);
  say(holding('here/app', 'there/app'));
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="here/app"} 1', '{repository="there/app"} 1']);
  expect(loop.log()).toContain('works again');
});

test('below a prefix that was never listed nobody knows how many repositories there are', async () => {
  const { provider, say } = scripted(() => [
    ...listed('here/app', imageOf('v1')),
    { type: 'group-failed', prefix: 'there/', error: broken },
  ]);
  const loop = await started(provider, {});
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="here/app"} 1']);
  expect(await loop.lines('repositories')).toEqual([]);
  say(() => [{ type: 'group-failed', prefix: '', error: broken }]);
  await loop.poll();
  expect(await loop.value('up')).toBe(0);
});

test('repositories and images that are gone vanish with the next poll', async () => {
  const { provider, say } = scripted(() => [
    ...listed('app', imageOf('v1'), imageOf('v2')),
    ...listed('old', imageOf('v1')),
    ...listed('gone', imageOf('v1')),
  ]);
  const loop = await started(provider, {});
  await loop.poll();
  say(() => [
    ...listed('app', imageOf('v2')),
    { type: 'repository', repository: 'gone' },
    { type: 'repository-gone', repository: 'gone' },
  ]);
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
  expect(await loop.text()).not.toMatch(/"v1"|"old"|"gone"/);
});

test('the last repository is gone at once when the registry says that it does not know it', async () => {
  const { provider, say } = scripted(holding('app'));
  const loop = await started(provider, {});
  await loop.poll();
  say(() => [
    { type: 'repository', repository: 'app' },
    { type: 'repository-gone', repository: 'app' },
  ]);
  await loop.poll();
  expect(await loop.lines('repositories', 'repository_tags')).toEqual(['repositories{} 0']);
});

test('a first listing without a repository is no 0 before the next one says so too, and it is said', async () => {
  const { provider, say } = scripted(() => []);
  const loop = await started(provider, {});
  await loop.poll();
  expect(await loop.lines('up', 'repositories')).toEqual(['up{} 1']);
  await loop.poll();
  await loop.poll();
  expect(await loop.lines('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 0']);
  expect(loop.log().match(/level=warn.*shows no repository at all.*check the address/g)).toHaveLength(1);
  say(holding('app'));
  await loop.poll();
  expect(await loop.lines('repositories')).toEqual(['repositories{} 1']);
});

test('a registry, or a repository, that is suddenly empty is believed the second time', async () => {
  const { provider, say } = scripted(holding('app', 'web'));
  const loop = await started(provider, {});
  await loop.poll();
  say(() => [...listed('app'), ...listed('web', imageOf('v1'))]);
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="app"} 1', '{repository="web"} 1']);
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="app"} 0', '{repository="web"} 1']);
  say(() => []);
  await loop.poll();
  expect(await tagged(loop)).toHaveLength(2);
  await loop.poll();
  expect(await tagged(loop)).toEqual([]);
  expect(await loop.value('repositories')).toBe(0);
});

test('one broken repository ages alone', async () => {
  const { provider, say } = scripted(holding('app', 'bad'));
  const loop = await started(provider, { staleAfter: '2s' });
  await loop.poll();
  say(() => [...listed('app', imageOf('v1')), ...failed('bad', broken)]);
  await loop.poll();
  expect(await loop.value('up')).toBe(1);
  expect(await tagged(loop)).toHaveLength(2);
  await until(async () => {
    await loop.poll();
    return (await tagged(loop)).length === 1;
  });
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
});

test('a scrape during a poll sees the old data whole, and a second poll waits for the first', async () => {
  const { provider, say } = scripted(holding('app'));
  const loop = await started(provider, {});
  await loop.poll();
  const before = await loop.text();
  let polls = 0;
  const gate = Promise.withResolvers<void>();
  say(async function* () {
    polls += 1;
    yield* listed('new', imageOf('v9'));
    await gate.promise;
  });
  const both = Promise.all([loop.poll(), loop.poll()]);
  await until(() => polls > 0);
  expect(await loop.text()).toBe(before);
  gate.resolve();
  await both;
  expect(polls).toBe(1);
  expect(await tagged(loop)).toEqual(['{repository="new"} 1']);
});

test('after a restart the data is there with its true age, counters go on, and up is not claimed', async () => {
  const storagePath = await folder();
  const first = await started(scripted(holding('app')).provider, {}, { storagePath });
  await first.poll();
  await first.poll();
  const success = (await first.value('last_success_timestamp_seconds')) ?? 0;
  await first.stop();
  const second = await started(scripted(fails).provider, {}, { storagePath });
  expect(await tagged(second)).toEqual(['{repository="app"} 1']);
  expect(Math.abs(((await second.value('last_success_timestamp_seconds')) ?? 0) - success)).toBeLessThan(1);
  expect(await second.lines('up', 'polls_total')).toEqual(['polls_total{} 2']);
  await second.poll();
  expect(await second.value('polls_total')).toBe(3);
});

test('damaged files are set aside with a warning, and the start goes on', async () => {
  const storagePath = await folder();
  for (const kind of ['snapshot', 'counters', 'memory.ndjson'])
    await writeFile(join(storagePath, `edge.${kind}`), '{"half a li');
  const loop = await started(scripted(holding('app')).provider, {}, { storagePath });
  expect(loop.log().match(/level=warn .*damaged/g)).toHaveLength(3);
  expect(await readdir(storagePath)).toContain('edge.snapshot.damaged');
  await loop.poll();
  expect(await loop.value('up')).toBe(1);
});

test('single images are the newest so many, and those whose tag matches', async () => {
  const { provider } = scripted(() =>
    listed('app', ...['old', 'keep-1', 'mid', 'new'].map((tag, at) => imageOf(tag, { pushedAt: 1000 + at }))),
  );
  const loop = await started(provider, { images: { perRepository: 1, tags: ['keep-*'] } });
  await loop.poll();
  const tags = (await loop.lines('image_size_bytes')).map((line) => /tag="([^"]+)"/.exec(line)?.[1]);
  expect(tags.sort()).toEqual(['keep-1', 'new']);
});

test('a poll that hangs ends at its deadline with the reason timeout', async () => {
  const { provider } = scripted(async function* () {
    await new Promise(() => {});
    yield* [];
  });
  const loop = await started(provider, { timeout: '300ms' });
  await loop.poll();
  expect(await loop.lines('poll_failures_total')).toContain('poll_failures_total{reason="timeout"} 1');
});

test('a push is counted at once and its repository alone is looked at soon', async () => {
  const { provider, say } = scripted(holding('app', 'web'));
  const loop = await started(provider, {});
  await loop.poll();
  let only: readonly string[] | undefined;
  say((context) => {
    only = context.only;
    return listed('app', imageOf('v1'), imageOf('v2'));
  });
  loop.loop.receive('test', [{ id: String(Math.random()), type: 'pushed', repository: 'app' }]);
  loop.loop.receive('test', [{ id: String(Math.random()), type: 'pushed', repository: 'app' }]);
  await until(async () => (await tagged(loop))[0] === '{repository="app"} 2');
  expect(only).toEqual(['app']);
  expect(await tagged(loop)).toEqual(['{repository="app"} 2', '{repository="web"} 1']);
  expect(await loop.lines('pushes_total')).toEqual(['pushes_total{repository="app"} 2']);
});

test('a push before the first good poll waits for it, and its repository does not pass for the registry', async () => {
  const { provider, say } = scripted(fails);
  const loop = await started(provider, {});
  await loop.poll();
  let looks = 0;
  say(() => {
    looks += 1;
    return listed('app', imageOf('v1'));
  });
  loop.loop.receive('test', [{ id: String(Math.random()), type: 'pushed', repository: 'app' }]);
  await sleep(2500);
  expect(looks).toBe(0);
  expect(await loop.lines('repositories', 'repository_tags', 'pushes_total')).toEqual([]);
  await loop.poll();
  expect(await loop.lines('repositories', 'repository_tags', 'pushes_total')).toEqual([
    'repositories{} 1',
    'repository_tags{repository="app"} 1',
    'pushes_total{repository="app"} 1',
  ]);
});

test('after a poll that failed no capability claims to have worked', async () => {
  const { provider, say } = scripted(holding('app'));
  const loop = await started(provider, {});
  await loop.poll();
  expect(await loop.lines('capability_up')).toHaveLength(2);
  say((context) => {
    context.degraded('findings', broken);
    throw broken;
  });
  await loop.poll();
  expect(await loop.lines('capability_up')).toEqual(['capability_up{capability="findings"} 0']);
});

test('the end of a loop waits for a publish of old age: a registry that is removed then stays away', async () => {
  const real = createExposition();
  let begun = 0;
  let ended = 0;
  const slow: Exposition = {
    ...real,
    async publish(...publication) {
      begun += 1;
      await sleep(200);
      const done = await real.publish(...publication);
      ended += 1;
      return done;
    },
  };
  const { provider } = scripted(holding('app'));
  const loop = await runLoop(provider, { staleAfter: '1s' }, { exposition: slow });
  await loop.poll();
  await until(() => begun > ended);
  await loop.stop();
  expect(begun).toBe(ended);
});

test('a registry that is not asked for repositories has no number of them, and no capability that could fail', async () => {
  const { provider } = scripted((context) => {
    context.absent('repositories');
    return [{ type: 'registry', facts: { pullRemaining: 5 } }];
  });
  const loop = await started(provider, {});
  await loop.poll();
  expect(await loop.lines('up', 'repositories', 'pull_remaining', 'capability_up')).toEqual([
    'up{} 1',
    'capability_up{capability="findings"} 1',
    'pull_remaining{source=""} 5',
  ]);
});

test('a listing of many repositories that suddenly shows none is believed when the next one shows none too', async () => {
  const { provider, say } = scripted(holding('here/app', 'there/app', 'there/web'));
  const loop = await started(provider, {});
  await loop.poll();
  const empty = () => [
    ...listed('here/app', imageOf('v2')),
    { type: 'group-empty', prefix: 'there/' } as const,
  ];
  say(empty);
  await loop.poll();
  expect(await tagged(loop)).toEqual([
    '{repository="here/app"} 1',
    '{repository="there/app"} 1',
    '{repository="there/web"} 1',
  ]);
  expect(await loop.lines('repositories')).toEqual(['repositories{} 3']);
  expect(loop.log()).toContain('came back empty all of a sudden');
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="here/app"} 1']);
  expect(await loop.lines('repositories')).toEqual(['repositories{} 1']);
  // Full again in between, it has to be empty twice again.
  say(holding('here/app', 'there/app'));
  await loop.poll();
  say(empty);
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="here/app"} 1', '{repository="there/app"} 1']);
});
