import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { createLimiter } from '../../src/http/limiter.ts';
import { createLimiters } from '../../src/http/limiters.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 0, toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => vi.useRealTimers());

const { signal } = new AbortController();
const slowDown = new CollectError('throttled', 'slow down');

/** Requests of a limiter: when each started, and what ends it. */
function requests(limiter: ReturnType<typeof createLimiter>) {
  const started: number[] = [];
  const releases: (() => void)[] = [];
  const end = async () => {
    releases.shift()?.();
    await vi.advanceTimersByTimeAsync(0);
  };
  return {
    started,
    async ask(count = 1, until = signal) {
      for (let index = 0; index < count; index += 1)
        limiter.acquire(until).then(
          (release) => {
            started.push(performance.now());
            releases.push(release);
          },
          () => {},
        );
      await vi.advanceTimersByTimeAsync(0);
    },
    /** Ends the request that has run the longest. */
    end,
    async endAll() {
      while (releases.length > 0) await end();
    },
  };
}

describe('requests at once', () => {
  test('are as many as allowed; the others start in their order, as soon as one ends', async () => {
    const limiter = createLimiter(2);
    const order: number[] = [];
    const releases: (() => void)[] = [];
    for (const number of [1, 2, 3, 4])
      void limiter.acquire(signal).then((release) => {
        order.push(number);
        releases.push(release);
      });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(order).toEqual([1, 2]);
    releases[1]?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toEqual([1, 2, 3]);
  });

  test('are no more after one said twice that it ended', async () => {
    const limiter = createLimiter(1);
    const { started, ask } = requests(limiter);
    const release = await limiter.acquire(signal);
    await ask(3);
    release();
    release();
    await vi.advanceTimersByTimeAsync(0);
    expect(started.length).toBe(1);
  });

  test('are 70 % of what they were after a refusal, and one more after about as many successes', async () => {
    const limiter = createLimiter(10);
    const { started, ask, endAll } = requests(limiter);
    const atOnce = async () => {
      const before = started.length;
      await ask(10);
      await vi.advanceTimersByTimeAsync(100);
      const count = started.length - before;
      await endAll();
      while (started.length < before + 10) {
        await vi.advanceTimersByTimeAsync(1000);
        await endAll();
      }
      return count;
    };
    expect(await atOnce()).toBe(10);
    // What was served says that the host is fast: then it is their number that is bounded.
    for (let index = 0; index < 5000; index += 1) limiter.succeeded();
    limiter.throttled(0);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await atOnce()).toBe(7);
    for (let index = 0; index < 7; index += 1) limiter.succeeded();
    expect(await atOnce()).toBe(7);
    limiter.succeeded();
    expect(await atOnce()).toBe(8);
    for (let index = 0; index < 1000; index += 1) limiter.succeeded();
    expect(await atOnce()).toBe(10);
  });

  test('are one at least, however often the host refuses', async () => {
    const limiter = createLimiter(4);
    for (let turn = 0; turn < 20; turn += 1) {
      limiter.succeeded();
      limiter.throttled(0);
      await vi.advanceTimersByTimeAsync(300);
    }
    const { started, ask } = requests(limiter);
    await ask(4);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(started.length).toBe(1);
  });

  test('are two after the first success, however often the host refused before', async () => {
    const limiter = createLimiter(4);
    for (let turn = 0; turn < 20; turn += 1) {
      limiter.throttled(0);
      await vi.advanceTimersByTimeAsync(300);
    }
    limiter.succeeded();
    const { started, ask } = requests(limiter);
    await ask(4);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(started.length).toBe(2);
  });

  test('are one while a host serves nothing', async () => {
    const limiter = createLimiter(10);
    const { started, ask, end } = requests(limiter);
    for (let turn = 0; turn < 2; turn += 1) {
      limiter.throttled(0);
      await vi.advanceTimersByTimeAsync(1000);
    }
    await ask(3);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(started.length).toBe(1);
    limiter.succeeded();
    await end();
    await vi.advanceTimersByTimeAsync(1000);
    expect(started.length).toBe(3);
  });
});

describe('starts', () => {
  test('keep to the rate', async () => {
    const { started, ask } = requests(createLimiter(10, 10));
    await ask(4);
    await vi.advanceTimersByTimeAsync(1000);
    expect(started).toEqual([0, 100, 200, 300]);
  });

  test('wait as long as the host asks; those that are on their way go on', async () => {
    const limiter = createLimiter(3);
    const { started, ask, end } = requests(limiter);
    await ask();
    limiter.throttled(5000);
    await ask(2);
    await vi.advanceTimersByTimeAsync(4999);
    expect(started).toEqual([0]);
    await vi.advanceTimersByTimeAsync(1);
    expect(started).toEqual([0, 5000]);
    expect(vi.getTimerCount()).toBe(0);
    await end();
    await vi.advanceTimersByTimeAsync(1000);
    expect(started.length).toBe(3);
  });

  test('are known by their rate, which is given back where the refusals did not concern it', async () => {
    const limiter = createLimiter(2, 40);
    limiter.throttled(60_000);
    expect(limiter.rate()).toBe(28);
    const { started, ask } = requests(limiter);
    await ask();
    limiter.restore(40);
    await vi.advanceTimersByTimeAsync(0);
    expect([limiter.rate(), started]).toEqual([40, [0]]);
  });

  test('of a new poll begin with one, though the host asked to wait for a day in the last', async () => {
    const limiter = createLimiter(4);
    const { started, ask, endAll } = requests(limiter);
    await ask();
    await endAll();
    limiter.throttled(86_400_000);
    await vi.advanceTimersByTimeAsync(300_000);
    await ask(2);
    expect(started).toEqual([0, 300_000]);
  });
});

describe('a request that is given up', () => {
  test('before it is asked for does not start', async () => {
    const limiter = createLimiter(1);
    await expect(limiter.acquire(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    expect(limiter.idle()).toBe(true);
  });

  test('leaves its place to others, and theirs to them', async () => {
    const limiter = createLimiter(1);
    const ending = new AbortController();
    const { started, ask, end } = requests(limiter);
    await ask();
    const first = limiter.acquire(ending.signal);
    const refused = expect(first).rejects.toThrow('given up');
    await ask();
    ending.abort(new Error('given up'));
    await refused;
    await end();
    expect(started.length).toBe(2);
    await end();
    expect(limiter.idle()).toBe(true);
  });

  test('after it started takes no place from others', async () => {
    const limiter = createLimiter(1);
    const ending = new AbortController();
    const { started, ask, end } = requests(limiter);
    await ask(1, ending.signal);
    await ask(2);
    ending.abort(new Error('given up'));
    await end();
    await end();
    expect(started.length).toBe(3);
  });

  test.each([
    ['a host that asked to wait', 1],
    ['a host that serves nothing', 2],
  ])('while it waited for %s knows the refusal', async (_title, times) => {
    const limiter = createLimiter(2);
    const ending = new AbortController();
    const { ask } = requests(limiter);
    for (let turn = 0; turn < times; turn += 1) {
      limiter.throttled(turn === 0 && times === 1 ? 60_000 : 0, slowDown);
      await vi.advanceTimersByTimeAsync(300);
    }
    if (times === 2) {
      await vi.advanceTimersByTimeAsync(60_000);
      await ask();
    }
    const waiting = limiter.acquire(ending.signal);
    const refused = expect(waiting).rejects.toBe(slowDown);
    ending.abort(new Error('the poll ended'));
    await refused;
  });

  test('while it waited for others only does not', async () => {
    const limiter = createLimiter(1);
    limiter.throttled(0, slowDown);
    await vi.advanceTimersByTimeAsync(1000);
    const { ask } = requests(limiter);
    await ask();
    const ending = new AbortController();
    const waiting = limiter.acquire(ending.signal);
    const refused = expect(waiting).rejects.toThrow('the poll ended');
    ending.abort(new Error('the poll ended'));
    await refused;
  });
});

test('a limiter knows what its host served, and whether anything runs or waits', async () => {
  const limiter = createLimiter(1);
  const { ask, end } = requests(limiter);
  expect([limiter.served(), limiter.idle()]).toEqual([0, true]);
  await ask(2);
  limiter.succeeded();
  limiter.succeeded();
  expect([limiter.served(), limiter.idle()]).toEqual([2, false]);
  await end();
  expect(limiter.idle()).toBe(false);
  await end();
  expect(limiter.idle()).toBe(true);
});

describe('hosts', () => {
  test('have a limiter each, with the limits of all', async () => {
    const limiters = createLimiters({ maxConcurrent: 2, requestsPerSecond: 10 });
    const one = limiters.of('a');
    expect(limiters.of('a')).toBe(one);
    expect(limiters.of('b')).not.toBe(one);
    expect(one.rate()).toBe(10);
    const { started, ask } = requests(one);
    await ask(3);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(started).toEqual([0, 100]);
  });

  test('that were used of late are remembered, up to 200', () => {
    const limiters = createLimiters({ maxConcurrent: 1 });
    const hosts = Array.from({ length: 200 }, (_, index) => `store-${index}`);
    const first = hosts.map((host) => limiters.of(host));
    expect(hosts.map((host) => limiters.of(host))).toEqual(first);
    // The first is used again: then the second is the one that was used longest ago.
    limiters.of('store-0');
    limiters.of('another');
    expect(limiters.of('store-0')).toBe(first[0]);
    expect(limiters.of('store-2')).toBe(first[2]);
    expect(limiters.of('store-1')).not.toBe(first[1]);
  });
});
