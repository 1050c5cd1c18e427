import { expect, test } from 'vitest';
import { createFold, type Retention } from '../src/fold.ts';
import type { Image, PackedTotals, RepositoryFacts } from '../src/model.ts';
import { unpackTotals } from '../src/totals.ts';
import { listed } from './loop/scripted.ts';

/** Images that run are shown one by one, however old, with or without a tag, and what runs without being listed is told. */

const now = 1_000_000;

/** A repository with these images, and everything that is told of what runs of it. */
function running(
  digests: readonly string[],
  images: readonly Image[],
  { facts = {}, retention }: { readonly facts?: RepositoryFacts; readonly retention?: Retention } = {},
) {
  const fold = createFold({
    images: { perRepository: 1, matches: () => false, running: () => new Set(digests) },
    retention,
    now,
  });
  for (const observation of listed('app', ...images))
    fold.add(observation.type === 'repository-complete' ? { ...observation, facts } : observation);
  const totals = unpackTotals(fold.finish().complete.get('app') as PackedTotals);
  return { images: totals.images, running: totals.running, tagged: totals.tagged, untagged: totals.untagged };
}

const image = (digest: string, more: Partial<Image> = {}): Image => ({
  digest,
  kind: 'image',
  tags: [digest],
  ...more,
});

test('an old image, one without a tag, and an index by one of its platforms, each under the digests that run', () => {
  const images = [
    image('new', { pushedAt: 900 }),
    image('old', { pushedAt: 100, scanStatus: 'complete', tags: ['v1', 'v0'] }),
    image('idle', { pushedAt: 200 }),
    image('loose', { tags: [], pushedAt: 300 }),
    image('index', { kind: 'index', platforms: ['amd', 'arm'], pushedAt: 400 }),
    image('older-index', { kind: 'index', platforms: ['amd'], pushedAt: 50 }),
    image('amd', { tags: [] }),
    image('arm', { tags: [] }),
  ];
  expect(running(['old', 'loose', 'arm', 'amd'], images)).toEqual({
    tagged: 5,
    untagged: 1,
    images: [
      { tag: 'new', digest: 'new', pushedAt: 900 },
      { tag: 'index', digest: 'index', pushedAt: 400, runs: ['amd', 'arm'] },
      { tag: 'v0', digest: 'old', pushedAt: 100, runs: ['old'], scanStatus: 'complete' },
      { tag: 'v1', digest: 'old', pushedAt: 100, runs: ['old'], scanStatus: 'complete' },
      { tag: '', digest: 'loose', pushedAt: 300, runs: ['loose'] },
    ],
    running: { missing: [], unclear: [] },
  });
});

test('where nothing runs, nothing is told of it', () => {
  expect(running([], [image('v1', { pushedAt: 900 })])).toEqual({
    tagged: 1,
    untagged: 0,
    images: [{ tag: 'v1', digest: 'v1', pushedAt: 900 }],
  });
});

test('whether the retention expectation would remove what runs', () => {
  const images = [image('new', { pushedAt: now - 1 }), image('old', { pushedAt: now - 500 })];
  const retention = { maxAgeSeconds: 100 };
  expect(running(['new', 'old'], images, { retention }).images).toMatchObject([
    { digest: 'new', stale: false },
    { digest: 'old', stale: true },
  ]);
  const undated = [...images, image('undated')];
  for (const { stale } of running(['old'], undated, { retention }).images) expect(stale).toBeUndefined();
});

test('an image that was found only because it runs is shown and counts nowhere', () => {
  const found = image('found', { tags: [], unlisted: true, pushedAt: now - 500 });
  const retention = { maxAgeSeconds: 100, untaggedMaxAgeSeconds: 100 };
  expect(running(['found'], [found], { retention })).toEqual({
    tagged: 0,
    untagged: 0,
    images: [{ tag: '', digest: 'found', pushedAt: now - 500, runs: ['found'] }],
    running: { missing: [], unclear: [] },
  });
});

test('an index that was found because one of its platforms runs', () => {
  const found = image('found', { kind: 'index', tags: [], platforms: ['amd'], unlisted: true });
  expect(running(['amd'], [found])).toMatchObject({
    tagged: 0,
    images: [{ tag: '', digest: 'found', runs: ['amd'] }],
    running: { missing: [], unclear: [] },
  });
});

test('what runs and is an artifact of another kind is there; what is archived has to be restored first', () => {
  const images = [image('chart', { kind: 'chart', tags: ['1.0.0'] }), image('cold', { archived: true })];
  expect(running(['chart', 'cold'], images)).toMatchObject({
    images: [{ tag: '1.0.0', digest: 'chart', runs: ['chart'] }],
    running: { missing: ['cold'], unclear: [] },
  });
});

test.each<[string, RepositoryFacts, 'missing' | 'unclear']>([
  ['of a complete listing', {}, 'missing'],
  ['of a listing without untagged manifests', { listsUntagged: false }, 'unclear'],
  ['of such a listing, and was asked for', { listsUntagged: false, absent: ['b'] }, 'missing'],
  ['while a tag could not be read', { unreadTags: 1 }, 'unclear'],
  ['while kinds are not known', { unknownKinds: ['platform'] }, 'unclear'],
  ['while the time of an image is not known', { newestUnknown: true }, 'unclear'],
  ['of a cache that fetches what is pulled', { fetchesMissing: true }, 'unclear'],
  ['of such a cache, and was asked for', { fetchesMissing: true, absent: ['b'] }, 'unclear'],
])('a digest that runs and is none %s', (_title, facts, list) => {
  expect(running(['b'], [image('a')], { facts }).running).toEqual({
    missing: [],
    unclear: [],
    [list]: ['b'],
  });
});
