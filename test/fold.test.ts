import { describe, expect, test } from 'vitest';
import { createFold, type Retention } from '../src/fold.ts';
import type { Image, PackedTotals, RepositoryFacts, RepositoryTotals } from '../src/model.ts';
import { unpackTotals } from '../src/totals.ts';
import { listed } from './loop/scripted.ts';

const now = 1_000_000;
function fold(images: Image[], retention?: Retention, facts?: RepositoryFacts): RepositoryTotals {
  const one = createFold({
    images: { perRepository: 3, matches: () => false },
    now,
    ...(retention && { retention }),
  });
  for (const observation of listed('app', ...images))
    one.add(observation.type === 'repository-complete' && facts ? { ...observation, facts } : observation);
  const totals = one.finish().complete.get('app');
  if (!totals) throw new Error('not complete');
  return unpackTotals(totals);
}
test('facts that are undefined take the place of none that were read', () => {
  const cycle = createFold({ images: { perRepository: 3, matches: () => false }, now });
  cycle.add({ type: 'identity', identity: { host: 'r.example.com', account: 'a' } });
  cycle.add({ type: 'identity', identity: { host: undefined, region: 'eu' } });
  cycle.add({ type: 'registry', facts: { storageBytes: 5, quotas: [{ quota: 'storage', used: 1 }] } });
  cycle.add({ type: 'registry', facts: { storageBytes: undefined, quotas: undefined, version: '2.0' } });
  cycle.add({ type: 'repository', repository: 'app', facts: { pulls: 7, listsUntagged: true } });
  cycle.add({ type: 'repository-complete', repository: 'app', facts: { pulls: undefined, stars: 3 } });
  const { identity, facts, complete } = cycle.finish();
  expect(identity).toStrictEqual({ host: 'r.example.com', account: 'a', region: 'eu' });
  expect(facts).toStrictEqual({ storageBytes: 5, quotas: [{ quota: 'storage', used: 1 }], version: '2.0' });
  expect(unpackTotals(complete.get('app') as PackedTotals)).toMatchObject({
    pulls: 7,
    stars: 3,
    untagged: 0,
  });
});

const amd: Image = { digest: 'amd', kind: 'image', sizeBytes: 100 };
const arm: Image = { digest: 'arm', kind: 'image', sizeBytes: 30 };
const index: Image = {
  digest: 'index',
  kind: 'index',
  tags: ['v1'],
  sizeBytes: 7,
  platforms: ['amd', 'arm'],
};

describe('kinds', () => {
  test('only images and indexes count as images; platforms are no untagged waste', () => {
    expect(fold([index, amd, arm, { digest: 'alone', kind: 'image' }])).toMatchObject({
      tagged: 1,
      untagged: 1,
      tags: 1,
      artifacts: { platform: 2 },
    });
  });
  test('a manifest with a tag of its own is an image, also when an index lists it', () => {
    expect(fold([index, { ...amd, tags: ['v1-amd'] }, arm])).toMatchObject({ tagged: 2, tags: 2 });
  });
  test('signatures and charts are counted by their kind', () => {
    const totals = fold([
      { digest: 's', kind: 'signature', tags: ['sha256-x.sig'] },
      { digest: 'c', kind: 'chart', tags: ['1.0.0'] },
    ]);
    expect(totals).toMatchObject({ tagged: 0, artifacts: { signature: 1, chart: 1 } });
  });
  test('a digest that two pages repeat is one image with the tags of both', () => {
    expect(
      fold([
        { ...amd, tags: ['a', 'b'] },
        { ...amd, tags: ['c', 'a'] },
      ]),
    ).toMatchObject({ tagged: 1, tags: 3 });
  });
  test('what a second sighting of a digest does not know stays as the first knew it', () => {
    const first: Image = { ...amd, tags: ['a'], pushedAt: 500, scannedAt: 600 };
    const again: Image = {
      digest: 'amd',
      kind: 'image',
      tags: undefined,
      sizeBytes: undefined,
      pushedAt: undefined,
    };
    expect(fold([first, again])).toEqual(fold([first]));
  });

  test('what buildx attests beside the platforms of an index is no image', () => {
    expect(
      fold([{ ...index, attestations: ['att'] }, amd, arm, { digest: 'att', kind: 'image', sizeBytes: 1 }]),
    ).toMatchObject({ tagged: 1, untagged: 0, sizeBytes: 130, artifacts: { platform: 2, attestation: 1 } });
  });
  test('an attestation that passes for a platform is none', () => {
    const attestation: Image = { digest: 'att', kind: 'platform' };
    expect(fold([{ ...index, attestations: ['att'] }, amd, arm, attestation]).artifacts).toEqual({
      platform: 2,
      attestation: 1,
    });
  });
  test('where platforms cannot be told from untagged images, the number of neither is known', () => {
    const { platforms: _, ...unresolved } = index;
    const totals = fold([unresolved, { ...amd, scanStatus: 'complete' }, arm], undefined, {
      unknownKinds: ['platform'],
    });
    expect(totals).toMatchObject({ tagged: 1, artifacts: {} });
    for (const key of ['untagged', 'sizeBytes', 'scans']) expect(totals).not.toHaveProperty(key);
  });
});

test('archived images are not counted where some may be platforms of an archived index', () => {
  const old: Image = { digest: 'old', kind: 'image', tags: [], archived: true, sizeBytes: 5 };
  const { platforms: _, ...unread } = { ...index, archived: true };
  expect(fold([old])).toMatchObject({ archived: 1, archivedBytes: 5 });
  expect(fold([{ ...index, platforms: ['old'], archived: true }, old])).toMatchObject({ archived: 1 });
  expect(fold([unread, old])).not.toHaveProperty('archived');
  expect(fold([unread, { ...old, tags: ['v0'] }])).toMatchObject({ archived: 2 });
  expect(fold([{ ...unread, tags: [] }])).toMatchObject({ archived: 1 });
  expect(fold([unread, old])).toMatchObject({ archivedBytes: 5, untagged: 0 });
});

describe('signatures', () => {
  const signature: Image = { digest: 's', kind: 'signature', subject: 'index' };
  test('make what they are about signed, where all of them are listed', () => {
    const alone: Image = { digest: 'alone', kind: 'image', tags: ['v0'] };
    const totals = fold([index, amd, arm, signature, alone], undefined, { listsSignatures: true });
    expect(totals.signedImages).toBe(1);
    expect(totals.images.map(({ digest, signed }) => [digest, signed])).toEqual([
      ['alone', false],
      ['index', true],
    ]);
  });
  test('alone do so: an SBOM of an image is no signature of it', () => {
    const sbom: Image = { digest: 's', kind: 'sbom', subject: 'index' };
    expect(fold([index, amd, arm, sbom], undefined, { listsSignatures: true }).signedImages).toBe(0);
  });
  test('say nothing where some may be elsewhere', () => {
    expect(fold([index, amd, arm, signature])).not.toHaveProperty('signedImages');
  });
});

describe('sizes', () => {
  test("an index's size is the sum of its platforms, whatever the vendor says", () => {
    const totals = fold([index, amd, arm]);
    expect(totals.images[0]?.sizeBytes).toBe(130);
    expect(totals.sizeBytes).toBe(130);
  });
  test('a platform that two indexes share counts once', () => {
    const second: Image = { ...index, digest: 'second', tags: ['v2'], platforms: ['amd'] };
    expect(fold([index, second, amd, arm]).sizeBytes).toBe(130);
  });
  test('a platform that an index lists twice, for two variants of a processor, is there once', () => {
    const twice: Image = { ...index, platforms: ['arm', 'arm', 'amd'] };
    expect(fold([twice, amd, arm])).toMatchObject({ sizeBytes: 130, images: [{ sizeBytes: 130 }] });
  });
  test('one unknown size makes the sum unknown, not smaller', () => {
    expect(fold([index, amd, { digest: 'arm', kind: 'image' }])).not.toHaveProperty('sizeBytes');
    expect(fold([index, amd])).not.toHaveProperty('sizeBytes');
  });
  test('an index whose platforms are not listed one by one has the size that the registry states', () => {
    const stated: Image = { ...index, sizeWithPlatforms: 137 };
    expect(fold([stated, { digest: 'alone', kind: 'image', sizeBytes: 5 }])).toMatchObject({
      sizeBytes: 142,
      images: [{ digest: 'index', sizeBytes: 137 }],
    });
    expect(fold([stated, amd, arm]).sizeBytes).toBe(130);
    expect(fold([stated, amd])).not.toHaveProperty('sizeBytes');
  });
  test('in a cache that fetches what is pulled, a platform that is not there takes no room', () => {
    expect(fold([index, amd], undefined, { partialIndexes: true }).sizeBytes).toBe(100);
  });
});

describe('findings', () => {
  test('of an index are the maximum over its platforms, per severity; its scan status is the worst', () => {
    const totals = fold([
      index,
      { ...amd, findings: { counts: { CRITICAL: 1, HIGH: 5 } }, scanStatus: 'complete' },
      { ...arm, findings: { counts: { CRITICAL: 2, HIGH: 3 } }, scanStatus: 'failed' },
    ]);
    expect(totals.findings).toEqual({ counts: { CRITICAL: 2, HIGH: 5 } });
    expect(totals.vulnerableImages).toEqual({ CRITICAL: 1, HIGH: 1 });
    expect(totals.scans).toEqual({ complete: 0, pending: 0, failed: 1, unsupported: 0, none: 0 });
  });
  test('one number of fixable findings for all severities stays one number', () => {
    const counts = { HIGH: 3 };
    const totals = fold([
      index,
      { ...amd, findings: { counts, fixableTotal: 1 } },
      { ...arm, findings: { counts, fixableTotal: 2 } },
    ]);
    expect(totals.findings).toEqual({ counts, fixableTotal: 2 });
  });
  test('a severity that was not counted for all images has no number of vulnerable ones', () => {
    const counts = { HIGH: 1, LOW: 2 };
    const one: Image = { ...amd, tags: ['v1'], findings: { counts } };
    const two: Image = { ...arm, tags: ['v2'], findings: { counts: { HIGH: 0 } } };
    expect(fold([one, two]).vulnerableImages).toEqual({ HIGH: 1 });
  });
  test('what runs an index runs one of its platforms', () => {
    expect(fold([index, { ...amd, inUse: 2 }, { ...arm, inUse: 1 }]).images[0]?.inUse).toBe(3);
  });
  test('that nobody read stay unknown; none found is 0', () => {
    expect(fold([index, amd, arm])).not.toHaveProperty('findings');
    expect(fold([{ ...amd, tags: ['v1'], findings: { counts: { HIGH: 0 } } }]).vulnerableImages).toEqual({
      HIGH: 0,
    });
  });
});

describe('an index', () => {
  const scanned: Image = {
    digest: 'amd',
    kind: 'image',
    sizeBytes: 100,
    pushedAt: 300,
    scannedAt: 700,
    scanStatus: 'complete',
    findings: { counts: { HIGH: 5, LOW: 1 }, fixable: { HIGH: 2 } },
    inUse: 1,
  };
  const other: Image = {
    ...scanned,
    digest: 'arm',
    sizeBytes: 30,
    pushedAt: 400,
    scannedAt: 600,
    findings: { counts: { HIGH: 3, CRITICAL: 0 }, fixable: { HIGH: 3, CRITICAL: 0 } },
    inUse: 2,
  };
  const { sizeBytes: _, ...bare } = index;

  test('that says nothing of itself says what its platforms do', () => {
    expect(fold([bare, scanned, other])).toMatchObject({
      sizeBytes: 130,
      findings: { counts: { CRITICAL: 0, HIGH: 5, LOW: 1 }, fixable: { CRITICAL: 0, HIGH: 3 } },
      scans: { complete: 1, pending: 0, failed: 0, unsupported: 0, none: 0 },
      lastScanAt: 700,
      images: [
        {
          tag: 'v1',
          digest: 'index',
          sizeBytes: 130,
          pushedAt: 400,
          scannedAt: 700,
          inUse: 3,
          findings: { counts: { CRITICAL: 0, HIGH: 5, LOW: 1 }, fixable: { CRITICAL: 0, HIGH: 3 } },
        },
      ],
    });
  });

  test('of which one platform was not scanned says what the others do', () => {
    const { findings: _findings, ...unscanned } = other;
    expect(fold([bare, scanned, unscanned]).findings).toEqual(scanned.findings);
  });

  test.each<[string, Image[]]>([
    ['a platform', [bare, scanned, { ...other, scannedAt: undefined }]],
    [
      'a platform beside one that waits',
      [bare, { ...scanned, scannedAt: undefined }, { ...other, scanStatus: 'pending' }],
    ],
    ['the index', [{ ...bare, scanStatus: 'complete' }, scanned, other]],
  ])('whose scan has no time (%s) has no newest scan: an older one is not it', (_, images) => {
    expect(fold(images)).not.toHaveProperty('lastScanAt');
    expect(fold(images).images[0]).not.toHaveProperty('scannedAt', 700);
  });

  test('that was itself scanned, pushed and run says its own', () => {
    const own: Partial<Image> = {
      pushedAt: 350,
      scannedAt: 900,
      scanStatus: 'pending',
      findings: { counts: { HIGH: 1 } },
      inUse: 9,
    };
    const totals = fold([{ ...bare, ...own }, scanned, other]);
    const { scanStatus: _status, ...shown } = own;
    expect(totals.images).toEqual([{ tag: 'v1', digest: 'index', sizeBytes: 130, ...shown }]);
    expect(totals.scans).toMatchObject({ complete: 0, pending: 1 });
  });

  test.each([
    ['complete', 'complete', 'complete'],
    ['complete', 'unsupported', 'unsupported'],
    ['none', 'unsupported', 'none'],
    ['none', 'pending', 'pending'],
    ['failed', 'pending', 'failed'],
    ['complete', undefined, undefined],
  ] as const)('with platforms that are %s and %s is %s', (first, second, worst) => {
    const { scans } = fold([bare, { ...scanned, scanStatus: first }, { ...other, scanStatus: second }]);
    expect(scans && Object.entries(scans).filter(([, images]) => images > 0)).toEqual(worst && [[worst, 1]]);
  });
});

test('images in archive storage count apart; their bytes are unknown as soon as those of one are', () => {
  const cold: Image = { digest: 'cold', kind: 'image', tags: ['v0'], archived: true, sizeBytes: 5 };
  const chart: Image = { digest: 'chart', kind: 'chart', archived: true };
  const { artifacts, ...totals } = fold([{ ...amd, tags: ['v1'] }, cold, chart]);
  expect(totals).toMatchObject({ tagged: 1, sizeBytes: 100, archived: 1, archivedBytes: 5 });
  expect(artifacts).toEqual({});
  const unsized = fold([cold, { ...cold, digest: 'colder', sizeBytes: undefined }]);
  expect(unsized).toMatchObject({ archived: 2 });
  expect(unsized).not.toHaveProperty('archivedBytes');
});

test('a complete scan whose findings are not known makes the number of vulnerable images unknown', () => {
  const counted: Image = { ...amd, tags: ['v1'], findings: { counts: { HIGH: 1 } }, scanStatus: 'complete' };
  const unscanned: Image = { ...arm, tags: ['v2'], scanStatus: 'none' };
  expect(fold([counted, unscanned]).vulnerableImages).toEqual({ HIGH: 1 });
  expect(fold([counted, { ...unscanned, scanStatus: 'complete' }])).not.toHaveProperty('vulnerableImages');
});

test('the last push and pull are those of what is pushed for its own sake, else what is told of the repository', () => {
  const signature: Image = { digest: 's', kind: 'signature', pushedAt: 900, pulledAt: 900 };
  const told = { pushedAt: 100, pulledAt: 200 };
  const dated: Image = { ...amd, tags: ['v1'], pushedAt: 500, pulledAt: 600 };
  expect(fold([signature], undefined, told)).toMatchObject({ lastPushAt: 100, lastPullAt: 200 });
  expect(fold([signature, dated], undefined, told)).toMatchObject({ lastPushAt: 500, lastPullAt: 600 });
  const unknown = fold([dated], undefined, { newestUnknown: true, lastPullUnknown: true });
  for (const time of ['lastPushAt', 'lastPullAt']) expect(unknown).not.toHaveProperty(time);
});

describe('retention', () => {
  const aged = (digest: string, age: number, tags = [digest]): Image => ({
    digest,
    kind: 'image',
    tags,
    sizeBytes: 10,
    pushedAt: now - age,
  });
  const images = [aged('new', 1), aged('mid', 50), aged('old', 200), aged('loose', 80, [])];
  test('keeps the newest whatever their age; the rest is stale when older than allowed', () => {
    expect(fold(images, { keepLast: 1, maxAgeSeconds: 100 })).toMatchObject({
      staleImages: 1,
      reclaimableBytes: 10,
    });
  });
  test('what is exactly as old as allowed is not stale yet', () => {
    expect(fold([aged('edge', 100)], { maxAgeSeconds: 100 })).toMatchObject({ staleImages: 0 });
    expect(fold([aged('over', 101)], { maxAgeSeconds: 100 })).toMatchObject({ staleImages: 1 });
  });
  test('of untagged images has an age of its own', () => {
    expect(fold(images, { untaggedMaxAgeSeconds: 60 })).toMatchObject({ staleImages: 1 });
  });
  test('that is not set, or an unknown push time, makes what is stale unknown', () => {
    expect(fold(images)).not.toHaveProperty('staleImages');
    const unknown: Image = { digest: 'x', kind: 'image', tags: ['x'] };
    expect(fold([...images, unknown], { maxAgeSeconds: 100 })).not.toHaveProperty('staleImages');
  });
});

describe('what could not be read', () => {
  const signed: Image = {
    digest: 'one',
    kind: 'image',
    tags: ['v1'],
    sizeBytes: 5,
    pushedAt: 900,
    signed: true,
  };
  const findings = { counts: { CRITICAL: 1 } };

  test('of a tag: nothing counts or sums all images; what does not depend on it stays', () => {
    const facts = { unreadTags: 2, practices: { no_latest_tag: true }, pulls: 7 };
    expect(fold([{ ...signed, findings }], undefined, facts)).toEqual({
      repository: 'app',
      tags: 3,
      artifacts: {},
      pulls: 7,
      practices: { no_latest_tag: true },
      images: [{ tag: 'v1', digest: 'one', sizeBytes: 5, pushedAt: 900, signed: true, findings }],
    });
  });
  test('is nothing: all is told', () => {
    expect(fold([signed], undefined, { unreadTags: 0 })).toEqual(fold([signed]));
  });
  test('is all: there is no number of tags either', () => {
    expect(fold([], undefined, { unreadTags: 'all' })).toEqual({
      repository: 'app',
      artifacts: {},
      practices: {},
      images: [],
    });
  });
  test('of the time of an image: there are no findings of the newest', () => {
    const totals = fold([{ ...signed, findings }], undefined, { newestUnknown: true });
    expect(totals).toMatchObject({ tagged: 1, tags: 1, sizeBytes: 5 });
    expect(totals.findings).toBeUndefined();
  });
  test('of the findings of some images: how many have which is unknown; those that were read stay', () => {
    const scanned = { ...signed, findings, scanStatus: 'complete' as const };
    expect(fold([scanned])).toMatchObject({ findings, vulnerableImages: { CRITICAL: 1 } });
    const totals = fold([scanned], undefined, { findingsUnknown: true });
    expect(totals).toMatchObject({ tagged: 1, findings });
    expect(totals.vulnerableImages).toBeUndefined();
    expect(totals.scans).toBeUndefined();
  });
});

test('a listing that ends in the middle of a repository is an error, never a short list', () => {
  const one = createFold({ images: { perRepository: 1, matches: () => false }, now });
  one.add({ type: 'repository', repository: 'app' });
  expect(() => one.finish()).toThrow('ended in the middle of "app"');
});
