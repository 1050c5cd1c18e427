import { countOwnSeries } from '../exposition.ts';
import { type RegistryList, type RegistryLists, type RegistryView, registryLists } from '../metrics.ts';
import { type RegistryFacts, severities } from '../model.ts';

/** Series of a repository, and how useful they are when not all fit. */
export interface CountedRepository {
  readonly name: string;
  /** Whether a listing showed it; a repository that only events named may not exist. */
  readonly listed: boolean;
  readonly lastPushAt: number | undefined;
  readonly series: number;
  /** Those of its single images, which `series` does not include. */
  readonly imageSeries: number;
}

/** What fits into `maxSeries`, and how many series do not. */
export interface Bounded {
  readonly repositories: ReadonlySet<string>;
  /** Of these, the ones whose single images fit too. */
  readonly withImages: ReadonlySet<string>;
  readonly lists: RegistryLists;
  /** How many series there is room for besides. */
  readonly free: number;
  readonly dropped: {
    readonly image_cap: number;
    readonly repository_cap: number;
    readonly registry_cap: number;
  };
}

/**
 * What of a list is looked at first: what is broken, or about to break. Larger is more useful.
 * Projects and queues that hold more come before those that hold little.
 */
const usefulness: { readonly [L in RegistryList]: (item: NonNullable<RegistryFacts[L]>[number]) => number } =
  {
    credentials: ({ expiresAt }) => -expiresAt,
    components: ({ up }) => (up ? 0 : 1),
    replications: ({ up, failedImages = 0 }) => (up === false ? Number.POSITIVE_INFINITY : failedImages),
    tasks: ({ up }) => (up === false ? 1 : 0),
    settings: ({ on }) => Number(on),
    quotas: ({ project, used = 0, limit }) =>
      project === undefined ? Number.POSITIVE_INFINITY : limit ? used / limit : 0,
    violations: ({ severity, count }) => (count > 0 ? severities.length - severities.indexOf(severity) : 0),
    jobQueues: ({ size = 0 }) => size,
    projects: ({ repositories = 0 }) => repositories,
  };

/** Lists and the series of each of their items, most useful first. */
function countLists(view: RegistryView, lists: RegistryLists) {
  const { lists: _, ...bare } = view;
  const essential = countOwnSeries(bare);
  const counted = registryLists.map((list) => {
    const items = (lists[list] ?? []).map((item) => ({
      item,
      series: countOwnSeries({ ...bare, lists: { [list]: [item] } }) - essential,
      use: (usefulness[list] as (item: unknown) => number)(item),
    }));
    // Infinities have no difference.
    items.sort((a, b) => (a.use === b.use ? 0 : a.use < b.use ? 1 : -1));
    return { list, items, series: items.reduce((sum, { series }) => sum + series, 0) };
  });
  return { essential, counted };
}

/** Each list gets its share: small ones are kept whole, and what they leave goes to the large ones. */
function boundLists(counted: ReturnType<typeof countLists>['counted'], budget: number) {
  const lists: Record<string, readonly unknown[]> = {};
  let left = budget;
  const bySize = [...counted].filter(({ items }) => items.length > 0).sort((a, b) => a.series - b.series);
  for (const [index, { list, items }] of bySize.entries()) {
    let share = Math.floor(left / (bySize.length - index));
    const kept: unknown[] = [];
    for (const { item, series } of items) {
      if (series > share) break;
      share -= series;
      left -= series;
      kept.push(item);
    }
    lists[list] = kept;
  }
  return { lists: lists as RegistryLists, series: budget - left };
}

/** Repositories that a listing showed come first, then those that were pushed to last. */
function moreUseful(a: CountedRepository, b: CountedRepository): number {
  if (a.listed !== b.listed) return a.listed ? -1 : 1;
  const [left, right] = [a.lastPushAt ?? 0, b.lastPushAt ?? 0];
  if (left !== right) return right - left;
  return a.name < b.name ? -1 : 1;
}

/**
 * Chooses what of a registry is exposed when there is more than `maxSeries` allows. The registry's health is always
 * there. Single images go first, those of the repositories that are pushed to least; then rows of the registry's lists,
 * of which a quarter of the cap is kept free; then repositories.
 */
export function boundSeries(
  view: RegistryView,
  repositories: readonly CountedRepository[],
  maxSeries: number,
): Bounded {
  const lists = view.facts ?? {};
  const names = (all: readonly CountedRepository[]) => new Set(all.map(({ name }) => name));
  const repositorySeries = repositories.reduce((sum, { series }) => sum + series, 0);
  const imageSeries = repositories.reduce((sum, bounds) => sum + bounds.imageSeries, 0);
  const series = countOwnSeries({ ...view, lists }) + repositorySeries + imageSeries;
  if (series <= maxSeries)
    return {
      repositories: names(repositories),
      withImages: names(repositories),
      lists,
      free: maxSeries - series,
      dropped: { image_cap: 0, repository_cap: 0, registry_cap: 0 },
    };

  const { essential, counted } = countLists(view, lists);
  const free = Math.max(0, maxSeries - essential);
  const listSeries = counted.reduce((sum, { series }) => sum + series, 0);
  const forLists = Math.max(free - repositorySeries, Math.floor(free / 4));
  const bounded = listSeries <= forLists ? { lists, series: listSeries } : boundLists(counted, forLists);

  let left = free - bounded.series;
  const ordered = [...repositories].sort(moreUseful);
  const kept: CountedRepository[] = [];
  for (const bounds of ordered) {
    if (bounds.series > left) break;
    left -= bounds.series;
    kept.push(bounds);
  }
  const keptSeries = kept.reduce((sum, { series }) => sum + series, 0);
  const withImages: CountedRepository[] = [];
  for (const bounds of kept) {
    // A repository with many images does not push out all that come after it.
    if (bounds.imageSeries > left) continue;
    left -= bounds.imageSeries;
    withImages.push(bounds);
  }
  return {
    repositories: names(kept),
    withImages: names(withImages),
    lists: bounded.lists,
    free: 0,
    dropped: {
      image_cap: imageSeries - withImages.reduce((sum, bounds) => sum + bounds.imageSeries, 0),
      repository_cap: repositorySeries - keptSeries,
      registry_cap: listSeries - bounded.series,
    },
  };
}
