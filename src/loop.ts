import type { ReadEvents } from './events/push-event.ts';
import type { Exposition } from './exposition.ts';
import { createSession } from './loop/context.ts';
import { createCounting } from './loop/counting.ts';
import { createCycles } from './loop/cycle.ts';
import { createCycleOrder } from './loop/cycle-order.ts';
import { createEventIds } from './loop/event-ids.ts';
import { createIncoming, type Delivery } from './loop/incoming.ts';
import { createNotices } from './loop/notices.ts';
import { createOutcomes } from './loop/outcomes.ts';
import { createPublisher } from './loop/publish.ts';
import { createPushJournal } from './loop/push-journal.ts';
import { createPushes } from './loop/pushes.ts';
import { createRecentErrors } from './loop/recent-errors.ts';
import { createSaving } from './loop/saving.ts';
import type { RegistrySettings } from './loop/settings.ts';
import { createSnapshots } from './loop/snapshots.ts';
import { type RegistryStatus, statusOf } from './loop/status.ts';
import { createTimes } from './loop/times.ts';
import { createTroubles } from './loop/troubles.ts';
import { createViews } from './loop/views.ts';
import type { PersistentMemory } from './memory.ts';
import type { Capability, Logger, Provider } from './provider.ts';
import { type Schedule, startSchedule } from './schedule.ts';
import type { SelfMetrics } from './self-metrics.ts';
import type { RegistryStorage } from './storage.ts';

export type { RegistryStatus } from './loop/status.ts';

/** Polls one registry, for ever and never twice at once. */
export interface RegistryLoop {
  readonly name: string;
  /** Reads back what was saved, publishes it, and starts the schedule; the first poll starts after the delay. */
  start(firstPollDelayMs: number): Promise<void>;
  /** Ends the cycle in progress and saves. */
  stop(): Promise<void>;
  /** Runs a cycle now, or waits for the one that is running, until what it learned is saved. */
  poll(): Promise<void>;
  /** Counts push events, and looks at their repositories again soon. */
  receive(source: string, events: ReadEvents): Delivery;
  /** Counts a request that brought no event. */
  refused(outcome: 'unauthorized' | 'invalid'): void;
  /** Looks at a repository again soon. */
  look(repository: string): void;
  status(): RegistryStatus;
  /** Whether a first cycle ended, good or bad, or a snapshot was read back. */
  ready(): boolean;
}

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
}

/** The parts of a loop. Each owns what it keeps; what it needs of the others it is given here. */
function createParts(options: LoopOptions, stopping: AbortSignal) {
  const { settings, provider, storage, exposition, self, log } = options;
  const { name: registry, staleAfterMs } = settings;
  const troubles = createTroubles(log);
  const errors = createRecentErrors();
  const counting = createCounting(self, { registry, provider: provider.label });
  const snapshots = createSnapshots({ staleAfterSeconds: staleAfterMs / 1000, log });
  const pushes = createPushes(snapshots.has);
  const outcomes = createOutcomes({
    // Events that are not configured neither work nor fail.
    capabilities: (Object.keys(provider.capabilities) as Capability[]).filter(
      (capability) => capability !== 'events' || settings.eventsToken !== undefined,
    ),
    errors,
    troubles,
  });
  const countersAt = (journalLine: number) => ({
    ...outcomes.saved(),
    ...pushes.saved(),
    ...counting.saved(),
    journal: journalLine,
  });
  const saving = createSaving({
    storage,
    errors,
    troubles,
    counters: () => countersAt(journal?.seal() ?? 0),
    changed() {
      if (!stopping.aborted) publisher.refresh();
    },
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
  const views = createViews({
    provider: provider.label,
    settings,
    identity: provider.identity(settings.options),
    snapshot: snapshots.current,
    outcome: outcomes.current,
    saved: saving.works,
    seriesDropped: () => publisher.seriesDropped(),
    pushes,
  });
  const publisher = createPublisher({
    registry,
    staleAfterMs,
    views,
    exposition,
    troubles,
    log,
    now: () => times.now(),
  });
  const times = createTimes(
    [snapshots, outcomes, errors, { moveBack: (seconds) => cycles.moveBack(seconds) }],
    log,
    publisher.refresh,
  );
  const notices = createNotices(log);
  const session = createSession();
  const cycles = createCycles({
    ...{ ...options, stopping, session, times, troubles, notices },
    ...{ counting, snapshots, pushes, outcomes, publisher, saving },
  });
  return {
    errors,
    counting,
    snapshots,
    pushes,
    outcomes,
    saving,
    ids,
    journal,
    views,
    publisher,
    times,
    notices,
    cycles,
  };
}

export function createRegistryLoop(options: LoopOptions): RegistryLoop {
  const { settings, provider, storage, memory, log } = options;
  const stopping = new AbortController();
  const parts = createParts(options, stopping.signal);
  const { counting, snapshots, pushes, outcomes, saving, ids, journal, publisher, times, cycles } = parts;
  const order = createCycleOrder({
    log,
    cycle: cycles.run,
    // A few repositories are not the registry: before its first listing there is nothing to put them into.
    canLook: () => snapshots.current() !== undefined,
    isKnown: pushes.isKnown,
    cannotLook: publisher.publishAside,
  });
  const incoming = createIncoming({
    ids,
    pushes,
    counting,
    journal,
    wants: settings.wants,
    look: order.look,
  });
  let schedule: Schedule | undefined;

  /** Goes on from what an earlier run saved. */
  async function restore(): Promise<void> {
    const counters = await storage.loadCounters();
    if (counters) for (const part of [outcomes, pushes, counting]) part.restore(counters);
    const snapshot = await storage.loadSnapshot();
    snapshots.restore(snapshot);
    if (snapshot) {
      const { observedAt } = snapshot;
      outcomes.restored(observedAt);
      log.info({ observedAt }, 'read the last snapshot back: served with its true age');
    }
    // After the snapshot, which tells whose series the counts are.
    await journal?.restore(counters?.journal ?? 0, incoming.restore);
  }

  return {
    name: settings.name,
    async start(firstPollDelayMs) {
      if (settings.staleAfterMs < settings.intervalMs)
        log.warn({}, 'staleAfter is shorter than the time between two polls: data vanishes in between');
      await restore();
      await publisher.publish();
      schedule = startSchedule(settings.when, settings.name, settings.intervalMs, order.pollOnSchedule);
      setTimeout(order.pollOnSchedule, firstPollDelayMs).unref();
    },
    async stop() {
      stopping.abort(new Error('the exporter stops'));
      schedule?.stop();
      times.stop();
      const published = publisher.stop();
      await order.stop();
      await published;
      await cycles.saved();
      await saving.keep('the memory', () => memory.flush());
      await saving.counters();
      await journal?.close();
    },
    async poll() {
      await order.poll();
      await cycles.saved();
    },
    receive(source, events) {
      // The loop that takes its place, or the next start, counts them.
      if (stopping.signal.aborted)
        return { saved: Promise.reject(new Error('the exporter stops')), lost() {} };
      return incoming.receive(source, events);
    },
    refused: (outcome) => counting.event('unknown', outcome),
    look(repository) {
      if (settings.wants(repository)) order.look(repository);
    },
    ready: () => outcomes.current().lastAttemptAt !== undefined || snapshots.current() !== undefined,
    status: () =>
      statusOf({
        settings,
        provider,
        outcome: outcomes.current(),
        snapshot: snapshots.current(),
        publisher,
        hasData: parts.views.hasData,
        errors: parts.errors.all(),
        notices: parts.notices.current(),
        polling: cycles.progress(),
        nextPollAt: schedule?.next(),
      }),
  };
}
