import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, scripted } from './scripted.ts';

/** Timers follow the monotonic clock, `vi.setSystemTime` sets the wall clock alone. */
const start = Date.parse('2026-06-01T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;
let loop: RunningLoop;
beforeEach(() => {
  vi.useFakeTimers({ now: start, toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
});
afterEach(async () => {
  await loop.stop();
  vi.useRealTimers();
});

const tags = () => loop.lines('repository_tags');
const fresh = ['repository_tags{repository="app"} 1'];

test('data becomes too old after its time, though the clock was set back by an hour', async () => {
  loop = await runLoop(scripted(holding('app')).provider, { staleAfter: '15m' });
  await loop.poll();
  vi.setSystemTime(start - hour);
  await vi.advanceTimersByTimeAsync(14 * minute);
  expect(await tags()).toEqual(fresh);
  await vi.advanceTimersByTimeAsync(2 * minute);
  expect(await tags()).toEqual([]);
  expect(await loop.value('last_success_timestamp_seconds')).toBe((start - hour) / 1000);
  expect(loop.log().match(/level=warn msg="the clock was set back: .*" seconds=3600/g)).toHaveLength(1);
});

test('no time of a registry stays in the future after the clock was set back: within a minute, without a poll', async () => {
  const { provider, say } = scripted(holding('app'));
  loop = await runLoop(provider, { staleAfter: '15m' });
  await loop.poll();
  say(async function* (context) {
    context.degraded('findings', new CollectError('forbidden', 'not allowed'));
    yield* listed('app', imageOf('v1'));
    yield* failed('broken', new CollectError('timeout', 'no answer'));
  });
  await loop.poll();
  vi.setSystemTime(start - hour);
  await vi.advanceTimersByTimeAsync(minute);
  const before = (start - hour) / 1000;
  expect(await loop.value('last_success_timestamp_seconds')).toBe(before);
  expect(await loop.value('last_attempt_timestamp_seconds')).toBe(before);
  const { lastSuccessAt, errors, failing } = loop.loop.status();
  expect([lastSuccessAt, ...errors.map(({ at }) => at), ...failing.map(({ at }) => at)]).toEqual([
    before,
    before,
    before,
  ]);
  expect(await loop.value('polls_total')).toBe(2);
});

test('a poll during which the clock is set back takes no negative time, and its data is as old as it is', async () => {
  const { provider, say } = scripted(holding('old'));
  loop = await runLoop(provider, { staleAfter: '15m' });
  await loop.poll();
  say(async function* (context) {
    await vi.advanceTimersByTimeAsync(2000);
    vi.setSystemTime(Date.now() - hour);
    yield* holding('app')(context);
  });
  await loop.poll();
  expect(await loop.value('poll_duration_seconds')).toBe(2);
  expect(await loop.value('last_success_timestamp_seconds')).toBe((start - hour) / 1000 + 2);
  await vi.advanceTimersByTimeAsync(14 * minute);
  expect(await tags()).toEqual(fresh);
  await vi.advanceTimersByTimeAsync(2 * minute);
  expect(await tags()).toEqual([]);
});

test('data is as old as it looks when the clock goes forward: the machine may have slept', async () => {
  loop = await runLoop(scripted(holding('app')).provider, { staleAfter: '15m', schedule: '10m' });
  await loop.poll();
  vi.setSystemTime(start + 8 * hour);
  expect(await tags()).toEqual(fresh);
  // The schedule looks at the clock each minute, and makes up for what was missed.
  await vi.advanceTimersByTimeAsync(minute);
  await loop.poll();
  expect(await loop.value('polls_total')).toBeGreaterThanOrEqual(2);
  expect(await loop.value('last_success_timestamp_seconds')).toBeGreaterThan((start + 8 * hour) / 1000);
});

test('a clock of before 1970 neither stops polls nor makes data old', async () => {
  vi.setSystemTime(Date.parse('1969-12-31T23:50:00Z'));
  loop = await runLoop(scripted(holding('app')).provider, { staleAfter: '15m', schedule: '5m' });
  await loop.poll();
  expect(await tags()).toEqual(fresh);
  await vi.advanceTimersByTimeAsync(20 * minute);
  expect(await tags()).toEqual(fresh);
  expect(await loop.value('polls_total')).toBeGreaterThan(2);
});
