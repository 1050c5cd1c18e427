import type { CollectError } from '../errors.ts';
import { createPace } from './pace.ts';

/** Lets only so many requests of a host run at once, and fewer and slower ones after it throttled. */
export interface Limiter {
  /**
   * Waits until a request may start. @returns what to call when it ended.
   * @throws the signal's reason when it ends first, or the host's refusal that slowed it down where it waited for that
   */
  acquire(signal: AbortSignal): Promise<() => void>;
  /** The host asked to slow down; nothing starts before the time given, milliseconds from now. */
  throttled(pauseMs: number, refusal?: CollectError): void;
  /** Starts per second, at most. */
  rate(): number;
  /** Refusals that slowed the host down from this rate did not concern its rate. */
  restore(rate: number): void;
  succeeded(): void;
  /** How many requests the host has served. */
  served(): number;
  /** Whether no request runs or waits. */
  idle(): boolean;
}

/** Of the requests at once, so many are left after a refusal. */
const decrease = 0.7;

/**
 * Two bounds, both learned from refusals, since a registry's real limit is neither published nor stable. The number
 * of requests at once follows additive increase and multiplicative decrease, as TCP does. Their rate follows what the
 * host serves, see {@link createPace}: a quota of 20 requests per second is met by any number of quick requests, one
 * after the other, so a bound of those at once cannot keep to it.
 * @param max requests at once, at most
 * @param perSecond starts per second at most; undefined for no such limit
 */
export function createLimiter(max: number, perSecond = Number.POSITIVE_INFINITY): Limiter {
  const pace = createPace(perSecond);
  let allowed = max;
  let running = 0;
  let served = 0;
  let lastRefusal: CollectError | undefined;
  /** Whether a timer for the next start runs. */
  let timed = false;
  let idleSince: number | undefined;
  const waiting: (() => void)[] = [];

  const atOnce = (): number => (pace.probing() ? 1 : Math.max(1, Math.floor(allowed)));
  const pump = (): void => {
    while (waiting.length > 0 && running < atOnce()) {
      const now = performance.now();
      const waitMs = Math.ceil(pace.nextStart() - now);
      if (waitMs > 0) {
        if (!timed) setTimeout(onTime, waitMs);
        timed = true;
        return;
      }
      running += 1;
      pace.started(now);
      waiting.shift()?.();
    }
    if (running === 0 && waiting.length === 0) idleSince ??= performance.now();
  };
  const onTime = (): void => {
    timed = false;
    pump();
  };

  return {
    acquire(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const onAbort = () => {
          const isSlowed = timed || pace.probing();
          waiting.splice(waiting.indexOf(enter), 1);
          pump();
          reject((isSlowed && lastRefusal) || signal.reason);
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
        if (idleSince !== undefined) pace.resumed(performance.now(), idleSince);
        idleSince = undefined;
        waiting.push(enter);
        pump();
      });
    },
    throttled(pauseMs, refusal) {
      lastRefusal = refusal;
      if (pace.refused(performance.now(), pauseMs)) allowed = Math.max(1, allowed * decrease);
    },
    rate: pace.rate,
    restore(rate) {
      pace.restore(rate, performance.now());
      pump();
    },
    succeeded() {
      served += 1;
      pace.succeeded(performance.now());
      allowed = Math.min(max, allowed + 1 / Math.max(1, allowed));
      pump();
    },
    served: () => served,
    idle: () => running === 0 && waiting.length === 0,
  };
}
