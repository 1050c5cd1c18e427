import { watchClock } from '../clock.ts';
import type { Logger } from '../provider.ts';

/** The wall clock is compared with the monotonic one this often. */
const checkMs = 60_000;

/** Something that keeps times. */
export interface HoldsTimes {
  /** Changes its times as if everything had happened so many seconds earlier. */
  moveBack(seconds: number): void;
}

/** The clock of a loop. */
export interface Times {
  /** Unix seconds; to be asked before a time is stored. */
  now(): number;
  stop(): void;
}

/**
 * Gives the time to parts that hold times. When the wall clock is set back, all of them would be in the future, and
 * data would be fresh until the clock has caught up: they are moved back too, so that ages stay what they are. A clock
 * that is set forward may be a machine that slept: the data is then as old as it looks.
 * @param onMoved called when times were moved, so that what is exposed follows
 */
export function createTimes(holders: readonly HoldsTimes[], log: Logger, onMoved: () => void): Times {
  const look = watchClock();
  const check = (): void => {
    const { setMs } = look();
    if (setMs >= 0) return;
    const seconds = Math.round(-setMs / 1000);
    log.warn({ seconds }, 'the clock was set back: the times of the data are moved back too, its age stays');
    for (const holder of holders) holder.moveBack(seconds);
    onMoved();
  };
  let timer: NodeJS.Timeout | undefined;
  const checkSoon = (): void => {
    timer = setTimeout(() => {
      check();
      checkSoon();
    }, checkMs).unref();
  };
  checkSoon();
  return {
    now() {
      check();
      return Date.now() / 1000;
    },
    stop: () => clearTimeout(timer),
  };
}
