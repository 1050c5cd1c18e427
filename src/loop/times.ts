import { watchClock } from '../clock.ts';
import type { Logger } from '../provider.ts';
import type { RegistryState } from './state.ts';

/** The state as if everything in it had happened so much earlier. */
function moveBack(state: RegistryState, seconds: number): void {
  const earlier = (at: number | undefined) => (at === undefined ? undefined : at - seconds);
  const { snapshot } = state;
  if (snapshot) {
    const [observedAt, factsAt] = [earlier(snapshot.observedAt), earlier(snapshot.factsAt)];
    state.snapshot = {
      ...snapshot,
      observedAt,
      factsAt,
      repositories: new Map(
        [...snapshot.repositories].map(([name, entry]) => [
          name,
          { ...entry, observedAt: entry.observedAt - seconds },
        ]),
      ),
    };
  }
  state.lastSuccessAt = earlier(state.lastSuccessAt);
  state.lastAttemptAt = earlier(state.lastAttemptAt);
  state.errors = state.errors.map((error) => ({ ...error, at: error.at - seconds }));
  state.failing = new Map(
    [...state.failing].map(([capability, error]) => [capability, { ...error, at: error.at - seconds }]),
  );
}

/** The wall clock is compared with the monotonic one this often. */
const checkMs = 60_000;

/** The clock of a loop. */
export interface Times {
  /** Unix seconds; to be asked before a time is stored. */
  now(): number;
  stop(): void;
}

/**
 * Gives the time for a state that holds times. When the wall clock is set back, all of them would be in the future, and
 * data would be fresh until the clock has caught up: they are moved back too, so that ages stay what they are. A clock
 * that is set forward may be a machine that slept: the data is then as old as it looks.
 * @param onMoved called when times were moved, so that what is exposed follows
 */
export function createTimes(state: RegistryState, log: Logger, onMoved: () => void): Times {
  const look = watchClock();
  const check = (): void => {
    const { setMs } = look();
    if (setMs >= 0) return;
    const seconds = Math.round(-setMs / 1000);
    log.warn({ seconds }, 'the clock was set back: the times of the data are moved back too, its age stays');
    moveBack(state, seconds);
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
