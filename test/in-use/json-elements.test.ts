import { expect, test } from 'vitest';
import { readList } from '../../src/in-use/json-elements.ts';

/** The elements and the rest of a document that arrives in pieces of some bytes. */
async function split(document: string | Buffer, path: readonly string[], pieceBytes = 65_536) {
  const body = Buffer.from(document);
  const elements: unknown[] = [];
  const pieces = function* () {
    for (let at = 0; at < body.length; at += pieceBytes) yield body.subarray(at, at + pieceBytes);
  };
  const rest = await readList(pieces(), path, 'https://example.com/list', (some) => elements.push(...some));
  return { elements, rest };
}

const rows = [
  { name: 'a "quoted" \\ name', list: [1, [2, 3]], 'data"': { result: ['not this one'] } },
  { name: 'ends with a backslash \\', braces: ']}{[', snow: '☃ 𝄞', empty: {} },
  ['a list', { result: [] }],
  'text, with a comma',
  -1.5e3,
  null,
];
const document = {
  status: 'success',
  result: ['elsewhere'],
  other: { data: { result: ['deeper'] } },
  data: { resultType: 'vector', result: rows, stats: { series: 6 } },
  warnings: ['after it'],
};
const rest = { ...document, data: { ...document.data, result: [] } };

test.each([1, 2, 3, 5, 7, 64, 1_000])(
  'a document in pieces of %i bytes is read like one in one piece',
  async (pieceBytes) => {
    for (const text of [JSON.stringify(document), `\uFEFF${JSON.stringify(document, null, 2)}\n`])
      expect(await split(text, ['data', 'result'], pieceBytes)).toEqual({ elements: rows, rest });
  },
);

test('a long list is given some elements at a time, in order', async () => {
  const many = Array.from({ length: 20_000 }, (_, index) => ({ index, text: `${'"'.repeat(index % 7)}\\` }));
  for (const pieceBytes of [1_000, 65_536, 10_000_000])
    expect(await split(JSON.stringify({ items: many, kind: 'List' }), ['items'], pieceBytes)).toEqual({
      elements: many,
      rest: { items: [], kind: 'List' },
    });
});

test('the document may be the list itself', async () => {
  expect(await split(' [1, {"a": [2]}, "]"]', [])).toEqual({ elements: [1, { a: [2] }, ']'], rest: [] });
  expect(await split('[]', [])).toEqual({ elements: [], rest: [] });
});

test('a document without the list is given whole', async () => {
  const error = { status: 'error', error: 'parse error', data: { result: {} } };
  expect(await split(JSON.stringify(error), ['data', 'result'])).toEqual({ elements: [], rest: error });
});

test('a document that breaks off anywhere is refused', async () => {
  const text = JSON.stringify(document);
  for (let length = 0; length < text.length; length += 1)
    await expect(split(text.slice(0, length), ['data', 'result'], 50), `${length} bytes`).rejects.toThrow(
      'https://example.com/list answered no JSON',
    );
});

test.each([
  ['two values', '{"items":[1 2]}'],
  ['a bracket that does not match', '{"items":[{"a":1]}}'],
  ['text after the end', '{"items":[1]}}'],
  ['a page of HTML', '<html><body>sign in</body></html>'],
  ['nothing', ''],
])('%s is no JSON', async (_, text) => {
  await expect(split(text, ['items'])).rejects.toThrow('https://example.com/list answered no JSON');
});

test.each([
  ['an element of 3 MB', `{"items":["${'x'.repeat(3_000_000)}"]}`, /an element of more than 2097152 bytes/],
  ['an element of many small ones', `{"items":[[${'1,'.repeat(2_000_000)}1]]}`, /an element of more than/],
  ['3 MB before the list', `{"a":"${'x'.repeat(3_000_000)}","items":[]}`, /without the list items/],
  ['3 MB after the list', `{"items":[],"a":"${'x'.repeat(3_000_000)}"}`, /without the list items/],
  ['a list within lists', `{"items":[${'['.repeat(1_000)}]}`, /more than 100 levels deep/],
])('%s is refused', async (_, text, message) => {
  await expect(split(text, ['items'])).rejects.toThrow(message);
});

test('3 MB in one string, byte by byte, are refused in good time', async () => {
  await expect(split(`{"items":["${'x'.repeat(3_000_000)}"]}`, ['items'], 1)).rejects.toThrow(
    /an element of more than 2097152 bytes/,
  );
});
