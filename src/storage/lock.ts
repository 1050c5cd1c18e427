import { constants } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
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

/** The lock is gone with its file, when somebody removes the folder: so often it is looked at. */
const lookMs = 2_000;

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

/** Which file is in the lock's place; undefined when there is none. Numbers of removed files are used again. */
async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeMs } = await stat(join(path, 'lock'));
    return `${dev} ${ino} ${birthtimeMs}`;
  } catch {
    return undefined;
  }
}

/** @returns which file is locked. @throws StorageInUseError, or what stands in the way of a lock */
async function takeLock(path: string): Promise<string | undefined> {
  for (const before of held.splice(0)) before.close();
  const file = await disk.unlessItHangs(lockFile(path));
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { errcode?: unknown }).errcode === busy)
      throw new StorageInUseError(
        `--storage.path=${path}: another exporter is using this folder: give each its own, or end the other one`,
      );
    throw error;
  }
  held.push(database);
  return disk.call(() => identityOf(path));
}

/**
 * Takes the folder for this process: two that write the same files would undo each other's counters and memory. Node
 * has no locks on files; SQLite, which it brings along, has them. The kernel lets go of such a lock when the process
 * ends, however it ends, and it holds between containers that share a volume.
 *
 * A folder that cannot be locked, because it cannot be written or its file system knows no locks, is told, and is used
 * all the same: polls matter more than what survives a restart. It is tried again while the process lives.
 *
 * A folder that was removed is made again by the next save, and its lock is taken again soon after. When another
 * process was quicker, `lost` is called.
 * @throws StorageInUseError
 */
export async function lockStorage(
  path: string,
  log: Logger,
  lost: (error: StorageInUseError) => void,
): Promise<void> {
  let ours: string | undefined;
  try {
    ours = await takeLock(path);
  } catch (error) {
    if (error instanceof StorageInUseError) throw error;
    log.warn(
      { err: error, path },
      'the storage folder cannot be locked: make sure that it can be written, and that no other exporter uses it',
    );
  }
  const look = async () => {
    try {
      const there = await disk.unlessItHangs(disk.call(() => identityOf(path)));
      if (there === ours && ours !== undefined) return;
      ours = await takeLock(path);
      log.info({ path }, 'the storage folder is locked for this exporter now');
    } catch (error) {
      // Anything else was told at the start, or is told when something cannot be saved.
      if (error instanceof StorageInUseError) lost(error);
    }
  };
  let isLooking = false;
  setInterval(async () => {
    if (isLooking || disk.hangs()) return;
    isLooking = true;
    await look();
    isLooking = false;
  }, lookMs).unref();
}
