import { describe, expect, test } from 'vitest';
import { createPace, type Pace } from '../../src/http/pace.ts';

/** Times are milliseconds of a clock that the test holds. */

const free = Number.POSITIVE_INFINITY;

/** So many successes, evenly between two times. */
function serve(pace: Pace, count: number, from: number, to: number): void {
  for (let index = 1; index <= count; index += 1) pace.succeeded(from + ((to - from) * index) / count);
}

/** A pace whose host served so many requests until it refused one at that time. */
function refusedAfter(count: number, at: number, perSecond = free): Pace {
  const pace = createPace(perSecond);
  pace.started(0);
  serve(pace, count, 0, at);
  pace.refused(at, 0);
  return pace;
}

describe('starts', () => {
  test('are free until a host refuses one', () => {
    const pace = createPace(free);
    for (const now of [0, 0, 1]) {
      expect(pace.nextStart()).toBeLessThanOrEqual(now);
      pace.started(now);
    }
    expect([pace.rate(), pace.probing()]).toEqual([free, false]);
  });

  test('keep to a rate that is configured, from the first on', () => {
    const pace = createPace(10);
    const times: number[] = [];
    for (let now = 1000; times.length < 3; now = pace.nextStart()) {
      times.push(now);
      pace.started(now);
    }
    expect([times, pace.rate()]).toEqual([[1000, 1100, 1200], 10]);
  });

  test('that were late are made up for by 50 ms and no more', () => {
    const pace = createPace(10);
    pace.started(0);
    pace.started(130);
    expect(pace.nextStart()).toBe(200);
    pace.started(1000);
    expect(pace.nextStart()).toBe(1050);
  });

  test('wait as long as the host asks, and a quarter of a second at least', () => {
    const pace = createPace(free);
    pace.started(0);
    pace.refused(10, 0);
    expect(pace.nextStart()).toBe(260);
    pace.refused(1000, 5000);
    expect(pace.nextStart()).toBe(6000);
    // A shorter wait takes nothing from a longer one.
    pace.refused(2000, 0);
    expect(pace.nextStart()).toBe(6000);
  });

  test('wait for the interval of the rate where that is longer', () => {
    const pace = createPace(1);
    pace.started(0);
    pace.refused(10_000, 0);
    expect(pace.rate()).toBe(0.7);
    expect(pace.nextStart()).toBeCloseTo(10_000 + 1000 / 0.7);
  });
});

describe('the rate after a refusal', () => {
  test.each([
    ['was served in the long run', 100, 2000, 42.5],
    ['a reserve of a second may have given at once', 100, 500, 85],
    ['five requests say', 5, 1000, 4.25],
  ])('is 85 %% of what %s', (_title, count, at, rate) => {
    expect(refusedAfter(count, at).rate()).toBeCloseTo(rate);
  });

  test('is no more than it was', () => {
    expect(refusedAfter(100, 1000, 50).rate()).toBe(50);
  });

  test('is a guess where fewer than five were served: five, or 70 % of what it was', () => {
    expect(refusedAfter(4, 1000).rate()).toBe(5);
    expect(refusedAfter(4, 1000, 20).rate()).toBe(14);
  });

  test('is measured from the last refusal on, without any reserve', () => {
    const pace = refusedAfter(100, 1000);
    serve(pace, 10, 1000, 1500);
    pace.refused(1500, 0);
    expect(pace.rate()).toBeCloseTo(0.85 * 20);
  });

  test('does not fall while nothing at all is served: that says nothing of it', () => {
    const pace = refusedAfter(100, 1000);
    const { rate } = pace;
    const before = rate();
    for (const now of [2000, 4000, 9000]) expect(pace.refused(now, 0)).toBe(true);
    expect(rate()).toBe(before);
  });

  test('never falls below one request in four seconds, or what is configured', () => {
    const paces = [refusedAfter(0, 1000), refusedAfter(0, 1000, 0.1)];
    for (let now = 1300; now < 40_000; now += 300)
      for (const pace of paces) {
        pace.succeeded(now);
        pace.refused(now, 0);
      }
    expect(paces.map(({ rate }) => rate())).toEqual([0.25, 0.1]);
  });
});

test('refusals within a quarter of a second are one', () => {
  const pace = refusedAfter(100, 1000);
  const before = pace.rate();
  expect([pace.refused(1001, 0), pace.refused(1250, 0), pace.refused(1251, 0)]).toEqual([false, false, true]);
  expect(pace.rate()).toBe(before);
});

describe('a host that refuses again without serving anything', () => {
  test('is asked one request at a time until it serves one', () => {
    const pace = refusedAfter(100, 1000);
    expect(pace.probing()).toBe(false);
    pace.refused(2000, 0);
    expect(pace.probing()).toBe(true);
    pace.succeeded(3000);
    expect(pace.probing()).toBe(false);
  });

  test('is asked ever more rarely, and every four seconds at last', () => {
    const pace = refusedAfter(100, 1000);
    const waits = [1, 2, 3, 4, 5, 6].map((turn) => {
      pace.refused(turn * 10_000, 0);
      return pace.nextStart() - turn * 10_000;
    });
    expect(waits).toEqual([500, 1000, 2000, 4000, 4000, 4000]);
  });
});

describe('the rate grows with each success', () => {
  test('by 5 % per second after it was measured, and faster the longer no refusal comes', () => {
    const pace = refusedAfter(100, 1000);
    let before = pace.rate();
    const growth = (now: number) => {
      pace.succeeded(now);
      const by = pace.rate() / before - 1;
      before = pace.rate();
      return by;
    };
    expect(growth(2000)).toBeCloseTo(0.05);
    expect(growth(2500)).toBeCloseTo(0.025);
    // After ten seconds twice as much; a gap of seconds counts as one.
    expect(growth(11_000)).toBeCloseTo(0.1);
    expect(growth(31_000)).toBeCloseTo(0.3);
  });

  test('by its whole per second while it is only guessed', () => {
    const pace = refusedAfter(0, 1000);
    pace.succeeded(1500);
    expect(pace.rate()).toBeCloseTo(7.5);
    pace.succeeded(9000);
    expect(pace.rate()).toBeCloseTo(15);
    // A second refusal that is met with as little is a guess still; one with more is not.
    pace.refused(9000, 0);
    pace.succeeded(10_000);
    expect(pace.rate()).toBeCloseTo(2 * 15 * 0.7);
    serve(pace, 9, 10_000, 11_000);
    pace.refused(11_000, 0);
    const before = pace.rate();
    expect(before).toBeCloseTo(0.85 * 5);
    pace.succeeded(12_000);
    expect(pace.rate() / before).toBeCloseTo(1.05);
  });

  test('up to what is configured, and not at all before the first refusal', () => {
    const pace = refusedAfter(0, 1000, 20);
    for (let now = 2000; now < 60_000; now += 1000) pace.succeeded(now);
    expect(pace.rate()).toBe(20);
    const unrefused = createPace(20);
    unrefused.started(0);
    unrefused.succeeded(1000);
    expect(unrefused.rate()).toBe(20);
  });
});

describe('a rate that refusals of one resource alone slowed down', () => {
  test('is restored, and nothing waits any longer', () => {
    const pace = refusedAfter(100, 1000);
    pace.restore(200, 1100);
    expect([pace.rate(), pace.nextStart()]).toEqual([200, 1100]);
  });

  test('is left alone where it has grown beyond that since', () => {
    const pace = refusedAfter(100, 1000);
    pace.restore(pace.rate(), 1100);
    pace.restore(1, 1100);
    expect([pace.rate(), pace.nextStart()]).toEqual([85, 1250]);
  });
});

describe('after a time in which nothing was asked', () => {
  test('another poll asks once, however long the host asked to wait', () => {
    const pace = createPace(free);
    pace.started(0);
    pace.refused(10, 86_400_000);
    pace.resumed(2000, 990);
    expect([pace.nextStart(), pace.probing()]).toEqual([2000, true]);
  });

  test('but a pause within a poll is no reason to ask earlier', () => {
    const pace = createPace(free);
    pace.started(0);
    pace.refused(10, 60_000);
    pace.resumed(2000, 1000);
    expect([pace.nextStart(), pace.probing()]).toEqual([60_010, false]);
  });

  test('and a host that does not hold back is asked as fast as before', () => {
    const pace = refusedAfter(100, 1000);
    pace.resumed(301_000, 1500);
    expect([pace.nextStart() <= 301_000, pace.probing()]).toEqual([true, false]);
  });

  test('that time is no part of a burst, of what was measured, or of growth', () => {
    const burst = refusedAfter(100, 1000);
    burst.resumed(300_000, 1000);
    expect(burst.refused(300_200, 0)).toBe(false);

    const measured = refusedAfter(100, 1000);
    serve(measured, 10, 1000, 1500);
    measured.resumed(300_000, 1500);
    measured.refused(300_500, 0);
    expect(measured.rate()).toBeCloseTo(0.85 * 10);

    const grown = refusedAfter(100, 1000);
    grown.resumed(300_000, 1000);
    grown.succeeded(300_500);
    expect(grown.rate()).toBeCloseTo(85 * 1.025);
  });

  test('nor of what was served before any refusal', () => {
    const pace = createPace(free);
    pace.started(0);
    serve(pace, 100, 0, 2000);
    pace.resumed(300_000, 2000);
    pace.refused(300_000, 0);
    expect(pace.rate()).toBeCloseTo(42.5);
  });
});
