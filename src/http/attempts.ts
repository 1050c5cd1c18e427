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

/** How long to wait before another attempt, where the limiter does not hold it back. */
const waitMsAfter = ({ retryAfterMs }: CollectError, tried: number): number =>
  retryAfterMs === undefined
    ? Math.random() * Math.min(10_000, 200 * 2 ** tried)
    : retryAfterMs + Math.random() * 100;

export function createAttempts(options: AttemptOptions): Attempts {
  const { signal, retries, limiters = createLimiters(options) } = options;
  /** The last refusal of a registry that throttles, until a request works again: why a deadline passed. */
  let throttle: CollectError | undefined;

  /** @returns the failure of an attempt after which another one may be made */
  async function tryOnce<T>(attempt: () => Promise<T>, own: CollectError | undefined) {
    try {
      const result = await attempt();
      throttle = undefined;
      return { result };
    } catch (error) {
      if (signal.aborted) throw own ?? throttle ?? error;
      if (!(error instanceof CollectError)) throw error;
      return { failure: error };
    }
  }

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
        const { result, failure } = await tryOnce(attempt, own);
        if (!failure) return result as Awaited<ReturnType<typeof attempt>>;
        // A registry that throttles is waited for until the cycle ends: only other failures use up the retries.
        own = failure.reason === 'throttled' ? failure : undefined;
        throttle = own ?? throttle;
        if (!mayPass(failure) || !repeatable || (tried >= retries && !own)) throw failure;
        // The limiter holds the next attempt back.
        if (own) continue;
        await sleep(waitMsAfter(failure, tried), undefined, { signal }).catch(() => {
          throw throttle ?? failure;
        });
      }
    },
  };
}
