import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { isPastTime } from '../src/times.ts';
import {
  count,
  dictionary,
  list,
  longText,
  type Oddity,
  optional,
  parseWire,
  pastTime,
  readElements,
  text,
  wholeList,
} from '../src/wire.ts';

/** What is read of a value, and what is said to be odd about it. */
function read(schema: z.ZodType, value: unknown) {
  const odd: Oddity[] = [];
  const result = parseWire(value, schema, (oddity) => odd.push(oddity));
  return {
    value: result.success ? result.data : 'refused',
    odd: odd.map(({ at, problem }) => `${at}: ${problem}`),
  };
}

const image = z.object({
  digest: text,
  size: optional('size', count),
  tags: optional('tags', list('tags', text)),
});
const page = z.object({ images: list('images', image) });

test('one odd element is left out and told; the others are read', () => {
  expect(
    read(page, { images: [{ digest: 'a', size: 1 }, null, 7, { digest: '' }, { digest: 'b', size: '2' }] }),
  ).toEqual({
    value: {
      images: [
        { digest: 'a', size: 1, tags: undefined },
        { digest: 'b', size: 2, tags: undefined },
      ],
    },
    odd: ['images[]: Invalid input: expected object, received null (and 2 more)'],
  });
});

test.each([-1, 1e308, 2 ** 53 + 2, 0.5, 'many', {}, [], true, '-1', ''])(
  'a size of %j is unknown, and told',
  (size) => {
    const { value, odd } = read(page, { images: [{ digest: 'a', size }] });
    expect(value).toEqual({ images: [{ digest: 'a', size: undefined, tags: undefined }] });
    expect(odd).toHaveLength(1);
  },
);

test.each([undefined, null])('a size of %j is unknown without a word', (size) => {
  expect(read(page, { images: [{ digest: 'a', size }] }).odd).toEqual([]);
});

test.each([undefined, null, 7, {}, 'x'])('an answer whose list is %j is refused', (images) => {
  expect(read(page, { images }).value).toBe('refused');
});

test.each([[[null]], [new Array(1_000_000).fill(1)]])(
  'a list without one good element is refused',
  (images) => {
    expect(read(page, { images })).toEqual({ value: 'refused', odd: [] });
  },
);

test('an object of things is read like a list', () => {
  expect(read(dictionary('parts', count), { a: 1, b: -1, c: '3' })).toEqual({
    value: new Map([
      ['a', 1],
      ['c', 3],
    ]),
    odd: ['parts.*: Too small: expected number to be >=0'],
  });
});

test('an object of odd values is refused before they cost much; of one value it tells once', () => {
  const odd = Object.fromEntries(Array.from({ length: 100_000 }, (_, number) => [`k${number}`, -1]));
  expect(read(dictionary('parts', count), odd).value).toBe('refused');
  expect(read(dictionary('parts', count), { a: -1, b: -1, c: 1 }).odd).toEqual([
    'parts.*: Too small: expected number to be >=0 (and 1 more)',
  ]);
});

test.each([text, z.string().regex(/^sha256:/)])('an empty text is unknown without a word', (schema) => {
  expect(read(z.object({ os: optional('os', schema) }), { os: '' })).toEqual({ value: {}, odd: [] });
});

test('a name has a bound, a description is cut', () => {
  expect(read(text, 'x'.repeat(5_000)).value).toBe('refused');
  expect(read(longText(3), 'abcdef').value).toBe('abc');
});

describe('times', () => {
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  test.each<[string, unknown]>([
    ['2026-01-02T03:04:05Z', 1_767_323_045],
    ['2026-01-02T03:04:05.999999999+01:00', 1_767_319_445.999],
    ['0001-01-01T00:00:00Z', undefined],
    ['1970-01-01T00:00:00Z', undefined],
    ['', undefined],
    ['2099-01-01T00:00:00Z', 'refused'],
    ['yesterday', 'refused'],
    [soon, Date.parse(soon) / 1000],
  ])('%s', (value, expected) => {
    expect(read(pastTime, value).value).toEqual(expected);
  });
  test('numbers', () => {
    expect([1e18, Number.NaN, -1, 0, 1_700_000_000].map((seconds) => isPastTime(seconds))).toEqual([
      false,
      false,
      false,
      false,
      true,
    ]);
  });
});

describe('lists that something counts', () => {
  test('a whole list has no odd element, and says one word of the first', () => {
    expect(read(wholeList(text), ['a', 'b'])).toEqual({ value: ['a', 'b'], odd: [] });
    const result = wholeList(text).safeParse(['a', ...Array.from({ length: 100_000 }, () => 1)]);
    expect(result.error?.issues).toHaveLength(1);
  });
  test('elements that are read giving way: the odd ones are counted', async () => {
    const odd: Oddity[] = [];
    const values = Array.from({ length: 1_000 }, (_, at) => (at % 100 === 0 ? 5 : 'a'));
    const { items, left } = await readElements('names', text, values, (oddity) => odd.push(oddity));
    expect([items.length, left]).toEqual([990, 10]);
    expect(odd).toEqual([
      { at: 'names[]', problem: 'Invalid input: expected string, received number (and 9 more)' },
    ]);
    expect(await readElements('names', text, [], undefined)).toEqual({ items: [], left: 0 });
    await expect(readElements('names', text, [1, 2], undefined)).rejects.toThrow('cannot be understood');
    // However they are spread: some two hundred that are all odd hide none of the others.
    const spread = [...Array<string>(300).fill('a'), ...Array<number>(250).fill(5), 'a', 5];
    expect(await readElements('names', text, spread, undefined)).toMatchObject({ left: 251 });
  });
});
