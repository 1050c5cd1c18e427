import { afterEach, expect, test } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { site } from '../support/registry-site.ts';
import type { RunningLoop } from '../support/running-loop.ts';
import { runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, scripted, until } from './scripted.ts';

const open: RunningLoop[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop();
});
const started = async (...input: Parameters<typeof runLoop>) => {
  const loop = await runLoop(...input);
  open.push(loop);
  return loop;
};
/** Levels and the part of the message that matters, in order. */
const told = (loop: RunningLoop, word: RegExp) =>
  loop
    .log()
    .split('\n')
    .filter((line) => word.test(line))
    .map((line) => /level=(\w+)/.exec(line)?.[1]);

test('a failed poll is an error once, at debug level again, an error when the reason changes, and its end is told', async () => {
  const { provider, say } = scripted(() => {
    throw new CollectError('dns', 'no such host');
  });
  const loop = await started(provider, {});
  await loop.poll();
  await loop.poll();
  say(() => {
    throw new CollectError('auth', 'wrong password');
  });
  await loop.poll();
  say(holding('app'));
  await loop.poll();
  await loop.poll();
  expect(told(loop, /the poll (failed|works again)/)).toEqual(['error', 'debug', 'error', 'info']);
  expect(await loop.lines('poll_failures_total')).toContain('poll_failures_total{reason="dns"} 2');
});

test('a degraded capability is told once, reads 0 all the time, and its end is told', async () => {
  const { provider, say } = scripted((context) => {
    context.degraded('findings', new CollectError('forbidden', 'not allowed'));
    context.degraded('findings', new CollectError('forbidden', 'not allowed'));
    return listed('app', imageOf('v1'));
  });
  const loop = await started(provider, {});
  await loop.poll();
  await loop.poll();
  expect(await loop.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
  say(holding('app'));
  await loop.poll();
  expect(told(loop, /findings/)).toEqual(['warn', 'debug', 'info']);
  expect(await loop.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
});

test('what was still open when a poll failed is no failure of its own', async () => {
  const silent = await site(() => {});
  const ended: unknown[] = [];
  const { provider } = scripted(async function* (context) {
    const request = context.http().request({ url: silent.url, operation: 'tags' });
    request.catch((error) => {
      ended.push(error);
      context.degraded('findings', error);
    });
    await until(() => silent.seen.length > 0);
    yield* [];
    throw new CollectError('pagination', 'the list never ends');
  });
  const loop = await started(provider, {});
  await loop.poll();
  await until(() => ended.length > 0);
  // Not a failure to connect: nothing is remembered of it.
  expect(ended).toEqual([expect.objectContaining({ name: 'AbortError' })]);
  expect(told(loop, /findings/)).toEqual([]);
  expect(told(loop, /the poll failed/)).toEqual(['error']);
});

test('a capability that this registry does not have is neither up nor down', async () => {
  const { provider, say } = scripted((context) => {
    context.absent('findings');
    return listed('app', imageOf('v1'));
  });
  const loop = await started(provider, {});
  await loop.poll();
  expect(await loop.lines('capability_up')).toEqual(['capability_up{capability="repositories"} 1']);
  expect(loop.log()).not.toMatch(/findings/);
  say(holding('app'));
  await loop.poll();
  expect(await loop.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
});

test('a broken repository is told once, and one that vanished meanwhile never works again', async () => {
  const broken = new CollectError('server_error', 'broken');
  const { provider, say } = scripted(holding('app', 'bad', 'worse'));
  const loop = await started(provider, {});
  await loop.poll();
  say(() => [...listed('app', imageOf('v1')), ...failed('bad', broken), ...failed('worse', broken)]);
  await loop.poll();
  await loop.poll();
  say(holding('app', 'bad'));
  await loop.poll();
  expect(told(loop, /repository=bad/)).toEqual(['warn', 'debug', 'info']);
  expect(told(loop, /repository=worse/)).toEqual(['warn', 'debug']);
});

test('a repository that could not be read has its last data shown only where there is some', async () => {
  const { provider, say } = scripted(holding('app', 'old'));
  const loop = await started(provider, {});
  await loop.poll();
  const broken = new CollectError('server_error', '500');
  say(() => [...listed('app', imageOf('v1')), ...failed('old', broken), ...failed('new', broken)]);
  await loop.poll();
  expect(loop.loop.status()).toMatchObject({ failedRepositories: 2, failedRepositoriesWithData: 1 });
  expect(loop.log()).toMatch(/its last data stays and ages" repository=old/);
  expect(loop.log()).toMatch(/there is no data of it yet" repository=new/);
});

test('a first poll that fails does not say that data stays', async () => {
  const { provider } = scripted(() => {
    throw new CollectError('dns', 'no such host');
  });
  const loop = await started(provider, {});
  await loop.poll();
  expect(loop.log()).toContain('the poll failed: there is no data yet');
  expect(loop.log()).not.toContain('stays');
});
