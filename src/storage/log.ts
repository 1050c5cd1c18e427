import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { z } from 'zod';
import { createYielder } from '../yielding.ts';
import { disk } from './disk.ts';
import { appendToFile, inPieces, readBytes, replaceFile } from './files.ts';
import { fileHeader } from './shapes.ts';

/**
 * Files that are appended to: the first line says of which registry they are, and each line carries a checksum, so that
 * one that a crash cut short or that was altered hides no other.
 */

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
 * Reads a log.
 * @param shape of each line after the first
 * @throws with the code ENOENT when there is no such file
 */
export async function readLog<Shape extends z.ZodType>(
  path: string,
  target: string,
  shape: Shape,
  take: (line: z.output<Shape>) => void,
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
    const parsed = shape.safeParse(value);
    if (parsed.success) take(parsed.data);
    else damaged += 1;
    await pause();
  }
  return { lines, damaged, foreign: lines === 0 };
}

/**
 * Appends to a log.
 * @param options.synced waits until the lines are on the disk
 * @returns bytes that were appended
 * @throws with the code ENOENT when there is none
 */
export async function appendLog(
  path: string,
  batch: readonly unknown[],
  options: { readonly synced?: boolean } = {},
): Promise<number> {
  const text = `\n${batch.map(lineOf).join('\n')}\n`;
  await appendToFile(path, text, options);
  return Buffer.byteLength(text);
}

/** Writes a log anew. */
export async function writeLog(path: string, target: string, all: Iterable<unknown>): Promise<void> {
  function* lines() {
    yield lineOf({ version, target });
    for (const entry of all) yield lineOf(entry);
  }
  await disk.call(() => mkdir(dirname(path), { recursive: true }));
  await replaceFile(path, inPieces(lines()));
}
