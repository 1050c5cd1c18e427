import type { RegistryStorage } from '../storage.ts';
import { type RegistryState, recordError, savedCounters } from './state.ts';
import type { Troubles } from './troubles.ts';

/** Saves what has to survive a restart. A full disk or a folder that cannot be written never stops the polls. */
export interface Saving {
  /** Saves something; a failure is told, and seen in `state.saved`. */
  keep(what: string, save: () => Promise<void>): Promise<void>;
  counters(): Promise<void>;
  /** The same in a moment: events come in bursts. */
  countersSoon(): void;
  /** Ends what is due in a moment. */
  stop(): void;
}

const soonMs = 500;

export function createSaving(input: {
  readonly state: RegistryState;
  readonly storage: RegistryStorage;
  readonly troubles: Troubles;
  /** Told when `state.saved` changed. */
  changed(): void;
}): Saving {
  const { state, storage, troubles, changed } = input;
  const unsaved = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  async function keep(what: string, save: () => Promise<void>): Promise<void> {
    try {
      await save();
      unsaved.delete(what);
      troubles.over(`saving ${what}`);
    } catch (error) {
      const message = `${what} cannot be saved: ${error instanceof Error ? error.message : String(error)}`;
      if (!unsaved.has(what)) recordError(state, { at: Date.now() / 1000, reason: 'internal', message });
      unsaved.add(what);
      troubles.tell(
        'error',
        `saving ${what}`,
        error,
        `${what} cannot be saved: a restart would know less. Check the folder of --storage.path`,
      );
    }
    const saved = unsaved.size === 0;
    // Without a place to save to nothing is saved, and nothing fails.
    if (storage.memoryPath === undefined || state.saved === saved) return;
    state.saved = saved;
    changed();
  }
  const counters = () => keep('the counters', () => storage.saveCounters(savedCounters(state)));

  return {
    keep,
    counters,
    countersSoon() {
      timer ??= setTimeout(() => {
        timer = undefined;
        void counters();
      }, soonMs);
    },
    stop: () => clearTimeout(timer),
  };
}
