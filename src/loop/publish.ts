import { CollectError } from '../errors.ts';
import { countSeries, type Exposition, type Refused, refusals, unpackView } from '../exposition.ts';
import type { PackedView, RegistryLists, RegistryView } from '../metrics.ts';
import { createYielder } from '../yielding.ts';
import { type Bounded, boundSeries, type CountedRepository } from './bounds.ts';
import type { RegistrySettings } from './settings.ts';
import { type RegistryState, viewOf } from './state.ts';
import type { Troubles } from './troubles.ts';

/** What a publish did. */
export interface Published {
  readonly series: number;
  /** When the next repository's data, or the registry's, becomes too old; Unix seconds. */
  readonly staleAt: number | undefined;
}

/** Turns a registry's state into what a scrape writes, leaving out what is too old or too much. */
export interface Publisher {
  publish(now: number): Promise<Published>;
  /** Renders the rows of the registry itself again, at once. */
  refresh(now: number): void;
  /** Whether the last publish had data of the repository, and not only pushes. */
  hasData(repository: string): boolean;
}

type Dropped = Bounded['dropped'];

/** Why series are missing, and what to do about it. */
const causes = {
  image_cap: 'single images are left out: raise maxSeries, or lower images.perRepository',
  repository_cap: 'repositories are left out: raise maxSeries, or use repositories.exclude',
  registry_cap: 'rows of projects, quotas, jobs and the like are left out: raise maxSeries',
  invalid_value: 'samples whose value is no number are left out: the registry sent something impossible',
  duplicate: 'series that are there twice are left out: the registry uses one name for two things',
} as const;

/** Tells once why series are left out, and when they no longer are. */
function tellOfDropped(troubles: Troubles, dropped: Dropped, refused: Refused): void {
  const tell = (reason: keyof typeof causes, count: number, example?: string) => {
    const what = `the exposition of all series (${reason})`;
    if (count === 0) return troubles.over(what);
    const error = new CollectError('invalid_response', example ?? 'more series than maxSeries');
    troubles.tell('warn', what, error, causes[reason], { dropped: count });
  };
  for (const [reason, count] of Object.entries(dropped) as [keyof Dropped, number][]) tell(reason, count);
  for (const reason of refusals) tell(reason, refused.get(reason)?.count ?? 0, refused.get(reason)?.example);
}

export function createPublisher(input: {
  readonly provider: string;
  readonly settings: RegistrySettings;
  readonly state: RegistryState;
  readonly exposition: Exposition;
  readonly troubles: Troubles;
}): Publisher {
  const { provider, settings, state, exposition, troubles } = input;
  const staleAfter = settings.staleAfterMs / 1000;
  /** Of the last publish; counting again what did not change would cost as much as rendering it. */
  let counted = new Map<string, CountedRepository & { readonly packed: PackedView }>();
  /** Of the last publish, what fits of the lists of the registry's facts. */
  let lists: RegistryLists | undefined;
  state.seriesDropped = new Map(Object.keys(causes).map((reason) => [reason, 0]));
  const isFresh = (observedAt: number | undefined, now: number): boolean =>
    observedAt !== undefined && now - observedAt < staleAfter;

  const view = (now: number): RegistryView => ({
    ...viewOf(settings.name, provider, state, {
      registry: isFresh(state.snapshot?.observedAt, now),
      facts: isFresh(state.snapshot?.factsAt ?? state.snapshot?.observedAt, now),
    }),
    pollIntervalSeconds: settings.intervalMs / 1000,
    staleAfterSeconds: staleAfter,
  });
  const boundedView = (now: number): RegistryView => {
    const whole = view(now);
    return whole.facts && lists ? { ...whole, lists } : whole;
  };

  function count(name: string, packed: PackedView) {
    const known = counted.get(name);
    if (known && known.packed.totals === packed.totals && known.packed.pushCounts === packed.pushCounts)
      return known;
    const unpacked = unpackView(packed);
    const { repository, image } = countSeries(unpacked);
    return {
      name,
      packed,
      listed: packed.totals !== undefined,
      lastPushAt: unpacked.totals?.lastPushAt,
      series: repository,
      imageSeries: image,
    };
  }

  /** Applies `maxSeries`. */
  async function bound(views: ReadonlyMap<string, PackedView>, now: number) {
    const pause = createYielder();
    const next: typeof counted = new Map();
    for (const [name, packed] of views) {
      next.set(name, count(name, packed));
      await pause();
    }
    counted = next;
    const bounded = boundSeries(view(now), [...next.values()], settings.maxSeries);
    const kept = new Map<string, PackedView>();
    for (const [name, packed] of views) {
      if (!bounded.repositories.has(name)) continue;
      kept.set(name, bounded.withImages.has(name) ? packed : { ...packed, withoutImages: true });
      await pause();
    }
    return { ...bounded, kept };
  }

  /** The repositories that are fresh, with the pushes that were counted; and the oldest time of what is shown. */
  async function freshViews(now: number) {
    const pause = createYielder();
    const views = new Map<string, PackedView>();
    const times = [state.snapshot?.observedAt, state.snapshot?.factsAt].filter((at) => isFresh(at, now));
    let oldest = times.reduce((a, b) => (b === undefined || (a !== undefined && a < b) ? a : b), undefined);
    for (const [name, { totals, observedAt }] of state.snapshot?.repositories ?? []) {
      if (!isFresh(observedAt, now)) continue;
      if (oldest === undefined || observedAt < oldest) oldest = observedAt;
      const pushCounts = state.pushes.get(name);
      views.set(name, pushCounts ? { totals, pushCounts } : { totals });
      await pause();
    }
    // Pushes are the exporter's own knowledge: they do not age with the registry's data.
    for (const [name, pushCounts] of state.pushes) if (!views.has(name)) views.set(name, { pushCounts });
    return { views, oldest };
  }

  return {
    async publish(now) {
      const { views, oldest } = await freshViews(now);
      const bounded = await bound(views, now);
      lists = bounded.lists;
      const { series, refused } = await exposition.publish(settings.name, {
        view: boundedView(now),
        repositories: bounded.kept,
      });
      state.seriesDropped = new Map([
        ...Object.entries(bounded.dropped),
        ...refusals.map((reason) => [reason, refused.get(reason)?.count ?? 0] as const),
      ]);
      tellOfDropped(troubles, bounded.dropped, refused);
      return { series, staleAt: oldest === undefined ? undefined : oldest + staleAfter };
    },
    refresh(now) {
      exposition.updateView(settings.name, boundedView(now));
    },
    hasData: (repository) => counted.get(repository)?.listed === true,
  };
}
