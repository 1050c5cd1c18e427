import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Logger } from '../provider.ts';
import { disk } from './disk.ts';

/** Another process keeps its state in the folder. */
export class StorageInUseError extends Error {
  override readonly name = 'StorageInUseError';
}

/** Held for as long as the process lives: a database that is collected lets go of its lock. */
const held: DatabaseSync[] = [];

/** SQLite's code for a lock that somebody else holds; https://www.sqlite.org/rescode.html#busy */
const busy = 5;

/** The file of the lock, made where it is not there; not through a link. */
async function lockFile(path: string): Promise<string> {
  const file = join(path, 'lock');
  const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
  await disk.call(() => mkdir(path, { recursive: true }));
  const handle = await disk.call(() => open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600));
  await disk.call(() => handle.close());
  return file;
}

/**
 * Takes the folder for this process: two that write the same files would undo each other's counters and memory. Node
 * has no locks on files; SQLite, which it brings along, has them. The kernel lets go of such a lock when the process
 * ends, however it ends, and it holds between containers that share a volume.
 *
 * A folder that cannot be locked, because it cannot be written or its file system knows no locks, is told, and is used
 * all the same: polls matter more than what survives a restart.
 * @throws StorageInUseError
 */
export async function lockStorage(path: string, log: Logger): Promise<void> {
  try {
    const file = await disk.unlessItHangs(lockFile(path));
    const { DatabaseSync } = await import('node:sqlite');
    const database = new DatabaseSync(file, { timeout: 0 });
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    held.push(database);
  } catch (error) {
    if ((error as { errcode?: unknown }).errcode === busy)
      throw new StorageInUseError(
        `--storage.path=${path}: another exporter is using this folder: give each its own, or end the other one`,
      );
    log.warn(
      { err: error, path },
      'the storage folder cannot be locked: make sure that it can be written, and that no other exporter uses it',
    );
  }
}
