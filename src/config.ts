import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ConfigError, type Problem, readDocument, showPath } from './config/document.ts';
import { explain, keysOf } from './config/explain.ts';
import { badFiles } from './config/files.ts';
import { resolveInUse } from './config/in-use.ts';
import { type RegistryConfig, resolveRegistry } from './config/registry.ts';
import { createConfigSchema } from './config/schema.ts';
import type { InUseSettings } from './in-use/settings.ts';
import { sourceKinds } from './in-use/sources/index.ts';
import type { Provider } from './provider.ts';

export { ConfigError } from './config/document.ts';
export type { RegistryConfig } from './config/registry.ts';

export interface Config {
  readonly registries: readonly RegistryConfig[];
  /** Where to read which images run. */
  readonly inUse?: InUseSettings | undefined;
  /** How many exporters divide them among them. */
  readonly shards: number;
}

export type Providers = Readonly<Record<string, Provider>>;

export interface ParseOptions {
  /** For messages. */
  readonly file: string;
  readonly providers: Providers;
  readonly env?: NodeJS.ProcessEnv;
}

async function readText(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message;
    throw new ConfigError([{ file: path, path: '', message: `cannot be read: ${why}` }]);
  }
  // A password in another encoding would be taken for another password.
  if (/[\0\uFFFD]/.test(text))
    throw new ConfigError([{ file: path, path: '', message: 'is no UTF-8 text: save it as UTF-8' }]);
  return text;
}

/**
 * Reads the configuration.
 * @throws ConfigError with everything that is wrong with it: file, line, path, what and what would be right.
 */
export async function loadConfig(path: string, providers: Providers, env = process.env): Promise<Config> {
  return parseConfig(await readText(path), { file: path, providers, env });
}

/**
 * Checks the configuration without a start, and the files that it names as well.
 * @throws ConfigError as {@link loadConfig} does, for files that cannot be used, and for data that would be missing
 * between two polls
 */
export async function checkConfig(path: string, providers: Providers, env = process.env): Promise<Config> {
  const text = await readText(path);
  const config = parseConfig(text, { file: path, providers, env });
  const { value, locate } = readDocument(text, path, env);
  const problem = (at: readonly (string | number)[], message: string): Problem => ({
    file: path,
    ...locate(at),
    path: showPath(at),
    message,
  });
  const problems = await badFiles(value, problem);
  for (const [index, { staleAfterMs, intervalMs }] of config.registries.entries())
    if (staleAfterMs < intervalMs)
      problems.push(
        problem(
          ['registries', index, 'staleAfter'],
          `data would be left out before the next poll: staleAfter has to be at least the ${intervalMs / 1000} s between two polls`,
        ),
      );
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Parses the text of a configuration; see {@link loadConfig}. */
export function parseConfig(text: string, options: ParseOptions): Config {
  const { file, providers, env = process.env } = options;
  const document = readDocument(text, file, env);
  const parsed = createConfigSchema(providers).safeParse(document.value, { reportInput: true });
  const problem = (path: readonly PropertyKey[], message: string): Problem => {
    const keys = path.filter((part) => typeof part !== 'symbol');
    return { file, ...document.locate(keys), path: showPath(keys), message };
  };
  if (!parsed.success) {
    const vocabulary = {
      types: Object.keys(providers).sort(),
      sources: Object.keys(sourceKinds),
      keys: () => keysOf(configJsonSchema(providers)),
    };
    throw new ConfigError(
      parsed.error.issues.flatMap((issue) =>
        explain(issue, vocabulary).map(({ path, message }) => problem(path, message)),
      ),
    );
  }

  const problems: Problem[] = [];
  const { defaults = {}, registries, shards = 1 } = parsed.data;
  const names = new Map<string, number>();
  const sources = (document.value as { registries: unknown[] }).registries;
  const configs = registries.map((registry, index): RegistryConfig => {
    const refuse = (path: readonly PropertyKey[], message: string) =>
      problems.push(problem(['registries', index, ...path], message));
    const before = names.get(registry.name);
    if (before !== undefined) refuse(['name'], `registries[${before}] has this name too: names are unique`);
    names.set(registry.name, index);
    return resolveRegistry(registry, {
      defaults,
      provider: providers[registry.type] as Provider,
      source: JSON.stringify([defaults, sources[index]]),
      refuse,
    });
  });
  const inUse = resolveInUse(parsed.data.inUse, document.value, (path, message) =>
    problems.push(problem(['inUse', ...path], message)),
  );
  if (problems.length > 0) throw new ConfigError(problems);
  return { registries: configs, inUse, shards };
}

/** JSON schema of the document, for editors and the Helm chart. */
export function configJsonSchema(providers: Providers): Record<string, unknown> {
  return z.toJSONSchema(createConfigSchema(providers), { io: 'input', unrepresentable: 'any' }) as Record<
    string,
    unknown
  >;
}
