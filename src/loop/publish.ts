import { CollectError } from '../errors.ts';
import { type Exposition, type Refused, refusals } from '../exposition.ts';
import type { Logger } from '../provider.ts';
import { createQueue } from '../queue.ts';
import { longestDelayMs } from '../schedule.ts';
import type { Troubles } from './troubles.ts';
import type { Shown, Views } from './views.ts';

/** Turns what is known of a registry into what a scrape writes, and again when some of it becomes too old. */
export interface Publisher {
  /** Publishes what is known, after the publishes that were begun before: they keep their order. */
  publish(): Promise<void>;
  /** The same outside of a cycle. */
  publishAside(): void;
  /** Renders the rows of the registry itself again, at once. */
  refresh(): void;
  /** Series that the last publish left out, by reason. */
  seriesDropped(): ReadonlyMap<string, number>;
  /** Series of the last publish. */
  series(): number;
  /** Whether the last publish had data that is not too old. */
  hasFreshData(): boolean;
  /** Publishes nothing more by itself. @returns when the publishes that were begun have ended */
  stop(): Promise<void>;
}

/** Why series are missing, and what to do about it. */
const causes = {
  image_cap: 'single images are left out: raise maxSeries, or lower images.perRepository',
  repository_cap: 'repositories are left out: raise maxSeries, or use repositories.exclude',
  registry_cap: 'rows of projects, quotas, jobs and the like are left out: raise maxSeries',
  invalid_value: 'samples whose value is no number are left out: the registry sent something impossible',
  duplicate: 'series that are there twice are left out: the registry uses one name for two things',
} as const;
type Cause = keyof typeof causes;

/** How many series are missing, and why. */
function droppedBy(dropped: Shown['dropped'], refused: Refused): [Cause, number][] {
  const capped = Object.entries(dropped) as [Cause, number][];
  return [...capped, ...refusals.map((cause): [Cause, number] => [cause, refused.get(cause)?.count ?? 0])];
}

export function createPublisher(input: {
  readonly registry: string;
  readonly staleAfterMs: number;
  readonly views: Views;
  readonly exposition: Exposition;
  readonly troubles: Troubles;
  readonly log: Logger;
  now(): number;
}): Publisher {
  const { registry, staleAfterMs, views, exposition, troubles, log, now } = input;
  const queue = createQueue();
  let seriesDropped = new Map<string, number>(Object.keys(causes).map((cause) => [cause, 0]));
  let series = 0;
  let oldest: number | undefined;
  let stopped = false;
  let staleTimer: NodeJS.Timeout | undefined;

  /** Tells once why series are left out, and when they no longer are. */
  function tellOfDropped(all: readonly [Cause, number][], refused: Refused): void {
    for (const [cause, count] of all) {
      const what = `the exposition of all series (${cause})`;
      const { example } = refused.get(cause as (typeof refusals)[number]) ?? {};
      const error = new CollectError('invalid_response', example ?? 'more series than maxSeries');
      if (count === 0) troubles.over(what);
      else troubles.tell('warn', what, error, causes[cause], { dropped: count });
    }
  }

  /** Publishes again as soon as the oldest data is too old. */
  function watchAge(at: number): void {
    clearTimeout(staleTimer);
    if (oldest === undefined || stopped) return;
    const leftMs = (oldest - at) * 1000 + staleAfterMs;
    // A longer delay would overflow and fire at once: what is due later is looked at again before.
    staleTimer = setTimeout(publishAside, Math.min(Math.max(0, leftMs) + 50, longestDelayMs));
  }

  async function render(): Promise<void> {
    const at = now();
    const shown = await views.chooseRepositories(at);
    const { repositories } = shown;
    const published = await exposition.publish(registry, { view: views.ofRegistry(at), repositories });
    const dropped = droppedBy(shown.dropped, published.refused);
    seriesDropped = new Map(dropped);
    series = published.series;
    oldest = shown.oldest;
    tellOfDropped(dropped, published.refused);
    // How many series are dropped is known only now.
    refresh(at);
    watchAge(at);
  }

  const publish = (): Promise<void> => queue.run(render);
  const refresh = (at = now()): void => exposition.updateView(registry, views.ofRegistry(at));
  function publishAside(): void {
    publish().catch((error) =>
      log.error({ err: error }, 'publishing broke: this is a fault of the exporter'),
    );
  }

  return {
    publish,
    publishAside,
    refresh: () => refresh(),
    seriesDropped: () => seriesDropped,
    series: () => series,
    hasFreshData: () => oldest !== undefined,
    stop() {
      stopped = true;
      clearTimeout(staleTimer);
      return queue.drained();
    },
  };
}
