import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createCalls } from '../../src/http/calls.ts';
import { createHttpClient } from '../../src/http.ts';
import { createSession } from '../../src/loop/context.ts';
import type { PlacesContext } from '../../src/provider.ts';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import { until } from '../loop/scripted.ts';
import {
  artifactRegistryTruth,
  digest,
  estateOf,
  type ProjectOptions,
  startProject,
  truthFamilies,
} from '../support/artifact-registry.ts';
import { runLoop } from '../support/running-loop.ts';
import { onQuietMachine } from '../support/timing.ts';
import { recordingLog } from '../support/web.ts';

/** What a poll costs, what it may do without, and what it does when it is refused. */

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start(options: ProjectOptions, more: Readonly<Record<string, unknown>> = {}) {
  const project = await startProject(options);
  open.push(project);
  const running = await runLoop(artifactRegistry, { ...project.registry, ...more });
  open.push({ close: () => running.stop() });
  return { project, running };
}

const app = { digest: digest('app'), tags: ['v1'] };

test('a poll costs one call per 1000 images, and two more per repository for findings, however many images there are', async () => {
  const images = Array.from({ length: 2500 }, (_, at) => ({
    digest: digest(`${at}`),
    tags: [`v${at}`],
    scan: {
      status: 'complete' as const,
      at: 5000,
      counts: { CRITICAL: 0, HIGH: at % 2, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 },
    },
  }));
  const { project, running } = await start({
    estate: estateOf({
      'large/app': images.slice(0, 1500),
      'large/web': images.slice(1500),
      'small/app': [app],
    }),
  });
  project.simulator.settings.set('empty', {});
  await running.poll();
  expect(await running.lines('repository_tags')).toEqual([
    'repository_tags{repository="large/app"} 1500',
    'repository_tags{repository="large/web"} 1000',
    'repository_tags{repository="small/app"} 1',
  ]);
  expect(await running.requests()).toEqual({
    'token 200': 1,
    'ListRepositories 200': 1,
    'ListDockerImages 200': 3 + 1 + 1,
    // None for a repository without images.
    'GetVulnerabilityOccurrencesSummary 200': 2,
    'ListOccurrences 200': 3 + 1,
  });
});

test("the SDK's own headers are sent, and a request says what it is about", async () => {
  const { project, running } = await start({ estate: estateOf({ 'a/app': [app] }) });
  await running.poll();
  const headers = project.simulator.lastHeaders;
  expect(headers['x-goog-api-client']).toMatch(/^gax\/\S+ gapic\/\S+ gl-node\//);
  expect(decodeURIComponent(String(headers['x-goog-request-params']))).toBe(
    'parent=projects/tests/locations/europe-west3/repositories/a',
  );
  expect(headers['authorization']).toMatch(/^Bearer ya29\./);
});

test('without permission for Container Analysis all the rest is there, and the log says once what is missing', async () => {
  const { project, running } = await start({ seed: 3, repositories: 6 });
  project.simulator.denied.add('containeranalysis.occurrences.list');
  await running.poll();
  await running.poll();
  expect(await running.lines('up', 'capability_up')).toEqual([
    'up{} 1',
    'capability_up{capability="repositories"} 1',
    'capability_up{capability="images"} 1',
    'capability_up{capability="sizes"} 1',
    'capability_up{capability="push_times"} 1',
    'capability_up{capability="findings"} 0',
    'capability_up{capability="storage"} 1',
    'capability_up{capability="practices"} 1',
  ]);
  const findings = /findings|vulnerable|scan(s|ned)/;
  const rest = truthFamilies.filter((family) => !findings.test(family));
  expect((await running.lines(...rest)).toSorted()).toEqual(
    artifactRegistryTruth(project)
      .filter((line) => !findings.test(line.split('{')[0] ?? ''))
      .toSorted(),
  );
  expect(await running.lines(...truthFamilies.filter((family) => findings.test(family)))).toEqual([]);
  const told = running
    .log()
    .split('\n')
    .filter((line) => line.includes('level=warn'));
  expect(told).toHaveLength(1);
  expect(told[0]).toContain(
    'the account lacks containeranalysis.occurrences.list, which roles/containeranalysis.occurrences.viewer gives',
  );
  // Those that were under way at the first refusal, not one per repository and poll.
  expect(project.simulator.calls.get('GetVulnerabilityOccurrencesSummary')).toBeLessThanOrEqual(2 * 6);
  expect(project.simulator.calls.get('ListOccurrences') ?? 0).toBe(0);
});

test.each([
  ['artifactregistry.repositories.list', 'roles/artifactregistry.reader'],
  ['artifactregistry.dockerimages.list', 'roles/artifactregistry.reader'],
])('without %s the poll fails and says which role is missing', async (permission, role) => {
  const { project, running } = await start({ estate: estateOf({ 'a/app': [app] }) });
  project.simulator.denied.add(permission);
  await running.poll();
  expect(await running.value('up')).toBe(0);
  expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="forbidden"} 1');
  expect(running.log()).toContain(`the account lacks ${permission}, which ${role} gives`);
});

test('a project or location that is not there', async () => {
  const { running } = await start({ estate: estateOf({ 'a/app': [app] }) }, { locations: ['europe-west33'] });
  await running.poll();
  expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="not_found"} 1');
  expect(running.log()).toContain('check the project and location');
});

test('repositories that are not asked for are left out, with what is known of them', async () => {
  const { running } = await start(
    { estate: estateOf({ 'a/app': [app], 'a/cache': [app], 'b/app': [app] }) },
    { repositories: { include: ['a/**'], exclude: ['**/cache'] } },
  );
  await running.poll();
  expect(await running.lines('repositories', 'repository_tags')).toEqual([
    'repositories{} 1',
    'repository_tags{repository="a/app"} 1',
  ]);
});

test('a push makes one repository be looked at again, and no other call is made', async () => {
  const estate = estateOf({ 'a/app': [app], 'a/web': [app], 'b/app': [app] });
  const { project, running } = await start({ estate });
  await running.poll();
  for (const repository of estate.repositories.values())
    repository.images.set(digest('new'), {
      ...repository.images.get(app.digest),
      digest: digest('new'),
      tags: ['v2'],
    } as never);
  const before = project.simulator.calls.get('ListDockerImages') ?? 0;
  running.loop.look('a/app');
  await until(async () => (await running.lines('repository_tags'))[0]?.endsWith(' 2') === true);
  expect(await running.lines('repository_tags')).toEqual([
    'repository_tags{repository="a/app"} 2',
    'repository_tags{repository="a/web"} 1',
    'repository_tags{repository="b/app"} 1',
  ]);
  expect(project.simulator.calls.get('ListDockerImages')).toBe(before + 1);
  estate.repositories.delete('a/app');
  running.loop.look('a/app');
  await until(async () => (await running.lines('repository_tags')).length === 2);
  estate.repositories.delete('b/app');
  running.loop.look('b/app');
  await until(async () => (await running.lines('repository_tags')).length === 1);
  expect(await running.lines('repositories', 'repository_tags')).toEqual([
    'repositories{} 1',
    'repository_tags{repository="a/web"} 1',
  ]);
});

test('a repository whose images all vanish at once is believed at the second time', async () => {
  const estate = estateOf({ 'a/app': [app], 'b/app': [app] });
  const { project, running } = await start({ estate });
  await running.poll();
  estate.repositories.delete('a/app');
  project.simulator.settings.set('a', {});
  await running.poll();
  expect(await running.lines('repository_tags')).toHaveLength(2);
  await running.poll();
  expect(await running.lines('repository_tags')).toEqual(['repository_tags{repository="b/app"} 1']);
});

test('under a quota the poll waits, and no call fails for good', async () => {
  const repositories = Object.fromEntries(Array.from({ length: 12 }, (_, at) => [`r${at}/app`, [app]]));
  const quota = { burst: 5, perSecond: 20 };
  const { running } = await start({ estate: estateOf(repositories), quota });
  const began = performance.now();
  await running.poll();
  const seconds = (performance.now() - began) / 1000;
  expect(await running.lines('repositories', 'up')).toEqual(['up{} 1', 'repositories{} 12']);
  expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
  // One call for the list and three per repository; the first refusals are what the rate is learned from.
  const least = (1 + 3 * 12 - quota.burst) / quota.perSecond;
  onQuietMachine(() => expect(seconds).toBeLessThan(1.3 * least + 1.5));
});

test('an answer over the limit is too large; a certificate that nobody vouches for is told with what to do', async () => {
  const images = Array.from({ length: 50 }, (_, at) => ({ digest: digest(`${at}`), tags: [`v${at}`] }));
  const { project, running } = await start(
    { estate: estateOf({ 'a/app': images }) },
    { http: { maxBytes: 2000 } },
  );
  await running.poll();
  expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="too_large"} 1');
  const distrusting = await runLoop(artifactRegistry, { ...project.registry, tls: {}, http: { retries: 0 } });
  open.push({ close: () => distrusting.stop() });
  await distrusting.poll();
  expect(await distrusting.lines('poll_failures_total')).toContain('poll_failures_total{reason="tls"} 1');
  expect(distrusting.log()).toContain('tls.caFile');
  const trusting = { ...project.registry, tls: { insecureSkipVerify: true } };
  const careless = await runLoop(artifactRegistry, trusting);
  open.push({ close: () => careless.stop() });
  await careless.poll();
  expect(await careless.value('up')).toBe(1);
});

test.each<[string, (response: ServerResponse) => void, string]>([
  ['hangs', () => {}, 'timeout'],
  ['refuses everything for its rate', (response) => void response.writeHead(429).end(), 'throttled'],
])(
  'a Container Analysis that %s takes the findings, and not the time of the poll',
  async (_title, answer, reason) => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(String(request.url));
      answer(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({
      close: async () => {
        server.closeAllConnections();
        server.close();
      },
    });
    const repositories = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`r${at}/app`, [app]]));
    const { running } = await start(
      { estate: estateOf(repositories) },
      {
        containerAnalysisEndpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        timeout: '8s',
        http: { maxConcurrent: 4 },
      },
    );
    await running.poll();
    expect(await running.lines('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 40']);
    expect(running.loop.status().failing.map(({ capability, reason: why }) => [capability, why])).toEqual([
      ['findings', reason],
    ]);
    // Those that are read at once, and not the other repositories.
    expect(new Set(asked).size).toBeLessThanOrEqual(8);
  },
);

test('nobody listens', async () => {
  const { project, running } = await start({ estate: estateOf({}) }, { timeout: '5s', http: { retries: 1 } });
  await project.simulator.close();
  await running.poll();
  expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="connect"} 1');
});

/** What finding places is lent, without a loop. */
function placesContext(caFile: string): PlacesContext {
  const signal = AbortSignal.timeout(10_000);
  const limits = { maxConcurrent: 8, timeoutMs: 5000, maxBytes: 1e7, retries: 1, signal, observe: () => {} };
  return {
    signal,
    http: () => createHttpClient({ ...limits, caFile, userAgent: 'test' }),
    calls: () => createCalls(limits),
    connection: { timeoutMs: 5000, maxBytes: 1e7, caFile },
    session: createSession(),
    log: recordingLog().log,
    tell() {},
  };
}

test.each(['grpc', 'rest'] as const)(
  'over %s, an entry covers the locations that have a Docker repository',
  async (transport) => {
    const project = await startProject({
      transport,
      estate: estateOf({ 'a/app': [app] }),
      location: 'us',
      locations: ['europe-west3', 'us', 'asia', 'us-east1', 'me-central2'],
      foreignLocations: ['me-central2'],
      pageSize: 3,
    });
    open.push(project);
    const { tls, ...registry } = project.registry as { tls: { caFile: string } };
    const schema = artifactRegistry.options;
    let failures: string[] = [];
    const incomplete = (error: unknown) => void failures.push(String(error));
    const find = async (more: object) => {
      failures = [];
      const options = schema.parse({ ...registry, ...more });
      return (await artifactRegistry.places?.(options)?.({ ...placesContext(tls.caFile), incomplete }))?.map(
        ({ values }) => values,
      );
    };
    expect(await find({ locations: 'all' })).toEqual([{ project: 'tests', location: 'us' }]);
    // A region that Google gives to others only is no failure.
    expect(failures).toEqual([]);
    expect(project.simulator.calls.get('ListLocations')).toBe(2);
    expect(await find({ locations: undefined })).toEqual([{ project: 'tests', location: 'us' }]);
    expect(await find({ projects: ['tests', 'more'], locations: ['us', 'asia'] })).toEqual([
      { project: 'tests', location: 'us' },
      { project: 'tests', location: 'asia' },
      { project: 'more', location: 'us' },
      { project: 'more', location: 'asia' },
    ]);
    // One project and one location is one registry, as it stands.
    expect(await find({ locations: ['us'] })).toBeUndefined();
    expect(await find({ projects: ['foreign', 'tests'], locations: 'all' })).toEqual([
      { project: 'tests', location: 'us' },
    ]);
    expect(failures).toEqual([expect.stringMatching(/project foreign: ListLocations .*PERMISSION_DENIED/)]);
    project.simulator.denied.add('artifactregistry.repositories.list');
    expect(await find({ locations: 'all' })).toEqual([]);
    expect(failures).toHaveLength(4);
  },
);
