import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { createYielder } from '../yielding.ts';
import { disk } from './disk.ts';
import { appendToFile, inPieces, readBytes, replaceFile } from './files.ts';
import { fileHeader, memoryLine } from './shapes.ts';

/** One thing that is remembered: its key, when it was stored (Unix seconds), and what it is. */
export type Remembered = readonly [key: string, storedAt: number, value: unknown];

const version = 2;
const checksumLength = 8;

const checksum = (json: string | Buffer): string => crc32(json).toString(16).padStart(checksumLength, '0');
const lineOf = (value: unknown): string => {
  const json = JSON.stringify(value);
  return `${checksum(json)} ${json}`;
};

/** The value of a line; undefined when it is not as it was written. */
function contentOf(line: Buffer): unknown {
  const json = line.subarray(checksumLength + 1);
  if (line.toString('latin1', 0, checksumLength + 1) !== `${checksum(json)} `) return undefined;
  try {
    return JSON.parse(json.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** What a log holds. */
export interface ReadLog {
  /** Lines of it, good and bad. */
  readonly lines: number;
  /** Lines that are not as they were written. */
  readonly damaged: number;
  /** Whether it is of another version, or of another registry that had this name; nothing of it is taken over then. */
  readonly foreign: boolean;
}

/**
 * Reads a log of remembered things: the first line says of which registry they are, each line carries a checksum.
 * @throws with the code ENOENT when there is no such file
 */
export async function readLog(
  path: string,
  target: string,
  remember: (remembered: Remembered) => void,
): Promise<ReadLog> {
  const pause = createYielder();
  let lines = 0;
  let damaged = 0;
  for await (const line of readBytes(path)) {
    // Between two batches: a line that a crash cut short must not swallow the one after it.
    if (line.length === 0) continue;
    lines += 1;
    const value = contentOf(line);
    if (lines === 1) {
      const header = fileHeader.safeParse(value);
      if (header.data?.version === version && header.data.target === target) continue;
      return { lines, damaged: Number(value === undefined), foreign: true };
    }
    const parsed = memoryLine.safeParse(value);
    if (parsed.success) remember(parsed.data);
    else damaged += 1;
    await pause();
  }
  return { lines, damaged, foreign: lines === 0 };
}

/** Appends to a log. @throws with the code ENOENT when there is none */
export const appendLog = (path: string, batch: readonly Remembered[]): Promise<void> =>
  appendToFile(path, `\n${batch.map(lineOf).join('\n')}\n`);

/** Writes a log anew. */
export async function writeLog(path: string, target: string, all: Iterable<Remembered>): Promise<void> {
  function* lines() {
    yield lineOf({ version, target });
    for (const one of all) yield lineOf(one);
  }
  await disk.call(() => mkdir(dirname(path), { recursive: true }));
  await replaceFile(path, inPieces(lines()));
}
