import type { Logger } from '../provider.ts';
import { createLooks } from './looks.ts';

/** Decides when cycles run: polls of the whole registry, and looks at repositories that were pushed to. Never two at once. */
export interface CycleOrder {
  /** Runs a poll now; does nothing but wait for the cycle that is running when there is one. */
  poll(): Promise<void>;
  /** The schedule's poll: behind a look it comes late, behind another poll it is left out. */
  pollOnSchedule(): void;
  /** Looks at a repository again soon; at one that no listing has shown only so often. */
  look(repository: string): void;
  /** Begins nothing more. @returns when the cycle that is running has ended */
  stop(): Promise<void>;
}

export function createCycleOrder(input: {
  readonly log: Logger;
  /** A cycle over the whole registry, or over these repositories only. */
  cycle(only: readonly string[] | undefined): Promise<void>;
  /** Whether there is a registry to put single repositories into. */
  canLook(): boolean;
  /** Whether a listing has shown the repository. */
  isKnown(repository: string): boolean;
  /** Called instead of a look while there is no such registry yet. */
  cannotLook(): void;
}): CycleOrder {
  const { log, cycle, canLook, isKnown, cannotLook } = input;
  const looks = createLooks(isKnown);
  let running: Promise<void> | undefined;
  let runningIsLook = false;
  /** Whether a scheduled poll waits for the end of a look. */
  let pollDue = false;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = 0;
  let stopped = false;

  function run(only?: readonly string[]): Promise<void> {
    if (running) return running;
    runningIsLook = only !== undefined;
    running = cycle(only)
      .catch((error) => log.error({ err: error }, 'the cycle broke: this is a fault of the exporter'))
      .finally(() => {
        running = undefined;
        lookSoon();
      });
    return running;
  }

  function lookSoon(): void {
    const dueMs = looks.dueMs();
    if (dueMs === undefined || stopped) return;
    const at = performance.now() + dueMs;
    if (timer && timerAt <= at) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(() => {
      timer = undefined;
      if (running) return;
      if (!canLook()) {
        looks.clear();
        return cannotLook();
      }
      const names = looks.take();
      if (names.length > 0) void run(names);
      else lookSoon();
    }, dueMs);
  }

  function pollOnSchedule(): void {
    if (stopped) return;
    if (!running) void run();
    else if (runningIsLook) {
      if (pollDue) return;
      pollDue = true;
      void running.then(() => {
        pollDue = false;
        pollOnSchedule();
      });
    } else log.warn({}, 'the last poll is still running: this one is skipped');
  }

  return {
    poll: () => run(),
    pollOnSchedule,
    look(repository) {
      looks.want(repository);
      lookSoon();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
