import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { CycleResult } from '../../src/fold.ts';
import { createReadingOrders } from '../../src/loop/reading-order.ts';
import { createSnapshots } from '../../src/loop/snapshots.ts';
import type { RegistrySnapshot, RepositoryTotals } from '../../src/model.ts';
import { packTotals } from '../../src/totals.ts';
import { recordingLog } from '../support/web.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000, toFake: ['Date'] });
});
afterEach(() => vi.useRealTimers());

const totals = (repository: string, more: Partial<RepositoryTotals> = {}) =>
  packTotals({ repository, tagged: 1, artifacts: {}, practices: {}, images: [], ...more });
const result = (more: Partial<CycleResult>): CycleResult => ({
  identity: { host: 'registry.example.com' },
  facts: {},
  complete: new Map(),
  gone: new Set(),
  failed: new Map(),
  failedGroups: new Map(),
  emptyGroups: new Set(),
  ...more,
});
const of = (...names: string[]) => new Map(names.map((name) => [name, totals(name)]));
const poll = { only: undefined, listsRepositories: true };

function snapshots() {
  const { lines, log } = recordingLog();
  return { ...createSnapshots({ staleAfterSeconds: 600, log: log as never }), lines };
}

describe('what a poll read', () => {
  test('is kept, and its names are known', async () => {
    const { current, has, take } = snapshots();
    expect([current(), has('app')]).toEqual([undefined, false]);
    expect(await take(result({ complete: of('app') }), poll)).toEqual({ believed: true });
    expect([has('app'), has('web')]).toEqual([true, false]);
    expect(current()).toMatchObject({ observedAt: 1000, repositoryCount: 1 });
  });

  test('is no word about repositories where the registry is not asked for them', async () => {
    const { take } = snapshots();
    const answer = await take(result({}), { only: undefined, listsRepositories: false });
    expect(answer).toEqual({ believed: false });
  });

  test('is not believed at once where all is gone, nor at first where there is nothing; both are told', async () => {
    const first = snapshots();
    expect(await first.take(result({}), poll)).toEqual({ believed: false });
    expect(first.lines).toEqual([expect.stringMatching(/^warn the registry shows no repository at all: /)]);
    const later = snapshots();
    await later.take(result({ complete: of('app') }), poll);
    expect(await later.take(result({}), poll)).toEqual({ believed: false });
    expect(later.has('app')).toBe(true);
    expect(later.lines).toEqual([
      'warn the list of repositories came back empty all of a sudden: the last data stays until the next poll confirms it',
    ]);
    expect(await later.take(result({}), poll)).toEqual({ believed: true });
    expect(later.has('app')).toBe(false);
  });
});

/** Some registries answer so for any name that is asked for. */
describe('a look at a name that has nothing', () => {
  const empty = new Map([['new', totals('new', { tagged: 0 })]]);

  test('makes no repository of it', async () => {
    const { take, has } = snapshots();
    await take(result({ complete: of('app') }), poll);
    await take(result({ complete: new Map([...empty, ...of('web')]) }), {
      only: ['new', 'web'],
      listsRepositories: true,
    });
    expect([has('new'), has('web'), has('app')]).toEqual([false, true, true]);
  });

  test('is one of a repository that a listing has shown', async () => {
    const { take, has, current } = snapshots();
    await take(result({ complete: new Map([...empty, ...of('app')]) }), poll);
    await take(result({ complete: empty }), { only: ['new'], listsRepositories: true });
    expect([has('new'), current()?.repositoryCount]).toEqual([true, 2]);
  });
});

test('a clock that was set back takes the times with it; what is unknown stays so', async () => {
  const { take, restore, current, moveBack } = snapshots();
  moveBack(100);
  expect(current()).toBeUndefined();
  await take(result({ complete: of('app') }), poll);
  moveBack(100);
  expect(current()).toMatchObject({ observedAt: 900, factsAt: 900 });
  expect(current()?.repositories.get('app')).toEqual({ totals: totals('app'), observedAt: 900 });
  const saved: RegistrySnapshot = { identity: {}, facts: {}, repositories: new Map() };
  restore(saved);
  moveBack(100);
  expect(current()).toEqual({ ...saved, observedAt: undefined, factsAt: undefined });
});

describe('the order in which repositories are read', () => {
  const read = (observedAt: number): RegistrySnapshot => ({
    identity: {},
    facts: {},
    repositories: new Map([['app', { totals: totals('app'), observedAt }]]),
  });

  test('is the registry’s own while polls come to their end', () => {
    const orders = createReadingOrders();
    expect(orders.begin(undefined, 1).lastTried).toBeUndefined();
    orders.end(false);
    expect(orders.begin(read(1), 2).lastTried).toBeUndefined();
  });

  test('begins, after a poll that ran out of time, with what it did not come to', () => {
    const orders = createReadingOrders();
    orders.begin(undefined, 10).begins('hangs');
    orders.end(true);
    const { lastTried } = orders.begin(read(5), 20);
    expect(['hangs', 'app', 'new'].map((name) => lastTried?.(name))).toEqual([10, 5, 0]);
  });

  test('takes what was begun last, or read last, whichever is later', () => {
    const orders = createReadingOrders();
    orders.begin(undefined, 10).begins('app');
    orders.end(true);
    expect(orders.begin(read(5), 20).lastTried?.('app')).toBe(10);
    orders.end(true);
    const again = orders.begin(read(15), 30);
    expect(again.lastTried?.('app')).toBe(15);
    // What begins now counts for the next poll.
    again.begins('app');
    expect(again.lastTried?.('app')).toBe(15);
    orders.end(true);
    expect(orders.begin(read(15), 40).lastTried?.('app')).toBe(30);
  });

  test('is known after a restart from the data that was cut short', () => {
    const orders = createReadingOrders();
    expect(orders.begin({ ...read(5), cut: true }, 10).lastTried?.('app')).toBe(5);
  });

  test('forgets what was begun once a poll comes to its end', () => {
    const orders = createReadingOrders();
    orders.begin(undefined, 10).begins('app');
    orders.end(false);
    expect(orders.begin({ ...read(5), cut: true }, 20).lastTried?.('app')).toBe(5);
  });

  test('keeps to a clock that was set back', () => {
    const orders = createReadingOrders();
    orders.begin(undefined, 100).begins('app');
    orders.moveBack(40);
    orders.end(true);
    expect(orders.begin(undefined, 70).lastTried?.('app')).toBe(60);
  });
});
