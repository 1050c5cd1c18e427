import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createHealthApp } from '../../src/server/health.ts';

/** What probes get on an address of their own. */

const edge = { name: 'edge', isReady: false };
const state: { loops: (typeof edge)[] | undefined; found: boolean | undefined } = {
  loops: undefined,
  found: undefined,
};
const app = createHealthApp({
  loops: () => state.loops?.map(({ name, isReady }) => ({ name, ready: () => isReady })),
  entries: () => [{ name: 'accounts', up: state.found }],
});
const server = app.listen(0, '127.0.0.1');
beforeAll(async () => {
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
});
afterAll(() => void server.close());

const get = (path: string, method = 'GET'): Promise<string> =>
  new Promise((resolve, reject) => {
    const { port } = server.address() as AddressInfo;
    request({ port, path, method }, (response) => {
      let body = '';
      response.on('data', (data: Buffer) => (body += data.toString()));
      response.on('end', () => resolve(`${response.statusCode} ${body.trim()}`));
    })
      .on('error', reject)
      .end();
  });

test('healthy at once, ready when every registry was polled and every entry searched', async () => {
  expect(await get('/-/healthy')).toBe('200 healthy');
  expect(await get('/-/ready')).toBe('503 the configuration is being read');
  state.loops = [edge];
  expect(await get('/-/ready')).toBe('503 waiting for the first poll of: accounts, edge');
  state.found = false;
  edge.isReady = true;
  expect(await get('/-/ready')).toBe('200 ready');
});

test.each(['/metrics', '/', '/api/v1/status', '/-/reload', '/events/edge', '/-/HEALTHY'])(
  'there is no %s',
  async (path) => {
    expect(await get(path)).toBe('404 not found');
    expect(await get(path, 'POST')).toBe('404 not found');
  },
);
