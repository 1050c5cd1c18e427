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

/** How long to wait before another attempt, where the limiter does not hold it back. */
const waitMsAfter = ({ retryAfterMs }: CollectError, tried: number): number =>
  retryAfterMs === undefined
    ? Math.random() * Math.min(10_000, 200 * 2 ** tried)
    : retryAfterMs + Math.random() * 100;

export function createAttempts(options: AttemptOptions): Attempts {
  const { signal, retries, limiters = createLimiters(options) } = options;
  /** The last refusal of a registry that throttles, until a request works again: why a deadline passed. */
  let throttle: CollectError | undefined;
  /** Of requests that a refusal holds back now, the refusal: others wait behind them, though some may work. */
  const heldBack = new Map<symbol, CollectError>();
  const whyEnded = (): CollectError | undefined => throttle ?? heldBack.values().next().value;

  /** @returns the failure of an attempt after which another one may be made */
  async function tryOnce<T>(attempt: () => Promise<T>, own: CollectError | undefined) {
    try {
      const result = await attempt();
      throttle = undefined;
      return { result };
    } catch (error) {
      if (signal.aborted) throw own ?? whyEnded() ?? error;
      if (!(error instanceof CollectError)) throw error;
      return { failure: error };
    }
  }

  /** @returns whether the registry refused because there are too many requests */
  function noteThrottle(request: symbol, failure: CollectError): boolean {
    heldBack.delete(request);
    if (failure.reason !== 'throttled') return false;
    throttle = failure;
    heldBack.set(request, failure);
    return true;
  }

  /** @throws why the poll ended without an answer, when it ends first */
  async function pause(ms: number, failure: CollectError): Promise<void> {
    await sleep(ms, undefined, { signal }).catch(() => {
      throw whyEnded() ?? failure;
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
      const request = Symbol('request');
      try {
        for (let tried = 0; ; tried += 1) {
          const { result, failure } = await tryOnce(attempt, heldBack.get(request));
          if (!failure) return result as Awaited<ReturnType<typeof attempt>>;
          const isThrottled = noteThrottle(request, failure);
          // A registry that throttles is waited for until the cycle ends: only other failures use up the retries.
          if (!repeatable || !mayPass(failure) || (!isThrottled && tried >= retries)) throw failure;
          // The limiter holds the next attempt of one that was throttled back.
          if (!isThrottled) await pause(waitMsAfter(failure, tried), failure);
        }
      } finally {
        heldBack.delete(request);
      }
    },
  };
}
