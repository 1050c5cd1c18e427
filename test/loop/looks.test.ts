import { beforeEach, expect, test } from 'vitest';
import { createLooks, type Looks } from '../../src/loop/looks.ts';

const minute = 60_000;
let known: Set<string>;
let now: number;
let looks: Looks;
beforeEach(() => {
  known = new Set(['app', 'web']);
  now = 0;
  looks = createLooks(
    (name) => known.has(name),
    () => now,
  );
});
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, at) => `${prefix}-${at}`);

test('known repositories are gathered, and looked at as often as they are pushed to', () => {
  expect(looks.dueMs()).toBeUndefined();
  for (const name of ['app', 'web', 'app']) looks.want(name);
  expect(looks.dueMs()).toBe(2000);
  expect(looks.take()).toEqual(['app', 'web']);
  expect(looks.dueMs()).toBeUndefined();
  looks.want('app');
  expect(looks.take()).toEqual(['app']);
});

test('an unknown name that is pushed to again is looked at again after ten seconds', () => {
  looks.want('new');
  expect(looks.take()).toEqual(['new']);
  now = 3000;
  looks.want('new');
  expect(looks.dueMs()).toBe(7000);
  expect(looks.take()).toEqual([]);
  now = 10_000;
  expect(looks.take()).toEqual(['new']);
  expect(looks.dueMs()).toBeUndefined();
  now = 11_000;
  looks.want('new');
  looks.want('newer');
  now = 13_000;
  expect(looks.take()).toEqual(['newer']);
  now = 20_000;
  expect(looks.take()).toEqual(['new']);
});

test('a name that became known meanwhile is looked at with each push', () => {
  looks.want('new');
  looks.take();
  known.add('new');
  looks.want('new');
  expect(looks.take()).toEqual(['new']);
});

test('of many unknown names thirty are looked at each minute, and known repositories do not wait for them', () => {
  for (const name of names('forged', 100)) looks.want(name);
  expect(looks.take()).toHaveLength(30);
  expect(looks.dueMs()).toBe(minute);
  looks.want('app');
  expect(looks.dueMs()).toBe(2000);
  expect(looks.take()).toEqual(['app']);
  now = minute;
  expect(looks.take()).toHaveLength(30);
});

test('however many names are invented, an hour has 1830 looks at most', () => {
  let looked = 0;
  for (let at = 0; at < 60 * minute; at += 2000) {
    now = at;
    for (const name of names(`at-${at}`, 50)) looks.want(name);
    looked += looks.take().length;
  }
  expect(looked).toBeGreaterThan(1000);
  expect(looked).toBeLessThanOrEqual(1830);
});

test('no more than a thousand unknown names wait', () => {
  for (const name of names('forged', 5000)) looks.want(name);
  let looked = 0;
  for (let at = 1; at <= 60; at += 1) {
    now = at * minute;
    looked += looks.take().length;
  }
  expect(looked).toBe(1000);
});

test('while names that nobody knows are held back, known ones are looked at', () => {
  for (const name of names('new', 31)) looks.want(name);
  expect(looks.take()).toHaveLength(30);
  now = 2000;
  looks.want('app');
  expect(looks.take()).toEqual(['app']);
  now = 59_999;
  expect(looks.take()).toEqual([]);
  now = 60_000;
  expect(looks.take()).toEqual(['new-30']);
});

test('a name that became known while it waited costs nothing of what unknown ones have', () => {
  for (const name of names('new', 31)) looks.want(name);
  known.add('new-3');
  expect(looks.take()).toHaveLength(31);
});

test('nothing is wanted any more once a poll shows all', () => {
  for (const name of ['app', 'new']) looks.want(name);
  looks.clear();
  expect([looks.dueMs(), looks.take()]).toEqual([undefined, []]);
});
