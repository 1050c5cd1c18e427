import type { InUseFeed, JoinedRegistry, RegistryUse } from '../in-use/feed.ts';
import { joinRegistry, unmatchedHosts } from '../in-use/join.ts';
import type { InUseSettings, SourceSettings } from '../in-use/settings.ts';
import { sourceKinds } from '../in-use/sources/index.ts';
import type { Tally } from '../in-use/tally.ts';
import type { RootLogger } from '../log.ts';
import { createQueue } from '../queue.ts';
import type { SourceStatus } from '../self-metrics/in-use.ts';
import type { SelfMetrics } from '../self-metrics.ts';
import { createYielder } from '../yielding.ts';
import { type SourceReader, type SourceState, startSource } from './in-use-source.ts';

/** All sources of what runs, and the registries that it is joined with. */
export interface InUse extends InUseFeed {
  /** How its sources go. */
  sources(): readonly InUseStatus[];
  /** Goes over to another configuration: a source whose part did not change is left running. */
  apply(settings: InUseSettings | undefined): Promise<void>;
  stop(): Promise<void>;
}

/** A source of what runs, as people see it. Times are Unix seconds. */
export interface InUseStatus extends SourceStatus {
  readonly type: string;
  readonly error: SourceState['error'];
}

interface InUseInput {
  readonly log: RootLogger;
  readonly self: SelfMetrics;
  readonly userAgent: string;
  /** Whether this exporter knows all registries of the configuration: else it cannot tell what none of them lists. */
  knowsAll(): boolean;
}

/** Hosts of images that no registry lists are told apart up to so many. */
const hostsAtMost = 50;
const defaultMaxImages = 2_000;

interface Joined {
  readonly registry: JoinedRegistry;
  /** Of which answers and of which listing it was made. */
  answers: number;
  listing: unknown;
  use: RegistryUse | undefined;
}

function statusOf(reader: SourceReader): InUseStatus {
  const { settings } = reader;
  const { up, answer, error } = reader.state();
  const tally = reader.fresh();
  return {
    source: settings.name,
    type: settings.type,
    error,
    up,
    answeredAt: answer?.at,
    staleAfterSeconds: settings.staleAfterMs / 1000,
    containers: tally && {
      identified: tally.containers - tally.unidentified,
      unidentified: tally.unidentified,
    },
  };
}

/** The joins of all registries with what the sources answered; each is made anew when one of both changed. */
function createJoins(tallies: () => ReadonlyMap<string, Tally>, maxImages: () => number) {
  const joined = new Set<Joined>();
  /** Counts changes of the answers: a poll asks for the join at each repository. */
  let changes = 0;

  function currentOf(entry: Joined): RegistryUse | undefined {
    const listing = entry.registry.listing();
    if (entry.answers === changes && entry.listing === listing) return entry.use;
    entry.answers = changes;
    entry.listing = listing;
    const answers = tallies();
    entry.use = answers.size === 0 ? undefined : joinRegistry(entry.registry, answers, maxImages());
    return entry.use;
  }

  return {
    registries: () => [...joined].map(({ registry }) => registry),
    changed() {
      changes += 1;
    },
    join(registry: JoinedRegistry) {
      const entry: Joined = { registry, answers: -1, listing: undefined, use: undefined };
      joined.add(entry);
      return { current: () => currentOf(entry), leave: () => void joined.delete(entry) };
    },
  };
}

export function createInUse(input: InUseInput): InUse {
  const { log, self, userAgent, knowsAll } = input;
  const readers = new Map<string, SourceReader>();
  let maxImages = defaultMaxImages;
  const telling = createQueue();
  let isTelling = false;
  let stopped = false;

  /** The answers that count now. */
  function tallies(): ReadonlyMap<string, Tally> {
    const fresh = [...readers].map(([name, reader]) => [name, reader.fresh()] as const);
    return new Map(fresh.filter((entry): entry is [string, Tally] => entry[1] !== undefined));
  }
  const joins = createJoins(tallies, () => maxImages);
  const { registries, join } = joins;

  /** Tells registries and metrics what runs now, one after the other: each join takes some milliseconds. */
  async function tell(): Promise<void> {
    // A turn of the event loop before each.
    const pause = createYielder(0);
    isTelling = false;
    for (const registry of registries()) {
      await pause();
      registry.changed();
    }
    const ready = knowsAll() ? registries() : [];
    const unmatched = await unmatchedHosts(ready, knowsAll() ? tallies() : new Map(), hostsAtMost);
    if (!stopped) self.inUse([...readers.values()].map(statusOf), unmatched);
  }

  function changed(): void {
    joins.changed();
    if (isTelling) return;
    isTelling = true;
    telling
      .run(tell)
      .catch((err) => log.error({ err }, 'telling what runs broke: this is a fault of the exporter'));
  }

  function start(settings: SourceSettings): SourceReader {
    const kind = sourceKinds[settings.type];
    if (!kind) throw new Error(`no kind of source ${settings.type}`);
    const source = kind.open(settings.options as never);
    return startSource({ settings, source, log: log.child({ source: settings.name }), userAgent, changed });
  }

  return {
    join,
    sources: () => [...readers.values()].map(statusOf),
    async apply(settings) {
      const wanted = new Map(settings?.sources.map((source) => [source.name, source]));
      maxImages = settings?.maxImages ?? defaultMaxImages;
      for (const [name, reader] of readers) {
        if (wanted.get(name)?.written === reader.settings.written) continue;
        readers.delete(name);
        await reader.stop();
      }
      for (const [name, source] of wanted) if (!readers.has(name)) readers.set(name, start(source));
      changed();
    },
    async stop() {
      stopped = true;
      await Promise.all([...readers.values()].map((reader) => reader.stop()));
      await telling.drained();
    },
  };
}
