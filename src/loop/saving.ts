import { CollectError } from '../errors.ts';
import type { RegistryStorage, SavedCounters } from '../storage.ts';
import type { RecentErrors } from './recent-errors.ts';
import type { Troubles } from './troubles.ts';

/** What the file system refuses (full, read-only, no folder) is for the user to correct, and no fault of the exporter. */
const explained = (error: unknown): unknown =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
    ? new CollectError('configuration', error.message, { cause: error })
    : error;

/** Saves what has to survive a restart. A full disk or a folder that cannot be written never stops the polls. */
export interface Saving {
  /** Saves something; a failure is told. */
  keep(what: string, save: () => Promise<void>): Promise<void>;
  /** Tells how a saving ended that was done elsewhere. */
  ended(what: string, error: unknown): void;
  counters(): Promise<void>;
  /** Whether everything was saved that had to be; undefined without a storage path, and before the first saving. */
  works(): boolean | undefined;
}

export function createSaving(input: {
  readonly storage: RegistryStorage;
  readonly errors: RecentErrors;
  readonly troubles: Troubles;
  /** The counters as they are now. */
  counters(): SavedCounters;
  /** Called when `works()` changed. */
  changed(): void;
}): Saving {
  const { storage, errors, troubles, counters, changed } = input;
  const unsaved = new Set<string>();
  let works: boolean | undefined;

  function ended(what: string, failure: unknown): void {
    const error = failure === undefined ? undefined : explained(failure);
    if (error === undefined) {
      unsaved.delete(what);
      troubles.over(`saving ${what}`);
    } else {
      const message = `${what} cannot be saved: ${error instanceof Error ? error.message : String(error)}`;
      if (!unsaved.has(what)) errors.add(error, message);
      unsaved.add(what);
      troubles.tell(
        'error',
        `saving ${what}`,
        error,
        `${what} cannot be saved: a restart would know less. Check the folder of --storage.path`,
      );
    }
    const worksNow = unsaved.size === 0;
    // Without a storage path nothing is saved, and nothing fails.
    if (storage.memoryPath === undefined || works === worksNow) return;
    works = worksNow;
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
    counters: () => keep('the counters', () => storage.saveCounters(counters())),
    works: () => works,
  };
}
