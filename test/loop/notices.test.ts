import { expect, test } from 'vitest';
import { createNotices } from '../../src/loop/notices.ts';

function setup() {
  const warned: string[] = [];
  const log = {
    debug() {},
    info() {},
    warn: (_fields: object, message: string) => void warned.push(message),
    error() {},
  };
  const notices = createNotices(log);
  const poll = (keys: readonly string[], whole = true) => {
    warned.length = 0;
    const one = notices.begin();
    for (const key of keys) one.tell(key, {}, key);
    one.end(whole);
    return [...warned];
  };
  return poll;
}

test('a notice is told once while it lasts, and again when it comes back', () => {
  const poll = setup();
  expect([poll(['a', 'a']), poll(['a', 'b']), poll(['b']), poll(['a'])]).toEqual([['a'], ['b'], [], ['a']]);
});

test('a poll that did not read everything ends no notice', () => {
  const poll = setup();
  expect([poll(['a']), poll([], false), poll(['a'])]).toEqual([['a'], [], []]);
});

test('many notices are counted', () => {
  const poll = setup();
  const many = Array.from({ length: 50 }, (_, index) => `n${index}`);
  expect(poll(many)).toHaveLength(21);
  expect(poll(many)).toEqual([]);
});
