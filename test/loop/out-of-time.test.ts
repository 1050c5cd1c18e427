import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import type { Observation } from '../../src/model.ts';
import { readSideBySide } from '../../src/side-by-side.ts';
import { site } from '../support/registry-site.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, type Script, scripted, until } from './scripted.ts';

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
const tagged = async (loop: RunningLoop): Promise<string[]> =>
  (await loop.lines('repository_tags')).map((line) => line.replace('repository_tags', '')).sort();

const all = (...names: string[]) => names.flatMap((name) => listed(name, imageOf('v1')));
const failures = async (loop: RunningLoop): Promise<string[]> =>
  (await loop.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'));
/** What comes is there at once; what is read next never ends. */
const thenHangs = (...observations: Observation[]): Script =>
  async function* () {
    yield* observations;
    yield { type: 'repository', repository: 'hangs' };
    yield { type: 'images', repository: 'hangs', images: [imageOf('half')] };
    await new Promise(() => {});
  };
const sum = (storageBytes: number): Observation => ({ type: 'registry', facts: { storageBytes } });
const impatient = { timeout: '300ms' };

test('a poll that runs out of time publishes what it read, keeps the rest, and counts as failed', async () => {
  const { provider, say } = scripted(() => [...all('app', 'web', 'hangs'), sum(7)]);
  const loop = await started(provider, impatient);
  await loop.poll();
  const success = await loop.value('last_success_timestamp_seconds');
  say(thenHangs(...listed('app', imageOf('v1'), imageOf('v2')), ...listed('new', imageOf('v1'))));
  await loop.poll();
  expect(await tagged(loop)).toEqual([
    '{repository="app"} 2',
    // Of one that was being read the poll knows a part, which is not shown.
    '{repository="hangs"} 1',
    '{repository="new"} 1',
    '{repository="web"} 1',
  ]);
  expect(await loop.lines('up', 'repositories', 'storage_bytes')).toEqual([
    'up{} 0',
    // How many there are, and how much they take, is what the last whole poll said.
    'repositories{} 3',
    'storage_bytes{} 7',
  ]);
  expect(await loop.value('last_success_timestamp_seconds')).toBe(success);
  expect(await failures(loop)).toEqual(['poll_failures_total{reason="timeout"} 1']);
  expect(loop.loop.status().state).toBe('down');
});

test('a definite end and a failure before the deadline count, and nothing passes for gone', async () => {
  const { provider, say } = scripted(holding('app', 'bad', 'old', 'web'));
  const loop = await started(provider, impatient);
  await loop.poll();
  say(
    thenHangs(
      { type: 'repository-gone', repository: 'old' },
      ...failed('bad', new CollectError('server_error', 'broken')),
      { type: 'group-empty', prefix: 'w' },
    ),
  );
  await loop.poll();
  await loop.poll();
  expect(await tagged(loop)).toEqual([
    '{repository="app"} 1',
    '{repository="bad"} 1',
    '{repository="web"} 1',
  ]);
  expect(await failures(loop)).toEqual(['poll_failures_total{reason="timeout"} 2']);
});

test('the message says how far the poll came and what to change', async () => {
  const { provider, say } = scripted(async function* (context) {
    context.progress(0, 4000);
    yield* thenHangs(...listed('app', imageOf('v1')))(context);
  });
  const loop = await started(provider, impatient);
  await loop.poll();
  const message = () => loop.loop.status().errors[0]?.message;
  expect(message()).toBe(
    'the poll did not end within its deadline of 0.3 s: 1 of 4000 repositories that were listed were read and are published, the others keep the data that they had. Raise `timeout` and the time between polls in `schedule`, ask for fewer repositories with `repositories.include`, or raise `http.maxConcurrent` where the registry bears it',
  );
  say(async function* (context) {
    context.progress(0, 7);
    yield* thenHangs()(context);
  });
  await loop.poll();
  expect(message()).toContain('none of 7 repositories that were listed was read.');
  // Fewer repositories would not help where none was listed.
  say(thenHangs());
  await loop.poll();
  expect(message()).toBe(
    'the poll did not end within its deadline of 0.3 s, and nothing was listed: the registry does not answer, or too slowly. Check that it can be reached; if it is slow, raise `timeout`',
  );
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
});

test('a provider that was throttled until its deadline is told of as throttled, and what it read is published', async () => {
  const { provider } = scripted(async function* ({ signal }) {
    yield* listed('app', imageOf('v1'));
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    throw new CollectError('throttled', '429 until the end');
  });
  const loop = await started(provider, impatient);
  await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
  expect(await failures(loop)).toEqual(['poll_failures_total{reason="throttled"} 1']);
  expect(loop.loop.status().errors[0]?.message).toContain('(429 until the end)');
});

test('a request that is throttled until the deadline is the reason, though another client was waiting for an answer first', async () => {
  const registry = await site((request, response) => {
    if (request.url === '/throttled') response.writeHead(429).end('slow down');
    // What else is asked gets no answer.
  });
  const { provider } = scripted(async function* (context) {
    yield* listed('app', imageOf('v1'));
    const ask = (path: string) =>
      context.http().request({ url: `${registry.url}${path}`, operation: 'list' });
    await Promise.all([ask('/throttled').catch(() => new Promise(() => {})), ask('/slow')]);
  });
  const loop = await started(provider, { timeout: '2s' });
  for (const _ of [1, 2]) await loop.poll();
  expect(await failures(loop)).toEqual(['poll_failures_total{reason="throttled"} 2']);
  // It is told once: the reason did not change.
  expect(loop.log().match(/level=error/g)).toHaveLength(1);
});

test('what a first poll that ran out of time read is there after a restart, with no last success', async () => {
  const storagePath = await folder();
  const { provider } = scripted(thenHangs(...listed('app', imageOf('v1'))));
  const first = await runLoop(provider, impatient, { storagePath });
  await first.poll();
  await first.stop();
  const loop = await started(provider, impatient, { storagePath });
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
  expect(await loop.lines('up', 'last_success_timestamp_seconds', 'repositories')).toEqual([]);
});

test('repositories that no poll comes to age on their own clock, while those that are read stay', async () => {
  const { provider, say } = scripted(holding('app', 'web'));
  const loop = await started(provider, { ...impatient, staleAfter: '3s' });
  await loop.poll();
  say(thenHangs(...listed('app', imageOf('v1'))));
  await until(async () => {
    await loop.poll();
    return (await tagged(loop)).length === 1;
  });
  expect(await tagged(loop)).toEqual(['{repository="app"} 1']);
  expect(await loop.lines('repositories')).toEqual([]);
  expect(loop.loop.status().state).toBe('down');
});

/** Reads one repository after the other; of each poll only so many come to their end, and what is stuck never does. */
function slow(names: readonly string[], perPoll: number, stuck = ''): Script {
  return (context) => {
    let left = perPoll;
    return readSideBySide({ ...context, concurrency: 1 }, names, async function* (repository) {
      if (repository === stuck || left === 0) await new Promise(() => {});
      left -= 1;
      yield* listed(repository, imageOf('v1'));
    });
  };
}

test('the next poll begins with what the last one did not come to', async () => {
  const { provider } = scripted(slow(['a/1', 'a/2', 'b/1', 'b/2', 'c/1', 'c/2'], 2));
  const loop = await started(provider, impatient);
  for (let poll = 0; poll < 4; poll += 1) await loop.poll();
  expect(await tagged(loop)).toHaveLength(6);
});

test('a repository that hangs is not the first of every poll', async () => {
  const { provider } = scripted(slow(['a', 'b', 'c', 'd'], 2, 'a'));
  const loop = await started(provider, impatient);
  for (let poll = 0; poll < 4; poll += 1) await loop.poll();
  expect(await tagged(loop)).toEqual(['{repository="b"} 1', '{repository="c"} 1', '{repository="d"} 1']);
});
