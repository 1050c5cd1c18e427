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
      ...(observedAt !== undefined && { observedAt }),
      ...(factsAt !== undefined && { factsAt }),
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
}

/**
 * Gives the time for a state that holds times. When the wall clock is set back, all of them would lie ahead, and data
 * would be fresh until the clock has caught up: they are moved along, so that ages stay what they are. A clock that is
 * set forward may be a machine that slept: the data is then as old as it looks.
 * @returns Unix seconds; to be asked before a time is stored
 */
export function createTimes(state: RegistryState, log: Logger): () => number {
  const look = watchClock();
  return () => {
    const { setMs } = look();
    if (setMs < 0) {
      const seconds = Math.round(-setMs / 1000);
      log.warn({ seconds }, 'the clock was set back: the times of the data are moved along, its age stays');
      moveBack(state, seconds);
    }
    return Date.now() / 1000;
  };
}
