import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import type { RegistrySnapshot, RepositoryEntry } from './model.ts';
import type { Logger } from './provider.ts';
import { disk } from './storage/disk.ts';
import {
  DamagedFileError,
  readLines,
  readPieces,
  replaceFile,
  setAside,
  writeLines,
} from './storage/files.ts';
import { createLatest } from './storage/latest.ts';
import {
  fileHeader,
  repositoryLine,
  type SavedCounters,
  savedCounters,
  snapshotHeader,
} from './storage/shapes.ts';
import { packTotals } from './totals.ts';
import { createYielder } from './yielding.ts';

export type { SavedCounters } from './storage/shapes.ts';

/**
 * Where one registry's state is kept between runs. Without `--storage.path` nothing is kept. A folder that hangs holds
 * nobody up: a save or a load fails then, while what was begun goes on.
 */
export interface RegistryStorage {
  /** Ends when this snapshot, or a newer one, is on the disk. */
  saveSnapshot(snapshot: RegistrySnapshot): Promise<void>;
  /** The last good snapshot, or undefined when there is none that fits the registry's configuration. */
  loadSnapshot(): Promise<RegistrySnapshot | undefined>;
  /** Ends when these counters, or newer ones, are on the disk. */
  saveCounters(counters: SavedCounters): Promise<void>;
  loadCounters(): Promise<SavedCounters | undefined>;
  /** When counters were last saved, in Unix seconds; undefined where there are none. */
  savedAt(): Promise<number | undefined>;
  /** File of the memory log, absent without a storage path. */
  readonly memoryPath?: string;
  /** Where the push journal is kept, and for which target; absent without a storage path. */
  readonly journal?: { readonly path: string; readonly target: string };
}

const version = 2;
/** Clocks of two machines differ by less. */
const aheadSeconds = 60;

function* snapshotLines(target: string, snapshot: RegistrySnapshot): Iterable<string> {
  const { repositories, ...rest } = snapshot;
  yield JSON.stringify({ version, target, ...rest } satisfies z.input<typeof snapshotHeader>);
  // The totals are JSON text already.
  for (const { totals, observedAt } of repositories.values())
    yield `{"totals":${totals},"observedAt":${observedAt}}`;
}

/** One line of JSON of a shape. @throws DamagedFileError that says where it is another */
function parseLine<Schema extends z.ZodType>(line: string | undefined, schema: Schema): z.infer<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(line ?? '');
  } catch {
    throw new DamagedFileError('a line is no JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DamagedFileError(
    `it has another shape than this version writes: ${issue?.path.join('.')}: ${issue?.message.slice(0, 120)}`,
  );
}

/** One file of a registry, and what its lines say. */
interface RegistryFile {
  readonly file: string;
  readonly kind: string;
  readonly target: string;
  readonly log: Logger;
}

/** Whether a file is of this version and of this registry; if not, that is said, and it is left to be replaced. */
function isOurs({ file, kind, target, log }: RegistryFile, line: string | undefined): boolean {
  const header = parseLine(line, fileHeader);
  if (header.version === version && header.target === target) return true;
  log.info(
    { file, of: header.target },
    header.version === version
      ? `the saved ${kind} file is of another registry that had this name: starting without it`
      : `the saved ${kind} file is of another version: starting without it`,
  );
  return false;
}

/** Reads a file; one that cannot be read is told, and one that is damaged is set aside. */
async function load<T>(of: RegistryFile, parse: (lines: string[]) => T | Promise<T>): Promise<T | undefined> {
  const { file, kind, log } = of;
  const read = async () => {
    const lines = await readLines(file);
    return lines && isOurs(of, lines[0]) ? parse(lines) : undefined;
  };
  try {
    return await disk.unlessItHangs(read());
  } catch (error) {
    if (!(error instanceof DamagedFileError)) {
      log.warn({ err: error, file }, `the saved ${kind} file cannot be read: starting without it`);
      return undefined;
    }
    const aside = await disk.unlessItHangs(setAside(file)).catch(() => undefined);
    log.warn(
      { err: error, file, aside },
      `a saved ${kind} file is damaged: it was set aside, starting without it`,
    );
    return undefined;
  }
}

/** The repositories of a snapshot; an odd one is left out, and the others stay. */
async function repositoriesOf(
  { file, log }: RegistryFile,
  lines: readonly string[],
  now: number,
): Promise<Map<string, RepositoryEntry>> {
  const pause = createYielder();
  const repositories = new Map<string, RepositoryEntry>();
  let odd = 0;
  let first: unknown;
  for (const line of lines) {
    try {
      const { totals, observedAt } = parseLine(line, repositoryLine);
      if (observedAt > now + aheadSeconds) throw new DamagedFileError('it was read in the future');
      repositories.set(totals.repository, { totals: packTotals(totals), observedAt });
    } catch (error) {
      odd += 1;
      first ??= error;
    }
    await pause();
  }
  if (odd > 0)
    log.warn(
      { err: first, file, leftOut: odd, read: repositories.size },
      'repositories of the saved snapshot cannot be believed: they are unknown until the next poll',
    );
  return repositories;
}

async function parseSnapshot(
  of: RegistryFile,
  [first, ...rest]: readonly string[],
): Promise<RegistrySnapshot | undefined> {
  const now = Date.now() / 1000;
  const { version: _, target: __, ...body } = parseLine(first, snapshotHeader);
  const newest = Math.max(body.observedAt ?? 0, body.factsAt ?? 0);
  if (newest > now + aheadSeconds) {
    of.log.warn(
      { file: of.file, aheadSeconds: Math.round(newest - now) },
      'the saved snapshot is of the future: its age is unknown, so that it is not served. Was the clock set back?',
    );
    return undefined;
  }
  return { ...body, repositories: await repositoriesOf(of, rest, now) } as RegistrySnapshot;
}

const fileOfRegistry = (path: string, registry: string, kind: HandedOver): string =>
  join(path, `${encodeURIComponent(registry)}.${endings[kind]}`);

/** When a file was written, in Unix seconds; undefined where there is none, or the disk hangs. */
const timeOf = (file: string): Promise<number | undefined> =>
  disk.unlessItHangs(disk.call(() => stat(file))).then(
    ({ mtimeMs }) => mtimeMs / 1000,
    () => undefined,
  );

/** How the files end. */
const endings = {
  counters: 'counters',
  snapshot: 'snapshot',
  pushes: 'pushes.ndjson',
  memory: 'memory.ndjson',
} as const;
/** Files of a registry that another process can go on from: see `daemon/handover.ts`. */
export type HandedOver = keyof typeof endings;
export const handedOver = Object.keys(endings) as HandedOver[];

/** A snapshot of 100,000 repositories has about 150 MB. */
const largestReceived: Readonly<Record<HandedOver, number>> = {
  counters: 64 * 2 ** 20,
  snapshot: 512 * 2 ** 20,
  pushes: 64 * 2 ** 20,
  memory: 512 * 2 ** 20,
};

/** Of those that wait while one is written, the newest is next. */
function saving<T>(path: string, file: string, linesOf: (value: T) => Iterable<string>) {
  const save = createLatest<T>(async (value) => {
    await disk.call(() => mkdir(path, { recursive: true }));
    await writeLines(file, linesOf(value));
  });
  return (value: T) => disk.unlessItHangs(save(value));
}

/**
 * Storage of one registry.
 * @param path the folder, or undefined to keep nothing
 * @param registry the registry's name; any name is safe, it is encoded
 * @param target identifies what is polled ({@link targetOf}): data of another target is not served under this name
 */
export function createStorage(input: {
  readonly path: string | undefined;
  readonly registry: string;
  readonly target: string;
  readonly log: Logger;
}): RegistryStorage {
  const { path, registry, target, log } = input;
  if (path === undefined) {
    return {
      saveSnapshot: async () => {},
      loadSnapshot: async () => undefined,
      saveCounters: async () => {},
      loadCounters: async () => undefined,
      savedAt: async () => undefined,
    };
  }
  const file = (kind: HandedOver) => fileOfRegistry(path, registry, kind);
  const fileOf = (kind: HandedOver): RegistryFile => ({ file: file(kind), kind, target, log });
  return {
    memoryPath: file('memory'),
    journal: { path: file('pushes'), target },
    saveSnapshot: saving(path, file('snapshot'), (snapshot: RegistrySnapshot) =>
      snapshotLines(target, snapshot),
    ),
    loadSnapshot: () => load(fileOf('snapshot'), (lines) => parseSnapshot(fileOf('snapshot'), lines)),
    saveCounters: saving(path, file('counters'), (counters: SavedCounters) => [
      JSON.stringify({ version, target }),
      JSON.stringify(counters),
    ]),
    loadCounters: () => load(fileOf('counters'), ([, line]) => parseLine(line, savedCounters)),
    savedAt: () => timeOf(file('counters')),
  };
}

/** One of them as it stands on the disk, opened when it is read; undefined where there is none. */
export async function savedFile(
  path: string,
  registry: string,
  kind: HandedOver,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const file = fileOfRegistry(path, registry, kind);
  return (await timeOf(file)) === undefined ? undefined : readPieces(file);
}

/** Writes one of them as another process sends it. What it says is judged when it is loaded. @throws when it is too large */
export async function receiveFile(
  path: string,
  registry: string,
  kind: HandedOver,
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  async function* bounded() {
    let bytes = 0;
    for await (const piece of pieces) {
      bytes += piece.length;
      if (bytes > largestReceived[kind])
        throw new Error(`the saved ${kind} are larger than ${largestReceived[kind]} bytes`);
      yield piece;
    }
  }
  await disk.call(() => mkdir(path, { recursive: true }));
  await replaceFile(fileOfRegistry(path, registry, kind), bounded());
}
