import type { CollectError } from '../errors.ts';
import type { Limiter } from './limiter.ts';

/** What is remembered of a request while it is repeated. */
export interface Repeated {
  /** How many requests its host had served when it refused this one. */
  servedBefore?: number;
  /** Refusals in a row between which some others were served, and none was refused. */
  onlyRefused: number;
  /** The rate of its host before its refusals slowed it down. */
  rateBefore?: number;
  /** Refusals, from the first one on that came though the host served others. */
  refusedAlone: number;
  /** When the first of these refusals came, by the monotonic clock. */
  aloneSince: number;
}

/** A request that is refused again after so many others were served is refused for what it asks, not for its rate… */
const othersServed = 5;
/** …and so is one that is the only one to be refused, so many times in a row. */
const onlyRefusedAtMost = 2;
/** Such a request is given up after so many refusals, in so long a time: it may be the last that a poll waits for. */
const aloneAtMost = { refusals: 10, ms: 60_000 };
/** Longest wait between two attempts of such a request. */
const longestAloneMs = 4_000;

/** How long to wait before another attempt: as long as the host asked, or by chance up to a bound that doubles. */
export const backOffMs = ({ retryAfterMs }: CollectError, tried: number, longestMs: number): number =>
  retryAfterMs === undefined
    ? Math.random() * Math.min(longestMs, 200 * 2 ** tried)
    : retryAfterMs + Math.random() * 100;

/** Whether a request was refused so often, while others were served, that it is not worth waiting for. */
export const isGivenUp = (
  { refusedAlone, aloneSince }: Repeated,
  { retryAfterMs = 0 }: CollectError,
): boolean =>
  refusedAlone > 0 &&
  (retryAfterMs > aloneAtMost.ms ||
    (refusedAlone >= aloneAtMost.refusals && performance.now() - aloneSince >= aloneAtMost.ms));

/** How long such a request waits; 0 where the whole host is refused, since its limiter holds the request back. */
export const aloneWaitMs = ({ refusedAlone }: Repeated, failure: CollectError): number =>
  refusedAlone === 0 ? 0 : backOffMs(failure, refusedAlone, longestAloneMs);

/** The refusals of one poll, whichever client made the requests: why they wait, and why a deadline passed. */
export interface Refusals {
  /**
   * Slows the host down, unless it serves others: then one resource is refused, which must not slow down the rest. What
   * was refused alone stays so: in the end nothing else is asked.
   */
  slowDown(limiter: Limiter, refusal: CollectError, request: Repeated): void;
  /** A request failed: when it was throttled, it is held back from now on. */
  note(request: Repeated, failure: CollectError): void;
  /** Some request worked. */
  worked(): void;
  /** The request is not repeated any more. */
  ended(request: Repeated): void;
  /** Why a request has no answer: its own refusal before those of others. */
  why(request?: Repeated): CollectError | undefined;
}

/** The last refusal, until a request works again; another poll may begin before that. */
export interface LastRefusal {
  failure?: CollectError | undefined;
}

/** @param last that of the polls before */
export function createRefusals(last: LastRefusal = {}): Refusals {
  /** Of requests that a refusal holds back now, the refusal: others wait behind them, though some may work. */
  const heldBack = new Map<Repeated, CollectError>();
  /** Of each host, what it refused last. */
  const lastRefused = new WeakMap<Limiter, Repeated>();

  /** Whether a request was refused for what it asks. */
  function isAlone(limiter: Limiter, request: Repeated): boolean {
    const served = limiter.served() - (request.servedBefore ?? limiter.served());
    const isOnly = served > 0 && lastRefused.get(limiter) === request;
    request.onlyRefused = isOnly ? request.onlyRefused + 1 : 0;
    request.servedBefore = limiter.served();
    lastRefused.set(limiter, request);
    return request.refusedAlone > 0 || served >= othersServed || request.onlyRefused > onlyRefusedAtMost;
  }

  return {
    slowDown(limiter, refusal, request) {
      if (!isAlone(limiter, request)) {
        if (request.onlyRefused === 0) request.rateBefore = limiter.rate();
        return limiter.throttled(refusal.retryAfterMs ?? 0, refusal);
      }
      if (request.refusedAlone === 0) {
        request.aloneSince = performance.now();
        if (request.onlyRefused > 0) limiter.restore(request.rateBefore ?? 0);
      }
      request.refusedAlone += 1;
    },
    note(request, failure) {
      heldBack.delete(request);
      if (failure.reason !== 'throttled') return;
      last.failure = failure;
      heldBack.set(request, failure);
    },
    worked() {
      last.failure = undefined;
    },
    ended: (request) => void heldBack.delete(request),
    why: (request) => (request && heldBack.get(request)) ?? last.failure ?? heldBack.values().next().value,
  };
}
