import { setTimeout as sleep } from 'node:timers/promises';
import { CollectError } from '../errors.ts';
import type { Limiter } from './limiter.ts';
import { createLimiters, type Limiters, type Limits } from './limiters.ts';

/** Told of every attempt: the status that it ended with, or the reason of the failure, and how long it took. */
export type Observe = (operation: string, code: string, seconds: number) => void;

export interface AttemptOptions extends Limits {
  /** Those of earlier polls; new ones without. */
  readonly limiters?: Limiters;
  /** Attempts after the first. */
  readonly retries: number;
  /** The cycle's: no attempt, wait or retry outlives it. */
  readonly signal: AbortSignal;
}

/** How requests are repeated and held back, whatever carries them. Lives for one poll; the limiters outlive it. */
export interface Attempts {
  /** The limiter of a host. */
  limiterOf(host: string): Limiter;
  /** Slows requests of the host down when the failure is a request to do so. @returns the failure */
  failed<E>(host: string, failure: E): E;
  /**
   * Makes attempts until one works, fails for good, or the signal ends.
   * @throws CollectError of the last attempt
   */
  repeat<T>(repeatable: boolean, attempt: () => Promise<T>): Promise<T>;
}

const retriedStatuses = new Set([408, 429, 500, 502, 503, 504]);
const retriedReasons = new Set(['connect', 'dns', 'timeout', 'server_error', 'throttled']);

const mayPass = ({ reason, status }: CollectError): boolean =>
  reason === 'throttled' || (status === undefined ? retriedReasons.has(reason) : retriedStatuses.has(status));

export function createAttempts(options: AttemptOptions): Attempts {
  const { signal, retries, limiters = createLimiters(options) } = options;
  /** The last refusal of a registry that throttles, until a request works again: why a deadline passed. */
  let throttle: CollectError | undefined;
  return {
    limiterOf: limiters.of,
    failed(host, failure) {
      if (failure instanceof CollectError) {
        const { reason, retryAfterMs } = failure;
        if (reason === 'throttled' || retryAfterMs !== undefined)
          limiters.of(host).throttled(retryAfterMs ?? 0);
      }
      return failure;
    },
    async repeat(repeatable, attempt) {
      /** What held this request back at last. */
      let own: CollectError | undefined;
      for (let tried = 0; ; tried += 1) {
        let failure: CollectError;
        try {
          const result = await attempt();
          throttle = undefined;
          return result;
        } catch (error) {
          if (signal.aborted) throw own ?? throttle ?? error;
          if (!(error instanceof CollectError)) throw error;
          failure = error;
        }
        // A registry that throttles is waited for until the cycle ends: only other failures use up the retries.
        const patient = failure.reason === 'throttled';
        own = patient ? failure : undefined;
        throttle = own ?? throttle;
        if (!mayPass(failure) || !repeatable || (tried >= retries && !patient)) throw failure;
        // The limiter holds the next attempt back.
        if (patient) continue;
        const asked = failure.retryAfterMs;
        const waitMs =
          asked === undefined
            ? Math.random() * Math.min(10_000, 200 * 2 ** tried)
            : asked + Math.random() * 100;
        try {
          await sleep(waitMs, undefined, { signal });
        } catch {
          throw throttle ?? failure;
        }
      }
    },
  };
}
