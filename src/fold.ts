import type { ImageSelection } from './bounded.ts';
import { defined } from './defined.ts';
import type { CollectError } from './errors.ts';
import { foldImages } from './fold/images.ts';
import {
  type Gate,
  plausibleIdentity,
  plausibleImage,
  plausibleRegistryFacts,
  plausibleRepositoryFacts,
} from './fold/plausible.ts';
import type { Retention } from './fold/retention.ts';
import { type ImageRow, toRow } from './fold/rows.ts';
import type {
  Image,
  Observation,
  PackedTotals,
  RegistryFacts,
  RegistryIdentity,
  RepositoryFacts,
} from './model.ts';
import { keptName } from './names.ts';
import { repackTotals } from './totals.ts';

export type { Retention } from './fold/retention.ts';

/** What the fold needs to know of the configuration. */
export interface FoldOptions {
  readonly images: ImageSelection;
  readonly retention?: Retention;
  /** Unix seconds; decides what is stale. */
  readonly now: number;
  /** The last totals of a repository. Equal ones are returned as they are. */
  previous?(repository: string): PackedTotals | undefined;
  /** Names of all repositories of the last snapshot: those of a group that failed. */
  known?(): Iterable<string>;
  /** Told of what cannot be and was left out; once for each `key` is enough. */
  tell?(key: string, fields: object, message: string): void;
}

/** What one cycle learned. */
export interface CycleResult {
  readonly identity: RegistryIdentity;
  readonly facts: RegistryFacts;
  /** Repositories that were read completely. */
  readonly complete: ReadonlyMap<string, PackedTotals>;
  /** Repositories that a definite "not found" ended. */
  readonly gone: ReadonlySet<string>;
  /** Repositories that could not be read, with the error. */
  readonly failed: ReadonlyMap<string, unknown>;
  /** Prefixes below which not all repositories were listed, with the error: how many there are is unknown. */
  readonly failedGroups: ReadonlyMap<string, unknown>;
  /** Prefixes below which a complete listing showed no repository. */
  readonly emptyGroups: ReadonlySet<string>;
  /** Present when the cycle ran out of time: of what is named nowhere else nothing is known. */
  readonly cut?: {
    /** What the provider itself says of it, such as that it was throttled. */
    readonly reason?: CollectError;
  };
}

/** Turns a cycle's observations into small per-repository totals; an image is forgotten once it is counted. */
export interface Fold {
  /** @throws Error when the provider breaks the order that {@link Observation} promises. */
  add(observation: Observation): void;
  /**
   * @throws Error when a repository was opened and never ended: a provider that stops early must not pass for
   * one that listed everything.
   */
  finish(): CycleResult;
  /** What is complete when the time is up. */
  cut(reason?: CollectError): CycleResult;
}

interface OpenRepository {
  facts: RepositoryFacts;
  readonly rows: Map<string, ImageRow>;
}

/** A fold for one cycle. */
export function createFold(options: FoldOptions): Fold {
  const open = new Map<string, OpenRepository>();
  const complete = new Map<string, PackedTotals>();
  const gone = new Set<string>();
  const failed = new Map<string, unknown>();
  const failedGroups = new Map<string, unknown>();
  const emptyGroups = new Set<string>();
  let identity: RegistryIdentity = {};
  let facts: RegistryFacts = {};

  const opened = (repository: string): OpenRepository => {
    const found = open.get(repository);
    if (!found)
      throw new Error(`the provider sent images of ${JSON.stringify(repository)} before opening it`);
    return found;
  };

  const result = (): CycleResult => {
    for (const [prefix, error] of failedGroups)
      for (const repository of options.known?.() ?? [])
        if (repository.startsWith(prefix) && !complete.has(repository) && !gone.has(repository))
          failed.set(repository, error);
    return { identity, facts, complete, gone, failed, failedGroups, emptyGroups };
  };

  /** What a registry, a repository or an image of it says passes through this. */
  const gate = (repository?: string, digestOf?: () => string | undefined): Gate => ({
    now: options.now,
    doubt(field, value) {
      const digest = digestOf?.();
      const about = {
        repository,
        digest,
      };
      options.tell?.(
        `the impossible ${field} of ${JSON.stringify(repository ?? 'the registry')}`,
        { ...about, field, value: String(value).slice(0, 40) },
        'the registry sent a value that cannot be: it is left out, and what depends on it is unknown',
      );
    },
  });

  function addImages(repository: string, images: readonly Image[]): void {
    const { rows } = opened(repository);
    let digest: string | undefined;
    const checked = gate(repository, () => digest);
    for (const raw of images) {
      digest = raw.digest;
      const image = plausibleImage(raw, checked);
      // A digest that a page boundary repeats is one image; its tags are those of both sightings.
      const seen = rows.get(image.digest);
      rows.set(image.digest, toRow(image, seen));
    }
  }

  function end(repository: string, last: RepositoryFacts | undefined): void {
    const { facts: first, rows } = opened(repository);
    const facts = plausibleRepositoryFacts({ ...first, ...(last && defined(last)) }, gate(repository));
    const totals = foldImages(repository, facts, rows, options);
    complete.set(repository, repackTotals(totals, options.previous?.(repository)));
    open.delete(repository);
  }

  function addOfRepository(observation: Extract<Observation, { repository: string }>): void {
    const repository = keptName(observation.repository);
    switch (observation.type) {
      case 'repository':
        open.set(repository, { facts: observation.facts ?? {}, rows: new Map() });
        return;
      case 'images':
        return addImages(repository, observation.images);
      case 'repository-complete':
        return end(repository, observation.facts);
      case 'repository-gone':
        open.delete(repository);
        gone.add(repository);
        return;
      case 'repository-failed':
        open.delete(repository);
        failed.set(repository, observation.error);
    }
  }

  return {
    add(observation) {
      switch (observation.type) {
        case 'identity':
          identity = { ...identity, ...plausibleIdentity(observation.identity) };
          return;
        case 'registry':
          facts = { ...facts, ...plausibleRegistryFacts(observation.facts, gate()) };
          return;
        case 'group-failed':
          failedGroups.set(observation.prefix, observation.error);
          for (const repository of open.keys())
            if (repository.startsWith(observation.prefix)) open.delete(repository);
          return;
        case 'group-empty':
          emptyGroups.add(observation.prefix);
          return;
        default:
          addOfRepository(observation);
      }
    },
    cut: (reason) => ({ ...result(), cut: reason ? { reason } : {} }),
    finish() {
      const [unfinished] = open.keys();
      if (unfinished !== undefined)
        throw new Error(`the provider's listing ended in the middle of ${JSON.stringify(unfinished)}`);
      return result();
    },
  };
}
