import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { createAttempts } from '../../src/http/attempts.ts';
import { createLimiters, type Limiters } from '../../src/http/limiters.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 0, toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const host = 'registry.example.com';
const after = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));

/** Answers whether a request is served, 20 ms later. */
type Quota = () => boolean;

/** A bucket of so many requests that fills at a rate, as clouds have it. */
function bucket(perSecond: number, burst: number): Quota {
  let tokens = burst;
  let filledAt = 0;
  return () => {
    const now = performance.now();
    tokens = Math.min(burst, tokens + ((now - filledAt) / 1000) * perSecond);
    filledAt = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}

/** So many requests in each second of the clock. */
function perSecond(count: number): Quota {
  let second = -1;
  let used = 0;
  return () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) used = 0;
    second = now;
    used += 1;
    return used <= count;
  };
}

/** One poll of 120 requests, all wanted at once. @returns how many were refused, and how long it took */
async function poll(limiters: Limiters, quota: Quota, requests = 120) {
  let refused = 0;
  const began = performance.now();
  const { limiterOf, failed, repeat } = createAttempts({
    limiters,
    maxConcurrent: 32,
    retries: 0,
    signal: new AbortController().signal,
  });
  const ask = () =>
    repeat(true, async (request) => {
      const release = await limiterOf(host).acquire(new AbortController().signal);
      try {
        await after(20);
        if (quota()) return limiterOf(host).succeeded();
        refused += 1;
        throw failed(host, new CollectError('throttled', 'slow down'), request);
      } finally {
        release();
      }
    });
  let done = false;
  void Promise.all(Array.from({ length: requests }, ask)).then(() => {
    done = true;
  });
  while (!done) await vi.advanceTimersByTimeAsync(10);
  return { refused, seconds: (performance.now() - began) / 1000 };
}

describe.each([
  ['20 requests per second with a reserve of 20', () => bucket(20, 20), 40],
  ['20 requests per second with a reserve of 100', () => bucket(20, 100), 40],
  ['20 requests per second without a reserve', () => bucket(20, 1), 40],
  ['20 requests in each second', () => perSecond(20), 40],
])('a quota of %s is learned in the first poll', (_, quotaOf, mostAtFirst) => {
  test.each([
    ['at once', 0],
    ['five minutes later', 300_000],
  ])('of three; the others come %s', async (_when, pauseMs) => {
    const limiters = createLimiters({ maxConcurrent: 32 });
    const quota = quotaOf();
    const first = await poll(limiters, quota);
    expect(first.refused).toBeLessThanOrEqual(mostAtFirst);
    for (const _ of [2, 3]) {
      await vi.advanceTimersByTimeAsync(pauseMs);
      const { refused, seconds } = await poll(limiters, quota);
      expect(refused).toBeLessThanOrEqual(5);
      // At the quota itself it takes six seconds.
      expect(seconds).toBeLessThan(12);
    }
  });
});

test('a quota that was raised is used again', async () => {
  const limiters = createLimiters({ maxConcurrent: 32 });
  await poll(limiters, bucket(5, 5));
  const raised = bucket(100, 100);
  await poll(limiters, raised, 300);
  expect((await poll(limiters, raised, 300)).seconds).toBeLessThan(6);
});

test.each([
  ['a minute', 60],
  ['an hour', 3600],
])(
  'a host that refuses everything for %s is asked one request at a time, and is fast soon afterwards',
  async (_, closed) => {
    const limiters = createLimiters({ maxConcurrent: 32 });
    const { refused, seconds } = await poll(limiters, () => performance.now() >= closed * 1000);
    // The 32 that began at once, those of the pauses that grow, and one every four seconds.
    expect(refused).toBeGreaterThan(closed / 4);
    expect(refused).toBeLessThanOrEqual(32 + 5 + closed / 4);
    expect(seconds - closed).toBeLessThan(15);
  },
);

test('one resource that is always refused slows nothing else down, and is given up after a minute', async () => {
  const limiters = createLimiters({ maxConcurrent: 8 });
  const { signal } = new AbortController();
  const { limiterOf, failed, repeat } = createAttempts({ limiters, maxConcurrent: 8, retries: 2, signal });
  const ask = (resource: number) =>
    repeat(true, async (request) => {
      const release = await limiterOf(host).acquire(signal);
      try {
        await after(20);
        if (resource === 7) throw failed(host, new CollectError('throttled', 'slow down'), request);
        limiterOf(host).succeeded();
      } finally {
        release();
      }
    });
  const ends: Record<string, number> = {};
  const refused = ask(7).catch(({ reason }) => {
    ends[reason] = performance.now();
  });
  // Repositories are read eight at a time, not all at once.
  const reader = async () => {
    for (let resource = 8; resource < 150; resource += 1) await ask(resource);
  };
  void Promise.all(Array.from({ length: 7 }, reader)).then(() => {
    ends['others'] = performance.now();
  });
  await vi.advanceTimersByTimeAsync(120_000);
  await refused;
  // A thousand requests of 20 ms each, eight at a time, take 2.5 s.
  expect(ends['others']).toBeLessThan(15_000);
  expect(ends['throttled']).toBeGreaterThan(60_000);
  expect(ends['throttled']).toBeLessThan(80_000);
});

test('a new poll asks once, though the host asked to wait for a day in the last', async () => {
  const limiters = createLimiters({ maxConcurrent: 4 });
  const limiter = limiters.of(host);
  const { signal } = new AbortController();
  (await limiter.acquire(signal))();
  limiter.throttled(86_400_000);
  await vi.advanceTimersByTimeAsync(300_000);
  const started: number[] = [];
  for (const request of [1, 2]) void limiter.acquire(signal).then(() => started.push(request));
  await vi.advanceTimersByTimeAsync(1000);
  expect(started).toEqual([1]);
});

test('only so many hosts are remembered, and none with requests on their way is forgotten', async () => {
  const limiters = createLimiters({ maxConcurrent: 1 });
  const busy = limiters.of('busy.example.com');
  await busy.acquire(new AbortController().signal);
  const idle = limiters.of('idle.example.com');
  for (let number = 0; number < 300; number += 1) limiters.of(`store-${number}.example.com`);
  expect(limiters.of('busy.example.com')).toBe(busy);
  expect(limiters.of('idle.example.com')).not.toBe(idle);
});
