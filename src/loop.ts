import { startDeadline } from './deadline.ts';
import { CollectError } from './errors.ts';
import type { ReadEvents } from './events/push-event.ts';
import type { Exposition } from './exposition.ts';
import type { CycleResult } from './fold.ts';
import { createCycleContext, createSession } from './loop/context.ts';
import { createCounting } from './loop/counting.ts';
import { cutShort, foldStream } from './loop/cycle.ts';
import { createEventIds } from './loop/event-ids.ts';
import { createIncoming, type Delivery } from './loop/incoming.ts';
import { createNotices } from './loop/notices.ts';
import { createPublisher } from './loop/publish.ts';
import { createPushJournal } from './loop/push-journal.ts';
import { createPushes } from './loop/pushes.ts';
import { createReadingOrders } from './loop/reading-order.ts';
import { createSaving } from './loop/saving.ts';
import type { RegistrySettings } from './loop/settings.ts';
import { createSettling, learnedNothing } from './loop/settle.ts';
import { initialState, savedCounters } from './loop/state.ts';
import { type Progress, type RegistryStatus, statusOf } from './loop/status.ts';
import { createTimes } from './loop/times.ts';
import { createTroubles } from './loop/troubles.ts';
import { createTurns } from './loop/turns.ts';
import type { PersistentMemory } from './memory.ts';
import type { Capability, Logger, Provider } from './provider.ts';
import { longestDelayMs, type Schedule, startSchedule } from './schedule.ts';
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

export function createRegistryLoop(input: {
  readonly settings: RegistrySettings;
  readonly provider: Provider;
  readonly storage: RegistryStorage;
  readonly memory: PersistentMemory;
  readonly exposition: Exposition;
  readonly self: SelfMetrics;
  readonly log: Logger;
  readonly userAgent: string;
}): RegistryLoop {
  const { settings, provider, storage, memory, exposition, self, log, userAgent } = input;
  const state = initialState(provider.identity(settings.options));
  const times = createTimes(state, log, () => publisher.refresh(Date.now() / 1000));
  const { now } = times;
  const stopping = new AbortController();
  const session = createSession();
  const troubles = createTroubles(log);
  const notices = createNotices(log);
  const publisher = createPublisher({ provider: provider.label, settings, state, exposition, troubles });
  const counting = createCounting(state, self, { registry: settings.name, provider: provider.label });
  const pushes = createPushes(state);
  const settling = createSettling({
    state,
    pushes,
    troubles,
    log,
    staleAfterSeconds: settings.staleAfterMs / 1000,
    // Events that are not configured neither work nor fail.
    capabilities: (Object.keys(provider.capabilities) as Capability[]).filter(
      (capability) => capability !== 'events' || settings.eventsToken !== undefined,
    ),
  });
  const saving = createSaving({
    state,
    storage,
    troubles,
    sealed: () => journal?.seal() ?? 0,
    changed() {
      if (!stopping.signal.aborted) publisher.refresh(now());
    },
  });
  const ids = createEventIds();
  const journal =
    storage.journal &&
    createPushJournal({
      ...storage.journal,
      log,
      identities: ids.all,
      saveCounters: (number) => storage.saveCounters(savedCounters(state, number)),
      written: (error) => saving.ended('the push events', error),
    });
  const turns = createTurns({
    log,
    cycle,
    // A few repositories are not the registry: before its first listing there is nothing to put them into.
    canLook: () => state.snapshot !== undefined,
    isKnown: pushes.isKnown,
    cannotLook: publishAside,
  });
  const incoming = createIncoming({
    ids,
    pushes,
    counting,
    journal,
    wants: settings.wants,
    look: turns.look,
  });
  const orders = createReadingOrders();
  let publishing: Promise<void> | undefined;
  let saved: Promise<unknown> | undefined;
  let polling: Progress | undefined;
  let schedule: Schedule | undefined;
  let series = 0;
  /** Whether the last publish had data that is not too old. */
  let fresh = false;
  let staleTimer: NodeJS.Timeout | undefined;

  async function publish(): Promise<void> {
    const at = now();
    const published = await publisher.publish(at);
    series = published.series;
    fresh = published.staleAt !== undefined;
    // `seriesDropped` is settled by the publish itself.
    publisher.refresh(at);
    clearTimeout(staleTimer);
    if (published.staleAt !== undefined && !stopping.signal.aborted)
      staleTimer = setTimeout(
        publishAside,
        // A longer delay would overflow and fire at once: what is due later is looked at again before.
        Math.min(Math.max(0, published.staleAt - at) * 1000 + 50, longestDelayMs),
      );
  }

  /** A publish outside of a cycle; the end waits for it, so that nothing comes after the removal of the registry. */
  function publishAside(): void {
    publishing = publish().catch((error) =>
      log.error({ err: error }, 'publishing broke: this is a fault of the exporter'),
    );
  }

  /** Reads the registry, or these repositories of it, and takes over what was learned. */
  async function read(only: readonly string[] | undefined, startedAt: number) {
    const begunAt = performance.now();
    const deadline = startDeadline(stopping.signal, settings.timeoutMs);
    const poll = notices.begin();
    const { context, failing, absent, close } = createCycleContext({
      settings,
      signal: deadline.signal,
      only,
      memory,
      session,
      log,
      troubles,
      notices: poll,
      userAgent,
      order: only ? undefined : orders.begin(state.snapshot, startedAt),
      observe: counting.request,
      progress(done, total) {
        if (polling) polling = { ...polling, done, total };
      },
    });
    let failure: unknown;
    let learned = false;
    let result: CycleResult | undefined;
    try {
      if (!only) await settings.eventsToken?.read().catch((error) => context.degraded('events', error));
      result = await foldStream(
        provider.collect(settings.options, context),
        {
          images: settings.images,
          now: startedAt,
          retention: settings.retention,
          previous: (name) => state.snapshot?.repositories.get(name)?.totals,
          known: () => state.snapshot?.repositories.keys() ?? [],
          tell: poll.tell,
        },
        deadline,
      );
      if (result.cut)
        failure = cutShort(result, { listed: polling?.total ?? 0, seconds: settings.timeoutMs / 1000 });
      if (!result.cut || !learnedNothing(result)) {
        // Before the times of this poll are stored: those of earlier ones may have to be moved.
        now();
        await settling.merge(result, {
          only,
          listsRepositories: !absent.has('repositories'),
          begunAt,
        });
        learned = true;
      }
    } catch (error) {
      failure = error ?? new CollectError('internal', 'the provider failed without an error');
    } finally {
      poll.end(only === undefined && failure === undefined);
      close();
      deadline.clear();
    }
    if (!only) orders.end(result?.cut !== undefined);
    return { failure, learned, failing, absent };
  }

  async function cycle(only: readonly string[] | undefined): Promise<void> {
    const startedAt = now();
    const begunAt = performance.now();
    polling = { startedAt, done: 0, total: 0 };
    const { failure, learned, ...capabilities } = await read(only, startedAt);
    polling = undefined;
    if (stopping.signal.aborted) return;
    if (only) settling.lookEnded(only, failure);
    else settling.pollEnded((performance.now() - begunAt) / 1000, capabilities, failure);
    await publish();
    save(learned);
    if (!only && failure === undefined)
      log.info(
        { seconds: state.pollDurationSeconds, repositories: state.snapshot?.repositories.size, series },
        'polled',
      );
  }

  /** Begins to save what a cycle learned: a disk that is slow, or hangs, does not hold up the next cycle. */
  function save(learned: boolean): void {
    const { snapshot } = state;
    saved = Promise.all([
      learned && snapshot && saving.keep('the snapshot', () => storage.saveSnapshot(snapshot)),
      saving.keep('the memory', () => memory.flush()),
      saving.counters(),
    ]);
  }

  return {
    name: settings.name,
    async start(firstPollDelayMs) {
      if (settings.staleAfterMs < settings.intervalMs)
        log.warn({}, 'staleAfter is shorter than the time between two polls: data vanishes in between');
      const counters = await storage.loadCounters();
      if (counters) counting.restore(counters);
      state.snapshot = await storage.loadSnapshot();
      if (state.snapshot) {
        state.lastSuccessAt = state.snapshot.observedAt;
        log.info(
          { observedAt: state.snapshot.observedAt },
          'read the last snapshot back: served with its true age',
        );
      }
      // After the snapshot, which tells whose series the counts are.
      await journal?.restore(counters?.journal ?? 0, incoming.restore);
      await publish();
      const { when, intervalMs, name } = settings;
      schedule = startSchedule(when, name, intervalMs, turns.pollOnSchedule);
      setTimeout(turns.pollOnSchedule, firstPollDelayMs).unref();
    },
    async stop() {
      stopping.abort(new Error('the exporter stops'));
      schedule?.stop();
      times.stop();
      clearTimeout(staleTimer);
      await turns.stop();
      await publishing;
      await saved;
      await saving.keep('the memory', () => memory.flush());
      await saving.counters();
      await journal?.close();
    },
    async poll() {
      await turns.poll();
      await saved;
    },
    receive(source, events) {
      // The loop that takes its place, or the next start, counts them.
      if (stopping.signal.aborted)
        return { saved: Promise.reject(new Error('the exporter stops')), lost() {} };
      return incoming.receive(source, events);
    },
    refused: (outcome) => counting.event('unknown', outcome),
    look(repository) {
      if (settings.wants(repository)) turns.look(repository);
    },
    ready: () => state.lastAttemptAt !== undefined || state.snapshot !== undefined,
    status: () =>
      statusOf({
        settings,
        provider,
        state,
        series,
        fresh,
        hasData: publisher.hasData,
        notices: notices.current(),
        polling,
        nextPollAt: schedule?.next(),
      }),
  };
}
