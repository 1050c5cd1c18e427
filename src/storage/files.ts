import { createHash } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createYielder } from '../yielding.ts';

/**
 * Writes lines to a file so that a reader finds either the old or the new content whole, even after `kill -9` or a
 * power cut: temporary file, sync, rename, sync of the folder. The last line carries the checksum of the others.
 */
export async function writeLines(path: string, lines: Iterable<string>): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  const pause = createYielder();
  try {
    const hash = createHash('sha256');
    let pending = '';
    for (const line of lines) {
      pending += `${line}\n`;
      if (pending.length >= 65_536) {
        hash.update(pending);
        await file.writeFile(pending);
        pending = '';
      }
      await pause();
    }
    hash.update(pending);
    await file.writeFile(`${pending}${JSON.stringify({ sha256: hash.digest('hex') })}\n`);
    await file.sync();
  } catch (error) {
    await file.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await file.close();
  await rename(temporary, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A saved file that cannot be believed: cut short, altered, or of another version. */
export class DamagedFileError extends Error {
  override name = 'DamagedFileError';
}

/**
 * The lines that {@link writeLines} wrote, without the checksum; undefined when there is no such file.
 * @throws DamagedFileError when the checksum does not fit.
 */
export async function readLines(path: string): Promise<string[] | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  const content = text.slice(0, end);
  const expected = `${JSON.stringify({ sha256: createHash('sha256').update(content).digest('hex') })}\n`;
  if (text.slice(end) !== expected)
    throw new DamagedFileError(`${path} is cut short or altered: its checksum does not fit`);
  return content.split('\n').slice(0, -1);
}

/** Moves a damaged file out of the way, so that it can be looked at and never stops a start. */
export async function setAside(path: string): Promise<string> {
  const aside = `${path}.damaged`;
  await rename(path, aside);
  return aside;
}
