import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { createHttpClient } from '../../src/http.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Reads bodies as they arrive from a server that gives these answers one after the other: what each attempt was told. */
async function streamed(answers: readonly ((response: ServerResponse) => void)[], timeoutMs = 20_000) {
  let asked = 0;
  const server = createServer((_, response) => answers[Math.min(asked++, answers.length - 1)]?.(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { signal } = new AbortController();
  const limits = { maxConcurrent: 1, retries: 2, timeoutMs, maxBytes: 2 ** 20 };
  const http = createHttpClient({ ...limits, signal, userAgent: 'test/1', observe() {} });
  closing.push(
    () => http.close(),
    () => server.closeAllConnections(),
    () => server.close(),
  );
  const attempts: string[] = [];
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/list`;
  const answered = await http
    .request({
      url,
      operation: 'list',
      accept: [410],
      async read(pieces) {
        const at = attempts.push('') - 1;
        for await (const piece of pieces) attempts[at] += piece.toString();
      },
    })
    .then(
      ({ status, body }) => ({ status, held: body.toString() }),
      (error) => ({ reason: error.reason, message: error.message.replace(url, 'URL') }),
    );
  return { answered, attempts, asked };
}

const whole = (response: ServerResponse) => void response.end('{"all":true}');

test('a body is read as it arrives, unpacked, and held nowhere', async () => {
  const packed = (response: ServerResponse) =>
    void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{"all":true}'));
  for (const answer of [whole, packed])
    expect(await streamed([answer])).toEqual({
      answered: { status: 200, held: '' },
      attempts: ['{"all":true}'],
      asked: 1,
    });
});

test('a body that breaks off is read anew', async () => {
  const broken = (response: ServerResponse) => {
    response.writeHead(200, { 'content-length': 12 });
    response.write('{"all"', () => response.destroy());
  };
  expect(await streamed([broken, whole])).toEqual({
    answered: { status: 200, held: '' },
    attempts: ['{"all"', '{"all":true}'],
    asked: 2,
  });
});

test('errors are not read as lists; those that are accepted are held', async () => {
  const status = (code: number) => (response: ServerResponse) => void response.writeHead(code).end('no list');
  expect(await streamed([status(410)])).toEqual({
    answered: { status: 410, held: 'no list' },
    attempts: [],
    asked: 1,
  });
  expect(await streamed([status(403)])).toMatchObject({ answered: { reason: 'forbidden' }, attempts: [] });
});

test('a body beyond the limit is given up', async () => {
  const large = (response: ServerResponse) => void response.end('x'.repeat(2 ** 20 + 1));
  const { answered, asked } = await streamed([large]);
  expect({ answered, asked }).toEqual({
    answered: {
      reason: 'too_large',
      message: 'URL answered with more than 1048576 bytes: raise http.maxBytes if that is right',
    },
    asked: 1,
  });
});

test('a body that never ends meets the deadline', async () => {
  const endless = (response: ServerResponse) => void response.write('{"all"');
  expect(await streamed([endless], 300)).toMatchObject({
    answered: { reason: 'timeout', message: 'GET URL: no complete answer within 300 ms' },
    attempts: ['{"all"', '{"all"', '{"all"'],
  });
});
