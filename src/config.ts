import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ConfigError, type Problem, readDocument, showPath } from './config/document.ts';
import { explain, keysOf } from './config/explain.ts';
import { missingFiles } from './config/files.ts';
import { type RegistryConfig, resolveRegistry } from './config/registry.ts';
import { createConfigSchema } from './config/schema.ts';
import type { Provider } from './provider.ts';

export { ConfigError } from './config/document.ts';
export type { RegistryConfig } from './config/registry.ts';

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

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message;
    throw new ConfigError([{ file: path, path: '', message: `cannot be read: ${why}` }]);
  }
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
 * @throws ConfigError as {@link loadConfig} does, and for files that cannot be read here
 */
export async function checkConfig(path: string, providers: Providers, env = process.env): Promise<Config> {
  const text = await readText(path);
  const config = parseConfig(text, { file: path, providers, env });
  const { value, locate } = readDocument(text, path, env);
  const missing = await missingFiles(value, (at, message) => ({
    file: path,
    ...locate(at),
    path: showPath(at),
    message,
  }));
  if (missing.length > 0) throw new ConfigError(missing);
  return config;
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

  const problems: Problem[] = [];
  const { defaults = {}, registries } = parsed.data;
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
  if (problems.length > 0) throw new ConfigError(problems);
  return { registries: configs };
}

/** JSON schema of the document, for editors and the Helm chart. */
export function configJsonSchema(providers: Providers): Record<string, unknown> {
  return z.toJSONSchema(createConfigSchema(providers), { io: 'input', unrepresentable: 'any' }) as Record<
    string,
    unknown
  >;
}
