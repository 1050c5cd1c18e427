import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { createAttempts } from '../../src/http/attempts.ts';
import { createLimiters, type Limiters } from '../../src/http/limiters.ts';
import { createRandom } from '../simulators/random.ts';

/** Waits are drawn by chance: `SEED` chooses other ones. */
const seed = Number(process.env['SEED'] ?? 1);

beforeEach(() => {
  vi.useFakeTimers({ now: 0, toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
  vi.spyOn(Math, 'random').mockImplementation(createRandom(seed));
});
afterEach(() => {
  vi.restoreAllMocks();
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
    repeat({ repeatable: true, kind: 'list of registry' }, async (request) => {
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

describe('one resource that is always refused', () => {
  /** A poll that reads it beside others. @returns when the others were read, and how the one ended */
  async function pollBeside(readers: number, limiters: Limiters, signal: AbortSignal) {
    const { limiterOf, failed, repeat } = createAttempts({ limiters, maxConcurrent: 8, retries: 2, signal });
    const ask = (isRefused: boolean) =>
      repeat({ repeatable: true, kind: 'list of registry' }, async (request) => {
        const release = await limiterOf(host).acquire(signal);
        try {
          await after(20);
          if (isRefused) throw failed(host, new CollectError('throttled', 'slow down'), request);
          limiterOf(host).succeeded();
        } finally {
          release();
        }
      });
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const refused = ask(true).catch((error) => ({ reason: error.reason, seconds: seconds() }));
    const reader = async () => {
      for (let request = 0; request < 140; request += 1) await ask(false);
    };
    const others = Promise.all(Array.from({ length: readers }, reader)).then(seconds);
    return { refused, others };
  }

  test.each([2, 7])('beside %i others slows them down in no poll', async (readers) => {
    const limiters = createLimiters({ maxConcurrent: 8 });
    for (const _ of [1, 2, 3, 4]) {
      const ending = new AbortController();
      const { refused, others } = await pollBeside(readers, limiters, ending.signal);
      await vi.advanceTimersByTimeAsync(20_000);
      // Alone they take 140 times 20 ms.
      expect(await others).toBeLessThan(10);
      ending.abort(new Error('the poll is over'));
      // One that is on its way is answered first, by the simulated clock.
      await vi.advanceTimersByTimeAsync(40_000);
      await refused;
    }
  });

  test('is given up after a minute', async () => {
    const { refused } = await pollBeside(
      7,
      createLimiters({ maxConcurrent: 8 }),
      new AbortController().signal,
    );
    await vi.advanceTimersByTimeAsync(120_000);
    const { reason, seconds } = (await refused) as { reason: string; seconds: number };
    expect(reason).toBe('throttled');
    expect(seconds).toBeGreaterThan(60);
    expect(seconds).toBeLessThan(80);
  });
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
