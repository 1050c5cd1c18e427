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
  let interval: NodeJS.Timeout | undefined;
  const tick = () => {
    nextAt = Date.now() + when.everyMs;
    fire();
  };
  const first = setTimeout(() => {
    interval = setInterval(tick, when.everyMs);
    tick();
  }, when.everyMs + delayMs);
  return {
    stop() {
      clearTimeout(first);
      clearInterval(interval);
    },
    next: () => nextAt,
  };
}
