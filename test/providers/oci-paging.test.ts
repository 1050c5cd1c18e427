import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import { runLoop } from '../support/running-loop.ts';

/** Listings that lead elsewhere, or on without end while each page has another address. */
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function site(
  host: string,
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
) {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answer(request, response, seen.length);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  open.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://${host}:${(server.address() as AddressInfo).port}`, seen };
}

async function failureOf(endpoint: string) {
  const auth = { username: 'robot', password: 'a-password' };
  const running = await runLoop(oci, { endpoint, auth, http: { retries: 0 } });
  open.push(() => running.stop());
  await running.poll();
  expect(await running.value('up')).toBe(0);
  return running.loop.status().errors[0];
}

test('a next page on another host is asked for at our own, and a page that comes again ends the list', async () => {
  const elsewhere = await site('127.0.0.2', (_request, response) => response.end('{"repositories":[]}'));
  const { url } = await site('127.0.0.1', (request, response) => {
    if (!request.headers.authorization)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    response.writeHead(200, { link: `<${elsewhere.url}/v2/_catalog?last=a>; rel="next"` });
    response.end('{"repositories":[]}');
  });
  const error = await failureOf(url);
  expect(error?.reason).toBe('pagination');
  expect(error?.message).toContain('/v2/_catalog: the server names a next page that was read before');
  expect(elsewhere.seen).toEqual([]);
});

test('pages with ever new addresses that name nothing new come to an end', async () => {
  const { url, seen } = await site('127.0.0.1', (_request, response, count) => {
    response.writeHead(200, { link: `</v2/_catalog?last=${count}>; rel="next"` });
    response.end('{"repositories":[]}');
  });
  const error = await failureOf(url);
  expect(error?.reason).toBe('pagination');
  expect(error?.message).toContain('pages in a row show nothing new');
  expect(seen.length).toBeLessThan(50);
});

test.each([600, 1_000_000])(
  'a full page goes on after its last name that can be one: %d impossible characters',
  async (length) => {
    const names = Array.from({ length: 100 }, (_, at) => `app-${String(at).padStart(3, '0')}`);
    // The hundredth name, at which the page ends, can be none.
    const listed = [...names.slice(0, 99), `app-098${'x'.repeat(length)}`, ...names.slice(99)].toSorted();
    const { url } = await site('127.0.0.1', (request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://registry');
      const last = searchParams.get('last') ?? '';
      const page = listed.filter((name) => name > last).slice(0, 100);
      if (pathname === '/v2/_catalog') return void response.end(JSON.stringify({ repositories: page }));
      if (pathname === '/v2/') return void response.end('{}');
      response.writeHead(404).end('{"errors":[{"code":"NAME_UNKNOWN"}]}');
    });
    const running = await runLoop(oci, { endpoint: url, http: { retries: 0 } });
    open.push(() => running.stop());
    await running.poll();
    expect(await running.value('up'), running.log()).toBe(1);
    expect(running.log()).toContain('the catalog holds what can be no name of a repository: left out');
  },
);
