import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { harbor } from '../../src/providers/harbor.ts';
import { oci } from '../../src/providers/oci.ts';
import { eventually, freePort, programs, type RunningProgram, tempDir } from '../support/programs.ts';
import { startDistribution } from '../support/real-programs.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/** Failed pushes as registries count them in metrics of their own. */

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

/** A registry's page of metrics, which a test changes. */
async function startPage() {
  const page = {
    lines: [] as string[],
    startedAt: Math.floor(Date.now() / 1000) - 3600,
    asked: 0,
    status: 200,
  };
  const server = createServer((_, response) => {
    page.asked += 1;
    response.writeHead(page.status, { 'content-type': 'text/plain; version=0.0.4' });
    const start = page.startedAt ? [`process_start_time_seconds ${page.startedAt}.25`] : [];
    response.end(['# HELP go_goroutines x', 'go_goroutines 9', ...start, ...page.lines, ''].join('\n'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({ stop: () => new Promise((resolve) => server.close(resolve)) });
  const { port } = server.address() as AddressInfo;
  /** Waits until what the page says now was read. */
  const read = async () => {
    const before = page.asked;
    await eventually(() => expect(page.asked).toBeGreaterThan(before + 2));
  };
  return { page, read, url: `http://127.0.0.1:${port}/metrics` };
}

/** A registry that is down, so that only its metrics are read. */
async function startLoop(metrics: string, storagePath?: string, provider = oci): Promise<RunningLoop> {
  const running = await runLoop(
    provider,
    { endpoint: 'http://127.0.0.1:9', http: { retries: 0 }, pushEvents: { metrics, interval: '30ms' } },
    { ...(storagePath !== undefined && { storagePath }) },
  );
  open.push(running);
  return running;
}

const distribution = (handler: string, method: string, code: number, count: number) =>
  `registry_http_requests_total{code="${code}",handler="${handler}",method="${method}"} ${count}`;
const failures = (running: RunningLoop) => running.counted('push_failures_total');

test('writes that failed since the exporter looks count by reason; reads and challenges do not', async () => {
  const { page, read, url } = await startPage();
  page.lines = [distribution('manifest', 'put', 403, 7)];
  const running = await startLoop(url);
  await read();
  expect(await failures(running)).toEqual([]);
  page.lines = [
    distribution('manifest', 'put', 403, 9),
    distribution('manifest', 'put', 201, 50),
    distribution('manifest', 'get', 404, 80),
    distribution('blob', 'head', 404, 86),
    distribution('blob_upload', 'post', 401, 40),
    distribution('blob_upload', 'post', 405, 1),
    distribution('blob-upload-chunk', 'patch', 500, 2),
    distribution('manifest', 'put', 429, 1),
    distribution('manifest', 'delete', 405, 3),
  ];
  await eventually(async () =>
    expect(await running.counted('push_failures_total', 'events_source_up')).toEqual([
      'events_source_up{source="registry-metrics"} 1',
      'push_failures_total{repository="",reason="denied"} 3',
      'push_failures_total{repository="",reason="throttled"} 1',
      'push_failures_total{repository="",reason="server_error"} 2',
    ]),
  );
  await read();
  expect((await failures(running)).at(0)).toBe('push_failures_total{repository="",reason="denied"} 3');
});

test.each([
  [
    'zot',
    oci,
    [
      'zot_http_requests_total{code="400",method="PUT"} N',
      'zot_http_requests_total{code="404",method="GET"} 9',
    ],
    'invalid',
  ],
  [
    "Harbor's core",
    harbor,
    [
      'harbor_core_http_request_total{code="412",method="PUT",operation="v2_manifest"} N',
      'harbor_core_http_request_total{code="403",method="PUT",operation="updateProject"} 9',
    ],
    'immutable_tag',
  ],
] as const)('%s', async (_, provider, lines, reason) => {
  const { page, read, url } = await startPage();
  page.lines = lines.map((line) => line.replace('N', '2'));
  const running = await startLoop(url, undefined, provider as typeof oci);
  await read();
  page.lines = lines.map((line) => line.replace('N', '5'));
  await eventually(async () =>
    expect(await failures(running)).toEqual([`push_failures_total{repository="",reason="${reason}"} 3`]),
  );
});

describe('another process', () => {
  test('that follows counts from 0; with and without the time of its start', async () => {
    for (const startedAt of [Math.floor(Date.now() / 1000), 0]) {
      const { page, read, url } = await startPage();
      page.lines = [distribution('manifest', 'put', 403, 7)];
      if (startedAt === 0) page.startedAt = 0;
      const running = await startLoop(url);
      await read();
      if (startedAt > 0) page.startedAt = startedAt + 120;
      page.lines = [distribution('manifest', 'put', 403, 2)];
      await eventually(async () =>
        expect(await failures(running)).toEqual(['push_failures_total{repository="",reason="denied"} 2']),
      );
    }
  });

  test('that stands beside the first is told: the numbers of two would be mixed', async () => {
    const { page, read, url } = await startPage();
    page.lines = [distribution('manifest', 'put', 403, 7)];
    const running = await startLoop(url);
    await read();
    page.startedAt -= 5_000;
    page.lines = [distribution('manifest', 'put', 403, 900)];
    await eventually(async () =>
      expect(await running.lines('events_source_up')).toEqual([
        'events_source_up{source="registry-metrics"} 0',
      ]),
    );
    expect(running.log()).toContain('is answered by several processes');
    expect(await failures(running)).toEqual([]);
  });
});

test('a restart of the exporter counts nothing twice, and nothing is lost', async () => {
  const dir = tempDir();
  open.push({ stop: async () => dir.remove() });
  const { page, read, url } = await startPage();
  page.lines = [distribution('manifest', 'put', 403, 1)];
  const first = await startLoop(url, dir.path);
  await read();
  page.lines = [distribution('manifest', 'put', 403, 3)];
  await eventually(async () => expect((await failures(first))[0]).toMatch(/ 2$/));
  await first.stop();
  open.splice(open.indexOf(first), 1);
  page.lines = [distribution('manifest', 'put', 403, 4)];
  const second = await startLoop(url, dir.path);
  await eventually(async () => expect((await failures(second))[0]).toMatch(/ 3$/));
  await read();
  expect((await failures(second))[0]).toMatch(/ 3$/);
});

test.each([
  [
    'a page of something else',
    (page: { lines: string[] }) => (page.lines = ['nginx_up 1']),
    'has no counter of requests',
  ],
  ['a page that fails', (page: { status: number }) => (page.status = 503), 'answered 503'],
])('%s: the source is down, and says why', async (_, change, message) => {
  const { page, url } = await startPage();
  page.lines = [distribution('manifest', 'put', 403, 1)];
  change(page as never);
  const running = await startLoop(url);
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual([
      'events_source_up{source="registry-metrics"} 0',
    ]),
  );
  expect(running.log()).toContain(message);
});

test('counters that are none change nothing', async () => {
  const { page, read, url } = await startPage();
  page.lines = [distribution('manifest', 'put', 403, 1)];
  const running = await startLoop(url);
  await read();
  for (const odd of ['NaN', '-3', '1e99', '0.5', 'x'])
    page.lines.push(distribution('manifest', 'put', 500, 0).replace(/ 0$/, ` ${odd}`));
  page.lines.push(
    `registry_http_requests_total{${'x="y",'.repeat(5_000)}} 4`,
    'registry_http_requests_total 7',
  );
  await read();
  expect(await failures(running)).toEqual([]);
  expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="registry-metrics"} 1']);
});

describe.skipIf(!programs('docker-registry'))('a real distribution registry', () => {
  test('a push that it refuses in read-only mode is counted', async () => {
    const dir = tempDir();
    const [port, debug] = [await freePort(), await freePort()];
    const registry: RunningProgram = await startDistribution({
      folder: join(dir.path, 'registry'),
      port,
      metricsPort: debug,
      readOnly: true,
    });
    open.push({
      stop: async () => {
        await registry.stop();
        dir.remove();
      },
    });
    const url = `http://127.0.0.1:${port}`;
    await fetch(`${url}/v2/`);
    const running = await runLoop(oci, {
      endpoint: url,
      pushEvents: { metrics: `http://127.0.0.1:${debug}/metrics`, interval: '50ms' },
    });
    open.push(running);
    await eventually(async () =>
      expect(await running.lines('events_source_up')).toEqual([
        'events_source_up{source="registry-metrics"} 1',
      ]),
    );
    await running.poll();
    const refused = await fetch(`${url}/v2/app/blobs/uploads/`, { method: 'POST' });
    expect(refused.status).toBe(405);
    await eventually(async () =>
      expect(await failures(running)).toEqual(['push_failures_total{repository="",reason="denied"} 1']),
    );
  });
});
