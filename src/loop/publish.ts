import { countSeries, type Exposition, unpackView } from '../exposition.ts';
import type { PackedView } from '../metrics.ts';
import type { PackedTotals } from '../model.ts';
import { createYielder } from '../yielding.ts';
import type { RegistrySettings } from './settings.ts';
import { type RegistryState, viewOf } from './state.ts';

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
}

export function createPublisher(input: {
  readonly provider: string;
  readonly settings: RegistrySettings;
  readonly state: RegistryState;
  readonly exposition: Exposition;
}): Publisher {
  const { provider, settings, state, exposition } = input;
  const staleAfter = settings.staleAfterMs / 1000;
  let counted = new Map<string, { readonly totals: PackedTotals; repository: number; image: number }>();
  const isFresh = (observedAt: number | undefined, now: number): boolean =>
    observedAt !== undefined && now - observedAt < staleAfter;

  const view = (now: number) =>
    viewOf(settings.name, provider, state, {
      registry: isFresh(state.snapshot?.observedAt, now),
      facts: isFresh(state.snapshot?.factsAt ?? state.snapshot?.observedAt, now),
    });

  const seriesOf = (name: string, view: PackedView) => {
    const known = counted.get(name);
    if (known && known.totals === view.totals) return known;
    const { totals } = view;
    const series = countSeries(unpackView(view));
    if (totals) counted.set(name, { totals, ...series });
    return series;
  };

  /** Applies `maxSeries`: single images go first, then repositories from the end of the alphabet. */
  async function bounded(views: Map<string, PackedView>) {
    const pause = createYielder();
    let images = 0;
    let repositories = 0;
    if (counted.size > 2 * views.size + 1000) counted = new Map();
    for (const [name, one] of views) {
      const series = seriesOf(name, one);
      images += series.image;
      repositories += series.repository;
      await pause();
    }
    state.seriesDropped = new Map([
      ['image_cap', 0],
      ['repository_cap', 0],
    ]);
    if (images + repositories <= settings.maxSeries) return { views, perImage: true };
    state.seriesDropped.set('image_cap', images);
    if (repositories <= settings.maxSeries) return { views, perImage: false };
    const kept = new Map<string, PackedView>();
    let sum = 0;
    for (const name of [...views.keys()].sort()) {
      const one = views.get(name);
      if (!one) continue;
      const { repository } = seriesOf(name, one);
      if (sum + repository > settings.maxSeries) break;
      sum += repository;
      kept.set(name, one);
    }
    state.seriesDropped.set('repository_cap', repositories - sum);
    return { views: kept, perImage: false };
  }

  return {
    async publish(now) {
      const pause = createYielder();
      const views = new Map<string, PackedView>();
      let oldest: number | undefined;
      const notice = (observedAt: number) => {
        if (oldest === undefined || observedAt < oldest) oldest = observedAt;
      };
      for (const [name, { totals, observedAt }] of state.snapshot?.repositories ?? []) {
        if (!isFresh(observedAt, now)) continue;
        notice(observedAt);
        const pushCounts = state.pushes.get(name);
        views.set(name, pushCounts ? { totals, pushCounts } : { totals });
        await pause();
      }
      // Pushes are the exporter's own knowledge: they do not age with the registry's data.
      for (const [name, pushCounts] of state.pushes) if (!views.has(name)) views.set(name, { pushCounts });
      for (const at of [state.snapshot?.observedAt, state.snapshot?.factsAt])
        if (at !== undefined && isFresh(at, now)) notice(at);
      const { views: kept, perImage } = await bounded(views);
      const { series } = await exposition.publish(settings.name, {
        view: view(now),
        repositories: kept,
        perImage,
      });
      return { series, staleAt: oldest === undefined ? undefined : oldest + staleAfter };
    },
    refresh(now) {
      exposition.updateView(settings.name, view(now));
    },
  };
}
