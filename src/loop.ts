import type { ReadEvents } from './events/push-event.ts';
import { createCycleOrder } from './loop/cycle-order.ts';
import { createEventSources } from './loop/event-sources.ts';
import { createIncoming, type Delivery } from './loop/incoming.ts';
import { createParts, type LoopOptions } from './loop/parts.ts';
import { type RegistryStatus, statusOf } from './loop/status.ts';
import { type Schedule, startSchedule } from './schedule.ts';
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

type Parts = ReturnType<typeof createParts>;

/**
 * Goes on from what an earlier run saved.
 * @param recount counts events that came after the counters were saved
 */
async function restore(
  storage: RegistryStorage,
  parts: Parts,
  log: LoopOptions['log'],
  recount: Parameters<NonNullable<Parts['journal']>['restore']>[1],
): Promise<void> {
  const { outcomes, pushes, pushZeros, missed, counting, snapshots, journal } = parts;
  const counters = await storage.loadCounters();
  if (counters) for (const part of [outcomes, pushes, pushZeros, missed, counting]) part.restore(counters);
  const snapshot = await storage.loadSnapshot();
  snapshots.restore(snapshot);
  if (snapshot) {
    const { observedAt } = snapshot;
    outcomes.restored(observedAt);
    log.info({ observedAt }, 'read the last snapshot back: served with its true age');
  }
  // After the snapshot, which tells whose series the counts are.
  await journal?.restore(counters?.journal ?? 0, recount);
}

export function createRegistryLoop(options: LoopOptions): RegistryLoop {
  const { settings, provider, storage, memory, log } = options;
  const stopping = new AbortController();
  const parts = createParts(options, stopping.signal);
  const { counting, snapshots, pushes, outcomes, saving, publisher, times, cycles, inUse } = parts;
  const order = createCycleOrder({
    log,
    cycle: cycles.run,
    // A few repositories are not the registry: before its first listing there is nothing to put them into.
    canLook: () => snapshots.current() !== undefined,
    isKnown: pushes.isKnown,
    cannotLook: publisher.publishAside,
  });
  const works = (source: string): void => {
    if (parts.pushZeros.works(source)) publisher.publishAside();
  };
  const incoming = createIncoming({ ...parts, wants: settings.wants, works, look: order.look });
  const sources = createEventSources({
    ...{ ...options, ...parts, stopping: stopping.signal },
    sources: parts.pushSources,
    receive: incoming.receive,
    works,
  });
  let schedule: Schedule | undefined;

  return {
    name: settings.name,
    async start(firstPollDelayMs) {
      if (settings.staleAfterMs < settings.intervalMs)
        log.warn({}, 'staleAfter is shorter than the time between two polls: data vanishes in between');
      await restore(storage, parts, log, incoming.restore);
      await publisher.publish();
      schedule = startSchedule(settings.when, settings.name, settings.intervalMs, order.pollOnSchedule);
      setTimeout(order.pollOnSchedule, firstPollDelayMs).unref();
      sources.start();
      inUse.start(publisher.publishAside, order.look);
    },
    async stop() {
      stopping.abort(new Error('the exporter stops'));
      schedule?.stop();
      inUse.stop();
      times.stop();
      parts.pushZeros.stop();
      const published = publisher.stop();
      await Promise.all([order.stop(), sources.stop()]);
      await published;
      await cycles.saved();
      await saving.keep('the memory', () => memory.flush());
      await saving.counters();
      await parts.journal?.close();
    },
    async poll() {
      await order.poll();
      await cycles.saved();
    },
    receive(source, events) {
      // The loop that follows, or the next start, counts them.
      if (stopping.signal.aborted)
        return { saved: Promise.reject(new Error('the exporter stops')), lost() {} };
      return incoming.receive(source, events);
    },
    refused: (outcome) => counting.event('unknown', outcome),
    look(repository) {
      if (settings.wants(repository)) order.look(repository);
    },
    ready: () => outcomes.current().lastAttemptAt !== undefined || snapshots.current() !== undefined,
    status: () => statusOf({ ...parts, settings, provider, nextPollAt: schedule?.next() }),
  };
}
