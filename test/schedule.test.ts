import { afterEach, describe, expect, test } from 'vitest';
import { type Schedule, spreadMs, startSchedule, type When } from '../src/schedule.ts';
import { until } from './loop/scripted.ts';

const open: Schedule[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.stop();
});
const day = 86_400_000;
const start = (when: When, intervalMs: number, fire: () => void, registry = 'edge') => {
  const schedule = startSchedule(when, registry, intervalMs, fire);
  open.push(schedule);
  return schedule;
};

test('the spread of a registry is always the same, differs between registries, and is at most 30 s or a tenth', () => {
  expect(spreadMs('edge', 300_000)).toBe(spreadMs('edge', 300_000));
  const spreads = Array.from({ length: 200 }, (_, number) => spreadMs(`registry-${number}`, 300_000));
  expect(Math.max(...spreads)).toBeLessThan(30_000);
  expect(Math.max(...spreads)).toBeGreaterThan(25_000);
  expect(new Set(spreads).size).toBeGreaterThan(190);
  expect(Math.max(...spreads.map((_, number) => spreadMs(`registry-${number}`, 1000)))).toBeLessThan(100);
});

test('an interval fires again and again, and not after it was stopped', async () => {
  let fired = 0;
  const schedule = start({ everyMs: 30 }, 30, () => {
    fired += 1;
  });
  await until(() => fired >= 3);
  schedule.stop();
  const before = fired;
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(fired).toBe(before);
});

test('an interval longer than the timers of Node can wait does not fire at once', async () => {
  let fired = 0;
  const schedule = start({ everyMs: 60 * day }, 60 * day, () => {
    fired += 1;
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(fired).toBe(0);
  expect(schedule.next()).toBeGreaterThan(Date.now() + 59 * day);
});

describe('a cron expression', () => {
  test('with six fields fires by the second', async () => {
    let fired = 0;
    start({ cron: '* * * * * *' }, 1000, () => {
      fired += 1;
    });
    await until(() => fired >= 2);
  });

  test('with five fields says that it fires at the next full minutes and its spread', () => {
    const schedule = start({ cron: '*/5 * * * *' }, 300_000, () => {});
    const next = schedule.next() ?? 0;
    expect((next - spreadMs('edge', 300_000)) % 300_000).toBe(0);
    expect(next).toBeGreaterThan(Date.now());
    expect(next).toBeLessThanOrEqual(Date.now() + 330_000);
  });
});
