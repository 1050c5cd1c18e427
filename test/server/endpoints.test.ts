import { request } from 'node:http';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packTotals } from '../../src/totals.ts';
import { startApp, statusOf, totalsOf, viewOf } from '../support/app.ts';

type App = Awaited<ReturnType<typeof startApp>>;

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** One request as it is on the wire: nothing is unpacked, no header is added. */
function ask(
  url: string,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const started = request(url, { agent: false, ...options }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
      );
      response.on('error', reject);
    });
    started.on('error', reject);
    started.end();
  });
}

const textType = 'text/plain; version=0.0.4; charset=utf-8';
const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
const prometheusAccepts =
  'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';

describe('/metrics', () => {
  let app: App;
  beforeAll(async () => {
    app = await startApp();
    await app.exposition.publish('edge', {
      view: viewOf('edge'),
      repositories: new Map([['team/app', { totals: packTotals(totalsOf('team/app', { tags: 7 })) }]]),
    });
  });
  afterAll(() => app.close());
  const sample =
    'container_registry_repository_tags{registry="edge",provider="oci",repository="team/app"} 7\n';

  test.each([
    ['nothing', {}, textType, undefined],
    ['anything', { accept: '*/*' }, textType, undefined],
    ['as Prometheus does', { accept: prometheusAccepts, 'accept-encoding': 'gzip' }, openMetricsType, 'gzip'],
    ['OpenMetrics', { accept: 'application/openmetrics-text' }, openMetricsType, undefined],
    [
      'OpenMetrics of a version to come',
      { accept: 'application/openmetrics-text;version=2.0.0' },
      textType,
      undefined,
    ],
    [
      'text above OpenMetrics',
      { accept: 'application/openmetrics-text;q=0.2,text/plain;q=0.9' },
      textType,
      undefined,
    ],
    ['gzip among others', { 'accept-encoding': 'br, gzip;q=0.5' }, textType, 'gzip'],
    ['gzip with q=0', { 'accept-encoding': 'gzip;q=0, *' }, textType, undefined],
    ['any encoding', { 'accept-encoding': '*' }, textType, 'gzip'],
    ['identity', { 'accept-encoding': 'identity' }, textType, undefined],
    ['identity above gzip', { 'accept-encoding': 'identity;q=1, gzip;q=0.5' }, textType, undefined],
    ['gzip as much as identity', { 'accept-encoding': 'identity, gzip' }, textType, 'gzip'],
    ['deflate only', { 'accept-encoding': 'deflate' }, textType, undefined],
  ] as const)('asked for %s', async (_title, headers, type, encoding) => {
    const answer = await ask(`${app.url}/metrics`, { headers });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe(type);
    expect(answer.headers['content-encoding']).toBe(encoding);
    expect(answer.headers['vary']).toBe('Accept, Accept-Encoding');
    expect(answer.headers['content-length']).toBe(String(answer.body.length));
    expect(answer.headers['x-powered-by']).toBeUndefined();
    const text = (encoding === 'gzip' ? gunzipSync(answer.body) : answer.body).toString();
    expect(text).toContain(sample);
    expect(text).toContain('container_registry_exporter_build_info{version="1.2.3",revision="abc"');
    expect(text).toContain('process_start_time_seconds');
    expect(text.match(/# EOF\n/g)?.length ?? 0).toBe(type === openMetricsType ? 1 : 0);
    expect(text.endsWith('# EOF\n')).toBe(type === openMetricsType);
  });

  test('HEAD has the headers of GET and no body', async () => {
    const answer = await ask(`${app.url}/metrics`, { method: 'HEAD' });
    expect([answer.status, answer.headers['content-type'], answer.body.length]).toEqual([200, textType, 0]);
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(1000);
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s is not how one scrapes', async (method) => {
    const { status, headers } = await ask(`${app.url}/metrics`, { method });
    expect([status, headers['allow']]).toEqual([405, 'GET, HEAD']);
  });

  test('--web.telemetry-path moves it', async () => {
    const other = await startApp({ telemetryPath: '/probe/metrics' });
    expect((await ask(`${other.url}/probe/metrics`)).status).toBe(200);
    expect((await ask(`${other.url}/metrics`)).status).toBe(404);
    expect((await ask(`${other.url}/`)).body.toString()).toContain('href="/probe/metrics"');
    await other.close();
  });
});

/** A scrape that was begun and is not read: it stays in flight. */
async function unreadScrape(url: string) {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => {});
  socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await new Promise<void>((resolve) => socket.once('readable', resolve));
  return socket;
}

/** About 8 MB of text, more than the sockets' buffers take. */
async function publishMuch(app: App) {
  const repositories = new Map(
    Array.from({ length: 30_000 }, (_, number) => {
      const name = `team/a-rather-long-name-of-a-repository-number-${number}`;
      return [name, { totals: packTotals(totalsOf(name)) }];
    }),
  );
  await app.exposition.publish('edge', { view: viewOf('edge'), repositories });
}

test('more scrapes at once than --web.max-requests are refused, and have their turn later', async () => {
  const app = await startApp({ maxRequests: 2 });
  await publishMuch(app);
  const unread = [await unreadScrape(app.url), await unreadScrape(app.url)];
  const refused = await ask(`${app.url}/metrics`);
  expect([refused.status, refused.body.toString()]).toEqual([
    503,
    'more than 2 scrapes at once (--web.max-requests)\n',
  ]);
  expect((await ask(`${app.url}/-/healthy`)).status).toBe(200);
  for (const socket of unread) socket.destroy();
  await expect.poll(async () => (await ask(`${app.url}/metrics`)).status, { timeout: 30_000 }).toBe(200);
  await app.close();
});

test('a scrape in flight is finished when the exporter stops; new ones are not taken', async () => {
  const app = await startApp();
  await publishMuch(app);
  const socket = await unreadScrape(app.url);
  const closed = app.close();
  await expect(ask(`${app.url}/metrics`)).rejects.toThrow();
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  await new Promise((resolve) => socket.once('close', resolve));
  await closed;
  const received = Buffer.concat(pieces);
  const headEnd = received.indexOf('\r\n\r\n') + 4;
  const length = /content-length: (\d+)/i.exec(received.subarray(0, headEnd).toString())?.[1];
  expect(received.length - headEnd).toBe(Number(length));
});

describe('for people and orchestrators', () => {
  test('/-/healthy is healthy; /-/ready names who has not been polled', async () => {
    const app = await startApp({
      statuses: [statusOf('a'), statusOf('b', { state: 'waiting' }), statusOf('c', { state: 'down' })],
    });
    const healthy = await ask(`${app.url}/-/healthy`);
    expect([healthy.status, healthy.body.toString()]).toEqual([200, 'healthy\n']);
    const waiting = await ask(`${app.url}/-/ready`);
    expect([waiting.status, waiting.body.toString()]).toEqual([503, 'waiting for the first poll of: b\n']);
    await app.close();
    const ready = await startApp({ statuses: [statusOf('a'), statusOf('c', { state: 'down' })] });
    const answer = await ask(`${ready.url}/-/ready`);
    expect([answer.status, answer.body.toString()]).toEqual([200, 'ready\n']);
    await ready.close();
  });

  test('before the configuration was read nothing is ready, and the page says so', async () => {
    const app = await startApp({ loops: () => undefined });
    expect((await ask(`${app.url}/-/healthy`)).status).toBe(200);
    const { status, body } = await ask(`${app.url}/-/ready`);
    expect([status, body.toString()]).toEqual([503, 'the configuration is being read\n']);
    expect((await ask(`${app.url}/`)).body.toString()).toContain('The configuration is being read.');
    await app.close();
  });

  test.each(['POST', 'PUT'])('%s /-/reload reads the configuration again', async (method) => {
    let reloads = 0;
    const app = await startApp({
      reload: async () => {
        reloads += 1;
      },
    });
    expect((await ask(`${app.url}/-/reload`, { method })).status).toBe(200);
    expect(reloads).toBe(1);
    await app.close();
  });

  test('no other method reloads', async () => {
    let reloads = 0;
    const app = await startApp({
      reload: async () => {
        reloads += 1;
      },
    });
    for (const method of ['GET', 'HEAD', 'DELETE']) {
      const { status, headers } = await ask(`${app.url}/-/reload`, { method });
      expect([status, headers['allow']]).toEqual([405, 'POST, PUT']);
    }
    expect(reloads).toBe(0);
    await app.close();
  });

  test('a configuration that is refused is answered with 500 and its reason', async () => {
    const app = await startApp({
      reload: () => Promise.reject(new Error('exporter.yaml:3:5: registries[0].type: is not known')),
    });
    const { status, body } = await ask(`${app.url}/-/reload`, { method: 'POST' });
    expect([status, body.toString()]).toEqual([
      500,
      'exporter.yaml:3:5: registries[0].type: is not known\nThe old configuration runs on.\n',
    ]);
    // Whoever asked may be a program that drops the answer.
    expect(app.lines).toEqual([
      'error the configuration was refused: the old one runs on exporter.yaml:3:5: registries[0].type: is not known',
    ]);
    await app.close();
  });

  test('/api/v1/status tells as JSON what the page shows', async () => {
    const status = statusOf('edge', {
      lastSuccessAt: 5,
      errors: [{ at: 1, reason: 'timeout', message: 'slow' }],
    });
    const app = await startApp({ statuses: [status] });
    const { headers, body } = await ask(`${app.url}/api/v1/status`);
    expect(headers['content-type']).toBe('application/json; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    expect(JSON.parse(body.toString())).toMatchObject({
      version: '1.2.3',
      revision: 'abc',
      telemetryPath: '/metrics',
      registries: [status],
    });
    await app.close();
  });
});

describe('what nobody should send', () => {
  let app: App;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app.close());

  test.each([
    ['/nothing/here', 404],
    ['/..%2f..%2fetc/passwd', 404],
    ['/%ff', 404],
    [`/${'a'.repeat(8000)}`, 404],
    [`/${'a'.repeat(20_000)}`, 431],
    [`/metrics?${'match=x&'.repeat(500)}`, 200],
  ])('%s', async (path, expected) => {
    const { status, body } = await ask(`${app.url}${path}`);
    expect(status).toBe(expected);
    if (expected === 404) expect(body.toString()).toBe('not found\n');
  });

  test('what is no HTTP is answered with 400 and the connection closed', async () => {
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => (answer += data.toString()));
    socket.write('\x16\x03\x01 hello\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  });
});
