import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import type { PushEvent } from '../../src/events/push-event.ts';
import type { InUseFeed, JoinedRegistry, RegistryUse } from '../../src/in-use/feed.ts';
import type { PackedUse } from '../../src/model.ts';
import type { Provider } from '../../src/provider.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, scripted, untilByTurns } from './scripted.ts';

/** A loop from its start to its end, by a clock that the test holds. */

const open: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  vi.useFakeTimers({
    now: Date.parse('2026-06-01T12:00:00Z'),
    toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'],
  });
});
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
  vi.restoreAllMocks();
  vi.useRealTimers();
});
const started = async (...input: Parameters<typeof runLoop>): Promise<RunningLoop> => {
  const loop = await runLoop(...input);
  open.push(() => loop.stop());
  return loop;
};
const folder = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'life-'));
  open.push(() => rm(path, { recursive: true, force: true }));
  return path;
};
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const minute = 60_000;
const broken = new CollectError('server_error', 'broken');
const fails = () => {
  throw broken;
};
let id = 0;
const pushed = (repository: string): PushEvent => {
  id += 1;
  return { id: String(id), type: 'pushed', repository };
};
const tags = async (loop: RunningLoop) =>
  (await loop.lines('repository_tags')).map((line) => line.replace('repository_tags', '')).sort();
const never = () => new Promise<never>(() => {});

describe('the start', () => {
  test('is followed by a first poll after its delay, and others by the schedule', async () => {
    const loop = await started(
      scripted(holding('app')).provider,
      { schedule: '10m' },
      { firstPollMs: 30_000 },
    );
    expect(loop.loop.ready()).toBe(false);
    expect(loop.loop.name).toBe('edge');
    await pass(29_999);
    expect(await loop.value('polls_total')).toBe(0);
    await pass(2);
    await loop.poll();
    expect(loop.loop.ready()).toBe(true);
    const { nextPollAt = 0 } = loop.loop.status();
    expect(nextPollAt).toBeGreaterThan(Date.now() / 1000);
    expect(nextPollAt).toBeLessThanOrEqual(Date.now() / 1000 + 600);
    const before = (await loop.value('polls_total')) ?? 0;
    for (let turn = 1; turn <= 3; turn += 1) {
      await pass(10 * minute);
      await untilByTurns(async () => ((await loop.value('polls_total')) ?? 0) >= before + turn);
    }
  });

  test('is over with the first poll, also where that failed', async () => {
    const loop = await started(scripted(fails).provider, {});
    await loop.poll();
    expect(loop.loop.ready()).toBe(true);
  });

  test('goes on from what was saved: data, counters, pushes and those that wait', async () => {
    const storagePath = await folder();
    const first = await started(scripted(holding('app')).provider, {}, { storagePath });
    await first.poll();
    await first.loop.receive('test', [pushed('app'), pushed('new')]).saved;
    await first.loop.receive('test', [pushed('app')]).saved;
    first.loop.refused('unauthorized');
    await first.stop();
    const second = await started(scripted(holding('app', 'new')).provider, {}, { storagePath });
    expect(second.loop.ready()).toBe(true);
    expect(second.log()).toMatch(
      /msg="read the last snapshot back: served with its true age" observedAt=\d+/,
    );
    expect(await second.lines('pushes_total')).toEqual(['pushes_total{repository="app"} 2']);
    expect(await second.events()).toEqual({ 'test accepted': 3, 'unknown unauthorized': 1 });
    await second.poll();
    expect(await second.lines('pushes_total')).toEqual([
      'pushes_total{repository="app"} 2',
      'pushes_total{repository="new"} 1',
    ]);
  });

  test('counts events that came after the counters were saved', async () => {
    const storagePath = await folder();
    const first = await started(scripted(holding('app')).provider, {}, { storagePath });
    await first.poll();
    await first.loop.receive('test', [pushed('app')]).saved;
    await first.loop.receive('test', [pushed('app')]).saved;
    // As after a crash: nothing more is saved.
    const second = await started(scripted(holding('app')).provider, {}, { storagePath });
    expect(await second.lines('pushes_total')).toEqual(['pushes_total{repository="app"} 2']);
    expect(await second.events()).toEqual({ 'test accepted': 2 });
  });

  test('warns of data that would vanish between two polls', async () => {
    const loop = await started(scripted(holding('app')).provider, { schedule: '10m', staleAfter: '5m' });
    expect(loop.log()).toContain('staleAfter is shorter than the time between two polls');
    const fitting = await started(scripted(holding('app')).provider, { schedule: '10m', staleAfter: '10m' });
    expect(fitting.log()).not.toContain('staleAfter');
  });

  test('begins anew without a word where nothing was saved', async () => {
    const loop = await started(scripted(holding('app')).provider, {}, { storagePath: await folder() });
    expect([loop.loop.ready(), loop.log()]).toEqual([false, '']);
  });
});

describe('a poll', () => {
  test('is over when what it learned is saved', async () => {
    const storagePath = await folder();
    const loop = await started(scripted(holding('app')).provider, {}, { storagePath });
    await loop.poll();
    expect(await readdir(storagePath)).toEqual(expect.arrayContaining(['edge.counters', 'edge.snapshot']));
    expect(loop.log()).toMatch(/msg=polled .*repositories=1/);
    expect(await loop.value('exporter_state_saved')).toBe(1);
  });

  test('shows how far it is', async () => {
    let go = () => {};
    const { provider } = scripted(async function* (context) {
      context.progress(1, 3);
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      yield* listed('app', imageOf('v1'));
    });
    const loop = await started(provider, {});
    expect(loop.loop.status().polling).toBeUndefined();
    const polling = loop.poll();
    await pass(0);
    expect(loop.loop.status().polling).toEqual({ startedAt: Date.now() / 1000, done: 1, total: 3 });
    go();
    await polling;
    expect(loop.loop.status().polling).toBeUndefined();
  });

  test('that reads no repository fails with the first reason', async () => {
    const loop = await started(scripted(() => failed('app', broken)).provider, {});
    await loop.poll();
    expect(await loop.value('up')).toBe(0);
    expect(await loop.lines('poll_failures_total')).toContain('poll_failures_total{reason="server_error"} 1');
  });

  test('that lists only a place that breaks fails with its reason', async () => {
    const { provider } = scripted(() => [{ type: 'group-failed', prefix: 'team/', error: broken }]);
    const loop = await started(provider, {});
    await loop.poll();
    expect(await loop.value('up')).toBe(0);
    expect(loop.loop.status().errors[0]).toMatchObject({ reason: 'server_error', message: 'broken' });
  });

  test('that a provider fails without an error is a fault, and fails', async () => {
    const loop = await started(
      scripted(() => {
        throw undefined;
      }).provider,
      {},
    );
    await loop.poll();
    expect(loop.loop.status().errors[0]).toMatchObject({
      reason: 'internal',
      message: 'the provider failed without an error',
    });
  });

  test('that does not end in time keeps what it read, and says what to change', async () => {
    const { provider } = scripted(async function* (context) {
      context.progress(0, 2);
      yield* listed('app', imageOf('v1'));
      await never();
    });
    const loop = await started(provider, { timeout: '5m' });
    const polling = loop.poll();
    await pass(5 * minute);
    await polling;
    expect(await tags(loop)).toEqual(['{repository="app"} 1']);
    expect(await loop.value('up')).toBe(0);
    expect(loop.loop.status().errors[0]?.message).toContain(
      'the poll did not end within its deadline of 300 s: 1 of 2 repositories that were listed were read',
    );
  });

  test('says which repositories the configuration names that are not there', async () => {
    const { provider, say } = scripted(holding('app'));
    const loop = await started(provider, {
      repositories: { include: ['app', 'web', 'team/*'] },
    });
    await loop.poll();
    expect(loop.log()).toMatch(
      /level=warn .*does not have a repository that .*include.* names.*repository=web/,
    );
    expect(loop.loop.status().notices.length).toBe(1);
    // A look at one of them says nothing of the others.
    say(() => listed('app', imageOf('v1'), imageOf('v2')));
    loop.loop.receive('test', [pushed('app')]);
    await pass(2000);
    await untilByTurns(async () => (await tags(loop))[0] === '{repository="app"} 2');
    expect(loop.log().match(/does not have a repository/g)?.length).toBe(1);
  });

  test('tells that push events cannot be let in, where their token cannot be read', async () => {
    const loop = await started(scripted(holding('app')).provider, {
      events: { tokenFile: '/nowhere/token' },
    });
    await loop.poll();
    expect(await loop.value('up')).toBe(1);
    expect(loop.loop.status().failing).toMatchObject([
      { capability: 'events', message: expect.stringContaining('/nowhere/token') },
    ]);
  });
});

test('facts that only a whole poll tells are held while polls are not whole, but not until they are too old', async () => {
  const { provider, say } = scripted(() => [
    { type: 'registry', facts: { version: '1.2', storageBytes: 5 } },
    ...listed('app', imageOf('v1')),
  ]);
  const loop = await started(provider, { staleAfter: '15m' });
  await loop.poll();
  say(() => [
    { type: 'registry', facts: { version: '1.3' } },
    ...listed('app', imageOf('v1')),
    ...failed('web', broken),
  ]);
  const facts = async () => [await loop.value('storage_bytes'), (await loop.lines('version_info')).join()];
  await pass(10 * minute);
  await loop.poll();
  expect(await facts()).toEqual([5, expect.stringContaining('1.3')]);
  await pass(6 * minute);
  await loop.poll();
  expect(await facts()).toEqual([undefined, expect.stringContaining('1.3')]);
});

describe('a push', () => {
  test('is looked at only once a poll has shown the registry', async () => {
    let calls = 0;
    const loop = await started(
      scripted((context) => {
        calls += 1;
        return holding('app')(context);
      }).provider,
      {},
    );
    loop.loop.receive('test', [pushed('app')]);
    await pass(minute);
    expect(calls).toBe(0);
  });

  test('is followed by a look at its repository alone, which changes nothing else', async () => {
    const { provider, say } = scripted(holding('app', 'web'));
    const loop = await started(provider, {});
    await loop.poll();
    const health = () => loop.lines('polls_total', 'up', 'last_success_timestamp_seconds', 'repositories');
    const before = await health();
    const only: unknown[] = [];
    say((context) => {
      only.push(context.only, context.order);
      return listed('app', imageOf('v1'), imageOf('v2'));
    });
    loop.loop.receive('test', [pushed('app')]);
    await pass(2000);
    await untilByTurns(async () => (await tags(loop))[0] === '{repository="app"} 2');
    expect(only).toEqual([['app'], undefined]);
    expect(await tags(loop)).toEqual(['{repository="app"} 2', '{repository="web"} 1']);
    expect(await health()).toEqual(before);
    expect(loop.log().match(/msg=polled/g)?.length).toBe(1);
  });

  test('is told of where the look fails, once, and the data stays', async () => {
    const { provider, say } = scripted(holding('app'));
    const loop = await started(provider, {});
    await loop.poll();
    say(fails);
    for (let turn = 0; turn < 2; turn += 1) {
      loop.loop.receive('test', [pushed('app')]);
      await pass(2000);
      await untilByTurns(() => loop.log().match(/could not be looked at/g)?.length === turn + 1);
    }
    expect(loop.log().match(/level=warn .*could not be looked at: the next poll will/g)?.length).toBe(1);
    expect(await tags(loop)).toEqual(['{repository="app"} 1']);
    expect(await loop.value('up')).toBe(1);
  });

  test('to a name that its look does not find is counted as one to no repository', async () => {
    const { provider, say } = scripted(holding('app'));
    const loop = await started(provider, {});
    await loop.poll();
    say(() => [
      { type: 'repository', repository: 'new' },
      { type: 'repository-gone', repository: 'new' },
    ]);
    // Listings decide against a push that failed at once.
    loop.loop.receive('test', [{ id: 'f', type: 'failed', repository: 'new', reason: 'quota' }]);
    await pass(2000);
    await untilByTurns(async () => (await loop.lines('pushes_total')).length > 0);
    expect(await loop.lines('pushes_total')).toEqual(['pushes_total{repository=""} 1']);
  });

  test('to a repository that is listed and cannot be read has it for its own', async () => {
    const { provider, say } = scripted(holding('app'));
    const loop = await started(provider, {});
    await loop.poll();
    loop.loop.receive('test', [{ id: 'g', type: 'failed', repository: 'new', reason: 'quota' }]);
    say(() => [...listed('app', imageOf('v1')), ...failed('new', broken)]);
    await loop.poll();
    expect(await loop.lines('pushes_total')).toEqual(['pushes_total{repository="new"} 1']);
  });

  test('waits for its listing while polls are not complete', async () => {
    const { provider, say } = scripted(holding('app'));
    const loop = await started(provider, {});
    await loop.poll();
    loop.loop.receive('test', [{ id: 'h', type: 'failed', repository: 'team/new', reason: 'quota' }]);
    say(() => [...listed('app', imageOf('v1')), { type: 'group-failed', prefix: 'team/', error: broken }]);
    await loop.poll();
    expect(await loop.lines('pushes_total')).toEqual([]);
    say(holding('app'));
    await loop.poll();
    expect(await loop.lines('pushes_total')).toEqual(['pushes_total{repository=""} 1']);
  });

  test('that polls find and no event told of is counted as missed', async () => {
    const { provider, say } = scripted(() => listed('app', imageOf('v1', { pushedAt: 1000 })));
    const loop = await started(provider, {});
    await loop.poll();
    loop.loop.receive('test', [pushed('app')]);
    await loop.poll();
    await loop.poll();
    say(() => listed('app', imageOf('v2', { pushedAt: Date.now() / 1000 })));
    await loop.poll();
    await pass(15 * minute);
    await loop.poll();
    expect(await loop.lines('missed_push_events_total')).toEqual([expect.stringMatching(/ 1$/)]);
  });

  test('to a repository that the configuration leaves out is not looked at', async () => {
    const { provider, say } = scripted(holding('app'));
    const loop = await started(provider, { repositories: { exclude: ['cache/*'] } });
    await loop.poll();
    let looks = 0;
    say(() => {
      looks += 1;
      return listed('app', imageOf('v1'));
    });
    loop.loop.look('cache/app');
    await pass(60_000);
    expect(looks).toBe(0);
    loop.loop.look('app');
    await pass(2000);
    await untilByTurns(() => looks === 1);
  });
});

describe('capabilities', () => {
  const withEvents = (): Provider => {
    const { provider } = scripted(holding('app'));
    return { ...provider, capabilities: { ...provider.capabilities, events: 'all' } };
  };

  test('include push events only where they are let in: others neither work nor fail', async () => {
    const without = await started(withEvents(), {});
    await without.poll();
    expect((await without.lines('capability_up')).join()).not.toContain('events');
    const token = 'a-token-of-enough-length';
    const loop = await started(withEvents(), { events: { token } });
    await loop.poll();
    expect(await loop.lines('capability_up')).toContain('capability_up{capability="events"} 1');
  });
});

test('a disk that refuses is shown and told, stops no poll, and no event is answered that is not on it', async () => {
  const storagePath = await folder();
  const loop = await started(scripted(holding('app')).provider, {}, { storagePath });
  await loop.poll();
  expect(await loop.value('exporter_state_saved')).toBe(1);
  await rm(storagePath, { recursive: true });
  await writeFile(storagePath, 'no folder');
  await expect(loop.loop.receive('test', [pushed('app')]).saved).rejects.toThrow();
  expect(await loop.value('exporter_state_saved')).toBe(0);
  expect(loop.log()).toMatch(/level=error msg="the push events cannot be saved/);
  await loop.poll();
  expect(await loop.value('up')).toBe(1);
  expect(loop.log()).toMatch(/level=error msg="the snapshot cannot be saved/);
  await rm(storagePath);
  await loop.poll();
  await loop.loop.receive('test', [pushed('app')]).saved;
  expect(await loop.value('exporter_state_saved')).toBe(1);
});

test('what runs of the registry is asked for from the start to the end, and looked at where it is new', async () => {
  const { provider, say } = scripted(holding('app'));
  let joined: JoinedRegistry | undefined;
  let use: RegistryUse | undefined;
  let left = 0;
  const inUse: InUseFeed = {
    join(registry) {
      joined = registry;
      return {
        current: () => use,
        leave() {
          left += 1;
        },
      };
    },
  };
  const loop = await started(provider, {}, { inUse });
  await loop.poll();
  expect([joined?.name, joined?.lists('app'), joined?.rules()]).toEqual([
    'edge',
    true,
    [{ from: 'registry.example.com', to: '' }],
  ]);
  let only: readonly string[] | undefined;
  say((context) => {
    only = context.only;
    return listed('app', imageOf('v1'));
  });
  use = {
    dropped: 3,
    repositories: new Map([['app', { packed: '[]' as PackedUse, digests: new Set(['sha256:v9']) }]]),
  };
  joined?.changed();
  await pass(2000);
  await untilByTurns(() => only !== undefined);
  expect(only).toEqual(['app']);
  await loop.stop();
  expect(left).toBe(1);
});

describe('the end', () => {
  test('ends the poll in progress, of which nothing is recorded', async () => {
    let told: AbortSignal | undefined;
    const { provider } = scripted(async function* (context) {
      told = context.signal;
      yield* listed('app', imageOf('v1'));
      await never();
    });
    const loop = await started(provider, {});
    const polling = loop.poll();
    await pass(0);
    await loop.stop();
    await polling;
    expect(told?.aborted).toBe(true);
    expect(await loop.lines('up', 'repository_tags')).toEqual([]);
    expect(await loop.value('polls_total')).toBe(0);
    expect(loop.log()).not.toMatch(/level=(warn|error)/);
  });

  test('is the end of the schedule, and of events: they are to be sent again', async () => {
    const loop = await started(scripted(holding('app')).provider, { schedule: '10m' });
    await loop.poll();
    await loop.stop();
    const before = await loop.value('polls_total');
    await pass(60 * minute);
    expect(await loop.value('polls_total')).toBe(before);
    const delivery = loop.loop.receive('test', [pushed('app')]);
    await expect(delivery.saved).rejects.toThrow('the exporter stops');
    delivery.lost();
    expect(await loop.events()).toEqual({});
  });

  test('waits for a source of events that is being read, and then saves what it learned', async () => {
    const storagePath = await folder();
    const { provider } = scripted(holding('app'));
    let go: (() => void) | undefined;
    const withSource: Provider = {
      ...provider,
      eventSources: () => [
        {
          name: 'queue',
          tells: {},
          everyMs: minute,
          async *read(context) {
            context.memory.set('cursor of queue', 7);
            yield {
              events: [pushed('app')],
              done: () =>
                new Promise<void>((resolve) => {
                  go = resolve;
                }),
            };
          },
        },
      ],
    };
    const loop = await started(withSource, {}, { storagePath });
    await untilByTurns(() => go !== undefined);
    let stopped = false;
    const stop = loop.stop().then(() => {
      stopped = true;
    });
    await pass(1000);
    expect(stopped).toBe(false);
    go?.();
    await stop;
    expect(await readFile(join(storagePath, 'edge.memory.ndjson'), 'utf8')).toContain('cursor of queue');
  });

  test('is the end of watching the clock', async () => {
    const loop = await started(scripted(holding('app')).provider, {});
    await loop.poll();
    await loop.stop();
    vi.setSystemTime(Date.now() - 60 * minute);
    await pass(5 * minute);
    expect(loop.log()).not.toContain('the clock was set back');
  });

  test('saves what is known by then', async () => {
    const storagePath = await folder();
    const { provider } = scripted((context) => {
      context.memory.set('digest of app', 'sha256:1');
      return holding('app')(context);
    });
    const loop = await started(provider, {}, { storagePath });
    await loop.poll();
    loop.loop.refused('invalid');
    await loop.stop();
    const again = await started(scripted(holding('app')).provider, {}, { storagePath });
    expect(await again.events()).toEqual({ 'unknown invalid': 1 });
    expect(await readdir(storagePath)).toContain('edge.memory.ndjson');
  });
});

test('sources of push events are read side by side with the polls, until the end', async () => {
  const { provider } = scripted(holding('app'));
  let readings = 0;
  const withSource: Provider = {
    ...provider,
    eventSources: () => [
      {
        name: 'queue',
        tells: {},
        everyMs: minute,
        async *read() {
          readings += 1;
          yield { events: [pushed('app')], newestAt: Date.now() / 1000, async done() {} };
        },
      },
    ],
  };
  const loop = await started(withSource, {});
  await loop.poll();
  await pass(minute);
  // The looks that follow.
  await pass(2000);
  await untilByTurns(
    async () => (await loop.lines('pushes_total'))[0] === 'pushes_total{repository="app"} 2',
  );
  expect(await loop.events()).toEqual({ 'queue accepted': 2 });
  expect((await loop.text()).includes('source="queue"')).toBe(true);
  await loop.stop();
  await pass(10 * minute);
  expect(readings).toBe(2);
});
