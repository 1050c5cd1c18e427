import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseConfig } from '../src/config.ts';
import { type Schedule, spreadMs, startSchedule, type When } from '../src/schedule.ts';
import { holding, scripted } from './loop/scripted.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const open: Schedule[] = [];

/** node-cron keeps the zone that it saw first. */
process.env['TZ'] = 'Europe/Berlin';

/** Timers follow the monotonic clock, `vi.setSystemTime` sets the wall clock alone. */
beforeEach(() => {
  vi.useFakeTimers({
    now: Date.parse('2026-06-01T10:00:00Z'),
    toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'],
  });
});
afterEach(() => {
  for (const one of open.splice(0)) one.stop();
  vi.useRealTimers();
});

/** Starts a schedule; what it fired at, without the registry's own delay, as the clock on the wall said. */
function start(when: When, intervalMs: number) {
  const fired: string[] = [];
  const delayMs = spreadMs('edge', intervalMs);
  const schedule = startSchedule(when, 'edge', intervalMs, () => {
    fired.push(new Date(Date.now() - delayMs).toISOString().replace('.000Z', 'Z'));
  });
  open.push(schedule);
  return { schedule, fired, delayMs };
}
const setClock = (byMs: number) => vi.setSystemTime(Date.now() + byMs);

test('the spread of a registry is always the same, differs between registries, and is at most 30 s or a tenth', () => {
  expect(spreadMs('edge', 300_000)).toBe(spreadMs('edge', 300_000));
  const spreads = Array.from({ length: 200 }, (_, number) => spreadMs(`registry-${number}`, 300_000));
  expect(Math.max(...spreads)).toBeLessThan(30_000);
  expect(Math.max(...spreads)).toBeGreaterThan(25_000);
  expect(new Set(spreads).size).toBeGreaterThan(190);
  expect(Math.max(...spreads.map((_, number) => spreadMs(`registry-${number}`, 1000)))).toBeLessThan(100);
});

describe('an interval', () => {
  test('fires again and again, says when, and does not fire after it was stopped', () => {
    const { schedule, fired, delayMs } = start({ everyMs: 10 * minute }, 10 * minute);
    expect(schedule.next()).toBe(Date.now() + 10 * minute + delayMs);
    vi.advanceTimersByTime(31 * minute);
    expect(fired).toEqual(['2026-06-01T10:10:00Z', '2026-06-01T10:20:00Z', '2026-06-01T10:30:00Z']);
    schedule.stop();
    vi.advanceTimersByTime(hour);
    expect(fired).toHaveLength(3);
  });

  test('may be longer than the timers of Node can wait', () => {
    const { schedule, fired } = start({ everyMs: 60 * day }, 60 * day);
    vi.advanceTimersByTime(60 * day - minute);
    expect(fired).toEqual([]);
    expect(schedule.next() - Date.now()).toBeLessThanOrEqual(minute + 30_000);
    vi.advanceTimersByTime(2 * minute);
    expect(fired).toHaveLength(1);
  });

  test('goes on as it was when the clock is set back', () => {
    const { fired } = start({ everyMs: 10 * minute }, 10 * minute);
    vi.advanceTimersByTime(15 * minute);
    setClock(-hour);
    vi.advanceTimersByTime(20 * minute);
    expect(fired).toEqual(['2026-06-01T10:10:00Z', '2026-06-01T09:20:00Z', '2026-06-01T09:30:00Z']);
  });

  test('fires once after a sleep, not once for each time that it missed, and goes on from there', () => {
    const { fired } = start({ everyMs: 10 * minute }, 10 * minute);
    // The monotonic clock stands still while a machine sleeps: it looks like a clock that was set.
    setClock(8 * hour + 30_000);
    vi.advanceTimersByTime(minute);
    expect(fired).toHaveLength(1);
    vi.advanceTimersByTime(9 * minute);
    expect(fired).toHaveLength(1);
    vi.advanceTimersByTime(2 * minute);
    expect(fired).toHaveLength(2);
  });

  test.each(['1999-12-31T23:55:00Z', '1969-12-31T23:55:00Z', '1901-01-01T00:00:00Z'])(
    'works when the clock says %s',
    (now) => {
      vi.setSystemTime(Date.parse(now));
      const { fired } = start({ everyMs: 10 * minute }, 10 * minute);
      vi.advanceTimersByTime(21 * minute);
      expect(fired).toHaveLength(2);
    },
  );
});

describe('a cron expression', () => {
  test('with six fields fires by the second', () => {
    const { fired } = start({ cron: '*/20 * * * * *' }, 20_000);
    vi.advanceTimersByTime(65_000);
    expect(fired).toEqual(['2026-06-01T10:00:20Z', '2026-06-01T10:00:40Z', '2026-06-01T10:01:00Z']);
  });

  test('with five fields fires at the full minutes and its delay, and says so', () => {
    const { schedule, fired, delayMs } = start({ cron: '*/5 * * * *' }, 5 * minute);
    expect(schedule.next()).toBe(Date.parse('2026-06-01T10:05:00Z') + delayMs);
    vi.advanceTimersByTime(11 * minute);
    expect(fired).toEqual(['2026-06-01T10:05:00Z', '2026-06-01T10:10:00Z']);
  });

  test('is followed by the new time within a minute when the clock is set back', () => {
    const { fired } = start({ cron: '*/5 * * * *' }, 5 * minute);
    vi.advanceTimersByTime(6 * minute);
    setClock(-hour);
    vi.advanceTimersByTime(10 * minute);
    expect(fired).toEqual(['2026-06-01T10:05:00Z', '2026-06-01T09:10:00Z', '2026-06-01T09:15:00Z']);
  });

  test('loses no time when the clock is corrected by two seconds', () => {
    const { fired, delayMs } = start({ cron: '30 12 * * *' }, day);
    vi.advanceTimersByTime(30 * minute + delayMs - 1000);
    setClock(-2000);
    vi.advanceTimersByTime(minute);
    expect(fired).toEqual(['2026-06-01T10:30:00Z']);
  });

  test('fires once when the clock is set forward over many of its times, and goes on by the new time', () => {
    const { fired } = start({ cron: '*/5 * * * *' }, 5 * minute);
    setClock(30 * day + 90_000);
    vi.advanceTimersByTime(minute);
    expect(fired).toHaveLength(1);
    vi.advanceTimersByTime(5 * minute);
    expect(fired).toHaveLength(2);
    expect(fired[1]).toBe('2026-07-01T10:05:00Z');
  });

  test('goes on every five minutes through the hour that comes twice at the end of daylight saving time', () => {
    vi.setSystemTime(Date.parse('2026-10-25T00:44:00Z'));
    const { fired } = start({ cron: '*/5 * * * *' }, 5 * minute);
    vi.advanceTimersByTime(2 * hour);
    const every = Array.from({ length: 24 }, (_, index) =>
      new Date(Date.parse('2026-10-25T00:45:00Z') + index * 5 * minute).toISOString().replace('.000Z', 'Z'),
    );
    expect(fired).toEqual(every);
  });

  test('allows data no other age when the configuration is read in that night', () => {
    vi.setSystemTime(Date.parse('2026-10-25T00:44:00Z'));
    const { provider } = scripted(holding('app'));
    const { registries } = parseConfig(
      'registries: [{ name: edge, type: scripted, schedule: "1-59/5 * * * *" }]',
      {
        file: 'test.yaml',
        providers: { scripted: provider },
      },
    );
    expect(registries[0]).toMatchObject({ intervalMs: 5 * minute, staleAfterMs: 15 * minute });
  });

  test('goes on through the hour that is left out in spring', () => {
    vi.setSystemTime(Date.parse('2026-03-29T00:50:00Z'));
    const { fired } = start({ cron: '*/20 * * * *' }, 20 * minute);
    vi.advanceTimersByTime(hour);
    expect(fired).toEqual(['2026-03-29T01:00:00Z', '2026-03-29T01:20:00Z', '2026-03-29T01:40:00Z']);
  });

  test.each([
    [
      'in summer and winter',
      '2026-10-24T00:00:00Z',
      '0 3 * * *',
      ['10-24T01:00', '10-25T02:00', '10-26T02:00'],
    ],
    [
      'once in a night in which it comes twice',
      '2026-10-24T20:00:00Z',
      '30 2 * * *',
      ['10-25T01:30', '10-26T01:30'],
    ],
  ])('with hours fires at that time of the wall, %s', (_what, now, cron, expected) => {
    vi.setSystemTime(Date.parse(now));
    const { fired } = start({ cron }, day);
    vi.advanceTimersByTime(2.2 * day);
    expect(fired).toEqual(expected.map((time) => `2026-${time}:00Z`));
  });

  test('asks for minutes of some days too', () => {
    vi.setSystemTime(Date.parse('2026-05-31T21:50:00Z'));
    const { fired } = start({ cron: '*/30 * 1 6 *' }, 30 * minute);
    vi.advanceTimersByTime(hour);
    expect(fired).toEqual(['2026-05-31T22:00:00Z', '2026-05-31T22:30:00Z']);
  });
});
