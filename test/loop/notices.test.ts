import { expect, test } from 'vitest';
import { createNotices } from '../../src/loop/notices.ts';
import { recordingLog } from '../support/web.ts';

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

/** Notices of one poll, told as the loop tells them. */
function recorded() {
  const { lines, log } = recordingLog();
  const notices = createNotices(log as never);
  const poll = (keys: readonly string[], whole = true) => {
    const one = notices.begin();
    for (const key of keys) one.tell(key, { tag: key }, `odd: ${key}`);
    one.end(whole);
  };
  return { notices, lines, poll };
}
const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`);

test('twenty are told by themselves, and how many more there are is told in one line', () => {
  const { lines, poll } = recorded();
  poll(names(20));
  expect(lines.map((line) => line.split(' ')[0])).toEqual(Array(20).fill('warn'));
  lines.splice(0);
  poll([...names(20), ...names(42).slice(20)]);
  expect(lines.filter((line) => line.startsWith('debug'))).toHaveLength(20 + 2);
  expect(lines.at(-1)).toBe(
    'warn there are more notices about the registry: --log.level=debug shows all of them',
  );
});

test('what lasts is shown with its details: of many the first twenty', () => {
  const { notices, poll } = recorded();
  expect(notices.current()).toEqual([]);
  poll(['a']);
  expect(notices.current()).toEqual([{ message: 'odd: a', details: { tag: 'a' } }]);
  // A poll that did not read everything adds to them.
  poll(['b'], false);
  expect(notices.current().map(({ message }) => message)).toEqual(['odd: a', 'odd: b']);
  poll(names(30));
  expect(notices.current().map(({ message }) => message)).toEqual(names(20).map((name) => `odd: ${name}`));
});

test('ten thousand are remembered; one more is told each time', () => {
  const { lines, poll } = recorded();
  const many = names(10_001);
  poll(many);
  lines.splice(0);
  poll(many);
  expect(lines.filter((line) => line.startsWith('warn'))).toEqual(['warn odd: n10000']);
  // Nor are more remembered of polls that did not read everything.
  poll(['a', 'b'], false);
  lines.splice(0);
  poll(['n0', 'a', 'b'], false);
  expect(lines).toEqual(['debug odd: n0', 'warn odd: a', 'warn odd: b']);
});
