import { beforeEach, expect, test } from 'vitest';
import { createGivenBefore, spanOf } from '../src/reading-span.ts';

/** Which span of time a source with a history is asked for, in minutes of a clock that the test sets. */

const kept = new Map<string, unknown>();
beforeEach(() => kept.clear());
const memory = {
  get: <T>(key: string) => (kept.has(key) ? { value: kept.get(key) as T, storedAt: 0 } : undefined),
  set: (key: string, value: unknown) => void kept.set(key, value),
};
let minutes = 0;

/** A reading at a minute: from and to which it asked. */
function reading(at: number, { works = true, since = 0 } = {}): string {
  minutes = at;
  const { from, to, done } = spanOf(
    { memory, now: () => minutes * 60 },
    { name: 'cloudtrail', since: since * 60, lateSeconds: 20 * 60 },
  );
  if (works) done();
  return `${from / 60}–${to / 60}`;
}

test('the last minutes are asked for again and again, and nothing from before the first look', () => {
  expect([reading(100, { since: 100 }), reading(101, { since: 100 })]).toEqual(['100–100', '100–101']);
  expect([reading(130), reading(131)]).toEqual(['81–130', '110–131']);
});

test('after an outage it goes on where the last good reading ended, an hour in each', () => {
  reading(100);
  expect([reading(110, { works: false }), reading(250, { works: false })]).toEqual(['80–110', '80–140']);
  expect([reading(251), reading(252), reading(253), reading(254), reading(255)]).toEqual([
    '80–140',
    '120–180',
    '160–220',
    '200–254',
    '234–255',
  ]);
});

test('what is longer ago than a day is left', () => {
  reading(100);
  expect(reading(100 + 3 * 1440)).toBe(`${100 + 2 * 1440}–${100 + 2 * 1440 + 60}`);
});

test('a clock that was set back leaves no gap, and asks for no time that has not come', () => {
  expect(reading(1000, { since: 5000 })).toBe('980–1000');
  reading(5000);
  expect([reading(1000), reading(1001)]).toEqual(['980–1000', '980–1001']);
});

test('what was given before is remembered, the newest of it where it is too much', () => {
  const given = createGivenBefore(3);
  given.add(['a', 'b']);
  given.add(['c', 'b', 'd']);
  expect(['a', 'b', 'c', 'd'].map(given.has)).toEqual([false, true, true, true]);
});
