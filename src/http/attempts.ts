import { once } from 'node:events';
import { startDeadline } from '../deadline.ts';
import { CollectError } from '../errors.ts';
import type { Limiter } from './limiter.ts';
import { createLimiters, type Limiters, type Limits } from './limiters.ts';
import {
  aloneWaitMs,
  backOffMs,
  createRefusals,
  isGivenUp,
  type Refusals,
  type Repeated,
} from './refusals.ts';

/** Called after every attempt with its status, or the reason of its failure, and how long it took. */
export type Observe = (operation: string, code: string, seconds: number) => void;

export interface AttemptOptions extends Limits {
  /** Those of earlier polls; new ones without. */
  readonly limiters?: Limiters;
  /** Those of all clients of one poll; own ones without. */
  readonly refusals?: Refusals;
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
  failed<E>(host: string, failure: E, request: Repeated): E;
  /**
   * Makes attempts until one works, fails for good, or the signal ends.
   * @param patienceMs all attempts and waits end after so long
   * @throws CollectError of the last attempt
   */
  repeat<T>(
    repeatable: boolean,
    attempt: (request: Repeated, signal: AbortSignal) => Promise<T>,
    patienceMs?: number,
  ): Promise<T>;
}

const retriedStatuses = new Set([408, 429, 500, 502, 503, 504]);
const retriedReasons = new Set(['connect', 'dns', 'timeout', 'server_error', 'throttled']);

const mayPass = ({ reason, status }: CollectError): boolean =>
  reason === 'throttled' || (status === undefined ? retriedReasons.has(reason) : retriedStatuses.has(status));

const longestWaitMs = 10_000;

export function createAttempts(options: AttemptOptions): Attempts {
  const { signal, retries, limiters = createLimiters(options), refusals = createRefusals() } = options;

  /** @returns the failure of an attempt after which another one may be made */
  async function tryOnce<T>(attempt: () => Promise<T>, request: Repeated) {
    try {
      const result = await attempt();
      refusals.worked();
      return { result };
    } catch (error) {
      if (signal.aborted) {
        // What waited for a host that is slowed down knows the refusal.
        if (error instanceof CollectError && error.reason === 'throttled') refusals.note(request, error);
        throw refusals.why(request) ?? error;
      }
      if (!(error instanceof CollectError)) throw error;
      return { failure: error };
    }
  }

  /** @returns how long to wait before another attempt, milliseconds @throws the failure where none is worth it */
  function waitBefore(tried: number, failure: CollectError, request: Repeated): number {
    if (!mayPass(failure) || isGivenUp(request, failure)) throw failure;
    // A registry that throttles is waited for until the cycle ends: only other failures use up the retries.
    if (failure.reason === 'throttled') return aloneWaitMs(request, failure);
    if (tried >= retries) throw failure;
    return backOffMs(failure, tried, longestWaitMs);
  }

  /** @throws why there is no answer, when the poll or the patience ends first */
  async function pause(
    ms: number,
    { failure, request, limit }: { failure: CollectError; request: Repeated; limit: AbortSignal },
  ): Promise<void> {
    if (ms === 0) return;
    const wait = startDeadline(limit, ms);
    if (!wait.signal.aborted) await once(wait.signal, 'abort');
    if (!wait.passed()) throw (signal.aborted ? refusals.why(request) : undefined) ?? failure;
  }

  return {
    limiterOf: limiters.of,
    failed(host, failure, request) {
      if (failure instanceof CollectError) {
        const { reason, retryAfterMs } = failure;
        if (reason === 'throttled' || retryAfterMs !== undefined)
          refusals.slowDown(limiters.of(host), failure, request);
      }
      return failure;
    },
    async repeat(repeatable, attempt, patienceMs) {
      const request: Repeated = { onlyRefused: 0, refusedAlone: 0, aloneSince: 0 };
      const patience = patienceMs === undefined ? undefined : startDeadline(signal, patienceMs);
      const limit = patience?.signal ?? signal;
      try {
        for (let tried = 0; ; tried += 1) {
          const { result, failure } = await tryOnce(() => attempt(request, limit), request);
          if (!failure) return result as Awaited<ReturnType<typeof attempt>>;
          refusals.note(request, failure);
          if (!repeatable || patience?.passed()) throw failure;
          await pause(waitBefore(tried, failure, request), { failure, request, limit });
        }
      } finally {
        patience?.clear();
        // At the deadline the others still have to learn why: their reasons must not depend on who ends first.
        if (!signal.aborted) refusals.ended(request);
      }
    },
  };
}
