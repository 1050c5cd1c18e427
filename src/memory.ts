import type { Logger, Memory } from './provider.ts';
import { disk } from './storage/disk.ts';
import { isMissing } from './storage/files.ts';
import { createLatest } from './storage/latest.ts';
import { appendLog, readLog, writeLog } from './storage/log.ts';
import { memoryLine, type Remembered } from './storage/shapes.ts';

/** A {@link Memory} that lives in a log file: what was learned is appended, and the file is rewritten when mostly stale. */
export interface PersistentMemory extends Memory {
  /**
   * Appends what was learned since the last call; at most this is lost by a `kill -9`. Fails when the disk hangs: what
   * was begun goes on.
   */
  flush(): Promise<void>;
  readonly size: number;
}

/** Least recently used entries go first beyond so many; about 300 bytes each. */
const defaultEntries = 200_000;
/** Clocks of two machines differ by less. */
const aheadSeconds = 60;

/** Reads a log, and tells what of it could not be used. */
async function readMemory(
  path: string,
  target: string,
  log: Logger,
  remember: (remembered: Remembered) => void,
): Promise<{ readonly lines: number; readonly isWhole: boolean }> {
  let isReading = true;
  // What comes when the disk answers after all would be older than what was learned meanwhile.
  const take = (remembered: Remembered) => isReading && remember(remembered);
  try {
    const { lines, foreign, damaged } = await disk.unlessItHangs(readLog(path, target, memoryLine, take));
    if (foreign && damaged === 0)
      log.info({ file: path }, 'the memory is of another version or another registry: starting without it');
    // One line may be what a crash cut short; more are not.
    else if (damaged > 0)
      log[damaged > 1 || foreign ? 'warn' : 'debug'](
        { file: path, damaged, lines },
        'lines of the memory are damaged and were left out: what they held is asked of the registry again',
      );
    return { lines, isWhole: !foreign && damaged === 0 };
  } catch (error) {
    if (!isMissing(error))
      log.warn(
        { err: error, file: path },
        'the memory cannot be read: immutable things are fetched once more',
      );
    return { lines: 0, isWhole: false };
  } finally {
    isReading = false;
  }
}

/**
 * Opens a memory, reading its log when there is one. A line that is not as it was written is passed over: everything
 * in here can be asked of the registry again.
 * @param target of which registry it is ({@link targetOf}): what was learned of another one under this name is left out
 */
export async function openMemory(input: {
  readonly path: string | undefined;
  readonly target: string;
  readonly log: Logger;
  readonly maxEntries?: number;
  readonly now?: () => number;
}): Promise<PersistentMemory> {
  const { path, target, log, maxEntries = defaultEntries, now = () => Math.floor(Date.now() / 1000) } = input;
  const entries = new Map<string, { readonly value: unknown; readonly storedAt: number }>();
  let pending: Remembered[] = [];
  let lines = 0;
  /** Whether the file lacks some of what is remembered, or holds what is not: it has to be written anew. */
  let behind = false;

  const remember = ([key, storedAt, value]: Remembered): void => {
    entries.delete(key);
    entries.set(key, { value, storedAt });
    if (entries.size <= maxEntries) return;
    const oldest = entries.keys().next();
    if (!oldest.done) entries.delete(oldest.value);
  };

  if (path !== undefined) {
    const read = await readMemory(path, target, log, remember);
    lines = read.lines;
    behind = !read.isWhole;
  }

  const all = (): Remembered[] => [...entries].map(([key, { value, storedAt }]) => [key, storedAt, value]);

  const write = createLatest<string>(async (file) => {
    if (pending.length === 0 && !(behind && entries.size > 0)) return;
    const batch = pending;
    pending = [];
    const mostlyStale = lines + batch.length > 2 * entries.size + 10_000;
    const isWhole = !behind && !mostlyStale;
    behind = true;
    // A file that somebody removed meanwhile would lack everything before this batch.
    if (!isWhole || !(await appended(file, batch))) {
      const kept = all();
      await writeLog(file, target, kept);
      lines = kept.length + 1;
    } else lines += batch.length;
    behind = false;
  });

  async function appended(file: string, batch: readonly Remembered[]): Promise<boolean> {
    try {
      await appendLog(file, batch);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  return {
    get size() {
      return entries.size;
    },
    get<T>(key: string) {
      const entry = entries.get(key);
      if (!entry) return undefined;
      entries.delete(key);
      entries.set(key, entry);
      // Of the future, since the clock went back: its age is unknown, and it must not be fresh until then.
      const isAhead = entry.storedAt > now() + aheadSeconds;
      return { value: entry.value as T, storedAt: isAhead ? 0 : entry.storedAt };
    },
    set(key, value) {
      const storedAt = now();
      remember([key, storedAt, value]);
      if (path !== undefined) pending.push([key, storedAt, value]);
    },
    async flush() {
      if (path !== undefined && (pending.length > 0 || behind)) await disk.unlessItHangs(write(path));
    },
  };
}
