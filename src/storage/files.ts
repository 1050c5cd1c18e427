import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createYielder } from '../yielding.ts';
import { disk } from './disk.ts';

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const chunkBytes = 2 ** 20;
const longestLine = 64 * 2 ** 20;
const newline = 0x0a;

/** A file that is not what the exporter writes: a link, a pipe, a folder. */
class OddFileError extends Error {
  override readonly name = 'OddFileError';
}

/**
 * Opens a file for this process alone. Links are not followed: whoever may write to the folder must not choose which
 * file is read or written. Nor does a pipe hold the opening.
 */
async function openFile(path: string, flags: number): Promise<FileHandle> {
  const file = await disk
    .call(() => open(path, flags | O_NOFOLLOW | O_NONBLOCK, 0o600))
    .catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ELOOP' ? new OddFileError(`${path} is a link: it is not followed`) : error;
    });
  if ((await disk.call(() => file.stat())).isFile()) return file;
  await disk.call(() => file.close());
  throw new OddFileError(`${path} is no file`);
}

/** Whether it is no more than that there is no such file. */
export const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

async function closing<T>(file: FileHandle, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    await disk.call(() => file.close());
  }
}

/** Content of a file, in the order of writing. */
type Pieces = Iterable<string> | AsyncIterable<string | Uint8Array>;

/** Writes pieces to a new file; what is there under the name is removed first. */
async function writeNew(path: string, pieces: Pieces): Promise<void> {
  await disk.call(() => rm(path, { force: true }));
  const file = await openFile(path, O_WRONLY | O_CREAT | O_EXCL);
  await closing(file, async () => {
    for await (const piece of pieces) await disk.call(() => file.writeFile(piece));
    await disk.call(() => file.sync());
  });
}

/**
 * Replaces a file so that a reader finds either the old or the new content whole, even after `kill -9` or a power cut:
 * temporary file, sync, rename, sync of the folder.
 */
export async function replaceFile(path: string, pieces: Pieces): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await writeNew(temporary, pieces);
    await disk.call(() => rename(temporary, path));
  } catch (error) {
    await disk.call(() => rm(temporary, { force: true })).catch(() => {});
    throw error;
  }
  const folder = await disk.call(() => open(dirname(path), 'r'));
  await closing(folder, () => disk.call(() => folder.sync()));
}

/** Lines as pieces of some size, with a turn for the event loop in between. */
export async function* inPieces(lines: Iterable<string>): AsyncGenerator<string> {
  const pause = createYielder();
  let pending = '';
  for (const line of lines) {
    pending += `${line}\n`;
    if (pending.length >= 65_536) {
      yield pending;
      pending = '';
    }
    await pause();
  }
  yield pending;
}

/** Appends to a file that is there. @throws with the code ENOENT when it is not */
export async function appendToFile(
  path: string,
  text: string,
  { synced = false }: { readonly synced?: boolean } = {},
): Promise<void> {
  const file = await openFile(path, O_WRONLY | O_APPEND);
  await closing(file, async () => {
    await disk.call(() => file.writeFile(text));
    if (synced) await disk.call(() => file.datasync());
  });
}

/** The content of a file. @throws with the code ENOENT when there is no such file */
export async function* readPieces(path: string): AsyncGenerator<Buffer> {
  const file = await openFile(path, O_RDONLY);
  try {
    for (;;) {
      const { bytesRead, buffer } = await disk.call(() => file.read(Buffer.allocUnsafe(chunkBytes)));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await disk.call(() => file.close());
  }
}

/**
 * The lines of a file, whatever bytes they hold; the last one is what stands after the last line break, mostly
 * nothing. What goes on for longer than any line that the exporter writes is cut, and no checksum will fit.
 * @throws with the code ENOENT when there is no such file
 */
export async function* readBytes(path: string): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  let length = 0;
  for await (const piece of readPieces(path)) {
    let from = 0;
    for (let to = piece.indexOf(newline); to >= 0; to = piece.indexOf(newline, from)) {
      yield Buffer.concat([...rest, piece.subarray(from, to)]);
      rest = [];
      length = 0;
      from = to + 1;
    }
    if (length < longestLine) rest.push(piece.subarray(from));
    length += piece.length - from;
  }
  yield Buffer.concat(rest);
}

const checksumLine = (hash: Hash): string => JSON.stringify({ sha256: hash.digest('hex') });

/** Writes lines with {@link replaceFile}. The last line carries the checksum of the others. */
export function writeLines(path: string, lines: Iterable<string>): Promise<void> {
  async function* withChecksum() {
    const hash = createHash('sha256');
    for await (const piece of inPieces(lines)) {
      hash.update(piece);
      yield piece;
    }
    yield `${checksumLine(hash)}\n`;
  }
  return replaceFile(path, withChecksum());
}

/** A saved file that cannot be believed: cut short, altered, or of another shape. */
export class DamagedFileError extends Error {
  override name = 'DamagedFileError';
}

/**
 * The lines that {@link writeLines} wrote, without the checksum; undefined when there is no such file.
 * @throws DamagedFileError when the checksum does not fit.
 */
export async function readLines(path: string): Promise<string[] | undefined> {
  const hash = createHash('sha256');
  const lines: string[] = [];
  /** The last two lines: in the end the checksum, and nothing after it. */
  let [candidate, after]: (Buffer | undefined)[] = [];
  try {
    for await (const line of readBytes(path)) {
      if (candidate) {
        hash.update(candidate).update('\n');
        lines.push(candidate.toString('utf8'));
      }
      [candidate, after] = [after, line];
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  if (after?.length === 0 && candidate?.toString('utf8') === checksumLine(hash)) return lines;
  throw new DamagedFileError(`${path} is cut short or altered: its checksum does not fit`);
}

/** Moves a damaged file out of the way, so that it can be looked at and never stops a start. */
export async function setAside(path: string): Promise<string> {
  const aside = `${path}.damaged`;
  await disk.call(() => rename(path, aside));
  return aside;
}
