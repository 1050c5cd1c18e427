import { countSeries, unpackView } from '../exposition.ts';
import type { EventSourceView, PackedView, RegistryLists, RegistryView } from '../metrics.ts';
import {
  type RegistryIdentity,
  type RegistrySnapshot,
  type RepositoryTotals,
  type ScanStatus,
  scanStatuses,
} from '../model.ts';
import { createYielder } from '../yielding.ts';
import { type Bounded, boundSeries, type CountedRepository } from './bounds.ts';
import type { RegistryInUse } from './in-use.ts';
import type { Outcome } from './outcomes.ts';
import type { ChosenZeros, PushZeros } from './push-zeros.ts';
import { type Pushes, unlisted } from './pushes.ts';
import type { RegistrySettings } from './settings.ts';

/** What is exposed of the repositories of a registry. */
export interface Shown {
  readonly repositories: ReadonlyMap<string, PackedView>;
  readonly dropped: Bounded['dropped'];
  /** Of all that is shown, the time of the oldest; Unix seconds. */
  readonly oldest: number | undefined;
}

/** What of a registry may be shown: without what is too old, and without what exceeds `maxSeries`. */
export interface Views {
  /** The rows of the registry itself. Its lists are bounded as they were when the repositories were chosen last. */
  ofRegistry(now: number): RegistryView;
  /** Chooses among the repositories. */
  chooseRepositories(now: number): Promise<Shown>;
  /** Whether data of the repository was there when they were chosen last, and not only pushes. */
  hasData(repository: string): boolean;
}

/** Where the parts of a view come from. */
export interface ViewSources {
  readonly provider: string;
  readonly settings: Pick<RegistrySettings, 'name' | 'intervalMs' | 'staleAfterMs' | 'maxSeries'>;
  /** As the configuration tells it. */
  readonly identity: RegistryIdentity;
  snapshot(): RegistrySnapshot | undefined;
  outcome(): Outcome;
  /** Whether the last saving worked; undefined without a storage path. */
  saved(): boolean | undefined;
  seriesDropped(): ReadonlyMap<string, number>;
  readonly pushes: Pick<Pushes, 'counts' | 'all'>;
  readonly pushZeros: Pick<PushZeros, 'choose' | 'ofAll'>;
  readonly eventSources: ReadonlyMap<string, EventSourceView>;
  /** Pushes that no event told of; undefined where none has told of any. */
  missedEvents(): number | undefined;
  /** What runs, where anything tells. */
  readonly inUse?: Pick<RegistryInUse, 'current'> | undefined;
}

/** Whether data of a time may still be shown. */
type IsFresh = (observedAt: number | undefined, now: number) => observedAt is number;

interface Counted extends CountedRepository {
  readonly packed: PackedView;
  /** Its images by the status of their scan. */
  readonly scans: RepositoryTotals['scans'];
}

type Scans = Partial<Record<ScanStatus, number>>;

/** Adds the scans of a repository, where it tells of them. @returns the sums; undefined while none tells */
function withScans(sums: Scans | undefined, scans: RepositoryTotals['scans']): Scans | undefined {
  if (!scans) return sums;
  const all = sums ?? {};
  for (const status of scanStatuses) {
    const count = scans[status];
    if (count !== undefined) all[status] = (all[status] ?? 0) + count;
  }
  return all;
}

const isSame = (a: PackedView, b: PackedView): boolean =>
  a.totals === b.totals && a.pushCounts === b.pushCounts && a.inUse === b.inUse && a.gone === b.gone;

function count(name: string, packed: PackedView, before: Counted | undefined): Counted {
  // Counting again what did not change would cost as much as rendering it.
  if (before && isSame(before.packed, packed)) return before;
  const view = unpackView(packed);
  const { repository, image } = countSeries(view);
  return {
    name,
    packed,
    listed: packed.totals !== undefined,
    lastPushAt: view.totals?.lastPushAt,
    scans: view.totals?.scans,
    series: repository,
    imageSeries: image,
  };
}

/** The rows of the registry itself, with its lists whole. */
function registryView(sources: ViewSources, now: number, isFresh: IsFresh): RegistryView {
  const { provider, settings, identity } = sources;
  const snapshot = sources.snapshot();
  const facts = isFresh(snapshot?.factsAt ?? snapshot?.observedAt, now) ? snapshot?.facts : undefined;
  return {
    ...sources.outcome(),
    registry: settings.name,
    provider,
    identity: { ...identity, ...snapshot?.identity },
    pollIntervalSeconds: settings.intervalMs / 1000,
    staleAfterSeconds: settings.staleAfterMs / 1000,
    facts,
    lists: facts,
    repositoryCount: isFresh(snapshot?.observedAt, now) ? snapshot?.repositoryCount : undefined,
    seriesDropped: sources.seriesDropped(),
    saved: sources.saved(),
    eventSources: sources.eventSources,
    allPushes: sources.pushZeros.ofAll(sources.pushes.all()),
    missedEvents: sources.missedEvents(),
    inUseDropped: sources.inUse?.current()?.dropped,
  };
}

/** The repositories that are fresh, with the pushes that were counted. */
async function freshRepositories({ snapshot, pushes, inUse }: ViewSources, now: number, isFresh: IsFresh) {
  const pause = createYielder();
  const views = new Map<string, PackedView>();
  const { observedAt, factsAt, repositories = [] } = snapshot() ?? {};
  let oldest = Math.min(...[observedAt, factsAt].filter((at) => isFresh(at, now)));
  const counts = pushes.counts();
  const running = inUse?.current()?.repositories;
  for (const [name, entry] of repositories) {
    if (!isFresh(entry.observedAt, now)) continue;
    oldest = Math.min(oldest, entry.observedAt);
    views.set(name, {
      totals: entry.totals,
      pushCounts: counts.get(name),
      inUse: running?.get(name)?.packed,
    });
    await pause();
  }
  // Pushes are the exporter's own knowledge: they do not age with the registry's data.
  for (const [name, pushCounts] of counts) if (!views.has(name)) views.set(name, { pushCounts });
  // What runs of a repository that is too old to show, or that the registry no longer has, runs all the same.
  for (const [name, { packed }] of running ?? []) {
    const view = views.get(name);
    if (view?.inUse !== undefined) continue;
    const gone = snapshot()?.repositories.has(name) === false;
    views.set(name, { ...view, inUse: packed, ...(gone && { gone }) });
  }
  return { views, oldest: Number.isFinite(oldest) ? oldest : undefined };
}

/** What fits of the repositories, with counters of pushes that begin at 0. */
async function shownOf(views: ReadonlyMap<string, PackedView>, bounded: Bounded, zeros: ChosenZeros) {
  const pause = createYielder();
  const shown = new Map<string, PackedView>();
  for (const [name, packed] of views) {
    if (!bounded.repositories.has(name)) continue;
    const withoutImages = !bounded.withImages.has(name);
    const pushCounts = packed.totals ? zeros.ofRepository(name, packed.pushCounts) : packed.pushCounts;
    const isAsItWas = !withoutImages && pushCounts === packed.pushCounts;
    shown.set(name, isAsItWas ? packed : { ...packed, ...(withoutImages && { withoutImages }), pushCounts });
    await pause();
  }
  const pushCounts = zeros.ofRegistry(shown.get(unlisted)?.pushCounts);
  if (pushCounts) shown.set(unlisted, { ...shown.get(unlisted), pushCounts });
  return shown;
}

export function createViews(sources: ViewSources): Views {
  const { settings } = sources;
  const isFresh: IsFresh = (observedAt, now): observedAt is number =>
    observedAt !== undefined && now - observedAt < settings.staleAfterMs / 1000;
  let counted: ReadonlyMap<string, Counted> = new Map();
  let lists: RegistryLists | undefined;
  let scans: RegistryView['scans'];

  /** Counts the series of each, again where it changed, and the scans of all. */
  async function countAll(views: ReadonlyMap<string, PackedView>): Promise<readonly Counted[]> {
    const pause = createYielder();
    const next = new Map<string, Counted>();
    let sums: Scans | undefined;
    for (const [name, packed] of views) {
      const entry = count(name, packed, counted.get(name));
      next.set(name, entry);
      sums = withScans(sums, entry.scans);
      await pause();
    }
    counted = next;
    scans = sums;
    return [...next.values()];
  }

  return {
    ofRegistry(now) {
      const view = { ...registryView(sources, now, isFresh), scans };
      return view.facts && lists ? { ...view, lists } : view;
    },
    async chooseRepositories(now) {
      const { views, oldest } = await freshRepositories(sources, now, isFresh);
      const all = await countAll(views);
      const bounded = boundSeries(registryView(sources, now, isFresh), all, settings.maxSeries);
      lists = bounded.lists;
      const listed = all.filter(({ name, listed }) => listed && bounded.repositories.has(name));
      const zeros = sources.pushZeros.choose(listed, bounded.free);
      return { repositories: await shownOf(views, bounded, zeros), dropped: bounded.dropped, oldest };
    },
    hasData: (repository) => counted.get(repository)?.listed === true,
  };
}
