import { once } from 'node:events';
import { startDeadline } from '../deadline.ts';
import { CollectError } from '../errors.ts';
import { createHangs, type Hangs, isHang } from './hangs.ts';
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
  /** The same of requests without an answer. */
  readonly hangs?: Hangs;
  /** Attempts after the first. */
  readonly retries: number;
  /**
   * How long what is asked aside is waited for in all, and other requests while they hang: no attempt begins after
   * that. Without end where absent.
   */
  readonly patienceMs?: number | undefined;
  /** The cycle's: no attempt, wait or retry outlives it. */
  readonly signal: AbortSignal;
}

/** How a request is repeated. */
export interface Repetition {
  readonly repeatable: boolean;
  /** What hangs together: a host and an operation. */
  readonly kind: string;
  /** Whether all attempts and waits end with the patience, whatever the failures are. */
  readonly aside?: boolean | undefined;
}

/** How requests are repeated and held back, whatever carries them. Lives for one poll; the limiters outlive it. */
export interface Attempts {
  /** The limiter of a host. */
  limiterOf(host: string): Limiter;
  /** Slows requests of the host down when the failure is a request to do so. @returns the failure */
  failed<E>(host: string, failure: E, request: Repeated): E;
  /**
   * Makes attempts until one works, fails for good, or the signal ends.
   * @throws CollectError of the last attempt
   */
  repeat<T>(
    repetition: Repetition,
    attempt: (request: Repeated, signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
}

const retriedStatuses = new Set([408, 429, 500, 502, 503, 504]);
const retriedReasons = new Set(['connect', 'dns', 'timeout', 'server_error', 'throttled']);

const mayPass = ({ reason, status }: CollectError): boolean =>
  reason === 'throttled' || (status === undefined ? retriedReasons.has(reason) : retriedStatuses.has(status));

const longestWaitMs = 10_000;

export function createAttempts(options: AttemptOptions): Attempts {
  const { signal, retries, patienceMs = Number.POSITIVE_INFINITY } = options;
  const { limiters = createLimiters(options), refusals = createRefusals(), hangs = createHangs() } = options;

  /** Why there is no answer at the end of the poll. What waited for a host that is slowed down knows the refusal. */
  function whyEnded(error: unknown, request: Repeated): unknown {
    if (error instanceof CollectError && error.reason === 'throttled') refusals.note(request, error);
    return refusals.why(request) ?? error;
  }

  /** @returns the failure of an attempt after which another one may be made */
  async function tryOnce<T>(attempt: () => Promise<T>, request: Repeated, kind: string) {
    hangs.refuse(kind);
    try {
      const result = await attempt();
      refusals.worked();
      hangs.answered(kind);
      return { result };
    } catch (error) {
      if (signal.aborted) throw whyEnded(error, request);
      if (!isHang(error)) hangs.answered(kind);
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

  /** Attempts until one works or fails for good. */
  async function untilDone<T>(
    { repeatable, kind }: Repetition,
    attempt: (request: Repeated, signal: AbortSignal) => Promise<T>,
    request: Repeated,
    limit: AbortSignal,
  ): Promise<T> {
    const began = performance.now();
    for (let tried = 0; ; tried += 1) {
      const { result, failure } = await tryOnce(() => attempt(request, limit), request, kind);
      if (!failure) return result as T;
      refusals.note(request, failure);
      const hangsOn = isHang(failure) && performance.now() - began >= patienceMs;
      if (!repeatable || limit.aborted || hangsOn) throw failure;
      await pause(waitBefore(tried, failure, request), { failure, request, limit });
    }
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
    async repeat(repetition, attempt) {
      const request: Repeated = { onlyRefused: 0, refusedAlone: 0, aloneSince: 0 };
      const isBounded = repetition.aside && Number.isFinite(patienceMs);
      const patience = isBounded ? startDeadline(signal, patienceMs) : undefined;
      try {
        return await untilDone(repetition, attempt, request, patience?.signal ?? signal);
      } catch (error) {
        if (isHang(error)) hangs.hung(repetition.kind);
        throw error;
      } finally {
        patience?.clear();
        // At the deadline the others still have to learn why: their reasons must not depend on who ends first.
        if (!signal.aborted) refusals.ended(request);
      }
    },
  };
}
