import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import type { PushEvent } from '../../src/events/push-event.ts';
import type { Observation } from '../../src/model.ts';
import type { CollectContext } from '../../src/provider.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, scripted, untilByTurns } from './scripted.ts';

/** What follows of a poll, or of a look, for the polls after it; by a clock that the test holds. */

const loops: RunningLoop[] = [];
beforeEach(() => {
  vi.useFakeTimers({
    now: Date.parse('2026-06-01T12:00:00Z'),
    toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'],
  });
});
afterEach(async () => {
  for (const loop of loops.splice(0)) await loop.stop();
  vi.useRealTimers();
});
async function started(...[script, settings = {}]: [Parameters<typeof scripted>[0], object?]) {
  const { provider, say } = scripted(script);
  const loop = await runLoop(provider, { timeout: '5m', ...settings });
  loops.push(loop);
  return { loop, say };
}
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const minute = 60_000;
const broken = new CollectError('server_error', 'broken');
const never = () => new Promise<never>(() => {});
let id = 0;
/** A push that failed: any listing that began after it decides whether its repository is there. */
const failedPush = (repository: string): PushEvent => {
  id += 1;
  return { id: String(id), type: 'failed', repository, reason: 'quota' };
};
const pushes = (loop: RunningLoop) => loop.lines('pushes_total');

/** A poll that reads this and then hangs until its time is up. */
async function cutPoll({ loop, say }: Awaited<ReturnType<typeof started>>, ...read: Observation[]) {
  let isHanging = false;
  say(async function* () {
    yield* read;
    isHanging = true;
    await never();
  });
  const polling = loop.poll();
  await untilByTurns(() => isHanging);
  await pass(5 * minute);
  await polling;
}

/** A look that asks for this repository and shows that. */
async function look(
  { loop, say }: Awaited<ReturnType<typeof started>>,
  name: string,
  ...shows: Observation[]
) {
  let go: (() => void) | undefined;
  say(async function* (context) {
    expect(context.only).toEqual([name]);
    await new Promise<void>((resolve) => {
      go = resolve;
    });
    yield* shows;
  });
  loop.loop.look(name);
  await pass(2000);
  await untilByTurns(() => go !== undefined);
  // Who asks for a poll while a look runs waits for its end.
  const ended = loop.poll();
  go?.();
  await ended;
}

describe('a poll that ran out of time', () => {
  test('is followed by polls that begin with what it did not come to, until one comes to its end', async () => {
    const running = await started(holding('app'));
    const { loop, say } = running;
    const isOrdered: boolean[] = [];
    const poll = async () => {
      say((context: CollectContext) => {
        isOrdered.push(context.order?.lastTried !== undefined);
        return holding('app')(context);
      });
      await loop.poll();
    };
    await poll();
    await cutPoll(running, ...listed('app', imageOf('v1')));
    // A look says nothing of that.
    await look(running, 'app', ...listed('app', imageOf('v1')));
    await poll();
    await poll();
    expect(isOrdered).toEqual([false, true, false]);
  });

  test('decides nothing about names that it did not show', async () => {
    const running = await started(holding('app'));
    const { loop, say } = running;
    await loop.poll();
    loop.loop.receive('test', [failedPush('new')]);
    await cutPoll(running, ...listed('app', imageOf('v1')));
    expect(await pushes(loop)).toEqual([]);
    say(holding('app'));
    await loop.poll();
    expect(await pushes(loop)).toEqual(['pushes_total{repository=""} 1']);
  });

  test('is told of by what the provider says at its end', async () => {
    const { loop } = await started(async function* (context) {
      yield* listed('app', imageOf('v1'));
      await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
      throw new CollectError('throttled', 'slow down');
    });
    const polling = loop.poll();
    await pass(5 * minute);
    await polling;
    expect(loop.loop.status().errors[0]).toMatchObject({
      reason: 'throttled',
      message: expect.stringContaining('(slow down)'),
    });
  });
});

test('a list that is suddenly empty decides nothing about names before it is believed', async () => {
  const { loop, say } = await started(holding('app'));
  await loop.poll();
  loop.loop.receive('test', [failedPush('new')]);
  say(() => []);
  await loop.poll();
  expect(await pushes(loop)).toEqual([]);
  await loop.poll();
  expect(await pushes(loop)).toEqual(['pushes_total{repository=""} 1']);
});

test('a poll of which some was read works, however much was gone and could not be read', async () => {
  const { loop, say } = await started(holding('app', 'old', 'web'));
  await loop.poll();
  say(() => [
    ...listed('app', imageOf('v1')),
    { type: 'repository', repository: 'old' },
    { type: 'repository-gone', repository: 'old' },
    ...failed('web', broken),
  ]);
  await loop.poll();
  expect(await loop.value('up')).toBe(1);
  expect(await loop.value('repositories')).toBe(2);
  expect(loop.loop.status()).toMatchObject({ failedRepositories: 1, failedRepositoriesWithData: 1 });
});

test('a registry that is not asked for repositories has none to be missing', async () => {
  const { loop } = await started((context) => {
    context.absent('repositories');
    return [{ type: 'registry', facts: { storageBytes: 5 } }];
  });
  for (let turn = 0; turn < 2; turn += 1) {
    await loop.poll();
    expect(await loop.lines('repositories', 'storage_bytes')).toEqual(['storage_bytes{} 5']);
  }
  expect(loop.log()).not.toContain('shows no repository');
});

test('how long a poll took is told, and only of one that worked that it polled', async () => {
  const { loop, say } = await started(async function* () {
    await pass(2000);
    yield* listed('app', imageOf('v1'));
  });
  await pass(minute);
  await loop.poll();
  expect(await loop.value('poll_duration_seconds')).toBe(2);
  expect(loop.log()).toMatch(/msg=polled seconds=2 repositories=1 series=\d+/);
  say(() => {
    throw broken;
  });
  await loop.poll();
  expect(loop.log().match(/msg=polled/g)?.length).toBe(1);
});

test('a poll that has begun is shown before its provider tells anything', async () => {
  let go: (() => void) | undefined;
  const { loop } = await started(async function* () {
    await new Promise<void>((resolve) => {
      go = resolve;
    });
    yield* listed('app', imageOf('v1'));
  });
  const polling = loop.poll();
  await untilByTurns(() => go !== undefined);
  expect(loop.loop.status().polling).toEqual({ startedAt: Date.now() / 1000, done: 0, total: 0 });
  go?.();
  await polling;
});

describe('what is odd', () => {
  test('is told again only after a whole poll that did not meet it: neither a failed one nor a look ends it', async () => {
    const running = await started(holding('app'));
    const { loop, say } = running;
    const odd = async () => {
      say((context) => {
        context.tell('odd', {}, 'something is odd');
        return holding('app')(context);
      });
      await loop.poll();
    };
    const told = () => loop.log().match(/level=warn msg="something is odd"/g)?.length;
    await odd();
    await look(running, 'app', ...listed('app', imageOf('v1')));
    await odd();
    say(() => {
      throw broken;
    });
    await loop.poll();
    await odd();
    expect([told(), loop.loop.status().notices.length]).toEqual([1, 1]);
    say(holding('app'));
    await loop.poll();
    expect(loop.loop.status().notices).toEqual([]);
    await odd();
    expect(told()).toBe(2);
  });
});

describe('a look', () => {
  test('decides about the names that it looked for, and no others', async () => {
    const running = await started(holding('app'));
    const { loop } = running;
    await loop.poll();
    loop.loop.receive('test', [failedPush('new')]);
    // It could not be read: that says nothing.
    await look(running, 'new', ...failed('new', broken));
    await look(running, 'app', ...listed('app', imageOf('v1')));
    expect(await pushes(loop)).toEqual([]);
  });

  test('that could not read a repository changes nothing of what the last poll could read', async () => {
    const running = await started(holding('app', 'web'));
    const { loop } = running;
    await loop.poll();
    await look(running, 'app', ...listed('app', imageOf('v1')), ...failed('web', broken));
    expect(loop.loop.status().failedRepositories).toBe(0);
  });

  test('is no poll that finds pushes of which no event told', async () => {
    const at = (pushedAt: number) => () => listed('app', imageOf(`at ${pushedAt}`, { pushedAt }));
    const running = await started(at(1000));
    const { loop, say } = running;
    await loop.poll();
    loop.loop.receive('test', [{ id: 'p', type: 'pushed', repository: 'app' }]);
    await look(running, 'app', ...at(1000)());
    say(at(1000));
    await loop.poll();
    await loop.poll();
    say(at(2000));
    await loop.poll();
    const missed = () => loop.value('missed_push_events_total');
    for (const [minutes, count] of [
      [5, 0],
      [9, 0],
      [1, 1],
    ] as const) {
      await pass(minutes * minute);
      await loop.poll();
      expect(await missed()).toBe(count);
    }
  });
});
