import { z } from 'zod';
import type { Logger } from '../provider.ts';
import { disk } from '../storage/disk.ts';
import { isMissing } from '../storage/files.ts';
import { createLatest } from '../storage/latest.ts';
import { appendLog, readLog, writeLog } from '../storage/log.ts';
import { isIdentityHash } from './event-ids.ts';
import { type PushIncrement, sumOfPushes } from './pushes.ts';

/**
 * What events counted since the counters were last saved, appended to a file as it comes: an answer to an event waits
 * for one line on disk, not for all counters. Lines are numbered; saved counters say up to which they go.
 */
export interface PushJournal {
  /** Reads back what was written after the line `saved`, and every remembered identity. */
  restore(saved: number, take: (entry: JournalEntry) => void): Promise<void>;
  push(repository: string, increment: PushIncrement): void;
  event(source: string, outcome: string, count: number): void;
  identity(hash: string): void;
  /** Ends the current line. @returns its number: counters that are saved now go up to it */
  seal(): number;
  /** Resolves when all of the above is on disk; what comes while the disk works goes there together. */
  flush(): Promise<void>;
  /** Waits for the disk to be done with what it was given. */
  close(): Promise<void>;
}

/** One line. */
export interface JournalEntry {
  readonly pushes: readonly (readonly [repository: string, PushIncrement])[];
  readonly events: readonly (readonly [source: string, outcome: string, count: number])[];
  readonly ids: readonly string[];
}

interface Batch {
  readonly number: number;
  readonly pushes: Map<string, PushIncrement>;
  readonly events: Map<string, number>;
  readonly ids: string[];
}

const newBatchOf = (number: number): Batch => ({ number, pushes: new Map(), events: new Map(), ids: [] });

const isEmpty = ({ pushes, events, ids }: Batch): boolean => pushes.size + events.size + ids.length === 0;

/** After so much was appended the file is written anew, with what is remembered only. */
const longestBytes = 2 * 2 ** 20;
/** More repositories and identities are not held for a disk that does not answer: they are in the counters. */
const heldAtMost = 20_000;

const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const name = z.string().max(1_000);
const batchLine = z.object({
  number: whole,
  pushes: z.array(z.tuple([name, whole, z.array(z.tuple([name, whole]))])),
  events: z.array(z.tuple([name, name, whole])),
  ids: z.array(z.string().refine(isIdentityHash)),
});

const lineOf = ({ number, pushes, events, ids }: Batch): z.input<typeof batchLine> => ({
  number,
  pushes: [...pushes].map(([name, { pushes, failures }]) => [name, pushes, Object.entries(failures)]),
  events: [...events].map(([key, count]) => {
    const [source = '', outcome = ''] = key.split('\t');
    return [source, outcome, count];
  }),
  ids,
});

/** Where a journal is kept, and what it needs of others. */
export interface JournalOptions {
  readonly path: string;
  /** Tells what is polled: a journal of another target is not read. */
  readonly target: string;
  readonly log: Logger;
  /** The identities that are remembered, for a file that is written anew. */
  identities(): Iterable<string>;
  /** Saves all counters, up to this line. */
  saveCounters(number: number): Promise<void>;
  /** Told how each writing ended. */
  written(error: unknown): void;
}

export function createPushJournal(options: JournalOptions): PushJournal {
  const { path, target, identities, saveCounters, written } = options;
  let last = 0;
  let current = newBatch();
  let sealed: Batch[] = [];
  let bytes = 0;
  /** The file lacks something, or is too long: counters are saved and it is written anew. */
  let rewrite = true;
  let flushed: Promise<void> = Promise.resolve();

  function newBatch(): Batch {
    last += 1;
    return newBatchOf(last);
  }
  function seal(): number {
    const { number } = current;
    if (!isEmpty(current)) sealed.push(current);
    current = newBatch();
    return number;
  }

  async function append(): Promise<void> {
    seal();
    const batches = sealed;
    sealed = [];
    if (batches.length === 0) return;
    bytes += await appendLog(path, batches.map(lineOf), { synced: true });
    if (bytes > longestBytes) rewrite = true;
  }

  async function writeAnew(): Promise<void> {
    const number = seal();
    sealed = [];
    rewrite = false;
    await saveCounters(number);
    await writeLog(path, target, [lineOf({ ...newBatchOf(number), ids: [...identities()] })]);
    bytes = 0;
  }

  async function write(): Promise<void> {
    try {
      await (rewrite ? writeAnew() : append());
      written(undefined);
    } catch (error) {
      rewrite = true;
      written(error);
      throw error;
    }
  }

  const flush = createLatest<void>(write);

  return {
    async restore(saved, take) {
      await readBack(options, (line) => {
        last = Math.max(last, line.number);
        take(entryOf(line, line.number > saved));
      });
      last = Math.max(last, saved);
      current = newBatch();
    },
    push(repository, increment) {
      if (current.pushes.size >= heldAtMost) rewrite = true;
      if (rewrite) return;
      current.pushes.set(repository, sumOfPushes(current.pushes.get(repository), increment));
    },
    event(source, outcome, count) {
      const key = `${source}\t${outcome}`;
      current.events.set(key, (current.events.get(key) ?? 0) + count);
    },
    identity(hash) {
      if (current.ids.length >= heldAtMost) rewrite = true;
      if (!rewrite) current.ids.push(hash);
    },
    seal,
    flush() {
      flushed = flush();
      return flushed;
    },
    close: () => disk.unlessItHangs(flushed).catch(() => {}),
  };
}

/** Reads the lines of a journal, and tells what of it could not be used. */
async function readBack(
  { path, target, log }: Pick<JournalOptions, 'path' | 'target' | 'log'>,
  take: (line: z.output<typeof batchLine>) => void,
): Promise<void> {
  let isReading = true;
  try {
    const { damaged, foreign } = await disk.unlessItHangs(
      // What a disk that hung gives later comes too late: events have been counted since.
      readLog(path, target, batchLine, (line) => isReading && take(line)),
    );
    if (foreign)
      log.warn(
        { file: path },
        'the saved push events are of another registry or version: starting without them',
      );
    // One may be what a crash cut short: its events were not answered, and are sent again.
    else if (damaged > 1)
      log.warn(
        { file: path, damaged },
        'lines of the saved push events are damaged: the pushes in them are missing',
      );
  } catch (error) {
    if (!isMissing(error))
      log.warn({ err: error, file: path }, 'the saved push events cannot be read: starting without them');
  } finally {
    isReading = false;
  }
}

/** What a line adds: its counts only when they are newer than the saved counters. */
function entryOf({ pushes, events, ids }: z.output<typeof batchLine>, isNew: boolean): JournalEntry {
  if (!isNew) return { ids, events: [], pushes: [] };
  return {
    ids,
    events,
    pushes: pushes.map(([repository, count, failures]) => [
      repository,
      { pushes: count, failures: Object.fromEntries(failures) },
    ]),
  };
}
