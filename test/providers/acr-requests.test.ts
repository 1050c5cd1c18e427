import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { acr } from '../../src/providers/acr.ts';
import { azureFixture } from '../support/azure.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { onQuietMachine } from '../support/timing.ts';

const { start } = azureFixture();

/** Requests of one poll, by operation and code. */
async function costOf(running: RunningLoop): Promise<Record<string, number>> {
  const before = await running.requests();
  await running.poll();
  return Object.fromEntries(
    Object.entries(await running.requests())
      .map(([key, count]) => [key, count - (before[key] ?? 0)] as const)
      .filter(([, count]) => count > 0),
  );
}

const surroundings = { 'resource_graph 200': 1, 'registry 200': 1, 'usages 200': 1, 'replications 200': 1 };

test('a second poll costs what the listing costs, the first one a token for each twenty repositories besides', async () => {
  const { azure, running } = await start({ seed: 2, repositories: 90 });
  const indexes = [...azure.estate.repositories.values()].flatMap(({ images }) =>
    [...images.values()].filter(({ kind }) => kind === 'index'),
  ).length;
  const first = await costOf(running);
  expect(first).toEqual({
    // One for the registry's tokens, one for the management API.
    'entra_token 200': 2,
    // How it wants credentials to be shown.
    'version 401': 1,
    'catalog 200': 1,
    'exchange 200': 1,
    'manifests 200': 90,
    // What an index consists of, and what a signature signs: once in the life of the digest.
    'manifest_properties 200': indexes,
    'manifest 200': expect.any(Number),
    'token 200': expect.any(Number),
    ...surroundings,
    // The registry is looked for by its login server.
    'resource_graph 200': 2,
  });
  const pulls = azure.registry.requests.get('manifest') ?? 0;
  const pulled = new Set(
    [...azure.estate.repositories.values()]
      .filter(({ images }) => [...images.values()].some(({ subject }) => subject !== undefined))
      .map(({ name }) => name),
  ).size;
  // The catalog's, five for ninety repositories, and one for each repository of which manifests are read.
  expect(first['token 200']).toBeLessThanOrEqual(1 + 5 + pulled);
  expect(pulls).toBe(first['manifest 200']);
  expect(await costOf(running)).toEqual({ 'catalog 200': 1, 'manifests 200': 90, ...surroundings });
});

test.each(['refused', 'first', 'last'] as const)(
  'where a token is for one scope only (several: %s), each repository has one of its own',
  async (severalScopes) => {
    const { azure, running } = await start({
      seed: 2,
      repositories: 12,
      registry: { severalScopes },
    });
    await running.poll();
    expect((await running.lines('repositories'))[0]).toBe('repositories{} 12');
    expect((await running.lines('poll_failures_total')).every((line) => line.endsWith(' 0'))).toBe(true);
    // The catalog's, twelve, those that were tried for several and with none, and those to read what is attached.
    expect(azure.registry.requests.get('token')).toBeLessThanOrEqual(1 + 12 + 2 + 12);
    azure.registry.requests.clear();
    await running.poll();
    // At most for the one that was read with the token for several.
    expect(azure.registry.requests.get('token') ?? 0).toBeLessThanOrEqual(1);
    azure.registry.requests.clear();
    await running.poll();
    expect(azure.registry.requests.get('token')).toBeUndefined();
  },
);

test('a repository that was pushed to is looked at by itself', async () => {
  const { azure, running } = await start({ seed: 2, repositories: 12 });
  await running.poll();
  azure.registry.requests.clear();
  azure.arm.requests.clear();
  const [name = ''] = azure.estate.repositories.keys();
  running.loop.look(name);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(Object.fromEntries(azure.registry.requests)).toEqual({ manifests: 1 });
  expect(Object.fromEntries(azure.arm.requests)).toEqual({});
});

test('a quota of the registry is kept to, and no poll fails for it', async () => {
  const repositories = 120;
  const perSecond = 80;
  const { running } = await start(
    { seed: 4, repositories, images: 1, registry: { readsPerSecond: perSecond } },
    { timeout: '5m', http: { timeout: '60s' } },
  );
  await running.poll();
  const began = performance.now();
  await running.poll();
  const seconds = (performance.now() - began) / 1000;
  expect(await running.value('up')).toBe(1);
  expect((await running.lines('poll_failures_total')).every((line) => line.endsWith(' 0'))).toBe(true);
  // A listing costs one request for each repository and one for the catalog.
  onQuietMachine(() => expect(seconds).toBeLessThan(((repositories + 1) / perSecond) * 1.3 + 0.5));
});

test.each([
  ['exchange', 'registry'],
  ['token', 'registry'],
  ['entra_token', 'entra'],
] as const)('%s that never answers ends with the deadline of the request', async (operation, server) => {
  const { azure, running } = await start(
    { seed: 5 },
    { timeout: '5s', http: { timeout: '500ms', retries: 2 } },
  );
  azure[server].faults.push({ fault: { type: 'stall', at: 'before-body' }, operation });
  await running.poll();
  expect((await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'))).toEqual([
    'poll_failures_total{reason="timeout"} 1',
  ]);
});

test('a page of the catalog without a list, that names itself as the next one, ends the catalog', async () => {
  const asked: string[] = [];
  const server = createServer(({ url = '' }, response) => {
    const { pathname, searchParams } = new URL(url, 'http://registry');
    asked.push(pathname);
    response.setHeader('content-type', 'application/json');
    if (pathname !== '/acr/v1/_catalog') return void response.end('{"manifests":[]}');
    response.setHeader('link', '</acr/v1/_catalog?last=app&n=1000>; rel="next"');
    response.end(JSON.stringify({ repositories: searchParams.has('last') ? null : ['app'] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { loginServer: 'prod.azurecr.io', endpoint, anonymous: true, findings: { source: 'none' } };
  const running = await runLoop(acr, options);
  try {
    await running.poll();
    expect(await running.lines('repositories', 'up'), running.log()).toEqual(['up{} 1', 'repositories{} 1']);
    // The SDK asks once more, since it does not tell of such a page.
    expect(asked.filter((path) => path === '/acr/v1/_catalog')).toHaveLength(3);
  } finally {
    await running.stop();
    server.close();
    server.closeAllConnections();
  }
});
