import { setTimeout as sleep } from 'node:timers/promises';
import { CollectError } from '../errors.ts';
import type { Limiter } from './limiter.ts';
import { createLimiters, type Limiters, type Limits } from './limiters.ts';

/** Called after every attempt with its status, or the reason of its failure, and how long it took. */
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

const throttleOf = (failure: CollectError): CollectError | undefined =>
  failure.reason === 'throttled' ? failure : undefined;

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

  /** @throws why the poll ended without an answer, when it ends first */
  async function pause(ms: number, failure: CollectError): Promise<void> {
    await sleep(ms, undefined, { signal }).catch(() => {
      throw throttle ?? failure;
    });
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
        own = throttleOf(failure);
        throttle = own ?? throttle;
        const isRepeated = repeatable && mayPass(failure) && (own !== undefined || tried < retries);
        if (!isRepeated) throw failure;
        // The limiter holds the next attempt back.
        if (own) continue;
        await pause(waitMsAfter(failure, tried), failure);
      }
    },
  };
}
