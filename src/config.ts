import { readFile } from 'node:fs/promises';
import cron from 'node-cron';
import picomatch from 'picomatch';
import { z } from 'zod';
import { ConfigError, type Problem, readDocument, showPath } from './config/document.ts';
import { explain, keysOf } from './config/explain.ts';
import { commonKeys, createConfigSchema, shortestEventsToken } from './config/schema.ts';
import type { RegistrySettings } from './loop/settings.ts';
import type { Provider } from './provider.ts';
import type { When } from './schedule.ts';
import { fileSecret, plainSecret } from './secret.ts';

export { ConfigError } from './config/document.ts';

/** A registry as configured: everything is resolved, nothing is optional that has a default. */
export interface RegistryConfig extends RegistrySettings {
  readonly type: string;
  /** The registry's part of the document as it was written, to see whether a reload changes it. */
  readonly source: string;
  /** Present for an entry that covers several registries, each of which gets a name of its own. */
  readonly places?: { readonly nameTemplate?: string; readonly intervalMs?: number };
}

export interface Config {
  readonly registries: readonly RegistryConfig[];
}

export type Providers = Readonly<Record<string, Provider>>;

export interface ParseOptions {
  /** For messages. */
  readonly file: string;
  readonly providers: Providers;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Reads the configuration.
 * @throws ConfigError with everything that is wrong with it: file, line, path, what and what would be right.
 */
export async function loadConfig(path: string, providers: Providers, env = process.env): Promise<Config> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message;
    throw new ConfigError([{ file: path, path: '', message: `cannot be read: ${why}` }]);
  }
  return parseConfig(text, { file: path, providers, env });
}

/** The token that push events have to show, held to its least length wherever it is written. */
function eventsTokenOf(events: { token?: string | undefined; tokenFile?: string | undefined } = {}) {
  if (events.token !== undefined) return plainSecret(events.token);
  if (events.tokenFile === undefined) return undefined;
  return fileSecret(events.tokenFile, { setting: 'events.tokenFile', minLength: shortestEventsToken });
}

const defaultInterval: When = { cron: '*/5 * * * *' };

const hourMs = 3_600_000;
const gaps = new Map<string, number>();

/**
 * The longest gap between two runs of a cron expression, in milliseconds: over two hours where only minutes are
 * chosen, else over a bit more than a week, so that nights and weekends count.
 */
function longestGap(expression: string): number {
  const known = gaps.get(expression);
  if (known !== undefined) return known;
  const everyHour = expression
    .trim()
    .split(/\s+/)
    .slice(-4)
    .every((field) => field === '*');
  const horizon = Date.now() + (everyHour ? 2 * hourMs : 8 * 24 * hourMs);
  // In a zone without daylight saving time: the hour that comes twice would count as one long gap.
  const task = cron.createTask(expression, () => {}, everyHour ? { timezone: 'UTC' } : {});
  try {
    // Asked for more and more, since node-cron takes about 40 µs for each; 5000 are enough for all but seconds.
    for (let count = 16; ; count *= 4) {
      const runs = task.getNextRuns(Math.min(count, 5000)).map((run) => run.getTime());
      if (count < 5000 && (runs.at(-1) ?? horizon) < horizon) continue;
      const gap = Math.max(...runs.slice(1).map((run, index) => run - (runs[index] ?? run)), 1000);
      gaps.set(expression, gap);
      return gap;
    }
  } finally {
    void task.destroy();
  }
}

/** Parses the text of a configuration; see {@link loadConfig}. */
export function parseConfig(text: string, options: ParseOptions): Config {
  const { file, providers, env = process.env } = options;
  const document = readDocument(text, file, env);
  const parsed = createConfigSchema(providers).safeParse(document.value, { reportInput: true });
  const problem = (path: readonly PropertyKey[], message: string): Problem => {
    const known = path.filter((part) => typeof part !== 'symbol');
    return { file, ...document.locate(known), path: showPath(known), message };
  };
  if (!parsed.success) {
    const known = { types: Object.keys(providers).sort(), keys: () => keysOf(configJsonSchema(providers)) };
    throw new ConfigError(
      parsed.error.issues.flatMap((issue) =>
        explain(issue, known).map(({ path, message }) => problem(path, message)),
      ),
    );
  }

  const { defaults = {}, registries } = parsed.data;
  const problems: Problem[] = [];
  const names = new Map<string, number>();
  const result = registries.map((registry, index): RegistryConfig => {
    const before = names.get(registry.name);
    if (before !== undefined)
      problems.push(
        problem(['registries', index, 'name'], `registries[${before}] has this name too: names are unique`),
      );
    names.set(registry.name, index);
    const when = registry.schedule ?? defaults.schedule ?? defaultInterval;
    const intervalMs = 'everyMs' in when ? when.everyMs : longestGap(when.cron);
    const selection = { ...defaults.images, ...registry.images };
    const { include, exclude = [] } = registry.repositories ?? {};
    // Not the pattern **, which leaves out names with a line break.
    const included = include ? picomatch(include, { dot: true }) : () => true;
    const excluded = exclude.length > 0 ? picomatch(exclude, { dot: true }) : () => false;
    const tags = selection.tags ?? [];
    const { retention, http = {}, tls = {} } = registry;
    const usual = providers[registry.type]?.http ?? {};
    const requestsPerSecond = http.requestsPerSecond ?? usual.requestsPerSecond;
    const eventsToken = eventsTokenOf(registry.events);
    if (registry.events?.token !== undefined && registry.events.tokenFile !== undefined)
      problems.push(
        problem(['registries', index, 'events', 'tokenFile'], 'is given besides token: keep one of the two'),
      );
    if (registry.events && !eventsToken)
      problems.push(problem(['registries', index, 'events'], 'events need a token or tokenFile'));
    const own = Object.fromEntries(Object.entries(registry).filter(([key]) => !commonKeys.includes(key)));
    return {
      name: registry.name,
      type: registry.type,
      when,
      intervalMs,
      timeoutMs: registry.timeout ?? defaults.timeout ?? 240_000,
      staleAfterMs: registry.staleAfter ?? defaults.staleAfter ?? Math.max(3 * intervalMs, 900_000),
      maxSeries: registry.maxSeries ?? defaults.maxSeries ?? 200_000,
      images: {
        perRepository: selection.perRepository ?? 3,
        matches: tags.length > 0 ? picomatch(tags, { dot: true }) : () => false,
      },
      ...(retention && {
        retention: {
          ...(retention.keepLast !== undefined && { keepLast: retention.keepLast }),
          ...(retention.maxAge !== undefined && { maxAgeSeconds: retention.maxAge / 1000 }),
          ...(retention.untaggedMaxAge !== undefined && {
            untaggedMaxAgeSeconds: retention.untaggedMaxAge / 1000,
          }),
        },
      }),
      wants: (repository) => included(repository) && !excluded(repository),
      http: {
        maxConcurrent: http.maxConcurrent ?? usual.maxConcurrent ?? 8,
        timeoutMs: http.timeout ?? 30_000,
        maxBytes: http.maxBytes ?? 32 * 2 ** 20,
        retries: http.retries ?? 4,
        ...(requestsPerSecond !== undefined && { requestsPerSecond }),
        ...(tls.caFile !== undefined && { caFile: tls.caFile }),
        ...(tls.insecureSkipVerify && { insecureSkipVerify: true }),
      },
      options: own,
      ...(providers[registry.type]?.places?.(own) && {
        places: {
          ...(registry.nameTemplate !== undefined && { nameTemplate: registry.nameTemplate }),
          ...(registry.placesInterval !== undefined && { intervalMs: registry.placesInterval }),
        },
      }),
      ...(eventsToken && { eventsToken }),
      source: JSON.stringify([defaults, (document.value as { registries: unknown[] }).registries[index]]),
    };
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return { registries: result };
}

/** JSON schema of the document, for editors and the Helm chart. */
export function configJsonSchema(providers: Providers): Record<string, unknown> {
  return z.toJSONSchema(createConfigSchema(providers), { io: 'input', unrepresentable: 'any' }) as Record<
    string,
    unknown
  >;
}
