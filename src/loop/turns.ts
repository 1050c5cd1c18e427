import type { Logger } from '../provider.ts';

/** Push events come in bursts, one per tag and platform: they are gathered for so long. */
const lookDelayMs = 2_000;

/** In which order cycles come: whole polls, and looks at repositories that were pushed to. Never two at once. */
export interface Turns {
  /** Runs a poll now; does nothing but wait for the cycle that is running when there is one. */
  poll(): Promise<void>;
  /** The schedule's poll: behind a look it comes late, behind another poll it is left out. */
  pollOnSchedule(): void;
  /** Looks at a repository again soon. */
  look(repository: string): void;
  /** Begins nothing more. @returns when the cycle that is running has ended */
  stop(): Promise<void>;
}

export function createTurns(input: {
  readonly log: Logger;
  /** A cycle over the whole registry, or over these repositories only. */
  cycle(only: readonly string[] | undefined): Promise<void>;
  /** Whether there is a registry to put single repositories into. */
  canLook(): boolean;
  /** Told instead of a look where there is not. */
  cannotLook(): void;
}): Turns {
  const { log, cycle, canLook, cannotLook } = input;
  const toLook = new Set<string>();
  let running: Promise<void> | undefined;
  let runningIsLook = false;
  /** Whether a scheduled poll waits for the end of a look. */
  let pollDue = false;
  let timer: NodeJS.Timeout | undefined;
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
    if (toLook.size === 0 || timer || stopped) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (running || toLook.size === 0) return;
      const names = [...toLook];
      toLook.clear();
      if (canLook()) void run(names);
      else cannotLook();
    }, lookDelayMs);
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
    } else log.warn({}, 'the last poll is still running: this one is left out');
  }

  return {
    poll: () => run(),
    pollOnSchedule,
    look(repository) {
      toLook.add(repository);
      lookSoon();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
