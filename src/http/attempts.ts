import { setTimeout as sleep } from 'node:timers/promises';
import { CollectError } from '../errors.ts';
import { createLimiter, type Limiter } from './limiter.ts';

/** Told of every attempt: the status that it ended with, or the reason of the failure, and how long it took. */
export type Observe = (operation: string, code: string, seconds: number) => void;

export interface AttemptOptions {
  /** Requests of one host at once, at most; fewer while it throttles. */
  readonly maxConcurrent: number;
  readonly requestsPerSecond?: number;
  /** Attempts after the first. */
  readonly retries: number;
  /** The cycle's: no attempt, wait or retry outlives it. */
  readonly signal: AbortSignal;
}

/** How requests are repeated and held back, whatever carries them. Lives for one cycle. */
export interface Attempts {
  /** The limiter of a host. */
  limiterOf(host: string): Limiter;
  /**
   * Makes attempts until one works, fails for good, or the signal ends.
   * @throws CollectError of the last attempt
   */
  repeat<T>(host: string, repeatable: boolean, attempt: () => Promise<T>): Promise<T>;
}

const retriedStatuses = new Set([408, 429, 500, 502, 503, 504]);
const retriedReasons = new Set(['connect', 'dns', 'timeout', 'server_error', 'throttled']);

const mayPass = ({ reason, status }: CollectError): boolean =>
  reason === 'throttled' || (status === undefined ? retriedReasons.has(reason) : retriedStatuses.has(status));

export function createAttempts(options: AttemptOptions): Attempts {
  const { signal, retries, maxConcurrent, requestsPerSecond } = options;
  const limiters = new Map<string, Limiter>();
  /** The last refusal of a registry that throttles, until a request works again: why a deadline passed. */
  let throttle: CollectError | undefined;
  const limiterOf = (host: string): Limiter => {
    const found = limiters.get(host) ?? createLimiter(maxConcurrent, requestsPerSecond);
    limiters.set(host, found);
    return found;
  };
  return {
    limiterOf,
    async repeat(host, repeatable, attempt) {
      for (let tried = 0; ; tried += 1) {
        let failure: CollectError;
        try {
          const result = await attempt();
          throttle = undefined;
          return result;
        } catch (error) {
          if (signal.aborted) throw throttle ?? error;
          if (!(error instanceof CollectError)) throw error;
          failure = error;
        }
        // A registry that throttles is waited for until the cycle ends: only other failures use up the retries.
        const patient = failure.reason === 'throttled';
        if (patient) throttle = failure;
        const asked = failure.retryAfterMs;
        const waitMs =
          asked === undefined
            ? Math.random() * Math.min(patient ? 4_000 : 10_000, 200 * 2 ** tried)
            : asked + Math.random() * 100;
        if (patient || asked !== undefined) limiterOf(host).throttled(asked ?? 0);
        if (!mayPass(failure) || !repeatable || (tried >= retries && !patient)) throw failure;
        try {
          await sleep(waitMs, undefined, { signal });
        } catch {
          throw throttle ?? failure;
        }
      }
    },
  };
}
