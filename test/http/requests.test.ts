import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { createHttpClient, type HttpClientOptions, type HttpRequest, json } from '../../src/http.ts';
import { list, text } from '../../src/wire.ts';
import { atEnd, failure, site } from '../support/registry-site.ts';

/** A client of one registry for one poll, against small servers. */

beforeEach(() => {
  vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(() => vi.restoreAllMocks());

function client(options: Partial<HttpClientOptions> = {}) {
  const observed: string[] = [];
  const http = createHttpClient({
    maxConcurrent: 2,
    timeoutMs: 60_000,
    maxBytes: 1000,
    retries: 0,
    signal: new AbortController().signal,
    userAgent: 'test/1',
    observe: (operation, code, seconds) =>
      void observed.push(`${operation} ${code}${seconds >= 0 && seconds < 60 ? '' : ` after ${seconds} s`}`),
    ...options,
  });
  atEnd(() => void http.close());
  const get = (url: string, more: Partial<HttpRequest> = {}) =>
    http.request({ url, operation: 'x', ...more });
  return { get, observed, close: () => http.close() };
}

describe('what is sent', () => {
  test('is the method, the headers and the body of the request, and who asks', async () => {
    const heads: unknown[] = [];
    const found = await site((request, response, body) => {
      const { 'user-agent': agent, 'accept-encoding': encoding, accept } = request.headers;
      heads.push([request.method, agent, encoding, accept, body]);
      response.end();
    });
    const { get } = client();
    await get(found.url, { headers: { accept: 'a/b' } });
    await get(found.url, { method: 'POST', body: 'a=1', headers: async () => ({ accept: 'c/d' }) });
    expect(heads).toEqual([
      ['GET', 'test/1', 'gzip', 'a/b', ''],
      ['POST', 'test/1', 'gzip', 'c/d', 'a=1'],
    ]);
  });
});

describe('what is answered', () => {
  test('has its headers by name, the first of several and each line', async () => {
    const { url } = await site((_request, response) =>
      response.writeHead(200, { 'set-cookie': ['a=1', 'b=2'], 'x-one': '1' }).end('ok'),
    );
    const response = await client().get(url);
    expect([response.header('x-one'), response.header('set-cookie'), response.header('none')]).toEqual([
      '1',
      'a=1',
      undefined,
    ]);
    expect([response.headerLines('set-cookie'), response.headerLines('none')]).toEqual([['a=1', 'b=2'], []]);
    expect([response.status, response.url.href, response.stranger]).toEqual([200, `${url}/`, false]);
  });

  test.each([
    [200, true],
    [204, true],
    [304, false],
    [404, false],
  ])('with %i is good: %s; others are returned where they are accepted', async (status, isGood) => {
    const { url } = await site((_request, response) => response.writeHead(status).end());
    const { get, observed } = client();
    const response = await get(url).catch((error) => error);
    expect(response.status).toBe(status);
    expect(response instanceof Error).toBe(!isGood);
    expect((await get(url, { accept: [status] })).status).toBe(status);
    expect(observed).toEqual([`x ${status}`, `x ${status}`]);
  });

  test('is no longer than the request or the client allows, whichever is less', async () => {
    const { url } = await site((_request, response) => response.end('x'.repeat(800)));
    const { get } = client();
    expect((await get(url)).body.length).toBe(800);
    expect((await failure(get(url, { maxBytes: 799 }))).message).toBe(
      `${url}/ answered with more than 799 bytes`,
    );
    expect((await get(url, { maxBytes: 5000 })).body.length).toBe(800);
    const strict = client({ maxBytes: 700 });
    expect((await failure(strict.get(url, { maxBytes: 5000 }))).message).toBe(
      `${url}/ answered with more than 700 bytes: raise http.maxBytes if that is right`,
    );
    expect(strict.observed).toEqual(['x too_large']);
  });

  test.each([400, 404])(
    'with an error is kept up to its beginning, whatever the limits: %i',
    async (status) => {
      const { url } = await site((_request, response) => response.writeHead(status).end('x'.repeat(100_000)));
      const response = await client().get(url, { accept: [status] });
      expect(response.body.length).toBe(65_536);
    },
  );

  test('tells what is odd in it by its operation, where anybody wants to know', async () => {
    const { url } = await site((_request, response) => response.end('{"tags":["a",7]}'));
    const page = z.object({ tags: list('tags', text) });
    const odd: string[] = [];
    const asked = client({ onOddity: (operation, { at }) => void odd.push(`${operation} ${at}`) });
    expect(json(await asked.get(url), page)).toEqual({ tags: ['a'] });
    expect(odd).toEqual(['x tags[]']);
    const response = await client().get(url);
    expect(response.onOddity).toBeUndefined();
    expect(json(response, page)).toEqual({ tags: ['a'] });
  });

  test('as a long list is parsed before it is handed on, unless its bytes are wanted', async () => {
    const names = Array.from({ length: 60_000 }, (_, index) => `team/app-with-a-name-${index}`);
    const { url } = await site((_request, response) => response.end(JSON.stringify(names)));
    const { get } = client({ maxBytes: 2 ** 22 });
    expect((await get(url)).parsed?.value).toEqual(names);
    expect((await get(url, { raw: true })).parsed).toBeUndefined();
  });
});

describe('an answer that the vendor means in another way', () => {
  test('is an error though it is good, or is accepted', async () => {
    const { url } = await site((_request, response) => response.end('{"status":"busy"}'));
    const { get } = client({
      judge: ({ body }) => (body.includes('busy') ? { reason: 'server_error' } : undefined),
    });
    const error = await failure(get(url, { accept: [200] }));
    expect([error.reason, error.message]).toEqual([
      'server_error',
      `GET ${url}/ answered 200 ({"status":"busy"})`,
    ]);
  });

  test('that is none of these is what HTTP says', async () => {
    const { url } = await site((_request, response) => response.end('{}'));
    expect((await client({ judge: () => undefined }).get(url)).status).toBe(200);
  });
});

describe('a redirect', () => {
  /** Two hosts, the first of which redirects to the second. */
  async function two(to: (there: string) => string = (there) => there) {
    const there = await site((_request, response) => response.end('there'));
    const here = await site((request, response) =>
      request.url === '/old'
        ? response.writeHead(302, { location: '/new' }).end()
        : request.url === '/away'
          ? response.writeHead(307, { location: to(there.url) }).end()
          : response.end('here'),
    );
    return { here, there };
  }
  const secret = { headers: { authorization: 'Basic c2VjcmV0' } };

  test('is followed, and what answers is told by its own address', async () => {
    const { here } = await two();
    const { get, observed } = client();
    const response = await get(`${here.url}/old`, secret);
    expect([response.body.toString(), response.url.pathname, response.stranger]).toEqual([
      'here',
      '/new',
      false,
    ]);
    expect(here.seen.map(({ authorization }) => authorization)).toEqual(Array(2).fill('Basic c2VjcmV0'));
    expect(observed).toEqual(['x 302', 'x 200']);
  });

  test('to another host makes a stranger of what answers there, without the credentials', async () => {
    const { here, there } = await two();
    const response = await client().get(`${here.url}/away`, secret);
    expect([response.body.toString(), response.stranger]).toEqual(['there', true]);
    expect(there.seen.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  test('that leads back is one of a stranger still: it was the other host that said so', async () => {
    let back = '';
    const there = await site((_request, response) => response.writeHead(302, { location: back }).end());
    const here = await site((request, response) =>
      request.url === '/away' ? response.writeHead(302, { location: there.url }).end() : response.end('here'),
    );
    back = `${here.url}/new`;
    const response = await client().get(`${here.url}/away`, secret);
    expect(response.stranger).toBe(true);
    expect(here.seen.map(({ authorization }) => authorization)).toEqual(['Basic c2VjcmV0', undefined]);
  });

  test('is returned as it is where the caller wants it', async () => {
    const { here } = await two();
    const response = await client().get(`${here.url}/old`, { redirects: 'returned', accept: [302] });
    expect([response.status, response.header('location'), here.seen.length]).toEqual([302, '/new', 1]);
  });

  test('is none of a POST', async () => {
    const { here } = await two();
    const { get } = client();
    expect((await failure(get(`${here.url}/old`, { method: 'POST' }))).status).toBe(302);
  });

  test('of an address that the registry named is a stranger from the start', async () => {
    const { here } = await two();
    expect((await client().get(here.url, { stranger: true })).stranger).toBe(true);
  });
});

describe('a request that may have had an effect', () => {
  test.each([
    ['POST', undefined, 1],
    ['POST', true, 2],
    ['GET', undefined, 2],
    ['HEAD', undefined, 2],
  ] as const)('%s, idempotent: %s, is sent %i times', async (method, idempotent, times) => {
    const found = await site((_request, response) => response.writeHead(503).end());
    const { get } = client({ retries: 1 });
    await failure(get(found.url, { method, ...(idempotent && { idempotent }) }));
    expect(found.seen.length).toBe(times);
  });
});

describe('what breaks', () => {
  test('in the middle is a failed connection, told by its address without the query', async () => {
    const { url } = await site((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('x', () => response.destroy());
    });
    const { get, observed } = client();
    const error = await failure(get(`${url}/a?token=s3cret`, { method: 'GET' }));
    expect([error.reason, error.message]).toEqual(['connect', expect.stringContaining(`GET ${url}/a: `)]);
    expect(error.cause).toBeDefined();
    expect(observed).toEqual(['x connect']);
  });

  test('with the poll ends with its reason', async () => {
    const ending = new AbortController();
    const found = await site(() => ending.abort(new Error('the poll ended')));
    await expect(client({ signal: ending.signal }).get(found.url)).rejects.toThrow('the poll ended');
    await expect(client({ signal: ending.signal }).get(found.url)).rejects.toThrow('the poll ended');
    expect(found.seen.length).toBe(1);
  });

  test('since the time is up says how long it was waited for', async () => {
    const { url } = await site(() => {});
    const error = await failure(client({ timeoutMs: 50 }).get(url, { method: 'HEAD' }));
    expect([error.reason, error.message]).toEqual([
      'timeout',
      `HEAD ${url}/: no complete answer within 50 ms`,
    ]);
  });

  test('leaves its place to the next request', async () => {
    let broken = true;
    const { url } = await site((_request, response) =>
      broken ? void response.destroy() : void response.end('ok'),
    );
    const { get } = client({ maxConcurrent: 1 });
    await failure(get(url));
    broken = false;
    expect((await get(url)).body.toString()).toBe('ok');
  });
});

test('a client that was closed keeps no connection', async () => {
  let connections = 0;
  const found = await site((request, response) => {
    connections += 1;
    request.socket.once('close', () => {
      connections -= 1;
    });
    response.end();
  });
  const { get, close } = client();
  await get(found.url);
  expect(connections).toBe(1);
  await close();
  while (connections > 0) await new Promise((resolve) => setImmediate(resolve));
});
