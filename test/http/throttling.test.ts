import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { createHttpClient, type HttpClient, type HttpClientOptions } from '../../src/http.ts';
import { imageOf, listed, scripted } from '../loop/scripted.ts';
import { site } from '../support/registry-site.ts';
import { runLoop } from '../support/running-loop.ts';
import { onQuietMachine } from '../support/timing.ts';

/** A server with a quota, as clouds have them: a bucket of so many requests that fills at a rate. */
async function quotaServer(options: {
  readonly perSecond: number;
  readonly burst: number;
  readonly latencyMs: number;
}) {
  const { perSecond, burst, latencyMs } = options;
  let tokens = burst;
  let filledAt = performance.now();
  let running = 0;
  const seen = { served: 0, refused: 0, most: 0, mostLater: 0 };
  const started = performance.now();
  const server = createServer(async (_request, response) => {
    const now = performance.now();
    tokens = Math.min(burst, tokens + ((now - filledAt) / 1000) * perSecond);
    filledAt = now;
    running += 1;
    seen.most = Math.max(seen.most, running);
    if (now - started > 1500) seen.mostLater = Math.max(seen.mostLater, running);
    await sleep(latencyMs);
    running -= 1;
    if (tokens < 1) {
      seen.refused += 1;
      // AWS's own way: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.1' });
      response.end('{"__type":"ThrottlingException","message":"Rate exceeded"}');
      return;
    }
    tokens -= 1;
    seen.served += 1;
    response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    seen,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

const judgeThrottling: HttpClientOptions['judge'] = ({ status, body }) =>
  status === 400 && body.includes('ThrottlingException') ? 'throttled' : undefined;

function client(options: Partial<HttpClientOptions> = {}): HttpClient {
  const http = createHttpClient({
    maxConcurrent: 32,
    timeoutMs: 60_000,
    maxBytes: 1_000_000,
    retries: 2,
    signal: AbortSignal.timeout(300_000),
    userAgent: 'test',
    observe: () => {},
    judge: judgeThrottling,
    ...options,
  });
  open.unshift(http);
  return http;
}

test('a quota is used up nearly whole: nothing fails', async () => {
  const quota = { perSecond: 100, burst: 100, latencyMs: 20 };
  const server = await quotaServer(quota);
  open.push(server);
  const http = client();
  const count = 700;
  const began = performance.now();
  await Promise.all(
    Array.from({ length: count }, () => http.request({ url: server.url, operation: 'list' })),
  );
  const seconds = (performance.now() - began) / 1000;
  expect(server.seen.served).toBe(count);
  onQuietMachine(() => expect(seconds).toBeLessThan(1.3 * ((count - quota.burst) / quota.perSecond)));
  // Refused requests are few, and fewer run at once than at the start.
  expect(server.seen.refused).toBeLessThan(count / 3);
  expect(server.seen.most).toBe(32);
  onQuietMachine(() => expect(server.seen.mostLater).toBeLessThan(16));
});

test('a rate that is configured is not exceeded', async () => {
  const server = await quotaServer({ perSecond: 10_000, burst: 10_000, latencyMs: 1 });
  open.push(server);
  const http = client({ requestsPerSecond: 100 });
  const began = performance.now();
  await Promise.all(Array.from({ length: 150 }, () => http.request({ url: server.url, operation: 'list' })));
  const seconds = (performance.now() - began) / 1000;
  expect(150 / seconds).toBeLessThan(106);
  onQuietMachine(() => expect(seconds).toBeLessThan(2));
});

test('what was learned of a quota is kept: polls after the first are hardly refused', async () => {
  const server = await quotaServer({ perSecond: 20, burst: 20, latencyMs: 20 });
  const loop = await runLoop(
    scripted(async function* (context) {
      const http = context.http({ judge: judgeThrottling });
      await Promise.all(
        Array.from({ length: 120 }, () => http.request({ url: server.url, operation: 'list' })),
      );
      yield* listed('app', imageOf('v1'));
    }).provider,
    {},
  );
  open.push({ close: () => loop.stop() }, server);
  const refused: number[] = [];
  for (const _ of [1, 2, 3]) {
    const before = server.seen.refused;
    await loop.poll();
    refused.push(server.seen.refused - before);
  }
  expect(server.seen.served).toBe(360);
  expect(refused[1]).toBeLessThanOrEqual(5);
  expect(refused[2]).toBeLessThanOrEqual(5);
});

test('a store that is redirected to and throttles does not slow the registry down', async () => {
  let refusals = 0;
  const store = await site((_, response) => {
    refusals += 1;
    response.writeHead(429, { 'retry-after': '600' }).end();
  });
  const registry = await site((request, response) => {
    if (request.url === '/blob') response.writeHead(307, { location: store.url }).end();
    else response.end('{}');
  });
  const ending = new AbortController();
  const http = client({ signal: ending.signal });
  const blob = http.request({ url: `${registry.url}/blob`, operation: 'blob' }).catch((error) => error);
  while (refusals === 0) await sleep(5);
  for (let count = 0; count < 20; count += 1)
    await http.request({ url: `${registry.url}/manifest`, operation: 'manifest' });
  // The store waits: nothing more was asked of it.
  expect(refusals).toBe(1);
  ending.abort();
  expect(await blob).toMatchObject({ reason: 'throttled' });
});
