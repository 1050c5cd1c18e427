import { startDeadline } from './deadline.ts';
import { CollectError, reasonOf } from './errors.ts';
import type { Exposition } from './exposition.ts';
import type { CycleResult } from './fold.ts';
import { commit, type EmptyListings } from './loop/commit.ts';
import { type CycleContext, createCycleContext, createSession } from './loop/context.ts';
import { foldStream } from './loop/cycle.ts';
import { createPublisher } from './loop/publish.ts';
import type { RegistrySettings } from './loop/settings.ts';
import { countPush, initialState, recordError, restoreCounters, savedCounters } from './loop/state.ts';
import { type Progress, type RegistryStatus, statusOf } from './loop/status.ts';
import { createRepositoryTroubles, createTroubles } from './loop/troubles.ts';
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
  /** Runs a cycle now; does nothing but wait for it when one is running. */
  poll(): Promise<void>;
  /** Counts a push that an event told of, and looks at that repository again soon. */
  pushed(repository: string, failure?: string): void;
  /** Looks at a repository again soon. */
  look(repository: string): void;
  countEvent(source: string, outcome: string): void;
  status(): RegistryStatus;
  /** Whether a first cycle ended, good or bad, or a snapshot was read back. */
  ready(): boolean;
}

/** Push events come in bursts, one per tag and platform: they are gathered for so long. */
const lookDelayMs = 2_000;
const unixNow = (): number => Date.now() / 1000;
const toMilliseconds = (seconds: number): number => Math.round(seconds * 1000) / 1000;

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
  const labels = { registry: settings.name, provider: provider.label };
  // Events that are not configured neither work nor fail.
  const capabilities = (Object.keys(provider.capabilities) as Capability[]).filter(
    (capability) => capability !== 'events' || settings.acceptsEvents,
  );
  const state = initialState(provider.identity(settings.options));
  const publisher = createPublisher({ provider: provider.label, settings, state, exposition });
  const empty: EmptyListings = { registry: false, repositories: new Set(), groups: new Set() };
  const troubles = createTroubles(log);
  const stopping = new AbortController();
  const session = createSession();
  const tellOfRepositories = createRepositoryTroubles(troubles);
  const toLook = new Set<string>();
  let running: Promise<void> | undefined;
  let publishing: Promise<void> | undefined;
  let runningIsLook = false;
  /** Whether a scheduled poll waits for the end of a look. */
  let pollDue = false;
  let polling: Progress | undefined;
  let schedule: Schedule | undefined;
  let series = 0;
  let lookTimer: NodeJS.Timeout | undefined;
  let staleTimer: NodeJS.Timeout | undefined;
  let saveTimer: NodeJS.Timeout | undefined;

  const unsaved = new Set<string>();
  /** A full disk or a folder that cannot be written never stops the polls. */
  async function keep(what: string, save: () => Promise<void>): Promise<void> {
    try {
      await save();
      unsaved.delete(what);
      troubles.over(`saving ${what}`);
    } catch (error) {
      const message = `${what} cannot be saved: ${error instanceof Error ? error.message : String(error)}`;
      if (!unsaved.has(what)) recordError(state, { at: unixNow(), reason: 'internal', message });
      unsaved.add(what);
      troubles.tell(
        'error',
        `saving ${what}`,
        error,
        `${what} cannot be saved: a restart would know less. Check the folder of --storage.path`,
      );
    }
    if (storage.memoryPath === undefined || state.saved === (unsaved.size === 0)) return;
    state.saved = unsaved.size === 0;
    if (!stopping.signal.aborted) publisher.refresh(unixNow());
  }
  const saveCounters = () => keep('the counters', () => storage.saveCounters(savedCounters(state)));
  const saveCountersSoon = () => {
    saveTimer ??= setTimeout(() => {
      saveTimer = undefined;
      void saveCounters();
    }, 500);
  };

  async function publish(): Promise<void> {
    const now = unixNow();
    const published = await publisher.publish(now);
    series = published.series;
    // `seriesDropped` is settled by the publish itself.
    publisher.refresh(now);
    clearTimeout(staleTimer);
    if (published.staleAt !== undefined && !stopping.signal.aborted)
      staleTimer = setTimeout(
        publishAside,
        // A longer delay would overflow and fire at once: what is due later is looked at again before.
        Math.min(Math.max(0, published.staleAt - now) * 1000 + 50, longestDelayMs),
      );
  }

  /** A publish outside of a cycle; the end waits for it, so that nothing comes after the removal of the registry. */
  function publishAside(): void {
    publishing = publish().catch((error) =>
      log.error({ err: error }, 'publishing broke: this is a fault of the exporter'),
    );
  }

  function observeRequest(operation: string, code: string, seconds: number): void {
    const key = `${operation}\t${code}`;
    state.requests.set(key, (state.requests.get(key) ?? 0) + 1);
    self.apiRequests.inc({ ...labels, operation, code });
    self.apiRequestDuration.observe({ ...labels, operation }, seconds);
  }

  async function merge(
    result: CycleResult,
    { scoped, listsRepositories }: { readonly scoped: boolean; readonly listsRepositories: boolean },
  ): Promise<void> {
    const failures = [...result.failed, ...result.failedGroups];
    const [firstFailure] = failures;
    if (firstFailure && result.complete.size === 0 && result.gone.size === 0) throw firstFailure[1];
    const now = unixNow();
    const { snapshot, doubted } = await commit({
      previous: state.snapshot,
      result,
      empty,
      now,
      staleAfterSeconds: settings.staleAfterMs / 1000,
      scoped,
      listsRepositories,
    });
    for (const name of state.pushes.keys())
      if (state.snapshot?.repositories.has(name) && !snapshot.repositories.has(name))
        state.pushes.delete(name);
    state.snapshot = snapshot;
    for (const what of doubted)
      log.warn(
        {},
        `${what} came back empty all of a sudden: the last data stays until the next poll confirms it`,
      );
    if (firstFailure) {
      state.failures.set('partial', (state.failures.get('partial') ?? 0) + 1);
      for (const [repository, error] of failures.slice(-5))
        recordError(state, {
          at: now,
          reason: reasonOf(error),
          message: `${repository}: ${error instanceof Error ? error.message : String(error)}`,
        });
    }
    tellOfRepositories(result, (name) => snapshot.repositories.has(name));
  }

  function settleFull(
    startedAt: number,
    { failing, absent }: Pick<CycleContext, 'failing' | 'absent'>,
    error: unknown,
  ): void {
    const now = unixNow();
    state.polls += 1;
    state.lastAttemptAt = now;
    state.pollDurationSeconds = toMilliseconds(now - startedAt);
    state.up = error === undefined;
    if (error === undefined) {
      troubles.over('the poll');
      for (const capability of capabilities)
        if (!failing.has(capability)) troubles.over(`the capability ${capability}`, { capability });
      // The time that is saved, so that a restart does not change it.
      state.lastSuccessAt = state.snapshot?.observedAt ?? now;
      state.capabilities = new Map(
        capabilities
          .filter((capability) => failing.has(capability) || !absent.has(capability))
          .map((capability) => [capability, !failing.has(capability)]),
      );
      return;
    }
    // What a poll did not come to is unknown: neither did it work, nor did it fail.
    state.capabilities = new Map([...failing].map((capability) => [capability, false]));
    const reason = reasonOf(error);
    state.failures.set(reason, (state.failures.get(reason) ?? 0) + 1);
    recordError(state, { at: now, reason, message: error instanceof Error ? error.message : String(error) });
    troubles.tell(
      'error',
      'the poll',
      error,
      'the poll failed: the last good data stays until it is too old',
    );
  }

  async function cycle(only: readonly string[] | undefined): Promise<void> {
    const startedAt = unixNow();
    polling = { startedAt, done: 0, total: 0 };
    const deadline = startDeadline(stopping.signal, settings.timeoutMs);
    const { signal } = deadline;
    const { context, failing, absent, close } = createCycleContext({
      settings,
      signal,
      only,
      memory,
      session,
      log,
      troubles,
      userAgent,
      observe: observeRequest,
      progress(done, total) {
        if (polling) polling = { ...polling, done, total };
      },
    });
    let failure: unknown;
    try {
      const stream = provider.collect(settings.options, context);
      const result = await foldStream(
        stream,
        {
          images: settings.images,
          now: startedAt,
          ...(settings.retention && { retention: settings.retention }),
          previous: (name) => state.snapshot?.repositories.get(name)?.totals,
          known: () => state.snapshot?.repositories.keys() ?? [],
        },
        signal,
      );
      await merge(result, {
        scoped: only !== undefined,
        listsRepositories: !absent.has('repositories'),
      });
    } catch (error) {
      failure = error ?? new CollectError('internal', 'the provider failed without an error');
    } finally {
      polling = undefined;
      close();
      deadline.clear();
    }
    if (stopping.signal.aborted) return;
    if (only === undefined) settleFull(startedAt, { failing, absent }, failure);
    else if (failure === undefined) troubles.over('the look at pushed repositories');
    else
      troubles.tell(
        'warn',
        'the look at pushed repositories',
        failure,
        'pushed repositories could not be looked at: the next poll will',
        { repositories: only },
      );
    await publish();
    const { snapshot } = state;
    if (failure === undefined && snapshot) await keep('the snapshot', () => storage.saveSnapshot(snapshot));
    await keep('the memory', () => memory.flush());
    await saveCounters();
    if (only === undefined && failure === undefined)
      log.info(
        {
          seconds: toMilliseconds(unixNow() - startedAt),
          repositories: state.snapshot?.repositories.size,
          series,
        },
        'polled',
      );
  }

  /** Cycles of either sort never overlap. */
  function run(only?: readonly string[]): Promise<void> {
    if (running) return running;
    runningIsLook = only !== undefined;
    running = cycle(only)
      .catch((error) => log.error({ err: error }, 'the cycle broke: this is a fault of the exporter'))
      .finally(() => {
        running = undefined;
        lookSoon();
      });
    return running;
  }

  /** The schedule's poll: behind a look it comes late, behind another poll it is left out. */
  function pollOnSchedule(): void {
    if (stopping.signal.aborted) return;
    if (!running) void run();
    else if (runningIsLook) {
      if (pollDue) return;
      pollDue = true;
      void running.then(() => {
        pollDue = false;
        pollOnSchedule();
      });
    } else log.warn({}, 'the last poll is still running: this one is left out');
  }

  function lookSoon(): void {
    if (toLook.size === 0 || lookTimer || stopping.signal.aborted) return;
    lookTimer = setTimeout(() => {
      lookTimer = undefined;
      if (running || toLook.size === 0) return;
      // A few repositories are not the registry: before its first listing there is nothing to put them into.
      if (!state.snapshot) {
        toLook.clear();
        return publishAside();
      }
      const names = [...toLook];
      toLook.clear();
      void run(names);
    }, lookDelayMs);
  }

  return {
    name: settings.name,
    async start(firstPollDelayMs) {
      if (settings.staleAfterMs < settings.intervalMs)
        log.warn({}, 'staleAfter is shorter than the time between two polls: data vanishes in between');
      const counters = await storage.loadCounters();
      if (counters) restoreCounters(state, counters);
      for (const [key, count] of state.requests) {
        const [operation = '', code = ''] = key.split('\t');
        self.apiRequests.inc({ ...labels, operation, code }, count);
      }
      for (const [key, count] of state.events) {
        const [source = '', outcome = ''] = key.split('\t');
        self.events.inc({ ...labels, source, outcome }, count);
      }
      state.snapshot = await storage.loadSnapshot();
      if (state.snapshot) {
        state.lastSuccessAt = state.snapshot.observedAt;
        log.info(
          { observedAt: state.snapshot.observedAt },
          'read the last snapshot back: served with its true age',
        );
      }
      await publish();
      const { when, intervalMs, name } = settings;
      schedule = startSchedule(when, name, intervalMs, pollOnSchedule);
      setTimeout(pollOnSchedule, firstPollDelayMs).unref();
    },
    async stop() {
      stopping.abort(new Error('the exporter stops'));
      schedule?.stop();
      for (const timer of [lookTimer, staleTimer, saveTimer]) clearTimeout(timer);
      await running;
      await publishing;
      await keep('the memory', () => memory.flush());
      await saveCounters();
    },
    poll: () => run(),
    pushed(repository, failure) {
      if (!settings.wants(repository)) return;
      countPush(state, repository, failure);
      saveCountersSoon();
      toLook.add(repository);
      lookSoon();
    },
    look(repository) {
      if (!settings.wants(repository)) return;
      toLook.add(repository);
      lookSoon();
    },
    countEvent(source, outcome) {
      const key = `${source}\t${outcome}`;
      state.events.set(key, (state.events.get(key) ?? 0) + 1);
      self.events.inc({ ...labels, source, outcome });
      saveCountersSoon();
    },
    ready: () => state.lastAttemptAt !== undefined || state.snapshot !== undefined,
    status: () =>
      statusOf({ settings, provider, state, series, polling, nextPollAt: schedule?.next(), now: unixNow() }),
  };
}
