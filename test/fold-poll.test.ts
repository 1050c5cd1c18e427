import { describe, expect, test } from 'vitest';
import { createFold, type FoldOptions } from '../src/fold.ts';
import type { Observation, PackedTotals } from '../src/model.ts';
import { unpackTotals } from '../src/totals.ts';
import { imageOf, listed } from './loop/scripted.ts';

/** What a provider says in one poll, and all that the loop is handed of it. */

const options: FoldOptions = { images: { perRepository: 3, matches: () => false }, now: 1_000_000 };
const error = new Error('503');

function foldOf(more: Partial<FoldOptions>, ...observations: Observation[]) {
  const fold = createFold({ ...options, ...more });
  for (const observation of observations) fold.add(observation);
  return fold;
}

test('what was read, what is gone, what failed, and groups of which not every repository was seen', () => {
  const result = foldOf(
    { known: () => ['lost/read', 'lost/gone', 'lost/open', 'lost/unseen', 'app', 'elsewhere'] },
    { type: 'identity', identity: { host: 'r.example.com' } },
    { type: 'registry', facts: { storageBytes: 5 } },
    ...listed('app', imageOf('v1')),
    ...listed('lost/read'),
    { type: 'repository', repository: 'lost/gone' },
    { type: 'repository-gone', repository: 'lost/gone' },
    { type: 'repository', repository: 'deleted' },
    { type: 'repository-gone', repository: 'deleted' },
    { type: 'repository', repository: 'broken' },
    { type: 'repository-failed', repository: 'broken', error },
    { type: 'repository', repository: 'lost/open' },
    { type: 'repository', repository: 'web' },
    { type: 'group-failed', prefix: 'lost/', error },
    { type: 'group-empty', prefix: 'bare/' },
    { type: 'repository-complete', repository: 'web' },
  ).finish();
  expect({ ...result, complete: [...result.complete.keys()] }).toEqual({
    identity: { host: 'r.example.com' },
    facts: { storageBytes: 5 },
    complete: ['app', 'lost/read', 'web'],
    gone: new Set(['lost/gone', 'deleted']),
    failed: new Map([
      ['broken', error],
      ['lost/open', error],
      ['lost/unseen', error],
    ]),
    failedGroups: new Map([['lost/', error]]),
    emptyGroups: new Set(['bare/']),
  });
});

test('a group that fails in the first poll of all has no repository that was known', () => {
  const { failed, failedGroups } = foldOf({}, { type: 'group-failed', prefix: 'lost/', error }).finish();
  expect(failed).toEqual(new Map());
  expect(failedGroups).toEqual(new Map([['lost/', error]]));
});

test('a repository of which nothing changed is the very text of the last poll', () => {
  const totalsOf = (previous?: PackedTotals) =>
    foldOf({ previous: () => previous }, ...listed('app', imageOf('v1')))
      .finish()
      .complete.get('app');
  const first = totalsOf();
  expect(totalsOf(first)).toBe(first);
  expect(unpackTotals(totalsOf('{"repository":"app"}' as PackedTotals) as PackedTotals)).toMatchObject({
    tagged: 1,
  });
});

describe('a poll that runs out of time', () => {
  const begun = (): Observation[] => [
    ...listed('app', imageOf('v1')),
    { type: 'repository', repository: 'slow' },
    { type: 'images', repository: 'slow', images: [imageOf('v1')] },
  ];

  test('has what was read to its end; of what was not, nothing is known', () => {
    const { complete, failed, gone, cut } = foldOf({}, ...begun()).cut();
    expect([...complete.keys()]).toEqual(['app']);
    expect({ failed, gone, cut }).toEqual({ failed: new Map(), gone: new Set(), cut: {} });
  });

  test('says why, where the provider knows', () => {
    const reason = Object.assign(new Error('429'), { reason: 'throttled' }) as never;
    expect(foldOf({}, ...begun()).cut(reason).cut).toEqual({ reason });
  });
});

describe('a provider that breaks the order of its own observations is an error, never a short list', () => {
  test.each<[string, Observation[], string]>([
    [
      'images of a repository that it did not open',
      [{ type: 'images', repository: 'app', images: [] }],
      'the provider sent images of "app" before opening it',
    ],
    [
      'images after the end',
      [...listed('app'), { type: 'images', repository: 'app', images: [imageOf('v2')] }],
      'the provider sent images of "app" before opening it',
    ],
    [
      'images of a repository that failed',
      [
        { type: 'repository', repository: 'app' },
        { type: 'repository-failed', repository: 'app', error },
        { type: 'images', repository: 'app', images: [] },
      ],
      'the provider sent images of "app" before opening it',
    ],
    [
      'no end',
      [...listed('web'), { type: 'repository', repository: 'app' }],
      'the provider\'s listing ended in the middle of "app"',
    ],
  ])('%s', (_title, observations, message) => {
    expect(() => foldOf({}, ...observations).finish()).toThrow(message);
  });
});
