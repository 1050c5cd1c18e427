import { describe, expect, test } from 'vitest';
import { type CycleResult, createFold } from '../../src/fold.ts';
import { type CommitInput, commit, type EmptyListings } from '../../src/loop/commit.ts';
import type { Observation, RegistrySnapshot } from '../../src/model.ts';
import { unpackTotals } from '../../src/totals.ts';
import { failed, imageOf, listed } from './scripted.ts';

/** Cycle after cycle into one registry: what each leaves in the snapshot. */

const broken = new Error('broken');
const full = (name: string) => listed(name, imageOf('v1'));
const empty = (name: string) => listed(name);
const gone = (repository: string): Observation[] => [
  { type: 'repository', repository },
  { type: 'repository-gone', repository },
];
const emptyGroup = (prefix: string): Observation => ({ type: 'group-empty', prefix });
const failedGroup = (prefix: string): Observation => ({ type: 'group-failed', prefix, error: broken });
const storage = (storageBytes: number): Observation => ({ type: 'registry', facts: { storageBytes } });

function registry(staleAfterSeconds = 1000) {
  const doubts: EmptyListings = { registry: false, repositories: new Set(), groups: new Set() };
  let previous: RegistrySnapshot | undefined;
  return {
    doubts,
    /** One cycle at the time given, and what is known after it. */
    async cycle(
      now: number,
      observations: readonly Observation[],
      more: Partial<Pick<CommitInput, 'scoped' | 'listsRepositories'>> & { readonly cut?: boolean } = {},
    ) {
      const { cut, ...options } = more;
      const fold = createFold({
        images: { perRepository: 0, matches: () => false },
        now,
        known: () => previous?.repositories.keys() ?? [],
      });
      for (const observation of observations) fold.add(observation);
      const result: CycleResult = cut ? fold.cut() : fold.finish();
      const { snapshot, doubted } = await commit({
        previous,
        result,
        empty: doubts,
        now,
        staleAfterSeconds,
        scoped: false,
        listsRepositories: true,
        ...options,
      });
      previous = snapshot;
      return {
        doubted,
        snapshot,
        count: snapshot.repositoryCount,
        /** Tagged images by repository, with the time at which that was seen. */
        seen: Object.fromEntries(
          [...snapshot.repositories].map(([name, { totals, observedAt }]) => [
            name,
            `${unpackTotals(totals).tagged} at ${observedAt}`,
          ]),
        ),
      };
    },
  };
}

describe('what is suddenly empty', () => {
  test('a registry, once: all of it stays; full in between, it has to be empty twice again', async () => {
    const { cycle } = registry();
    await cycle(1, [...full('a'), ...full('b')]);
    const doubted = await cycle(2, []);
    expect(doubted).toMatchObject({ doubted: ['the list of repositories'], count: 2 });
    expect(doubted.seen).toEqual({ a: '1 at 1', b: '1 at 1' });
    expect((await cycle(3, [...full('a')])).seen).toEqual({ a: '1 at 3' });
    expect((await cycle(4, [])).seen).toEqual({ a: '1 at 3' });
    expect(await cycle(5, [])).toMatchObject({ seen: {}, count: 0, doubted: [] });
  });

  test('a look at single repositories neither confirms nor ends the doubt about the registry', async () => {
    const { cycle } = registry();
    await cycle(1, [...full('a')]);
    await cycle(2, []);
    await cycle(3, [...full('a')], { scoped: true });
    expect(await cycle(4, [])).toMatchObject({ seen: {}, count: 0 });
  });

  test('a repository: the same', async () => {
    const { cycle } = registry();
    await cycle(1, [...full('a'), ...full('b')]);
    const doubted = await cycle(2, [...empty('a'), ...full('b')]);
    expect(doubted).toMatchObject({ doubted: ['the images of "a"'], seen: { a: '1 at 1', b: '1 at 2' } });
    await cycle(3, [...full('a'), ...full('b')]);
    expect((await cycle(4, [...empty('a'), ...full('b')])).seen).toEqual({ a: '1 at 3', b: '1 at 4' });
    expect((await cycle(5, [...empty('a'), ...full('b')])).seen).toEqual({ a: '0 at 5', b: '1 at 5' });
    // Empty all along is nothing new.
    expect((await cycle(6, [...empty('a'), ...full('b')])).doubted).toEqual([]);
  });

  test('a repository that was doubted and went away is doubted anew when there is one of that name again', async () => {
    const { cycle, doubts } = registry();
    await cycle(1, [...full('a'), ...full('b')]);
    await cycle(2, [...empty('a'), ...full('b')]);
    await cycle(3, [...gone('a'), ...full('b')]);
    expect(doubts.repositories.size).toBe(0);
    await cycle(4, [...full('a'), ...full('b')]);
    expect((await cycle(5, [...empty('a'), ...full('b')])).seen).toEqual({ a: '1 at 4', b: '1 at 5' });
  });

  test('a group: held once, and full in between doubted anew', async () => {
    const { cycle } = registry();
    await cycle(1, [...full('x/a'), ...full('y/b')]);
    const doubted = await cycle(2, [...full('x/a'), emptyGroup('y/')]);
    expect(doubted).toMatchObject({ doubted: ['everything below "y/"'], count: 2 });
    await cycle(3, [...full('x/a'), ...full('y/b')]);
    expect((await cycle(4, [...full('x/a'), emptyGroup('y/')])).seen).toEqual({
      'x/a': '1 at 4',
      'y/b': '1 at 3',
    });
    expect(await cycle(5, [...full('x/a'), emptyGroup('y/')])).toMatchObject({
      seen: { 'x/a': '1 at 5' },
      count: 1,
    });
  });

  test('a group that is all of the registry is believed the second time, and not the third', async () => {
    const { cycle } = registry();
    await cycle(1, full('y/b'));
    await cycle(2, [emptyGroup('y/')]);
    expect(await cycle(3, [emptyGroup('y/')])).toMatchObject({ seen: {}, count: 0, doubted: [] });
  });

  test('what a group listed or ended itself is not held back', async () => {
    const { cycle } = registry();
    await cycle(1, [...full('y/a'), ...full('y/b'), ...full('y/c')]);
    const { seen, count } = await cycle(2, [...full('y/a'), ...gone('y/b'), emptyGroup('y/')]);
    expect(seen).toEqual({ 'y/a': '1 at 2', 'y/c': '1 at 1' });
    expect(count).toBe(2);
  });
});

describe('what could not be read', () => {
  test('below a prefix that failed, what was read or is gone is no failure', async () => {
    const { cycle } = registry();
    await cycle(1, [...full('y/a'), ...full('y/b'), ...full('y/c')]);
    const { seen, count } = await cycle(2, [...full('y/a'), ...gone('y/b'), failedGroup('y/')]);
    expect(seen).toEqual({ 'y/a': '1 at 2', 'y/c': '1 at 1' });
    // There may be others: what was known holds.
    expect(count).toBe(3);
  });

  test('a repository that was never read is counted, and has nothing', async () => {
    const { cycle } = registry();
    expect(await cycle(1, [...full('a'), ...failed('b', broken)])).toMatchObject({
      seen: { a: '1 at 1' },
      count: 2,
    });
  });

  test('sums of the registry are held from the last complete cycle, and no longer than allowed', async () => {
    const { cycle } = registry(100);
    const partly = [...full('a'), ...failed('b', broken)];
    await cycle(0, [storage(7), ...full('a'), ...full('b')]);
    for (const now of [40, 80, 100]) {
      const { snapshot } = await cycle(now, partly);
      expect([snapshot.facts.storageBytes, snapshot.factsAt, snapshot.observedAt]).toEqual([7, 0, now]);
    }
    // However many partial cycles came in between.
    const { snapshot } = await cycle(101, partly);
    expect([snapshot.facts.storageBytes, snapshot.factsAt]).toEqual([undefined, 101]);
    const whole = await cycle(120, [storage(9), ...full('a'), ...full('b')]);
    expect([whole.snapshot.facts.storageBytes, whole.snapshot.factsAt]).toEqual([9, 120]);
  });

  test('a complete cycle that says nothing of a fact ends it', async () => {
    const { cycle } = registry();
    await cycle(1, [storage(7), ...full('a')]);
    expect((await cycle(2, full('a'))).snapshot.facts).toEqual({});
  });

  test('the count of repositories is forgotten with the sums', async () => {
    const { cycle } = registry(100);
    await cycle(0, [...full('y/a')]);
    expect((await cycle(100, [...full('x/a'), failedGroup('y/')])).count).toBe(1);
    expect((await cycle(101, [...full('x/a'), failedGroup('y/')])).count).toBeUndefined();
  });

  test('a cycle that ran out of time leaves what it did not come to, and is no success', async () => {
    const { cycle } = registry();
    await cycle(1, [storage(7), ...full('a'), ...full('b')]);
    const { snapshot, seen, count } = await cycle(2, full('a'), { cut: true });
    expect(seen).toEqual({ a: '1 at 2', b: '1 at 1' });
    expect(count).toBe(2);
    expect(snapshot).toMatchObject({ observedAt: 1, factsAt: 1, cut: true, facts: { storageBytes: 7 } });
  });
});

describe('a look at single repositories', () => {
  test('changes these, their number, and nothing else', async () => {
    const { cycle } = registry();
    const before = await cycle(1, [storage(7), ...full('a'), ...full('b')]);
    const { snapshot, seen, count } = await cycle(2, [...full('new'), ...gone('b'), ...gone('unknown')], {
      scoped: true,
    });
    expect(seen).toEqual({ a: '1 at 1', new: '1 at 2' });
    expect(count).toBe(2);
    expect(snapshot).toMatchObject({ observedAt: 1, factsAt: 1, facts: { storageBytes: 7 } });
    // The snapshot before is another one: a publish may still be rendering it.
    expect([...before.snapshot.repositories.keys()]).toEqual(['a', 'b']);
  });
});

test('what is known of where a registry is stays when a cycle learns only a part of it', async () => {
  const { cycle } = registry();
  await cycle(1, [{ type: 'identity', identity: { host: 'h', account: '1' } }]);
  const { snapshot } = await cycle(2, [{ type: 'identity', identity: { region: 'r' } }]);
  expect(snapshot.identity).toEqual({ host: 'h', account: '1', region: 'r' });
});

test('where repositories are not asked for, none are no number and no doubt', async () => {
  const { cycle } = registry();
  await cycle(1, full('a'));
  const { doubted, count, snapshot } = await cycle(2, [storage(7)], { listsRepositories: false });
  expect([doubted, count, snapshot.facts.storageBytes]).toEqual([[], undefined, 7]);
});
