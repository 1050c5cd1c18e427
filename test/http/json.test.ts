import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type JsonAnswer, parseLarge } from '../../src/http/json.ts';
import { parsedAtOnce, parseInPieces, parseJson } from '../../src/http/parse.ts';
import { elementsOf, json, shaped } from '../../src/http.ts';
import { list, type Oddity, text } from '../../src/wire.ts';

const url = new URL('https://registry.example.com/v2/_catalog?token=s3cret');
const where = 'https://registry.example.com/v2/_catalog';
const answer = (body: unknown, more: Partial<JsonAnswer> = {}): JsonAnswer => ({
  url,
  body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  ...more,
});
const anything = z.unknown();

describe('an answer that is no JSON', () => {
  test('is told with what the server said', () => {
    expect(() => json(answer('try later'), anything)).toThrow(
      expect.objectContaining({
        reason: 'invalid_response',
        message: `${where} answered no JSON (try later)`,
        cause: expect.any(SyntaxError),
      }),
    );
  });

  test('of a stranger is told without', () => {
    let error: unknown;
    try {
      json(answer('AKIA-secret', { stranger: true }), anything);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ reason: 'invalid_response', message: `${where} answered no JSON` });
    expect(error).not.toHaveProperty('cause');
  });
});

/** A gateway may send them with 200; where all fields may be absent they would pass for an empty answer. */
describe('an answer that holds errors and nothing else', () => {
  test.each([
    ['as registries write them', { errors: [{ code: 'DENIED', message: 'no' }] }, ' (DENIED no)'],
    ['of which only the first has words', { errors: [{ message: 'no' }, {}] }, ' (no)'],
  ])('is an error, %s', (_title, body, said) => {
    expect(() => json(answer(body), anything)).toThrow(
      expect.objectContaining({
        reason: 'invalid_response',
        message: `${where} answered errors alone${said}`,
      }),
    );
  });

  test('is an error where there is one and no list', () => {
    expect(() => json(answer({ errors: { message: 'no' } }), anything)).toThrow('answered errors alone');
  });

  test('of a stranger is told without its words', () => {
    const body = { errors: [{ message: 'AKIA-secret' }] };
    expect(() => json(answer(body, { stranger: true }), anything)).toThrow(/answered errors alone$/);
  });

  test.each([
    ['a field beside it', { errors: [{ message: 'no' }], tags: [] }],
    ['another name', { failures: [{ message: 'no' }] }],
    ['none of them', { errors: [] }],
    ['errors without words, as Xray writes of single images', { errors: [{ identifier: 'a', error: 'b' }] }],
    ['null for the first', { errors: [null] }],
    ['null for all', { errors: null }],
    ['nothing', null],
    ['text', 'errors'],
    ['a list', [{ message: 'no' }]],
  ])('is not one with %s', (_title, body) => {
    expect(json(answer(JSON.stringify(body)), anything)).toEqual(body);
  });
});

describe('an answer of another shape', () => {
  const page = z.object({ tags: z.array(z.object({ name: z.string() })) });
  test('is told by the place that is wrong', () => {
    expect(() => json(answer({ tags: [{ name: 'a' }, { name: 7 }] }), page)).toThrow(
      expect.objectContaining({
        reason: 'invalid_response',
        message: `${where} answered JSON of another shape: tags.1.name: Invalid input: expected string, received number`,
      }),
    );
  });

  test('is told as a whole where nothing of it is right', () => {
    expect(() => shaped([], page, 'ListTags')).toThrow(
      'ListTags answered JSON of another shape: the answer: Invalid input: expected object, received array',
    );
  });

  test('takes no more of a line than people read', () => {
    const long = z.record(
      z.string(),
      z.string().refine(() => false, 'y'.repeat(1000)),
    );
    const { message } = shapedError({ ['x'.repeat(1000)]: 'a' }, long);
    expect(message).toBe(`ListTags answered JSON of another shape: ${'x'.repeat(200)}: ${'y'.repeat(200)}`);
  });

  const shapedError = (value: unknown, schema: z.ZodType): Error => {
    try {
      shaped(value, schema, 'ListTags');
    } catch (error) {
      return error as Error;
    }
    throw new Error('it did not fail');
  };

  test('but with odd elements only is read without them, and they are told', () => {
    const odd: Oddity[] = [];
    const schema = z.object({ tags: list('tags', text) });
    const onOddity = (oddity: Oddity) => odd.push(oddity);
    expect(json(answer({ tags: ['a', 7, 'b'] }, { onOddity }), schema)).toEqual({ tags: ['a', 'b'] });
    expect(odd).toMatchObject([{ at: 'tags[]' }]);
  });
});

test('elements that were read by themselves are told of in the same way', async () => {
  const odd: Oddity[] = [];
  const asked = { url, onOddity: (oddity: Oddity) => odd.push(oddity) };
  const { items } = await elementsOf(asked, 'tags', z.string(), ['a', 7, 'b', 'c']);
  expect(items).toEqual(['a', 'b', 'c']);
  expect(odd.length).toBe(1);
  await expect(elementsOf(asked, 'tags', z.string(), [1, 2, 3])).rejects.toMatchObject({
    reason: 'invalid_response',
    message: `${where} answered a list without readable elements`,
    cause: expect.anything(),
  });
});

/** Names that make a body larger than is parsed at once. */
const many = Array.from({ length: 30_000 }, (_, index) => `team/a-name-of-some-length/app-${index}`);

describe('a large body', () => {
  const large = JSON.stringify({ names: many, '\u00fc': '\u20ac', nested: [{ a: [null, true, 1.5] }] });

  test('is parsed to the same as a small one', async () => {
    expect(large.length).toBeGreaterThan(parsedAtOnce);
    expect(await parseLarge(answer(` \n${large}`))).toEqual({ value: JSON.parse(large) });
    expect(await parseJson(Buffer.from(large), where)).toEqual(JSON.parse(large));
    expect(json(answer('', { parsed: { value: 7 } }), z.number())).toBe(7);
  });

  test('is left to others where it is none of JSON, or not large', async () => {
    for (const body of [`"${'x'.repeat(2e6)}"`, `<html>{${'x'.repeat(2e6)}`, `${' '.repeat(2e6)}{}`, '{}'])
      expect(await parseLarge(answer(body))).toBeUndefined();
    expect(await parseJson(Buffer.from('"x"'), where)).toBe('x');
  });

  test('that is cut, or goes on after its end, is no JSON', async () => {
    for (const body of [large.slice(0, -1), `${large}]`, large.replace('"names":', '"names"')])
      await expect(parseLarge(answer(body))).rejects.toMatchObject({
        reason: 'invalid_response',
        message: expect.stringContaining(`${where} answered no JSON`),
      });
  });
});

describe('JSON that no registry sends', () => {
  const inPieces = (body: string) => parseInPieces(Buffer.from(body), where);
  const nested = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth);

  test('is more than 100 levels deep', async () => {
    const value = await inPieces(`[${nested(99, '[', ']')},${nested(99, '[', ']')}]`);
    expect(Array.isArray(value) && value.length).toBe(2);
    await expect(inPieces(nested(101, '[', ']'))).rejects.toMatchObject({
      reason: 'too_large',
      message: `${where} answered with JSON that is more than 100 levels deep: no registry's answer is so`,
    });
    await expect(inPieces(`${'{"a":'.repeat(101)}1${'}'.repeat(101)}`)).rejects.toThrow('100 levels deep');
    expect(await inPieces(`[${'{"a":[]},'.repeat(200)}1]`)).toHaveLength(201);
  });

  test('has more than a million values', async () => {
    await expect(inPieces(`[${'1,'.repeat(1_000_001)}1]`)).rejects.toThrow(
      `${where} answered with JSON of more than 1000000 values: no registry's answer is so`,
    );
  });

  test('ends too early, or has words about it that are short', async () => {
    await expect(inPieces('[1')).rejects.toThrow('the JSON ends too early');
    const error = await inPieces(`[1, ${'x'.repeat(1000)}]`).catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(SyntaxError);
    expect((error as Error).message.length).toBeLessThanOrEqual(200);
  });
});
