import { receivers } from '../events/receivers.ts';
import { pushFailureReasons, type Tells, type TellsOf } from '../events/told.ts';
import type { ShownPushes } from '../metrics.ts';
import type { EventSource } from '../provider.ts';
import type { SavedCounters } from '../storage.ts';

/**
 * Counters of pushes begin at 0 once a source of events works: `increase()` does not see what a series begins with, and
 * the first failure is the one that matters. Only what a source can tell begins so: elsewhere 0 would not be known.
 */
export interface PushZeros {
  /** A source works. @returns whether counters begin by it */
  works(source: string): boolean;
  /**
   * Which repositories have counters that begin at 0.
   * @param free how many series there is room for
   */
  choose(repositories: readonly Candidate[], free: number): ChosenZeros;
  /** @param counts all that was counted of the registry */
  ofAll(counts: ShownPushes | undefined): ShownPushes | undefined;
  /** Sources that have told of something before this start. */
  restore(saved: Pick<SavedCounters, 'events'>): void;
  /** Leaves its share to others. */
  stop(): void;
}

/** A listed repository. */
export interface Candidate {
  readonly name: string;
  readonly lastPushAt: number | undefined;
}

/** Counts as they are shown. */
export interface ChosenZeros {
  /** @param counts what was counted, if anything */
  ofRepository(name: string, counts: ShownPushes | undefined): ShownPushes | undefined;
  ofRegistry(counts: ShownPushes | undefined): ShownPushes | undefined;
}

/**
 * Series that begin at 0, of all registries of the exporter: alerts and boards read each scrape of them over a quarter
 * of an hour or a day. Each reason is a series of each repository: where there are more, those have them that were
 * pushed to last, where the next failure is most likely.
 */
const zerosAtMost = 10_000;

/** Divides them among the registries that have some, in equal parts. */
export interface ZeroShares {
  join(sharer: object): void;
  leave(sharer: object): void;
  /** How many each may have. */
  each(): number;
}

export function createZeroShares(): ZeroShares {
  const sharers = new Set<object>();
  return {
    join: (sharer) => void sharers.add(sharer),
    leave: (sharer) => void sharers.delete(sharer),
    each: () => Math.floor(zerosAtMost / Math.max(1, sharers.size)),
  };
}

/** What all sources that work tell, together. */
interface Zeros extends ShownPushes {
  readonly series: number;
}

function zerosOf(all: readonly (TellsOf | undefined)[]): Zeros | undefined {
  const told = new Set(all.flatMap((tells) => tells?.failures ?? []));
  const reasons = pushFailureReasons.filter((reason) => told.has(reason));
  const pushes = all.some((tells) => tells?.pushes) ? 0 : undefined;
  const series = reasons.length + (pushes === undefined ? 0 : 1);
  if (series === 0) return undefined;
  return { pushes, failures: Object.fromEntries(reasons.map((reason) => [reason, 0])), series };
}

/** Adds zeros to counts; the same counts become the same object, so that a change is seen. */
function createMerge(zeros: Zeros | undefined) {
  const merged = new WeakMap<ShownPushes, ShownPushes>();
  return (counts: ShownPushes | undefined): ShownPushes | undefined => {
    if (!zeros || !counts) return counts ?? zeros;
    const before = merged.get(counts);
    if (before) return before;
    const next = { pushes: counts.pushes, failures: { ...zeros.failures, ...counts.failures } };
    merged.set(counts, next);
    return next;
  };
}

/** The newest so many; those whose time is not known come last. */
function newest(repositories: readonly Candidate[], count: number): ReadonlySet<string> {
  const times = Float64Array.from(repositories, ({ lastPushAt = 0 }) => lastPushAt).sort();
  const oldest = times[times.length - count] ?? Number.POSITIVE_INFINITY;
  const chosen = repositories.filter(({ lastPushAt = 0 }) => lastPushAt > oldest);
  const asOld = repositories.filter(({ lastPushAt = 0 }) => lastPushAt === oldest);
  return new Set([...chosen, ...asOld].slice(0, count).map(({ name }) => name));
}

/** @param sources those that are asked; receivers are known by their names */
export function createPushZeros(
  sources: readonly Pick<EventSource, 'name' | 'tells'>[],
  receives: boolean,
  shares: ZeroShares,
): PushZeros {
  const tellsBySource = new Map<string, Tells>([
    ...(receives ? Object.entries(receivers).map(([name, { tells }]) => [name, tells] as const) : []),
    ...sources.map(({ name, tells }) => [name, tells] as const),
  ]);
  const working = new Map<string, Tells>();
  const sharer = {};
  let ofRepository: Zeros | undefined;
  let ofRegistry: Zeros | undefined;
  let mergeRepository = createMerge(undefined);
  let mergeRegistry = createMerge(undefined);

  function works(source: string): boolean {
    const tells = tellsBySource.get(source);
    if (!tells || working.has(source)) return false;
    working.set(source, tells);
    shares.join(sharer);
    const all = [...working.values()];
    ofRepository = zerosOf(all.map(({ repositories }) => repositories));
    // What is pushed to names that are not there counts for the registry too.
    ofRegistry = zerosOf(all.flatMap(({ repositories, registry }) => [repositories, registry]));
    mergeRepository = createMerge(ofRepository);
    mergeRegistry = createMerge(ofRegistry);
    return true;
  }

  return {
    works,
    choose(repositories, free) {
      const left = free - (ofRegistry?.series ?? 0);
      const room = Math.max(0, Math.floor(Math.min(left, shares.each()) / (ofRepository?.series ?? 1)));
      const chosen = repositories.length <= room ? undefined : newest(repositories, room);
      return {
        ofRepository: (name, counts) => (!chosen || chosen.has(name) ? mergeRepository(counts) : counts),
        ofRegistry: (counts) => (left < 0 ? counts : mergeRegistry(counts)),
      };
    },
    ofAll: (counts) => mergeRegistry(counts),
    restore(saved) {
      for (const [source, outcome] of saved.events) if (outcome !== 'invalid') works(source);
    },
    stop: () => shares.leave(sharer),
  };
}
