import { setTimeout as sleep } from 'node:timers/promises';
import type { RegistryConfig } from './config.ts';
import { startDeadline } from './deadline.ts';
import { CollectError, type FailureReason, reasonOf } from './errors.ts';
import { createCycleContext, createSession } from './loop/context.ts';
import { createNotices } from './loop/notices.ts';
import { createTroubles, type Troubles } from './loop/troubles.ts';
import { openMemory } from './memory.ts';
import type { Logger, Place, Provider } from './provider.ts';
import { longestDelayMs } from './schedule.ts';

/** An entry that covers many registries, as people see it. Times are Unix seconds. */
export interface EntryStatus {
  readonly name: string;
  readonly type: string;
  /** Absent before the first search ended. */
  readonly up?: boolean;
  readonly registries: number;
  readonly lastAttemptAt?: number;
  readonly error?: { readonly at: number; readonly reason: FailureReason; readonly message: string };
}

/** Finds the places of one entry, again and again. */
export interface PlaceFinder {
  start(): void;
  stop(): void;
  status(): Omit<EntryStatus, 'registries'>;
}

/** How soon a search that failed is made again, at most. */
const retryMs = 60_000;

/**
 * The name of the registry that a place becomes.
 * @throws CollectError `configuration` when the template names something that the places do not have
 */
export function placeName(
  entry: string,
  template: string | undefined,
  values: Place<unknown>['values'],
): string {
  const variables: Readonly<Record<string, string>> = { ...values, name: entry };
  const text = template ?? ['{name}', ...Object.keys(values).map((key) => `{${key}}`)].join('-');
  const filled = text.replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = variables[key];
    if (value === undefined)
      throw new CollectError(
        'configuration',
        `nameTemplate names {${key}}, which places of ${entry} do not have: use ${Object.keys(variables)
          .map((variable) => `{${variable}}`)
          .join(', ')}`,
      );
    return value;
  });
  return filled.replace(/[^a-zA-Z0-9._-]/g, '-').replace(/^[^a-zA-Z0-9]+/, '');
}

/** The configuration of each place's registry, by its name. @throws CollectError when two have the same name. */
function placeConfigs(
  config: RegistryConfig,
  places: readonly Place<unknown>[],
): Map<string, RegistryConfig> {
  const configs = new Map<string, RegistryConfig>();
  for (const { values, options } of places) {
    const name = placeName(config.name, config.places?.nameTemplate, values);
    if (configs.has(name))
      throw new CollectError(
        'configuration',
        `two places of ${config.name} are both named ${JSON.stringify(name)}: tell them apart in nameTemplate`,
      );
    const { places: _, ...rest } = config;
    configs.set(name, { ...rest, name, options, source: JSON.stringify([config.source, values]) });
  }
  return configs;
}

/**
 * What was found, and what was there before and is missing for the first time: an answer with less in it is also what
 * a lost permission looks like, so it is believed when the next one says the same.
 */
function withMissing(
  registries: ReadonlyMap<string, RegistryConfig>,
  before: ReadonlyMap<string, RegistryConfig>,
  missing: Set<string>,
): Map<string, RegistryConfig> {
  const kept = new Map(registries);
  for (const [name, config] of before) {
    if (registries.has(name) || missing.delete(name)) continue;
    kept.set(name, config);
    missing.add(name);
  }
  for (const name of registries.keys()) missing.delete(name);
  return kept;
}

/** What a search for places works with. */
interface FinderOptions {
  readonly config: RegistryConfig;
  readonly provider: Provider;
  readonly log: Logger;
  readonly userAgent: string;
  observe(operation: string, code: string, seconds: number): void;
  /** Called when a search has ended. */
  searched(up: boolean): void;
  /** Takes over what was found. @throws CollectError when it cannot be. */
  found(registries: ReadonlyMap<string, RegistryConfig>): Promise<void>;
}

/** What a search found. */
interface Found {
  readonly configs: ReadonlyMap<string, RegistryConfig>;
  /** Why some places could not be looked for. */
  readonly failure: { readonly error: unknown } | undefined;
}

/** @returns asks for the places once, within `timeout` */
function createSearch(
  { config, provider, log, userAgent, observe }: FinderOptions,
  { stopping, troubles }: { readonly stopping: AbortSignal; readonly troubles: Troubles },
): () => Promise<Found> {
  const session = createSession();
  const notices = createNotices(log);
  const find = provider.places?.(config.options);
  return async () => {
    const deadline = startDeadline(stopping, config.timeoutMs);
    const { signal } = deadline;
    const { context, close } = createCycleContext({
      ...{ session, log, troubles, userAgent, observe, signal },
      settings: config,
      only: undefined,
      memory: await openMemory({ path: undefined, target: '', log }),
      notices: notices.begin(),
      progress: () => {},
    });
    let failure: Found['failure'];
    const incomplete = (error: unknown) => {
      failure ??= { error };
    };
    try {
      const places = (await find?.({ ...context, incomplete })) ?? [];
      return { configs: placeConfigs(config, places), failure };
    } catch (cause) {
      throw cause === signal.reason && !stopping.aborted
        ? new CollectError('timeout', 'the registries of the entry were not found within `timeout`', {
            cause,
          })
        : cause;
    } finally {
      close();
      deadline.clear();
    }
  };
}

export function createPlaceFinder(input: FinderOptions): PlaceFinder {
  const { config, log, searched, found: onRegistries } = input;
  const stopping = new AbortController();
  const troubles = createTroubles(log);
  const intervalMs = config.places?.intervalMs ?? 600_000;
  /** Registries that were missing in the last search. */
  const missing = new Set<string>();
  let last: ReadonlyMap<string, RegistryConfig> = new Map();
  let up: boolean | undefined;
  let lastAttemptAt: number | undefined;
  let error: EntryStatus['error'];

  const findConfigs = createSearch(input, { stopping: stopping.signal, troubles });

  /** @returns what was found, and what of before goes on */
  function take({ configs, failure }: Found): ReadonlyMap<string, RegistryConfig> {
    if (failure) {
      // What a part does not show may be in the other one: it is not missing.
      for (const name of configs.keys()) missing.delete(name);
      return new Map([...last, ...configs]);
    }
    // Nothing at all is no answer for somebody who asked for registries to be watched.
    if (configs.size === 0)
      throw new CollectError(
        'not_found',
        `no registries were found for ${config.name}: check what the entry names, and the permission to list it`,
      );
    const registries = withMissing(configs, last, missing);
    for (const name of missing)
      log.warn(
        { place: name },
        'a registry of the entry was not found: it goes on until the next search says so too',
      );
    return registries;
  }

  async function search(): Promise<void> {
    try {
      const found = await findConfigs();
      last = take(found);
      if (last.size > 0) await onRegistries(last);
      if (found.failure) throw found.failure.error;
      up = true;
      error = undefined;
      troubles.over('the search for registries');
    } catch (failure) {
      if (stopping.signal.aborted) return;
      up = false;
      error = {
        at: Date.now() / 1000,
        reason: reasonOf(failure),
        message: failure instanceof Error ? failure.message : String(failure),
      };
      const message = 'not all registries of the entry could be looked for: those that are known go on';
      troubles.tell('error', 'the search for registries', failure, message);
    }
    lastAttemptAt = Date.now() / 1000;
    searched(up ?? false);
  }

  return {
    start() {
      void (async () => {
        while (!stopping.signal.aborted) {
          await search();
          const settled = up && missing.size === 0;
          const pauseMs = Math.min(settled ? intervalMs : Math.min(intervalMs, retryMs), longestDelayMs);
          await sleep(pauseMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
        }
      })();
    },
    stop: () => stopping.abort(new Error('the search for registries ends')),
    status: () => ({
      name: config.name,
      type: config.type,
      up,
      lastAttemptAt,
      error,
    }),
  };
}
