/** Lets only so many requests of a host run at once, and fewer and slower ones after it throttled. */
export interface Limiter {
  /** Waits for a place. @throws the signal's reason when it ends first. */
  acquire(signal: AbortSignal): Promise<() => void>;
  /** The host asked to slow down; nobody starts before the time given, milliseconds from now. */
  throttled(pauseMs: number): void;
  succeeded(): void;
}

/** Refusals within so long are one signal: requests already on their way must not slow the rest again and again. */
const burstMs = 250;
/** After a refusal the rate goes on at this share of what was measured… */
const decrease = 0.85;
/** …and grows by this share of itself per second, until the next refusal. */
const increase = 0.05;
/** The longer no refusal comes, the faster it grows: by so much more per such a time. */
const calmMs = 5_000;
/** How much of a late start is made up for. */
const catchUpMs = 50;
/** Fewer successes since the last refusal say nothing of a rate. */
const fewest = 5;

/**
 * Two bounds, both learned from refusals, since a registry's real limit is neither published nor stable. The number
 * of requests at once follows additive increase and multiplicative decrease, as TCP does. Their rate is free until
 * the first refusal; from then on it follows what the host was seen to serve: a quota of 20 requests per second is
 * met by any number of quick requests, one after the other, so places alone cannot keep to it.
 * @param max places at most
 * @param perSecond starts per second at most; undefined for no such limit
 */
export function createLimiter(max: number, perSecond = Number.POSITIVE_INFINITY): Limiter {
  let allowed = max;
  let running = 0;
  let rate = perSecond;
  let notBefore = 0;
  let nextStart = 0;
  let slowedAt = Number.NEGATIVE_INFINITY;
  let grownAt = 0;
  let timer: NodeJS.Timeout | undefined;
  const waiting: (() => void)[] = [];
  /** Successes since the last refusal, or since the first start: what the host serves in the long run. */
  let served = 0;
  let servedSince: number | undefined;

  const pump = (): void => {
    while (waiting.length > 0 && running < Math.max(1, Math.floor(allowed))) {
      const now = performance.now();
      const start = Math.max(notBefore, nextStart);
      if (start > now) {
        if (timer === undefined)
          timer = setTimeout(
            () => {
              timer = undefined;
              pump();
            },
            Math.ceil(start - now),
          );
        return;
      }
      running += 1;
      if (servedSince === undefined) servedSince = nextStart = now;
      // Starts that a late timer missed are made up for, a few at a time: else the rate is never reached.
      if (rate !== Number.POSITIVE_INFINITY) nextStart = Math.max(now - catchUpMs, nextStart) + 1000 / rate;
      waiting.shift()?.();
    }
  };

  return {
    acquire(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const onAbort = () => {
          waiting.splice(waiting.indexOf(enter), 1);
          reject(signal.reason);
        };
        const enter = () => {
          signal.removeEventListener('abort', onAbort);
          let released = false;
          resolve(() => {
            if (released) return;
            released = true;
            running -= 1;
            pump();
          });
        };
        signal.addEventListener('abort', onAbort, { once: true });
        waiting.push(enter);
        pump();
      });
    },
    throttled(pauseMs) {
      const now = performance.now();
      notBefore = Math.max(notBefore, now + pauseMs);
      if (now - slowedAt <= burstMs) return;
      const seen = served / ((now - (servedSince ?? now)) / 1000);
      const enough = served >= fewest;
      slowedAt = now;
      grownAt = now;
      served = 0;
      servedSince = now;
      allowed = Math.max(1, allowed * 0.7);
      rate = enough ? Math.min(rate, seen * decrease) : rate * 0.7;
      if (rate === Number.POSITIVE_INFINITY) return;
      nextStart = Math.max(nextStart, now + 1000 / rate);
    },
    succeeded() {
      const now = performance.now();
      served += 1;
      if (slowedAt !== Number.NEGATIVE_INFINITY) {
        const share = increase * Math.max(1, (now - slowedAt) / calmMs);
        rate = Math.min(perSecond, rate * (1 + (share * (now - grownAt)) / 1000));
        grownAt = now;
      }
      allowed = Math.min(max, allowed + 1 / Math.max(1, allowed));
      pump();
    },
  };
}
