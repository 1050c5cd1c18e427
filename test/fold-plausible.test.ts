import { expect, test } from 'vitest';
import { createFold } from '../src/fold.ts';
import type { Image, PackedTotals, RegistryFacts } from '../src/model.ts';
import { keptName } from '../src/names.ts';
import { aheadSeconds } from '../src/times.ts';
import { unpackTotals } from '../src/totals.ts';
import { listed } from './loop/scripted.ts';

/** Each value that cannot be is left out alone, and told of; what can just about be stays. */

const now = 1_000_000_000;
const ahead = now + aheadSeconds;

const good = {
  digest: 'sha256:1',
  kind: 'image',
  tags: ['v1'],
  sizeBytes: 100,
  pushedAt: 500,
  scannedAt: 600,
  inUse: 2,
  findings: {
    counts: { CRITICAL: 1, HIGH: 2, MEDIUM: 3, LOW: 4, NEGLIGIBLE: 5, UNKNOWN: 6 },
    fixable: { HIGH: 1 },
    fixableTotal: 7,
  },
} as const satisfies Image;

/** What is shown of one image, and what is told. */
function shown(image: Image) {
  const told: object[] = [];
  const fold = createFold({
    images: { perRepository: 1, matches: () => false },
    now,
    tell: (key, fields) => told.push({ key, ...fields }),
  });
  for (const observation of listed('app', image)) fold.add(observation);
  const { images } = unpackTotals(fold.finish().complete.get('app') as PackedTotals);
  return { images, told };
}

test('an image of which all can be is shown as it is', () => {
  const { kind: _, tags, ...same } = good;
  expect(shown(good)).toEqual({ images: [{ ...same, tag: tags[0] }], told: [] });
});

test.each<[string, Partial<Image>, Partial<Image>]>([
  ['a size of 2^53 - 1', { sizeBytes: Number.MAX_SAFE_INTEGER }, { sizeBytes: Number.MAX_SAFE_INTEGER }],
  ['no container that runs it', { inUse: 0 }, { inUse: 0 }],
  ['a time as far ahead as clocks differ', { pushedAt: ahead }, { pushedAt: ahead }],
  ['a time of zero is none', { scannedAt: 0 }, { scannedAt: undefined }],
  ['the year 1 is none', { pushedAt: -62135596800 }, { pushedAt: undefined }],
  ['a size of zero is none', { sizeBytes: 0 }, { sizeBytes: undefined }],
  ['a scan without findings', { findings: { counts: {} } }, { findings: { counts: {} } }],
])('%s', (_title, odd, expected) => {
  const { images, told } = shown({ ...good, ...odd });
  expect(images).toEqual([...shown(good).images].map((image) => ({ ...image, ...expected })));
  expect(told).toEqual([]);
});

const { counts } = good.findings;
test.each<[string, unknown, Partial<Image>, Partial<Image>]>([
  ['sizeBytes', -1, { sizeBytes: -1 }, { sizeBytes: undefined }],
  ['inUse', 0.5, { inUse: 0.5 }, { inUse: undefined }],
  ['pushedAt', ahead + 1, { pushedAt: ahead + 1 }, { pushedAt: undefined }],
  ['scannedAt', '2026', { scannedAt: '2026' as never }, { scannedAt: undefined }],
  ['pulledAt', ahead + 1, { pulledAt: ahead + 1 }, {}],
  ['sizeWithPlatforms', -5, { sizeWithPlatforms: -5 }, {}],
  [
    'fixableTotal',
    -1,
    { findings: { ...good.findings, fixableTotal: -1 } },
    { findings: { ...good.findings, fixableTotal: undefined } },
  ],
  [
    'HIGH',
    -3,
    { findings: { ...good.findings, fixable: { HIGH: -3 } } },
    { findings: { ...good.findings, fixable: {} } },
  ],
  ...Object.keys(counts).map((severity): [string, unknown, Partial<Image>, Partial<Image>] => [
    severity,
    2 ** 53,
    { findings: { counts: { ...counts, [severity]: 2 ** 53 } } },
    { findings: { counts: { ...counts, [severity]: undefined } } },
  ]),
])('%s of %s is left out alone, and told of', (field, value, odd, expected) => {
  const { images, told } = shown({ ...good, ...odd });
  expect(images).toEqual([...shown(good).images].map((image) => ({ ...image, ...expected })));
  expect(told).toEqual([
    {
      key: `the impossible ${field} of "app"`,
      repository: 'app',
      digest: 'sha256:1',
      field,
      value: String(value),
    },
  ]);
});

test('a value is told of up to 40 characters', () => {
  const { told } = shown({ ...good, sizeBytes: '9'.repeat(5000) as never });
  expect(told).toMatchObject([{ field: 'sizeBytes', value: '9'.repeat(40) }]);
});

test('a platform of zero bytes has no known size; an index and a signature may have none', () => {
  const index: Image = { digest: 'index', kind: 'index', tags: ['v1'], platforms: ['amd'], sizeBytes: 0 };
  const signature: Image = { digest: 's', kind: 'signature', sizeBytes: 0 };
  const sizeWith = (bytes: number): number | undefined => {
    const fold = createFold({ images: { perRepository: 1, matches: () => false }, now });
    const platform: Image = { digest: 'amd', kind: 'platform', sizeBytes: bytes };
    for (const observation of listed('app', index, signature, platform)) fold.add(observation);
    return unpackTotals(fold.finish().complete.get('app') as PackedTotals).sizeBytes;
  };
  expect([sizeWith(9), sizeWith(0)]).toEqual([9, undefined]);
});

test('of tags that are too long each is cut, and one that comes twice is one', () => {
  const long = 't'.repeat(5000);
  const tags = (...all: string[]) => shown({ ...good, tags: all }).images.map(({ tag }) => tag);
  expect(tags('v1', long)).toEqual([keptName(long), 'v1']);
  expect(tags('v1', 'v2', 'v1')).toEqual(['v1', 'v2']);
});

test('of the registry: lists without the items that say nothing without their number', () => {
  const told: object[] = [];
  const fold = createFold({
    images: { perRepository: 1, matches: () => false },
    now,
    tell: (key, fields) => told.push({ key, ...fields }),
  });
  const facts = {
    storageBytes: 1.5,
    credentials: [
      { credential: 'ci', expiresAt: -1 },
      { credential: 'cd', expiresAt: 9e12 },
    ],
    violations: [
      undefined,
      { watch: 'w', severity: 'HIGH', count: 0.5 },
      { watch: 'w', severity: 'LOW', count: 0 },
    ],
    tasks: [
      { task: 'gc', up: true, lastSuccessAt: ahead + 1, items: { failed: -1, succeeded: 4 } },
      { task: 'idle' },
    ],
  } as unknown as RegistryFacts;
  fold.add({ type: 'registry', facts });
  expect(fold.finish().facts).toEqual({
    storageBytes: 1.5,
    credentials: [{ credential: 'cd', expiresAt: 9e12 }],
    violations: [{ watch: 'w', severity: 'LOW', count: 0 }],
    tasks: [{ task: 'gc', up: true, items: { succeeded: 4 } }, { task: 'idle' }],
  });
  expect(told).toEqual(
    [
      ['expiresAt', '-1'],
      ['lastSuccessAt', String(ahead + 1)],
      ['failed', '-1'],
      ['count', '0.5'],
    ].map(([field, value]) => ({ key: `the impossible ${field} of "the registry"`, field, value })),
  );
});
