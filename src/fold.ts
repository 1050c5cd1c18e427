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
  /** Reports an impossible value that is left out; once for each `key` is enough. */
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

/** What has been learned so far. */
interface Learned {
  identity: RegistryIdentity;
  facts: RegistryFacts;
  readonly open: Map<string, OpenRepository>;
  readonly complete: Map<string, PackedTotals>;
  readonly gone: Set<string>;
  readonly failed: Map<string, unknown>;
  readonly failedGroups: Map<string, unknown>;
  readonly emptyGroups: Set<string>;
}

/** A fold for one cycle. */
export function createFold(options: FoldOptions): Fold {
  const learned: Learned = {
    identity: {},
    facts: {},
    open: new Map(),
    complete: new Map(),
    gone: new Set(),
    failed: new Map(),
    failedGroups: new Map(),
    emptyGroups: new Set(),
  };
  return {
    add: (observation) => add(learned, options, observation),
    cut: (reason) => ({ ...resultOf(learned, options), cut: reason ? { reason } : {} }),
    finish() {
      const [unfinished] = learned.open.keys();
      if (unfinished !== undefined)
        throw new Error(`the provider's listing ended in the middle of ${JSON.stringify(unfinished)}`);
      return resultOf(learned, options);
    },
  };
}

function resultOf({ open: _, ...result }: Learned, options: FoldOptions): CycleResult {
  const { complete, gone, failed } = result;
  for (const [prefix, error] of result.failedGroups)
    for (const repository of options.known?.() ?? [])
      if (repository.startsWith(prefix) && !complete.has(repository) && !gone.has(repository))
        failed.set(repository, error);
  return result;
}

function add(learned: Learned, options: FoldOptions, observation: Observation): void {
  switch (observation.type) {
    case 'identity':
      learned.identity = { ...learned.identity, ...plausibleIdentity(observation.identity) };
      return;
    case 'registry':
      learned.facts = { ...learned.facts, ...plausibleRegistryFacts(observation.facts, gateOf(options)) };
      return;
    case 'group-failed':
      learned.failedGroups.set(observation.prefix, observation.error);
      for (const repository of learned.open.keys())
        if (repository.startsWith(observation.prefix)) learned.open.delete(repository);
      return;
    case 'group-empty':
      learned.emptyGroups.add(observation.prefix);
      return;
    default:
      addOfRepository(learned, options, observation);
  }
}

function addOfRepository(
  learned: Learned,
  options: FoldOptions,
  observation: Extract<Observation, { repository: string }>,
): void {
  const { open, gone, failed } = learned;
  const repository = keptName(observation.repository);
  switch (observation.type) {
    case 'repository':
      open.set(repository, { facts: observation.facts ?? {}, rows: new Map() });
      return;
    case 'images':
      return addImages(openedOf(learned, repository).rows, observation.images, options, repository);
    case 'repository-complete':
      return complete(learned, options, repository, observation.facts);
    case 'repository-gone':
      open.delete(repository);
      gone.add(repository);
      return;
    case 'repository-failed':
      open.delete(repository);
      failed.set(repository, observation.error);
  }
}

function openedOf({ open }: Learned, repository: string): OpenRepository {
  const opened = open.get(repository);
  if (opened) return opened;
  throw new Error(`the provider sent images of ${JSON.stringify(repository)} before opening it`);
}

function addImages(
  rows: OpenRepository['rows'],
  images: readonly Image[],
  options: FoldOptions,
  repository: string,
): void {
  let digest: string | undefined;
  const gate = gateOf(options, repository, () => digest);
  for (const raw of images) {
    digest = raw.digest;
    const image = plausibleImage(raw, gate);
    // A digest that a page boundary repeats is one image; its tags are those of both sightings.
    rows.set(image.digest, toRow(image, rows.get(image.digest)));
  }
}

function complete(
  learned: Learned,
  options: FoldOptions,
  repository: string,
  last: RepositoryFacts | undefined,
): void {
  const { facts: first, rows } = openedOf(learned, repository);
  const merged = { ...first, ...(last && defined(last)) };
  const facts = plausibleRepositoryFacts(merged, gateOf(options, repository));
  const totals = foldImages(repository, facts, rows, options);
  learned.complete.set(repository, repackTotals(totals, options.previous?.(repository)));
  learned.open.delete(repository);
}

/** What a registry, a repository or an image of it says passes through this. */
const gateOf = (
  { now, tell }: FoldOptions,
  repository?: string,
  digestOf?: () => string | undefined,
): Gate => ({
  now,
  doubt: (field, value) =>
    tell?.(
      `the impossible ${field} of ${JSON.stringify(repository ?? 'the registry')}`,
      defined({ repository, digest: digestOf?.(), field, value: String(value).slice(0, 40) }),
      'the registry sent a value that cannot be: it is left out, and what depends on it is unknown',
    ),
});
