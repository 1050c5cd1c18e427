import { createReadStream } from 'node:fs';
import { appendFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Logger, Memory } from './provider.ts';
import { createYielder } from './yielding.ts';

interface Remembered {
  readonly value: unknown;
  readonly storedAt: number;
}

/** A {@link Memory} that lives in a log file: what was learned is appended, and the file is rewritten when mostly stale. */
export interface PersistentMemory extends Memory {
  /** Appends what was learned since the last call; at most this is lost by a `kill -9`. */
  flush(): Promise<void>;
  readonly size: number;
}

/** Least recently used entries go first beyond so many; about 300 bytes each. */
const defaultEntries = 200_000;

/** One line of the log. Node's readline ends lines at U+2028 and U+2029 too, which JSON leaves as they are. */
const lineOf = (key: string, storedAt: number, value: unknown): string =>
  JSON.stringify([key, storedAt, value]).replace(/[\u2028\u2029]/g, (character) =>
    character === '\u2028' ? '\\u2028' : '\\u2029',
  );

/**
 * Opens a memory, reading its log when there is one. A line cut short by a crash is passed over: everything in
 * here can be asked of the registry again.
 */
export async function openMemory(input: {
  readonly path: string | undefined;
  readonly log: Logger;
  readonly maxEntries?: number;
  readonly now?: () => number;
}): Promise<PersistentMemory> {
  const { path, log, maxEntries = defaultEntries, now = () => Math.floor(Date.now() / 1000) } = input;
  const entries = new Map<string, Remembered>();
  let pending: string[] = [];
  let lines = 0;
  let damaged = 0;
  /** Whether an append failed: the file lacks what is remembered, so that it has to be written anew. */
  let behind = false;

  const remember = (key: string, remembered: Remembered): void => {
    entries.delete(key);
    entries.set(key, remembered);
    if (entries.size <= maxEntries) return;
    const oldest = entries.keys().next();
    if (!oldest.done) entries.delete(oldest.value);
  };

  if (path !== undefined) {
    try {
      for await (const line of createInterface({
        input: createReadStream(path),
        crlfDelay: Number.POSITIVE_INFINITY,
      })) {
        lines += 1;
        try {
          if (line === '') continue;
          const [key, storedAt, value] = JSON.parse(line) as [string, number, unknown];
          remember(key, { value, storedAt });
        } catch {
          damaged += 1;
        }
      }
      // One may be what a crash cut short; more are not.
      if (damaged > 0)
        log[damaged > 1 ? 'warn' : 'debug'](
          { path, damaged, lines },
          'lines of the memory are damaged and were passed over: what they held is asked of the registry again',
        );
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn({ err: error, path }, 'the memory cannot be read: immutable things are fetched once more');
    }
  }

  const compact = async (file: string): Promise<void> => {
    const pause = createYielder();
    let text = '';
    await writeFile(`${file}.tmp`, '', { mode: 0o600 });
    for (const [key, { value, storedAt }] of entries) {
      text += `${lineOf(key, storedAt, value)}\n`;
      if (text.length > 1_000_000) {
        await appendFile(`${file}.tmp`, text);
        text = '';
      }
      await pause();
    }
    await appendFile(`${file}.tmp`, text);
    await rename(`${file}.tmp`, file);
    lines = entries.size;
  };

  return {
    get size() {
      return entries.size;
    },
    get<T>(key: string) {
      const found = entries.get(key);
      if (!found) return undefined;
      entries.delete(key);
      entries.set(key, found);
      return found as { value: T; storedAt: number };
    },
    set(key, value) {
      const storedAt = now();
      remember(key, { value, storedAt });
      if (path !== undefined) pending.push(lineOf(key, storedAt, value));
    },
    async flush() {
      if (path === undefined || (pending.length === 0 && !behind)) return;
      const batch = pending;
      pending = [];
      const mostlyStale = lines + batch.length > 2 * entries.size + 10_000;
      const rewrite = behind || mostlyStale;
      behind = true;
      await mkdir(dirname(path), { recursive: true });
      if (rewrite) await compact(path);
      else {
        // A line that a crash cut short must not swallow the first one of this batch.
        await appendFile(path, `\n${batch.join('\n')}\n`, { mode: 0o600 });
        lines += batch.length;
      }
      behind = false;
    },
  };
}
