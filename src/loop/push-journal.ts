import { constants } from 'node:fs';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import type { Logger } from '../provider.ts';
import { isIdentityHash } from './event-ids.ts';
import type { PushIncrement } from './pushes.ts';

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

const version = 1;
/** After so much was appended the file is written anew, with what is remembered only. */
const longestBytes = 2 * 2 ** 20;
/** A file of this size is none that this program wrote. */
const largestBytes = 64 * 2 ** 20;
/** More repositories and identities are not held for a disk that does not answer: they are in the counters. */
const heldAtMost = 20_000;

const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const name = z.string().max(1_000);
const headerLine = z.object({ version: z.literal(version), target: z.string() });
const batchLine = z.object({
  number: whole,
  pushes: z.array(z.tuple([name, whole, z.array(z.tuple([name, whole]))])),
  events: z.array(z.tuple([name, name, whole])),
  ids: z.array(z.string().refine(isIdentityHash)),
});

const withChecksum = (value: unknown): string => {
  const json = JSON.stringify(value);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
};

const lineOf = ({ number, pushes, events, ids }: Batch): string =>
  withChecksum({
    number,
    pushes: [...pushes].map(([name, { pushes, failures }]) => [name, pushes, Object.entries(failures)]),
    events: [...events].map(([key, count]) => [...key.split('\t'), count]),
    ids,
  });

/** The JSON of a line; undefined when it was cut short or altered. */
function checkedLine(line: string): unknown {
  const json = line.slice(9);
  if (line.slice(0, 9) !== `${crc32(json).toString(16).padStart(8, '0')} `) return undefined;
  return JSON.parse(json);
}

/** Writes to a file, without following a link that somebody else may have put there, and waits for the disk. */
async function writeTo(path: string, flags: number, text: string): Promise<void> {
  const file = await open(path, flags | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600);
  try {
    await file.appendFile(text);
    await file.datasync();
  } finally {
    await file.close();
  }
}

export function createPushJournal(input: {
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
}): PushJournal {
  const { path, target, log, identities, saveCounters, written } = input;
  let last = 0;
  let current = newBatch();
  let sealed: Batch[] = [];
  let bytes = 0;
  /** The file lacks something, or is too long: counters are saved and it is written anew. */
  let rewrite = true;
  let running: Promise<void> | undefined;
  let following: Promise<void> | undefined;

  function newBatch(): Batch {
    last += 1;
    return newBatchOf(last);
  }
  const isEmpty = ({ pushes, events, ids }: Batch) => pushes.size + events.size + ids.length === 0;

  function seal(): number {
    const { number } = current;
    if (!isEmpty(current)) sealed.push(current);
    current = newBatch();
    return number;
  }

  async function append(batches: readonly Batch[]): Promise<void> {
    const text = batches.map(lineOf).join('');
    // One that was removed is not begun in the middle.
    await writeTo(path, constants.O_APPEND, text);
    bytes += Buffer.byteLength(text);
    if (bytes > longestBytes) rewrite = true;
  }

  async function writeAnew(): Promise<void> {
    const number = seal();
    sealed = [];
    rewrite = false;
    await saveCounters(number);
    const temporary = `${path}.tmp`;
    await rm(temporary, { force: true });
    const remembered = lineOf({ ...newBatchOf(number), ids: [...identities()] });
    const text = withChecksum({ version, target }) + remembered;
    await writeTo(temporary, constants.O_CREAT | constants.O_EXCL, text);
    await rename(temporary, path);
    const folder = await open(dirname(path), 'r');
    await folder.sync().finally(() => folder.close());
    bytes = 0;
  }

  async function write(): Promise<void> {
    try {
      if (rewrite) {
        await writeAnew();
        return written(undefined);
      }
      seal();
      const batches = sealed;
      sealed = [];
      if (batches.length > 0) await append(batches);
      written(undefined);
    } catch (error) {
      rewrite = true;
      written(error);
      throw error;
    }
  }

  const start = (): Promise<void> => {
    running = write().finally(() => {
      running = undefined;
    });
    return running;
  };

  return {
    async restore(saved, take) {
      const lines = await readBack();
      for (const { number, pushes, events, ids } of lines) {
        last = Math.max(last, number);
        const isNew = number > saved;
        take({
          ids,
          events: isNew ? events : [],
          pushes: isNew
            ? pushes.map(([repository, count, failures]) => [
                repository,
                { pushes: count, failures: Object.fromEntries(failures) },
              ])
            : [],
        });
      }
      last = Math.max(last, saved);
      current = newBatch();
    },
    push(repository, { pushes, failures }) {
      if (current.pushes.size >= heldAtMost) rewrite = true;
      if (rewrite) return;
      const before = current.pushes.get(repository);
      const sum = { ...before?.failures };
      for (const [reason, count] of Object.entries(failures)) sum[reason] = (sum[reason] ?? 0) + count;
      current.pushes.set(repository, { pushes: (before?.pushes ?? 0) + pushes, failures: sum });
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
      if (!running) return sealed.length === 0 && isEmpty(current) && !rewrite ? Promise.resolve() : start();
      following ??= running
        .catch(() => {})
        .then(() => {
          following = undefined;
          return start();
        });
      return following;
    },
    async close() {
      while (running) await running.catch(() => {});
    },
  };

  async function readBack(): Promise<readonly z.infer<typeof batchLine>[]> {
    try {
      const { size } = await stat(path);
      if (size > largestBytes) throw new Error(`${size} bytes are more than was ever written`);
      const [first = '', ...rest] = (await readFile(path, 'utf8')).split('\n');
      const header = headerLine.safeParse(checkedLine(first));
      if (!header.success) throw new Error('its first line is damaged');
      if (header.data.target !== target) return [];
      const lines: z.infer<typeof batchLine>[] = [];
      let damaged = 0;
      for (const line of rest) {
        if (line === '') continue;
        const parsed = batchLine.safeParse(checkedLine(line));
        if (parsed.success) lines.push(parsed.data);
        else damaged += 1;
      }
      // One may be what a crash cut short: its events were not answered, and are sent again.
      if (damaged > 1)
        log.warn(
          { path, damaged },
          'lines of the saved push events are damaged: the pushes in them are missing',
        );
      return lines;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn({ err: error, path }, 'the saved push events cannot be read: starting without them');
      return [];
    }
  }
}
