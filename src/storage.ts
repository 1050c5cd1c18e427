import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryIdentity, RegistrySnapshot, RepositoryEntry, RepositoryTotals } from './model.ts';
import type { Logger } from './provider.ts';
import { DamagedFileError, readLines, setAside, writeLines } from './storage/files.ts';
import { packTotals } from './totals.ts';

/** Counters that go on after a restart. */
export interface SavedCounters {
  readonly polls: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Push events by repository. */
  readonly pushes: Readonly<Record<string, { pushes: number; failures: Record<string, number> }>>;
  /** The same of repositories that no listing has shown yet. */
  readonly waiting?: Readonly<Record<string, { pushes: number; failures: Record<string, number> }>>;
  /** Number of the last line of the push journal that these counters contain. */
  readonly journal?: number;
  /** Requests by `operation` and `code`, each as `[operation, code, count]`. */
  readonly requests: readonly (readonly [string, string, number])[];
  /** Events by `[source, outcome, count]`. */
  readonly events: readonly (readonly [string, string, number])[];
}

/** Where one registry's state is kept between runs. Without `--storage.path` nothing is kept. */
export interface RegistryStorage {
  saveSnapshot(snapshot: RegistrySnapshot): Promise<void>;
  /** The last good snapshot, or undefined when there is none that fits the registry's configuration. */
  loadSnapshot(): Promise<RegistrySnapshot | undefined>;
  saveCounters(counters: SavedCounters): Promise<void>;
  loadCounters(): Promise<SavedCounters | undefined>;
  /** File of the memory log, absent without a storage path. */
  readonly memoryPath?: string;
  /** Where the push journal is kept, and for which target; absent without a storage path. */
  readonly journal?: { readonly path: string; readonly target: string };
}

const version = 1;

interface Header {
  readonly version: number;
  readonly target: string;
  readonly identity: RegistryIdentity;
  readonly facts: RegistrySnapshot['facts'];
  readonly factsAt?: number;
  readonly repositoryCount?: number;
  readonly observedAt?: number;
  readonly cut?: boolean;
}

function* snapshotLines(target: string, snapshot: RegistrySnapshot): Iterable<string> {
  const { repositories, ...rest } = snapshot;
  yield JSON.stringify({ version, target, ...rest } satisfies Header);
  // The totals are JSON text already.
  for (const { totals, observedAt } of repositories.values())
    yield `{"totals":${totals},"observedAt":${observedAt}}`;
}

/**
 * Storage of one registry.
 * @param path the folder, or undefined to keep nothing
 * @param registry the registry's name; any name is safe, it is encoded
 * @param target identifies what is polled (type and endpoint): data of another target is not served under this name
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
    };
  }
  const file = (kind: string) => join(path, `${encodeURIComponent(registry)}.${kind}`);

  /** One writer at a time per file: a rename must not overtake another's. */
  const queues = new Map<string, Promise<void>>();
  const inTurn = (key: string, write: () => Promise<void>): Promise<void> => {
    const turn = (queues.get(key) ?? Promise.resolve()).catch(() => {}).then(write);
    queues.set(key, turn);
    return turn;
  };
  const save = (kind: string, lines: () => Iterable<string>) =>
    inTurn(kind, async () => {
      await mkdir(path, { recursive: true });
      await writeLines(file(kind), lines());
    });

  async function load<T>(kind: string, parse: (lines: string[]) => T | undefined): Promise<T | undefined> {
    try {
      const lines = await readLines(file(kind));
      return lines && parse(lines);
    } catch (error) {
      if (!(error instanceof DamagedFileError || error instanceof SyntaxError)) {
        log.warn({ err: error }, `the saved ${kind} file cannot be read: starting without it`);
        return undefined;
      }
      const aside = await setAside(file(kind)).catch(() => undefined);
      log.warn(
        { err: error, aside },
        `a saved ${kind} file is damaged: it was set aside, starting without it`,
      );
      return undefined;
    }
  }

  return {
    memoryPath: file('memory.ndjson'),
    journal: { path: file('pushes.ndjson'), target },
    saveSnapshot: (snapshot) => save('snapshot', () => snapshotLines(target, snapshot)),
    loadSnapshot: () =>
      load('snapshot', ([first, ...rest]) => {
        const header = JSON.parse(first ?? 'null') as Header | null;
        if (header?.version !== version || header.target !== target) {
          log.info({ target }, 'the saved snapshot is of another version or target: starting without it');
          return undefined;
        }
        const repositories = new Map<string, RepositoryEntry>();
        for (const line of rest) {
          const { totals, observedAt } = JSON.parse(line) as { totals: RepositoryTotals; observedAt: number };
          repositories.set(totals.repository, { totals: packTotals(totals), observedAt });
        }
        const { version: _, target: __, ...known } = header;
        return { ...known, repositories };
      }),
    saveCounters: (counters) => save('counters', () => [JSON.stringify({ version, counters })]),
    loadCounters: () =>
      load('counters', ([line]) => {
        const saved = JSON.parse(line ?? 'null') as { version: number; counters: SavedCounters } | null;
        return saved?.version === version ? saved.counters : undefined;
      }),
  };
}
