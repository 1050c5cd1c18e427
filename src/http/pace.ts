/** Refusals within so long are one signal: requests that are already on their way must not slow the rest again. */
const burstMs = 250;
/** After a refusal the rate goes on at this share of what was measured… */
const decrease = 0.85;
/** …and grows by this share of itself per second, until the next refusal. */
const increase = 0.05;
/** The longer no refusal comes, the faster it grows: by so much more per such a time. */
const calmMs = 5_000;
/** Longest growth of the rate between two successes: a slow answer says nothing of the seconds that it took. */
const growthMs = 1_000;
/** How much of a late start is made up for. */
const catchUpMs = 50;
/** Fewer successes since the last refusal say nothing of a rate. */
const fewest = 5;
/** Growth per second while nothing is known of the rate but that it is not free. */
const search = 1;
/** What is served before the first refusal is often a reserve for about so long. */
const reserveMs = 1_000;
/**
 * After a pause of so long another poll begins. It asks once, however long the host asked to wait before: the poll would
 * end without knowing why it got no answer.
 */
const betweenPollsMs = 1_000;
/** A host that refuses everything is asked this rarely at last. */
const longestHoldMs = 4_000;
/** Starts per second, at least: one that is slower would take hours to find that the host serves again. */
const slowest = 1000 / longestHoldMs;

/**
 * How fast requests of a host may start. It is free until the host refuses one; from then on it follows what the host
 * was seen to serve. Times are milliseconds of a clock that stands still while nothing is asked: what a host serves
 * while nobody asks is unknown.
 */
export interface Pace {
  /** The earliest time of the next start. */
  nextStart(): number;
  started(now: number): void;
  succeeded(now: number): void;
  /**
   * The host refused a request.
   * @param pauseMs how long it asked to wait
   * @returns whether it counts: refusals that come together are one
   */
  refused(now: number, pauseMs: number): boolean;
  /** Starts per second, at most. */
  rate(): number;
  /** The refusals since the rate was this one did not concern it. */
  restore(rate: number, now: number): void;
  /** Whether only one request may be on its way, to see whether the host serves again. */
  probing(): boolean;
  /** Something is asked again, after nothing was since then. */
  resumed(now: number, idleSince: number): void;
}

export function createPace(perSecond: number): Pace {
  let rate = perSecond;
  let notBefore = 0;
  let next = 0;
  let slowedAt: number | undefined;
  let grownAt = 0;
  /** Successes since the last refusal, or since the first start: what the host serves in the long run. */
  let served = 0;
  let servedSince: number | undefined;
  /** A refusal came before there was something to measure: the rate is a guess. */
  let guessed = false;
  /** Refusals that counted since the last success. */
  let inVain = 0;

  const measured = (now: number): number => {
    const ms = now - (servedSince ?? now);
    return (served * 1000) / (slowedAt === undefined ? Math.max(ms, reserveMs) : ms);
  };

  const slower = (now: number): number => {
    if (served >= fewest) return Math.min(rate, measured(now) * decrease);
    return rate === Number.POSITIVE_INFINITY ? fewest : rate * 0.7;
  };

  return {
    nextStart: () => Math.max(notBefore, next),
    rate: () => rate,
    restore(before, now) {
      if (before <= rate) return;
      rate = before;
      notBefore = next = now;
    },
    probing: () => inVain > 1,
    started(now) {
      if (servedSince === undefined) servedSince = next = now;
      // Starts that a late timer missed are made up for, a few at a time: else the rate is never reached.
      if (rate !== Number.POSITIVE_INFINITY) next = Math.max(now - catchUpMs, next) + 1000 / rate;
    },
    succeeded(now) {
      served += 1;
      inVain = 0;
      if (slowedAt === undefined) return;
      const share = guessed ? search : increase * Math.max(1, (now - slowedAt) / calmMs);
      rate = Math.min(perSecond, rate * (1 + (share * Math.min(growthMs, now - grownAt)) / 1000));
      grownAt = now;
    },
    refused(now, pauseMs) {
      notBefore = Math.max(notBefore, now + pauseMs);
      if (slowedAt !== undefined && now - slowedAt <= burstMs) return false;
      guessed = served < fewest && (guessed || rate === Number.POSITIVE_INFINITY);
      // A host that serves nothing says nothing of its rate: then only the time between two requests grows.
      if (inVain === 0) rate = Math.max(Math.min(slowest, perSecond), slower(now));
      const holdMs = Math.min(longestHoldMs, burstMs * 2 ** inVain);
      inVain += 1;
      slowedAt = grownAt = servedSince = now;
      served = 0;
      notBefore = Math.max(notBefore, now + holdMs);
      next = Math.max(next, now + 1000 / rate);
      return true;
    },
    resumed(now, idleSince) {
      const ms = now - idleSince;
      if (ms > betweenPollsMs && notBefore > now) {
        notBefore = now;
        inVain = Math.max(inVain, 2);
      }
      grownAt += ms;
      if (slowedAt !== undefined) slowedAt += ms;
      if (servedSince !== undefined) servedSince += ms;
    },
  };
}
