import { CollectError, reasonOf } from '../errors.ts';
import type { RegistryStorage } from '../storage.ts';
import { type RegistryState, recordError, savedCounters } from './state.ts';
import type { Troubles } from './troubles.ts';

/** What the file system refuses (full, read-only, no folder) is for the user to mend, and no fault of the exporter. */
const explained = (error: unknown): unknown =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
    ? new CollectError('configuration', error.message, { cause: error })
    : error;

/** Saves what has to survive a restart. A full disk or a folder that cannot be written never stops the polls. */
export interface Saving {
  /** Saves something; a failure is told, and seen in `state.saved`. */
  keep(what: string, save: () => Promise<void>): Promise<void>;
  /** Tells how a saving ended that was done elsewhere. */
  ended(what: string, error: unknown): void;
  counters(): Promise<void>;
}

export function createSaving(input: {
  readonly state: RegistryState;
  readonly storage: RegistryStorage;
  readonly troubles: Troubles;
  /** Up to which line of the push journal the counters go. */
  sealed(): number;
  /** Told when `state.saved` changed. */
  changed(): void;
}): Saving {
  const { state, storage, troubles, sealed, changed } = input;
  const unsaved = new Set<string>();

  function ended(what: string, failure: unknown): void {
    const error = failure === undefined ? undefined : explained(failure);
    if (error === undefined) {
      unsaved.delete(what);
      troubles.over(`saving ${what}`);
    } else {
      const message = `${what} cannot be saved: ${error instanceof Error ? error.message : String(error)}`;
      if (!unsaved.has(what)) recordError(state, { at: Date.now() / 1000, reason: reasonOf(error), message });
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
  async function keep(what: string, save: () => Promise<void>): Promise<void> {
    try {
      await save();
      ended(what, undefined);
    } catch (error) {
      ended(what, error ?? new Error('no reason was given'));
    }
  }

  return {
    keep,
    ended,
    counters: () => keep('the counters', () => storage.saveCounters(savedCounters(state, sealed()))),
  };
}
