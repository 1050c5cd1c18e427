import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { parsedAtOnce } from '../../src/http/parse.ts';
import { createHttpClient, json } from '../../src/http.ts';
import { list, type Oddity, text } from '../../src/wire.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** One answer, read by the client as the schema says. */
async function read(
  answer: (response: ServerResponse) => void,
  schema: z.ZodType = z.unknown(),
  more: { maxBytes?: number } = {},
) {
  const server = createServer((_, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const odd: Oddity[] = [];
  const http = createHttpClient({
    maxConcurrent: 4,
    timeoutMs: 60_000,
    maxBytes: 32 * 2 ** 20,
    retries: 0,
    signal: new AbortController().signal,
    userAgent: 'test/1',
    observe() {},
    onOddity: (_, oddity) => odd.push(oddity),
  });
  closing.push(
    () => void http.close(),
    () => server.close(),
  );
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/list`;
  try {
    return { value: json(await http.request({ url, operation: 'list', ...more }), schema), odd };
  } catch (error) {
    return { error: error as Error & { reason: string } };
  }
}

const packed =
  (text: string, pack = gzipSync, encoding = 'gzip') =>
  (response: ServerResponse) => {
    response.writeHead(200, { 'content-encoding': encoding });
    response.end(pack(text));
  };
const plain =
  (text: string, status = 200) =>
  (response: ServerResponse) =>
    void response.writeHead(status).end(text);

describe('answers that no registry gives', () => {
  test.each<[string, (response: ServerResponse) => void, string]>([
    ['16 million numbers in 31 KB', packed(`{"repositories":[${'1,'.repeat(8e6)}1]}`), 'too_large'],
    [
      'brotli that unfolds a thousandfold',
      packed('x'.repeat(8e6), brotliCompressSync as never, 'br'),
      'too_large',
    ],
    ['brackets without end', plain('['.repeat(8e6)), 'too_large'],
    ['more values than any page has', plain(`[${'1,'.repeat(4e6)}1]`), 'too_large'],
    ['JSON that is cut', plain(`["${'x'.repeat(parsedAtOnce)}`), 'invalid_response'],
    ['a large page for people', plain(`<html>${'x'.repeat(parsedAtOnce)}`), 'invalid_response'],
  ])('%s', async (_title, answer, reason) => {
    const { error } = await read(answer);
    expect(error?.reason).toBe(reason);
    expect(error?.message.length).toBeLessThan(500);
  });

  test('a token, a manifest: smaller bounds', async () => {
    expect(
      (await read(plain(JSON.stringify('x'.repeat(2_000))), z.string(), { maxBytes: 1_000 })).error?.reason,
    ).toBe('too_large');
  });

  test('of an error only the beginning is read', async () => {
    const { error } = await read(
      plain(JSON.stringify({ errors: [{ code: 'A'.repeat(1e7), message: 'x' }] }), 500),
    );
    expect(error?.reason).toBe('server_error');
    expect(error?.message.length).toBeLessThan(400);
  });
});

test.each([1, 100_000])('a byte order mark before %d names is passed over', async (length) => {
  const names = Array.from({ length }, (_, index) => `team/app-${index}`);
  const body = `\uFEFF${JSON.stringify(names)}`;
  expect((await read(plain(body), z.array(z.string()))).value).toEqual(names);
});

test('a large page is read like a small one, and what is odd in it is told', async () => {
  const names = Array.from({ length: 19_999 }, (_, index) => `team/app-${index}`);
  const page = z.object({ repositories: list('repositories', text) });
  expect(await read(plain(JSON.stringify({ repositories: [...names, null] })), page)).toEqual({
    value: { repositories: names },
    odd: [{ at: 'repositories[]', problem: 'Invalid input: expected string, received null' }],
  });
  const tooMany = JSON.stringify({ repositories: [...names, 'team/a', 'team/b'] });
  expect(((await read(plain(tooMany), page)).error as Error).message).toMatch(
    /repositories: Too big: expected array to have <=20000 items$/,
  );
});
