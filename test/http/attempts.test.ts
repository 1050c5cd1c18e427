import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError, type FailureReason } from '../../src/errors.ts';
import { type AttemptOptions, type Attempts, createAttempts } from '../../src/http/attempts.ts';
import { createHangs } from '../../src/http/hangs.ts';
import { createLimiters } from '../../src/http/limiters.ts';
import { createRefusals, type Repeated } from '../../src/http/refusals.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 0, toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
  // The longest that chance may choose.
  vi.spyOn(Math, 'random').mockReturnValue(1);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const host = 'registry.example.com';
const failing = (reason: FailureReason, more: { status?: number; retryAfterMs?: number } = {}) =>
  new CollectError(reason, `it said ${reason}`, more);
const throttled = (retryAfterMs?: number) =>
  failing('throttled', { status: 429, ...(retryAfterMs !== undefined && { retryAfterMs }) });

const often = { repeatable: true, kind: 'list of registry' };

/** Attempts with these failures, one after the other, and then an answer: when each was made, and how it ended. */
function attempt(
  failures: readonly unknown[],
  options: Partial<AttemptOptions> & { readonly repeatable?: boolean } = {},
) {
  const { repeatable = true, ...more } = options;
  const { signal } = new AbortController();
  const attempts = createAttempts({ maxConcurrent: 4, retries: 2, signal, ...more });
  const times: number[] = [];
  const ended = attempts
    .repeat({ repeatable, kind: 'list of registry' }, async (request) => {
      const release = await attempts.limiterOf(host).acquire(more.signal ?? signal);
      release();
      times.push(performance.now());
      const failure = failures[times.length - 1];
      if (failure instanceof CollectError) throw attempts.failed(host, failure, request);
      if (failure !== undefined) throw failure;
      return 'answered';
    })
    .catch((error: unknown) => error);
  return { times, ended, attempts };
}

async function whole(...given: Parameters<typeof attempt>) {
  const { times, ended } = attempt(...given);
  await vi.advanceTimersByTimeAsync(600_000);
  return { times, ended: await ended };
}

describe('a failure that may pass', () => {
  test.each<[FailureReason, number | undefined]>([
    ['connect', undefined],
    ['dns', undefined],
    ['timeout', undefined],
    ['server_error', undefined],
    ['invalid_response', 408],
    ['server_error', 500],
    ['server_error', 502],
    ['server_error', 503],
    ['server_error', 504],
    ['forbidden', 429],
    // As some vendors mean a 400.
    ['throttled', 400],
  ])('is tried again: %s, %s', async (reason, status) => {
    const failure = failing(reason, status === undefined ? {} : { status });
    expect((await whole([failure])).ended).toBe('answered');
  });

  test.each<[FailureReason, number | undefined]>([
    ['tls', undefined],
    ['too_large', undefined],
    ['internal', undefined],
    ['invalid_response', undefined],
    ['server_error', 501],
    ['timeout', 400],
    ['not_found', 404],
  ])('is not one of these: %s, %s', async (reason, status) => {
    const failure = failing(reason, status === undefined ? {} : { status });
    expect(await whole([failure])).toEqual({ times: [0], ended: failure });
  });

  test('is the end where what was asked may have had an effect', async () => {
    const failure = failing('connect');
    expect(await whole([failure], { repeatable: false })).toEqual({ times: [0], ended: failure });
  });

  test('is tried again as often as the setting says, and the last one is told', async () => {
    const failures = [1, 2, 3, 4].map(() => failing('connect'));
    const { times, ended } = await whole(failures);
    expect(times.length).toBe(3);
    expect(ended).toBe(failures[2]);
  });

  test('is told at once where the setting wants no retries', async () => {
    const failure = failing('connect');
    expect(await whole([failure], { retries: 0 })).toEqual({ times: [0], ended: failure });
  });

  test('is waited for longer each time, and for ten seconds at most', async () => {
    const { times } = await whole(
      Array.from({ length: 9 }, () => failing('connect')),
      { retries: 20 },
    );
    const waits = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(waits).toEqual([200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
  });

  test('is waited for as long as the host asks, and its other requests wait too', async () => {
    const { times, attempts } = attempt([failing('server_error', { status: 503, retryAfterMs: 5000 })]);
    await vi.advanceTimersByTimeAsync(0);
    const other = attempts.limiterOf(host).acquire(new AbortController().signal);
    let started = 0;
    void other.then(() => {
      started = performance.now();
    });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(started).toBe(5000);
    expect(times.length).toBe(2);
    expect(times[1]).toBeGreaterThanOrEqual(5100);
  });
});

test('what is no failure of the registry is thrown as it is, at once', async () => {
  const fault = new TypeError('a fault of ours');
  expect(await whole([fault])).toEqual({ times: [0], ended: fault });
});

test('a failure that says nothing of the rate slows nobody down', async () => {
  const { attempts } = attempt([failing('server_error', { status: 500 })]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(attempts.limiterOf(host).rate()).toBe(Number.POSITIVE_INFINITY);
});

describe('throttling', () => {
  test('uses up no retries: it is the limiter that holds the request back', async () => {
    const { times, ended } = await whole(
      Array.from({ length: 9 }, () => throttled()),
      { retries: 0 },
    );
    expect([times.length, ended]).toEqual([10, 'answered']);
  });

  test('slows the host down', async () => {
    const { attempts } = attempt([throttled()]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(attempts.limiterOf(host).rate()).toBe(5);
  });

  test('is known to the limiters of the next poll', async () => {
    const limiters = createLimiters({ maxConcurrent: 4 });
    await whole([throttled()], { limiters });
    expect(limiters.of(host).rate()).toBe(5);
  });
});

describe('when the poll ends', () => {
  test('during a wait, the failure that was waited for is told', async () => {
    const ending = new AbortController();
    const failure = failing('connect');
    const { times, ended } = attempt([failure], { signal: ending.signal });
    await vi.advanceTimersByTimeAsync(100);
    ending.abort(new Error('the poll ended'));
    expect(await ended).toBe(failure);
    expect(times).toEqual([0]);
    // Nothing waits on.
    expect(vi.getTimerCount()).toBe(0);
  });

  test('during an attempt, the reason is the one of the poll', async () => {
    const ending = new AbortController();
    const { repeat } = createAttempts({ maxConcurrent: 4, retries: 2, signal: ending.signal });
    const ended = repeat(often, async () => {
      ending.abort(new Error('the poll ended'));
      throw ending.signal.reason;
    });
    await expect(ended).rejects.toThrow('the poll ended');
  });

  test('the refusal that all others waited for is the reason of all', async () => {
    const ending = new AbortController();
    const refusals = createRefusals();
    const options = { maxConcurrent: 4, retries: 2, signal: ending.signal, refusals };
    const refusal = throttled(60_000);
    const { ended: refused } = attempt([refusal], options);
    await vi.advanceTimersByTimeAsync(10);
    // Of another client, whose failure alone would have told nothing.
    const { ended: failed } = attempt([failing('connect')], options);
    await vi.advanceTimersByTimeAsync(10);
    ending.abort(new Error('the poll ended'));
    const cut = createAttempts(options).repeat(often, async () => {
      throw ending.signal.reason;
    });
    await expect(cut).rejects.toBe(refusal);
    expect(await failed).toBe(refusal);
    expect(await refused).toBe(refusal);
  });

  test('a refusal that is over is the reason of nobody: its request ended, and another one worked', async () => {
    const ending = new AbortController();
    const { repeat } = createAttempts({ maxConcurrent: 4, retries: 2, signal: ending.signal });
    const cut = () =>
      repeat(often, async () => {
        ending.abort(new Error('the poll ended'));
        throw ending.signal.reason;
      });
    const refused = repeat({ ...often, repeatable: false }, async () => {
      throw throttled();
    });
    await expect(refused).rejects.toThrow('it said throttled');
    await repeat(often, async () => 'answered');
    await expect(cut()).rejects.toThrow('the poll ended');
  });

  test('a request that waited for a host tells the refusal that slowed it down', async () => {
    const ending = new AbortController();
    const { repeat } = createAttempts({ maxConcurrent: 4, retries: 2, signal: ending.signal });
    const refusal = throttled();
    const first = repeat(often, async () => {
      ending.abort(new Error('the poll ended'));
      throw refusal;
    });
    await expect(first).rejects.toBe(refusal);
    const second = repeat(often, async () => {
      throw ending.signal.reason;
    });
    await expect(second).rejects.toBe(refusal);
  });
});

describe('why there is no answer', () => {
  const asked = (): Repeated => ({ onlyRefused: 0, refusedAlone: 0, aloneSince: 0 });

  test('is the own refusal before the last of others, and that before one that holds back still', () => {
    const refusals = createRefusals();
    const [one, other] = [asked(), asked()];
    const [first, second] = [throttled(1), throttled(2)];
    refusals.note(one, first);
    refusals.note(other, second);
    expect([refusals.why(one), refusals.why(other), refusals.why(asked()), refusals.why()]).toEqual([
      first,
      second,
      second,
      second,
    ]);
    refusals.worked();
    expect([refusals.why(other), refusals.why()]).toEqual([second, first]);
    refusals.ended(one);
    expect(refusals.why()).toBe(second);
    refusals.ended(other);
    expect([refusals.why(other), refusals.why()]).toEqual([undefined, undefined]);
  });

  test('is no refusal of a request that failed in another way since', () => {
    const refusals = createRefusals();
    const request = asked();
    refusals.note(request, throttled());
    refusals.note(request, failing('connect'));
    refusals.worked();
    expect(refusals.why(request)).toBeUndefined();
  });

  test('may be known from the poll before, until a request works', () => {
    const failure = throttled();
    const last = { failure };
    const refusals = createRefusals(last);
    expect(refusals.why()).toBe(failure);
    refusals.worked();
    expect([refusals.why(), last.failure]).toEqual([undefined, undefined]);
  });
});

describe('a request that is refused while its host serves others', () => {
  /** One that is always refused: after each refusal so many others are served. */
  async function refuse(others: number, refusal: CollectError, settings: { readonly until?: number } = {}) {
    const limiters = createLimiters({ maxConcurrent: 4 });
    const limiter = limiters.of(host);
    const attempts = createAttempts({
      limiters,
      maxConcurrent: 4,
      retries: 0,
      signal: new AbortController().signal,
    });
    for (let index = 0; index < 50; index += 1) limiter.succeeded();
    const times: number[] = [];
    let ended: unknown;
    void attempts
      .repeat(often, async (request) => {
        const release = await limiter.acquire(new AbortController().signal);
        release();
        times.push(performance.now());
        const failure = attempts.failed(host, refusal, request);
        for (let index = 0; index < others; index += 1) limiter.succeeded();
        throw failure;
      })
      .catch((error: unknown) => {
        ended = error;
      });
    const { until = 120_000 } = settings;
    await vi.advanceTimersByTimeAsync(until);
    return { times, ended, limiter };
  }

  test('is refused for what it asks: from the second on it slows nobody down', async () => {
    const { limiter } = await refuse(5, throttled());
    const throttledOnce = limiter.rate();
    expect(throttledOnce).toBeGreaterThan(5);
  });

  test('is given up after ten refusals in a minute, which come every four seconds at last', async () => {
    const refusal = throttled();
    const { times, ended } = await refuse(5, refusal);
    expect(ended).toBe(refusal);
    expect(times.length).toBeGreaterThanOrEqual(10);
    const [last = 0, before = 0] = times.toReversed();
    expect(last - before).toBe(4000);
    expect(last).toBeGreaterThanOrEqual(60_000);
    expect(last).toBeLessThan(70_000);
  });

  test('is given up at once where it would have to wait for more than a minute', async () => {
    const refusal = throttled(60_001);
    const { times, ended } = await refuse(5, refusal);
    expect([times.length, ended]).toEqual([2, refusal]);
  });

  test('waits for a minute where it is asked to, and is then given up after ten', async () => {
    const { times, ended } = await refuse(5, throttled(60_000), { until: 300_000 });
    expect(ended).toBeUndefined();
    expect(times.length).toBeGreaterThan(3);
  });

  test('is known by that also where few others are served, after it alone was refused three times', async () => {
    const refusal = throttled();
    const { ended, limiter } = await refuse(1, refusal);
    expect(ended).toBe(refusal);
    // What its refusals slowed down is given back.
    expect(limiter.rate()).toBeGreaterThan(40);
  });

  test('waits with all others, without end, where nothing else is served', async () => {
    const { ended, limiter, times } = await refuse(0, throttled());
    expect(ended).toBeUndefined();
    expect(limiter.rate()).toBeLessThan(50);
    expect(times.length).toBeGreaterThan(20);
  });
});

describe('requests without an answer', () => {
  const hang = () => failing('timeout');
  const { signal } = new AbortController();
  const attempts = (more: Partial<AttemptOptions> = {}) =>
    createAttempts({ maxConcurrent: 4, retries: 0, signal, ...more });
  /** Makes one request. @returns whether it was made, and how it ended */
  async function ask({ repeat }: Attempts, failure: CollectError | undefined, kind = often.kind) {
    let made = 0;
    const ended = await repeat({ repeatable: true, kind }, async () => {
      made += 1;
      if (failure) throw failure;
      return 'answered';
    }).catch(({ message }) => message);
    return [made, ended];
  }

  test('are not made any more after two in a row: what hangs for one hangs for all', async () => {
    const all = attempts();
    for (let at = 0; at < 2; at += 1) expect(await ask(all, hang())).toEqual([1, hang().message]);
    expect(await ask(all, undefined)).toEqual([
      0,
      'list of registry: not asked any more in this poll, since 2 requests in a row had no answer',
    ]);
    expect(await ask(all, undefined, 'manifest of registry')).toEqual([1, 'answered']);
  });

  test('are made again where one between them was answered, well or not', async () => {
    const all = attempts();
    for (const answer of [
      undefined,
      failing('server_error', { status: 500 }),
      failing('forbidden', { status: 403 }),
    ]) {
      await ask(all, hang());
      await ask(all, answer);
      expect(await ask(all, hang())).toEqual([1, hang().message]);
      await ask(all, undefined);
    }
    // A 504 is an answer.
    for (let at = 0; at < 3; at += 1) await ask(all, failing('timeout', { status: 504 }));
    expect(await ask(all, undefined)).toEqual([1, 'answered']);
  });

  test('are counted together for all clients of a poll', async () => {
    const hangs = createHangs();
    await ask(attempts({ hangs }), hang());
    await ask(attempts({ hangs }), hang());
    expect(await ask(attempts({ hangs }), undefined)).toMatchObject([
      0,
      expect.stringContaining('not asked'),
    ]);
  });

  test('are made again for as long as the patience lasts', async () => {
    const { repeat } = attempts({ retries: 9, patienceMs: 25_000 });
    let made = 0;
    const ended = repeat(often, async () => {
      made += 1;
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      throw hang();
    }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await ended).toMatchObject({ reason: 'timeout' });
    expect(made).toBe(3);
  });
});
