import { CollectError, reasonOf } from './errors.ts';
import type { Exposition } from './exposition.ts';
import type { CycleResult } from './fold.ts';
import { createHttpClient, type HttpClient } from './http.ts';
import { commit, type EmptyListings } from './loop/commit.ts';
import { foldStream } from './loop/cycle.ts';
import { createPublisher } from './loop/publish.ts';
import type { RegistrySettings } from './loop/settings.ts';
import {
  countPush,
  initialState,
  type RecordedError,
  recordError,
  restoreCounters,
  savedCounters,
} from './loop/state.ts';
import type { PersistentMemory } from './memory.ts';
import type { Capability, CollectContext, Logger, Provider } from './provider.ts';
import { type Schedule, startSchedule } from './schedule.ts';
import type { SelfMetrics } from './self-metrics.ts';
import type { RegistryStorage } from './storage.ts';

/** One registry as the status page shows it. Times are Unix seconds. */
export interface RegistryStatus {
  readonly name: string;
  readonly type: string;
  /** `waiting`: no cycle ended yet and nothing was read back; `stale`: data is older than allowed and left out. */
  readonly state: 'waiting' | 'up' | 'down' | 'stale';
  readonly host?: string;
  readonly lastSuccessAt?: number;
  readonly lastAttemptAt?: number;
  readonly pollDurationSeconds?: number;
  readonly nextPollAt?: number;
  readonly repositories?: number;
  readonly series: number;
  readonly seriesDropped: number;
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly errors: readonly RecordedError[];
  /** Of the poll in progress. */
  readonly polling?: { readonly startedAt: number; readonly done: number; readonly total: number };
}

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
  const state = initialState(provider.identity(settings.options));
  const publisher = createPublisher({ provider: provider.label, settings, state, exposition });
  const empty: EmptyListings = { registry: false, repositories: new Set() };
  const stopping = new AbortController();
  const toLook = new Set<string>();
  let running: Promise<void> | undefined;
  let polling: { startedAt: number; done: number; total: number } | undefined;
  let schedule: Schedule | undefined;
  let series = 0;
  let lookTimer: NodeJS.Timeout | undefined;
  let staleTimer: NodeJS.Timeout | undefined;
  let saveTimer: NodeJS.Timeout | undefined;

  const saveCounters = () =>
    storage
      .saveCounters(savedCounters(state))
      .catch((error) => log.error({ err: error }, 'the counters cannot be saved'));
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
      staleTimer = setTimeout(() => void publish(), Math.max(0, published.staleAt - now) * 1000 + 50);
  }

  function observeRequest(operation: string, code: string, seconds: number): void {
    const key = `${operation}\t${code}`;
    state.requests.set(key, (state.requests.get(key) ?? 0) + 1);
    self.apiRequests.inc({ ...labels, operation, code });
    self.apiRequestDuration.observe({ ...labels, operation }, seconds);
  }

  function contextOf(
    signal: AbortSignal,
    clients: HttpClient[],
    failing: Map<Capability, unknown>,
    only: readonly string[] | undefined,
  ): CollectContext {
    return {
      signal,
      http(options) {
        const client = createHttpClient({
          ...settings.http,
          ...options,
          signal,
          userAgent,
          observe: observeRequest,
        });
        clients.push(client);
        return client;
      },
      log,
      memory,
      wants: settings.wants,
      ...(only && { only }),
      images: settings.images,
      concurrency: settings.http.maxConcurrent,
      degraded(capability, error) {
        if (!failing.has(capability)) {
          failing.set(capability, error);
          log.warn(
            { capability, err: error },
            `${capability} could not be read: unknown until it works again`,
          );
        }
      },
      progress(done, total) {
        if (polling) polling = { ...polling, done, total };
      },
      now: unixNow,
    };
  }

  async function merge(result: CycleResult, scoped: boolean): Promise<void> {
    const [firstFailure] = result.failed.values();
    if (result.failed.size > 0 && result.complete.size === 0 && result.gone.size === 0) throw firstFailure;
    const now = unixNow();
    const { snapshot, doubted } = await commit({
      previous: state.snapshot,
      result,
      empty,
      now,
      staleAfterSeconds: settings.staleAfterMs / 1000,
      scoped,
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
    if (result.failed.size > 0) {
      state.failures.set('partial', (state.failures.get('partial') ?? 0) + 1);
      for (const [repository, error] of [...result.failed].slice(0, 5)) {
        log.warn(
          { repository, err: error },
          'the repository could not be read: its last data stays and ages',
        );
        recordError(state, {
          at: now,
          reason: reasonOf(error),
          message: `${repository}: ${error instanceof Error ? error.message : String(error)}`,
        });
      }
    }
  }

  function settleFull(startedAt: number, failing: ReadonlyMap<Capability, unknown>, error: unknown): void {
    const now = unixNow();
    state.polls += 1;
    state.lastAttemptAt = now;
    state.pollDurationSeconds = toMilliseconds(now - startedAt);
    state.up = error === undefined;
    if (error === undefined) {
      state.lastSuccessAt = now;
      state.capabilities = new Map(
        Object.keys(provider.capabilities).map((capability) => [
          capability,
          !failing.has(capability as Capability),
        ]),
      );
      return;
    }
    const reason = reasonOf(error);
    state.failures.set(reason, (state.failures.get(reason) ?? 0) + 1);
    recordError(state, { at: now, reason, message: error instanceof Error ? error.message : String(error) });
    log.error({ reason, err: error }, 'the poll failed: the last good data stays until it is too old');
  }

  async function cycle(only: readonly string[] | undefined): Promise<void> {
    const startedAt = unixNow();
    polling = { startedAt, done: 0, total: 0 };
    const deadline = AbortSignal.timeout(settings.timeoutMs);
    const signal = AbortSignal.any([stopping.signal, deadline]);
    const clients: HttpClient[] = [];
    const failing = new Map<Capability, unknown>();
    let failure: unknown;
    try {
      const stream = provider.collect(settings.options, contextOf(signal, clients, failing, only));
      const result = await foldStream(
        stream,
        {
          images: settings.images,
          now: startedAt,
          ...(settings.retention && { retention: settings.retention }),
          previous: (name) => state.snapshot?.repositories.get(name)?.totals,
        },
        signal,
      );
      await merge(result, only !== undefined);
    } catch (error) {
      failure = error ?? new CollectError('internal', 'the provider failed without an error');
    } finally {
      polling = undefined;
      for (const client of clients) void client.close().catch(() => {});
    }
    if (stopping.signal.aborted) return;
    if (only === undefined) settleFull(startedAt, failing, failure);
    else if (failure !== undefined)
      log.warn(
        { repositories: only, err: failure },
        'pushed repositories could not be looked at: the next poll will',
      );
    await publish();
    if (failure === undefined && state.snapshot)
      await storage
        .saveSnapshot(state.snapshot)
        .catch((error) => log.error({ err: error }, 'the snapshot cannot be saved'));
    await memory.flush().catch((error) => log.error({ err: error }, 'the memory cannot be saved'));
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
    running = cycle(only)
      .catch((error) => log.error({ err: error }, 'the cycle broke: this is a fault of the exporter'))
      .finally(() => {
        running = undefined;
        lookSoon();
      });
    return running;
  }

  function lookSoon(): void {
    if (toLook.size === 0 || lookTimer || stopping.signal.aborted) return;
    lookTimer = setTimeout(() => {
      lookTimer = undefined;
      if (running || toLook.size === 0) return;
      const names = [...toLook];
      toLook.clear();
      void run(names);
    }, lookDelayMs);
  }

  return {
    name: settings.name,
    async start(firstPollDelayMs) {
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
      schedule = startSchedule(when, name, intervalMs, () => {
        if (running) log.warn({}, 'the last poll is still running: this one is left out');
        else void run();
      });
      setTimeout(() => !stopping.signal.aborted && void run(), firstPollDelayMs).unref();
    },
    async stop() {
      stopping.abort(new Error('the exporter stops'));
      schedule?.stop();
      for (const timer of [lookTimer, staleTimer, saveTimer]) clearTimeout(timer);
      await running;
      await memory.flush().catch((error) => log.error({ err: error }, 'the memory cannot be saved'));
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
    status() {
      const now = unixNow();
      const observedAt = state.snapshot?.observedAt;
      const stale = observedAt !== undefined && now - observedAt >= settings.staleAfterMs / 1000;
      const nextPollAt = schedule?.next();
      const { host } = { ...state.identity, ...state.snapshot?.identity };
      const waiting = state.up === undefined && observedAt === undefined;
      return {
        name: settings.name,
        type: provider.type,
        state: waiting ? 'waiting' : stale ? 'stale' : state.up === false ? 'down' : 'up',
        series,
        seriesDropped: [...state.seriesDropped.values()].reduce((sum, count) => sum + count, 0),
        capabilities: Object.fromEntries(state.capabilities),
        errors: state.errors,
        ...(host !== undefined && { host }),
        ...(state.lastSuccessAt !== undefined && { lastSuccessAt: state.lastSuccessAt }),
        ...(state.lastAttemptAt !== undefined && { lastAttemptAt: state.lastAttemptAt }),
        ...(state.pollDurationSeconds !== undefined && { pollDurationSeconds: state.pollDurationSeconds }),
        ...(nextPollAt !== undefined && { nextPollAt: nextPollAt / 1000 }),
        ...(state.snapshot?.repositoryCount !== undefined && {
          repositories: state.snapshot.repositoryCount,
        }),
        ...(polling && { polling }),
      };
    },
  };
}
