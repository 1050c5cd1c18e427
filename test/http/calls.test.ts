import { afterEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { type Call, createCalls } from '../../src/http/calls.ts';
import { createLimiters } from '../../src/http/limiters.ts';

const host = 'registry.example.com';

/** Calls of an SDK, and what was counted of them. */
function calls(
  options: {
    readonly timeoutMs?: number;
    readonly signal?: AbortSignal;
    readonly retries?: number;
    readonly limiters?: ReturnType<typeof createLimiters>;
  } = {},
) {
  const observed: string[] = [];
  const seconds: number[] = [];
  const { call } = createCalls({
    maxConcurrent: 1,
    retries: 0,
    timeoutMs: 60_000,
    signal: new AbortController().signal,
    observe(operation, code, took) {
      observed.push(`${operation} ${code}`);
      seconds.push(took);
    },
    ...options,
  });
  const list = <T>(attempt: Call<T>['attempt'], more: Partial<Call<T>> = {}) =>
    call({ operation: 'List', host, attempt, ...more });
  return { list, observed, seconds };
}

afterEach(() => vi.useRealTimers());

const never = () => new Promise<never>(() => {});
const unavailable = () => new CollectError('server_error', 'unavailable', { status: 503 });

test('a call gives what its attempt gave, and is counted as 200 with how long it took', async () => {
  const { list, observed, seconds } = calls();
  expect(await list(async () => ['a', 'b'])).toEqual(['a', 'b']);
  expect(observed).toEqual(['List 200']);
  expect(seconds[0]).toBeGreaterThanOrEqual(0);
  expect(seconds[0]).toBeLessThan(60);
});

test('a call that ended leaves nothing behind, and took as long as its attempt', async () => {
  vi.useFakeTimers({ now: 5000, toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const poll = new AbortController();
  const listeners = vi.spyOn(AbortSignal.prototype, 'removeEventListener');
  const { list, seconds } = calls({ signal: poll.signal });
  let told: AbortSignal | undefined;
  const slow = list((signal) => {
    told = signal;
    return new Promise<string>((resolve) => setTimeout(resolve, 2000, 'answered'));
  });
  await vi.advanceTimersByTimeAsync(2000);
  expect(await slow).toBe('answered');
  expect(seconds).toEqual([2]);
  // Neither its deadline, nor what waits for it.
  expect(vi.getTimerCount()).toBe(0);
  expect(listeners.mock.contexts).toContain(told);
  listeners.mockRestore();
});

describe('an attempt that failed', () => {
  test('is made again, and each is counted by the reason of its failure', async () => {
    const { list, observed } = calls({ retries: 1 });
    let made = 0;
    const flaky = async () => {
      made += 1;
      if (made === 1) throw unavailable();
      return 'answered';
    };
    expect(await list(flaky)).toBe('answered');
    expect(observed).toEqual(['List server_error', 'List 200']);
  });

  test('is counted by the code of the vendor where there is one', async () => {
    const { list, observed } = calls();
    const failing = list(() => Promise.reject(unavailable()), { codeOf: () => 'UNAVAILABLE' });
    await expect(failing).rejects.toThrow('unavailable');
    expect(observed).toEqual(['List UNAVAILABLE']);
  });

  test('leaves its place to the next', async () => {
    const { list } = calls();
    await expect(list(() => Promise.reject(new TypeError('a fault')))).rejects.toThrow('a fault');
    expect(await list(async () => 'answered')).toBe('answered');
  });

  test('slows its host down where that asks for it', async () => {
    const limiters = createLimiters({ maxConcurrent: 1 });
    const { list } = calls({ limiters, retries: 1 });
    let made = 0;
    await list(async () => {
      made += 1;
      if (made === 1) throw new CollectError('throttled', 'slow down');
    });
    expect(limiters.of(host).rate()).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(limiters.of('another').rate()).toBe(Number.POSITIVE_INFINITY);
    // The answer counts for what the host serves.
    expect(limiters.of(host).served()).toBe(1);
  });
});

describe('an attempt that does not end within its deadline', () => {
  const late = {
    reason: 'timeout',
    message: `List of ${host}: no complete answer within 30 ms`,
  };

  test('is a timeout, whatever the SDK does; it is told to end', async () => {
    const { list, observed } = calls({ timeoutMs: 30 });
    let told: AbortSignal | undefined;
    const hanging = list((signal) => {
      told = signal;
      return never();
    });
    await expect(hanging).rejects.toMatchObject(late);
    expect(told?.aborted).toBe(true);
    expect(observed).toEqual(['List timeout']);
  });

  test('is a timeout also where the SDK tells of it in words of its own', async () => {
    const { list } = calls({ timeoutMs: 30 });
    const cancelled = list(
      (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('1 CANCELLED')));
        }),
    );
    await expect(cancelled).rejects.toMatchObject(late);
  });

  test('but one that ends in time is told nothing', async () => {
    const { list } = calls();
    let told: AbortSignal | undefined;
    await list(async (signal) => {
      told = signal;
    });
    expect(told?.aborted).toBe(false);
  });
});

test('the end of the poll ends a call with its reason', async () => {
  const ending = new AbortController();
  const { list } = calls({ signal: ending.signal });
  const hanging = list(never);
  const waiting = list(never);
  setTimeout(() => ending.abort(new Error('the poll ended')), 10);
  await expect(hanging).rejects.toThrow('the poll ended');
  await expect(waiting).rejects.toThrow('the poll ended');
});
