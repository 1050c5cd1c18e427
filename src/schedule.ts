import { createHash } from 'node:crypto';
import cron from 'node-cron';

/** A running schedule. */
export interface Schedule {
  stop(): void;
  /** When it fires next, Unix milliseconds; undefined when that is not known. */
  next(): number | undefined;
}

/** When to poll: a cron expression, or every so many milliseconds. */
export type When = { readonly cron: string } | { readonly everyMs: number };

/** https://nodejs.org/api/timers.html#settimeoutcallback-delay-args */
export const longestDelayMs = 2 ** 31 - 1;

/**
 * A registry's own delay, so that registries with the same schedule do not all start in the same second. It is
 * derived from the name: the same after a restart, and the same in every replica.
 */
export function spreadMs(registry: string, intervalMs: number): number {
  const share = createHash('sha256').update(registry).digest().readUInt32BE(0) / 2 ** 32;
  return Math.floor(share * Math.min(intervalMs / 10, 30_000));
}

/**
 * Calls `fire` on schedule, spread by the registry's name. It does not wait for what `fire` starts: a cycle that is
 * still running refuses the next one itself.
 */
export function startSchedule(when: When, registry: string, intervalMs: number, fire: () => void): Schedule {
  const delayMs = spreadMs(registry, intervalMs);
  const delayed = new Set<NodeJS.Timeout>();
  const fireLater = () => {
    const timer = setTimeout(() => {
      delayed.delete(timer);
      fire();
    }, delayMs);
    delayed.add(timer);
  };
  const clearDelayed = () => {
    for (const timer of delayed) clearTimeout(timer);
  };
  if ('cron' in when) {
    const task = cron.schedule(when.cron, fireLater);
    return {
      stop() {
        void task.destroy();
        clearDelayed();
      },
      next: () => {
        const next = task.getNextRun()?.getTime();
        return next === undefined ? undefined : next + delayMs;
      },
    };
  }
  let nextAt = Date.now() + when.everyMs + delayMs;
  let timer: NodeJS.Timeout | undefined;
  const arm = () => {
    // Node's timers overflow and fire at once beyond this: longer intervals are waited for in parts.
    timer = setTimeout(wake, Math.min(Math.max(0, nextAt - Date.now()), longestDelayMs));
  };
  const wake = () => {
    const now = Date.now();
    // Timers may fire a millisecond early by this clock.
    if (nextAt - now <= 2) {
      nextAt += when.everyMs;
      // A machine that slept fires once, not once for each poll it missed.
      if (nextAt <= now) nextAt = now + when.everyMs;
      fire();
    }
    arm();
  };
  arm();
  return {
    stop: () => clearTimeout(timer),
    next: () => nextAt,
  };
}
