import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import type { Limiter } from '../../src/http/limiter.ts';
import { aloneWaitMs, backOffMs, createRefusals, isGivenUp, type Repeated } from '../../src/http/refusals.ts';

/** Whether a refusal slows its host down, or is one of a single resource. */

beforeEach(() => {
  vi.useFakeTimers({ now: 0, toFake: ['performance', 'Date'] });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const asked = (): Repeated => ({ onlyRefused: 0, refusedAlone: 0, aloneSince: 0 });
const refusal = (retryAfterMs?: number) =>
  new CollectError('throttled', 'slow down', retryAfterMs === undefined ? {} : { retryAfterMs });

/** A host, and what its limiter was told. */
function host() {
  const told: string[] = [];
  let served = 0;
  const limiter: Limiter = {
    acquire: async () => () => {},
    throttled: (pauseMs) => void told.push(`wait ${pauseMs}`),
    rate: () => 40,
    restore: (rate) => void told.push(`restore ${rate}`),
    succeeded: () => {},
    served: () => served,
    idle: () => true,
  };
  return {
    limiter,
    told,
    serve(count: number) {
      served += count;
    },
  };
}

describe('the wait before another attempt', () => {
  test('is a share, by chance, of a bound that doubles', () => {
    expect([0, 1, 2].map((tried) => backOffMs(refusal(), tried, 10_000))).toEqual([100, 200, 400]);
    expect(backOffMs(refusal(), 20, 10_000)).toBe(5000);
  });

  test('is what the host asks for, and a little more, so that not all come at once', () => {
    expect(backOffMs(refusal(3000), 5, 100)).toBe(3050);
  });

  test('is that of the limiter, unless the request is refused alone', () => {
    expect(aloneWaitMs(asked(), refusal(3000))).toBe(0);
    expect(aloneWaitMs({ ...asked(), refusedAlone: 1 }, refusal(3000))).toBe(3050);
    expect(aloneWaitMs({ ...asked(), refusedAlone: 9 }, refusal())).toBe(2000);
  });
});

describe('a request is given up', () => {
  const givenUp = (refusedAlone: number, ms: number, retryAfterMs?: number) => {
    vi.setSystemTime(1000 + ms);
    return isGivenUp({ ...asked(), refusedAlone, aloneSince: 1000 }, refusal(retryAfterMs));
  };
  beforeEach(() => vi.spyOn(performance, 'now').mockImplementation(() => Date.now()));

  test('after ten refusals and a minute', () => {
    expect([givenUp(10, 60_000), givenUp(9, 60_000), givenUp(10, 59_999)]).toEqual([true, false, false]);
  });

  test('at once where it is to wait for more than a minute, but only if it is refused alone', () => {
    expect([givenUp(1, 0, 60_001), givenUp(1, 0, 60_000), givenUp(0, 0, 60_001)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('a refusal slows its host down', () => {
  test('for as long as it asks for', () => {
    const { limiter, told } = host();
    const { slowDown } = createRefusals();
    slowDown(limiter, refusal(3000), asked());
    slowDown(limiter, refusal(), asked());
    expect(told).toEqual(['wait 3000', 'wait 0']);
  });

  test('while fewer than five others were served since the last one', () => {
    const { limiter, told, serve } = host();
    const { slowDown } = createRefusals();
    const [one, other] = [asked(), asked()];
    for (let turn = 0; turn < 4; turn += 1) {
      for (const request of [one, other]) slowDown(limiter, refusal(), request);
      serve(4);
    }
    expect(told.length).toBe(8);
    expect([one.refusedAlone, one.onlyRefused]).toEqual([0, 0]);
  });

  test('however often, while nothing is served', () => {
    const { limiter, told } = host();
    const { slowDown } = createRefusals();
    const request = asked();
    for (let turn = 0; turn < 9; turn += 1) slowDown(limiter, refusal(), request);
    expect([told.length, request.refusedAlone]).toEqual([9, 0]);
  });
});

describe('a refusal is one of what was asked', () => {
  test('after five others were served, and stays so', () => {
    vi.spyOn(performance, 'now').mockReturnValue(7000);
    const { limiter, told, serve } = host();
    const { slowDown } = createRefusals();
    const request = asked();
    slowDown(limiter, refusal(), request);
    serve(5);
    slowDown(limiter, refusal(), request);
    expect([told, request.refusedAlone, request.aloneSince]).toEqual([['wait 0', 'restore 40'], 1, 7000]);
    // In the end nothing else is asked.
    vi.spyOn(performance, 'now').mockReturnValue(9000);
    slowDown(limiter, refusal(), request);
    expect([told.length, request.refusedAlone, request.aloneSince]).toEqual([2, 2, 7000]);
  });

  test('without giving back the rate where others were refused too', () => {
    const { limiter, told, serve } = host();
    const { slowDown } = createRefusals();
    const request = asked();
    slowDown(limiter, refusal(), request);
    slowDown(limiter, refusal(), asked());
    serve(5);
    slowDown(limiter, refusal(), request);
    expect([told, request.refusedAlone]).toEqual([['wait 0', 'wait 0'], 1]);
  });

  test('when it alone was refused three times, though few others were served; the rate before is given back', () => {
    const { limiter, told, serve } = host();
    const { slowDown } = createRefusals();
    const request = asked();
    for (let turn = 0; turn < 3; turn += 1) {
      slowDown(limiter, refusal(), request);
      serve(1);
    }
    expect([told, request.refusedAlone]).toEqual([['wait 0', 'wait 0', 'wait 0'], 0]);
    limiter.rate = () => 3;
    slowDown(limiter, refusal(), request);
    slowDown(limiter, refusal(), request);
    expect([told.slice(3), request.refusedAlone]).toEqual([['restore 40'], 2]);
  });

  test('but not where others are refused between', () => {
    const { limiter, told, serve } = host();
    const { slowDown } = createRefusals();
    const request = asked();
    for (let turn = 0; turn < 6; turn += 1) {
      slowDown(limiter, refusal(), request);
      serve(1);
      if (turn % 2 === 1) slowDown(limiter, refusal(), asked());
    }
    expect([told.length, request.refusedAlone]).toEqual([9, 0]);
  });

  test('by that host only', () => {
    const { slowDown } = createRefusals();
    const [one, other] = [host(), host()];
    const request = asked();
    slowDown(one.limiter, refusal(), request);
    slowDown(other.limiter, refusal(), asked());
    one.serve(1);
    slowDown(one.limiter, refusal(), request);
    expect(request.onlyRefused).toBe(1);
  });
});
