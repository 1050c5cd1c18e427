import { createHash } from 'node:crypto';
import cron from 'node-cron';
import { watchClock } from './clock.ts';

/** A running schedule. */
export interface Schedule {
  stop(): void;
  /** When it fires next, Unix milliseconds. */
  next(): number;
}

/** When to poll: a cron expression, or every so many milliseconds. */
export type When = { readonly cron: string } | { readonly everyMs: number };

/** https://nodejs.org/api/timers.html#settimeoutcallback-delay-args */
export const longestDelayMs = 2 ** 31 - 1;

/** The wall clock may have been set: so often it is looked at. */
const lookMs = 60_000;
const minuteMs = 60_000;

/**
 * A registry's own delay, so that registries with the same schedule do not all start in the same second. It is
 * derived from the name: the same after a restart, and the same in every replica.
 */
export function spreadMs(registry: string, intervalMs: number): number {
  const share = createHash('sha256').update(registry).digest().readUInt32BE(0) / 2 ** 32;
  return Math.floor(share * Math.min(intervalMs / 10, 30_000));
}

/** A cron expression, as the times at which it fires. */
interface CronTimes {
  /** The first time after this one, Unix milliseconds. */
  after(now: number): number;
  close(): void;
}

/**
 * node-cron reads the expression and knows its times. One that fires in every hour is asked minute by minute instead,
 * by what the clock on the wall shows then: the hour that comes twice at the end of daylight saving time would be
 * left out the second time otherwise.
 */
function cronTimes(expression: string): CronTimes {
  const task = cron.createTask(expression, () => {});
  const { hour, second } = cron.parse(expression);
  const everyHour = hour.length === 24;

  function inTwoHours(now: number): number | undefined {
    const [first = 0] = second;
    const minute = Math.floor(now / minuteMs) * minuteMs;
    for (let at = minute; at <= minute + 120 * minuteMs; at += minuteMs) {
      if (!task.match(new Date(at + first * 1000))) continue;
      const match = second.find((offset) => at + offset * 1000 > now);
      if (match !== undefined) return at + match * 1000;
    }
    return undefined;
  }

  return {
    after(now) {
      const soon = everyHour ? inTwoHours(now) : undefined;
      // node-cron counts from this moment, which is what `now` is.
      return soon ?? task.getNextRuns(1)[0]?.getTime() ?? Number.POSITIVE_INFINITY;
    },
    close: () => void task.destroy(),
  };
}

/** Counts the time until the next call; both kinds of schedule are one. */
interface Countdown {
  /** Milliseconds until it is due; 0 or less when it is. */
  left(): number;
  /** Begins to count to the next time: the ones that were missed meanwhile are left out. */
  restart(): void;
  close(): void;
}

/** Follows the monotonic clock; the time during which the machine slept counts as well. */
function intervalCountdown(everyMs: number, delayMs: number): Countdown {
  const look = watchClock();
  let leftMs = everyMs + delayMs;
  return {
    left() {
      leftMs -= look().passedMs;
      return leftMs;
    },
    restart() {
      leftMs += everyMs;
      if (leftMs <= 0) leftMs = everyMs;
    },
    close() {},
  };
}

/** Follows the wall clock, as cron expressions mean it; when that was set, the next time is found anew. */
function cronCountdown(expression: string, delayMs: number): Countdown {
  const look = watchClock();
  const times = cronTimes(expression);
  let dueAt = 0;
  const nextAt = () => times.after(Date.now()) + delayMs;
  const restart = () => {
    dueAt = nextAt();
  };
  restart();
  return {
    left() {
      if (look().setMs < 0) dueAt = Math.min(dueAt, nextAt());
      return dueAt - Date.now();
    },
    restart,
    close: times.close,
  };
}

/**
 * Calls `fire` on schedule, spread by the registry's name. It does not wait for what `fire` starts: a cycle that is
 * still running refuses the next one itself. A wall clock that was set back holds up nothing for longer than until the
 * next look at it, and a machine that slept fires once, not once for each time that it missed.
 */
export function startSchedule(when: When, registry: string, intervalMs: number, fire: () => void): Schedule {
  const delayMs = spreadMs(registry, intervalMs);
  const countdown =
    'cron' in when ? cronCountdown(when.cron, delayMs) : intervalCountdown(when.everyMs, delayMs);
  let timer: NodeJS.Timeout | undefined;
  const arm = (leftMs: number) => {
    timer = setTimeout(wake, Math.min(Math.max(0, leftMs), lookMs));
  };
  const wake = () => {
    if (countdown.left() <= 0) {
      countdown.restart();
      fire();
    }
    arm(countdown.left());
  };
  arm(countdown.left());
  return {
    stop() {
      clearTimeout(timer);
      countdown.close();
    },
    next: () => Date.now() + Math.max(0, countdown.left()),
  };
}
