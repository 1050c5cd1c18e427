import { describe, expect, test } from 'vitest';
import { createFold, type Retention } from '../src/fold.ts';
import type { Image, RepositoryTotals } from '../src/model.ts';
import { unpackTotals } from '../src/totals.ts';
import { listed } from './loop/scripted.ts';

const now = 1_000_000;
function fold(images: Image[], retention?: Retention): RepositoryTotals {
  const one = createFold({
    images: { perRepository: 3, matches: () => false },
    now,
    ...(retention && { retention }),
  });
  for (const observation of listed('app', ...images)) one.add(observation);
  const totals = one.finish().complete.get('app');
  if (!totals) throw new Error('not complete');
  return unpackTotals(totals);
}
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
        { ...amd, tags: ['a'] },
        { ...amd, tags: ['b', 'a'] },
      ]),
    ).toMatchObject({ tagged: 1, tags: 2 });
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
  test('one unknown size makes the sum unknown, not smaller', () => {
    expect(fold([index, amd, { digest: 'arm', kind: 'image' }])).not.toHaveProperty('sizeBytes');
    expect(fold([index, amd])).not.toHaveProperty('sizeBytes');
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
  test('that nobody read stay unknown; none found is 0', () => {
    expect(fold([index, amd, arm])).not.toHaveProperty('findings');
    expect(fold([{ ...amd, tags: ['v1'], findings: { counts: { HIGH: 0 } } }]).vulnerableImages).toEqual({
      HIGH: 0,
    });
  });
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
  test('of untagged images has an age of its own', () => {
    expect(fold(images, { untaggedMaxAgeSeconds: 60 })).toMatchObject({ staleImages: 1 });
  });
  test('that is not set, or an unknown push time, makes what is stale unknown', () => {
    expect(fold(images)).not.toHaveProperty('staleImages');
    const unknown: Image = { digest: 'x', kind: 'image', tags: ['x'] };
    expect(fold([...images, unknown], { maxAgeSeconds: 100 })).not.toHaveProperty('staleImages');
  });
});

test('a listing that ends in the middle of a repository is an error, never a short list', () => {
  const one = createFold({ images: { perRepository: 1, matches: () => false }, now });
  one.add({ type: 'repository', repository: 'app' });
  expect(() => one.finish()).toThrow('ended in the middle of "app"');
});
