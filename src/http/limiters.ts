import { createLimiter, type Limiter } from './limiter.ts';

/** How many requests of one host may run, where the configuration or the provider says it. */
export interface Limits {
  /** At once, at most; fewer while the host throttles. */
  readonly maxConcurrent: number;
  /** Starts per second, at most. */
  readonly requestsPerSecond?: number;
}

/**
 * The limiters of all hosts that one registry's requests go to. Kept across polls, so that what was learned of a quota
 * is not learned again by refusals. Each host has its own: the registry, its token server, a store that it redirects to.
 */
export interface Limiters {
  of(host: string): Limiter;
}

/** Registries may redirect to a host of another name each time: so many are remembered. */
const hostsAtMost = 200;

export function createLimiters({ maxConcurrent, requestsPerSecond }: Limits): Limiters {
  const limiters = new Map<string, Limiter>();
  return {
    of(host) {
      const limiter = limiters.get(host) ?? createLimiter(maxConcurrent, requestsPerSecond);
      // To the end: the host that was used longest ago is the first.
      limiters.delete(host);
      limiters.set(host, limiter);
      if (limiters.size > hostsAtMost)
        for (const [oldest, { idle }] of limiters)
          if (idle()) {
            limiters.delete(oldest);
            break;
          }
      return limiter;
    },
  };
}
