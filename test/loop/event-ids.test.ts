import { expect, test } from 'vitest';
import { createEventIds, identityHash, isIdentityHash } from '../../src/loop/event-ids.ts';

test('an identity has the same size whatever the sender wrote into it', () => {
  for (const id of ['1', 'x'.repeat(1_000_000), '\u0000\u2028é'])
    expect(isIdentityHash(identityHash('harbor', id))).toBe(true);
  expect(identityHash('ab', 'c')).not.toBe(identityHash('a', 'bc'));
});

test('ids of any length take the same memory, and the oldest go first', () => {
  const ids = createEventIds(3);
  for (const id of ['a', 'b', 'c', 'd']) expect(ids.see(identityHash(id))).toBe('new');
  expect([...ids.all()]).toHaveLength(3);
  expect(ids.see(identityHash('d'))).toBe('repeated');
  expect(ids.see(identityHash('a'))).toBe('new');
});

test('so many are remembered: ten thousand', () => {
  const ids = createEventIds();
  for (let id = 0; id < 10_001; id += 1) ids.see(identityHash(String(id)));
  expect([...ids.all()]).toHaveLength(10_000);
  expect(ids.see(identityHash('1'))).toBe('repeated');
  expect(ids.see(identityHash('0'))).toBe('new');
});

test('equal contents are different events until an answer was lost', () => {
  const ids = createEventIds();
  const hash = identityHash('content');
  for (let turn = 0; turn < 3; turn += 1) expect(ids.seeContent(hash)).toBe('new');
  ids.lost(hash);
  expect(ids.seeContent(hash)).toBe('repeated');
  expect(ids.seeContent(hash)).toBe('new');
});

test('content of before a restart is a repeat: whether its answer arrived is not known', () => {
  const ids = createEventIds();
  ids.restore(identityHash('content'));
  for (let turn = 0; turn < 2; turn += 1) expect(ids.seeContent(identityHash('content'))).toBe('repeated');
});
