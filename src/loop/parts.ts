import type { Exposition } from '../exposition.ts';
import type { InUseFeed } from '../in-use/feed.ts';
import type { PersistentMemory } from '../memory.ts';
import type { EventSourceView } from '../metrics.ts';
import type { Capability, Logger, Provider } from '../provider.ts';
import type { SelfMetrics } from '../self-metrics.ts';
import type { RegistryStorage } from '../storage.ts';
import { createSession } from './context.ts';
import { createCounting } from './counting.ts';
import { createCycles } from './cycle.ts';
import { createEventIds } from './event-ids.ts';
import { createRegistryInUse } from './in-use.ts';
import { createMissedEvents } from './missed-events.ts';
import { createNotices } from './notices.ts';
import { createOutcomes } from './outcomes.ts';
import { createPublisher } from './publish.ts';
import { createPushJournal } from './push-journal.ts';
import { createPushZeros, type ZeroShares } from './push-zeros.ts';
import { createPushes } from './pushes.ts';
import { createRecentErrors } from './recent-errors.ts';
import { createSaving } from './saving.ts';
import type { RegistrySettings } from './settings.ts';
import { createSnapshots } from './snapshots.ts';
import { createTimes } from './times.ts';
import { createTroubles } from './troubles.ts';
import { createViews } from './views.ts';

/** What a loop is made of. */
export interface LoopOptions {
  readonly settings: RegistrySettings;
  readonly provider: Provider;
  readonly storage: RegistryStorage;
  readonly memory: PersistentMemory;
  readonly exposition: Exposition;
  readonly self: SelfMetrics;
  readonly log: Logger;
  readonly userAgent: string;
  /** Tells what runs. */
  readonly inUse?: InUseFeed | undefined;
  /** Of the series that begin at 0 in all loops. */
  readonly zeroShares: ZeroShares;
}

/** What is known of a registry between cycles. */
function createKnowledge({ settings, provider, self, zeroShares, log }: LoopOptions) {
  const troubles = createTroubles(log);
  const errors = createRecentErrors();
  const snapshots = createSnapshots({ staleAfterSeconds: settings.staleAfterMs / 1000, log });
  // Events that are not configured neither work nor fail.
  const capabilities = (Object.keys(provider.capabilities) as Capability[]).filter(
    (capability) => capability !== 'events' || settings.eventsToken !== undefined,
  );
  const pushes = createPushes(snapshots.has);
  const pushSources = provider.eventSources?.(settings.options) ?? [];
  return {
    troubles,
    errors,
    snapshots,
    pushes,
    pushSources,
    pushZeros: createPushZeros(pushSources, settings.eventsToken !== undefined, zeroShares),
    missed: createMissedEvents(pushes),
    notices: createNotices(log),
    counting: createCounting(self, { registry: settings.name, provider: provider.label }),
    outcomes: createOutcomes({ capabilities, errors, troubles }),
  };
}
type Knowledge = ReturnType<typeof createKnowledge>;

/** What saves it. @param changed called when saving began to fail, or works again */
function createKeeping({ storage, log }: LoopOptions, knowledge: Knowledge, changed: () => void) {
  const { outcomes, pushes, missed, counting, errors, troubles } = knowledge;
  /** The counters, up to this line of the push journal. */
  const countersAt = (journal: number) => ({
    ...outcomes.saved(),
    ...pushes.saved(),
    ...missed.saved(),
    ...counting.saved(),
    journal,
  });
  const saving = createSaving({
    ...{ storage, errors, troubles, changed },
    counters: () => countersAt(journal?.seal() ?? 0),
  });
  const ids = createEventIds();
  const journal =
    storage.journal &&
    createPushJournal({
      ...storage.journal,
      log,
      identities: ids.all,
      saveCounters: (line) => storage.saveCounters(countersAt(line)),
      written: (error) => saving.ended('the push events', error),
    });
  return { saving, ids, journal };
}

/** The parts of a loop. Each owns what it keeps; what it needs of the others it is given here. */
export function createParts(options: LoopOptions, stopping: AbortSignal) {
  const { settings, provider, exposition, log } = options;
  const knowledge = createKnowledge(options);
  const { snapshots, outcomes, errors, pushes, pushZeros, missed, troubles } = knowledge;
  const keeping = createKeeping(options, knowledge, () => {
    if (!stopping.aborted) publisher.refresh();
  });
  const eventSources = new Map<string, EventSourceView>();
  const inUse = createRegistryInUse({ ...options, snapshots, feed: options.inUse });
  const images = { ...settings.images, running: inUse.running };
  const views = createViews({
    ...{ settings, pushes, pushZeros, eventSources, inUse },
    provider: provider.label,
    identity: provider.identity(settings.options),
    snapshot: snapshots.current,
    outcome: outcomes.current,
    missedEvents: missed.count,
    saved: keeping.saving.works,
    seriesDropped: () => publisher.seriesDropped(),
  });
  const publisher = createPublisher({
    ...{ views, exposition, troubles, log },
    registry: settings.name,
    staleAfterMs: settings.staleAfterMs,
    now: () => times.now(),
  });
  const readingTimes = { moveBack: (seconds: number) => cycles.moveBack(seconds) };
  const times = createTimes([snapshots, outcomes, errors, readingTimes], log, publisher.refresh);
  const session = createSession();
  const cycles = createCycles({
    ...{ ...options, ...knowledge, ...keeping },
    ...{ images, publisher, times, session, stopping },
  });
  return { ...knowledge, ...keeping, views, eventSources, inUse, publisher, times, cycles };
}
