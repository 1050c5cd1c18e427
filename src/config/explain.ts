import { distance } from 'fastest-levenshtein';
import type { z } from 'zod';

/** What the configuration could have said. */
export interface Known {
  /** Types of registry. */
  readonly types: readonly string[];
  /** Types of sources of what runs. */
  readonly sources: readonly string[];
  /** Every key that is a setting somewhere. */
  keys(): ReadonlySet<string>;
}

/** Names of all properties in a JSON schema, at any depth. */
export function keysOf(schema: unknown, keys = new Set<string>()): ReadonlySet<string> {
  if (schema === null || typeof schema !== 'object') return keys;
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') for (const name of Object.keys(value as object)) keys.add(name);
    keysOf(value, keys);
  }
  return keys;
}

/** ` (did you mean "schedule"?)`, when something known is near enough. */
function nearest(word: string, words: Iterable<string>): string {
  let best: { readonly name: string; readonly away: number } | undefined;
  for (const name of words) {
    const away = distance(word.toLowerCase(), name.toLowerCase());
    if (!best || away < best.away) best = { name, away };
  }
  return best && best.away <= Math.max(2, Math.ceil(word.length / 3)) && best.name !== word
    ? ` (did you mean ${JSON.stringify(best.name)}?)`
    : '';
}

/** What people call the registries that have another type here. */
const otherNames: Readonly<Record<string, string>> = {
  aws: 'ecr',
  azure: 'acr',
  distribution: 'oci',
  docker: 'docker-hub',
  gar: 'artifact-registry',
  gcr: 'artifact-registry',
  ghcr: 'oci',
  gitlab: 'oci',
  google: 'artifact-registry',
  jfrog: 'artifactory',
  nexus: 'oci',
  quay: 'oci',
  registry: 'oci',
  zot: 'oci',
};

function nearestType(type: string, types: readonly string[]): string {
  const meant = otherNames[type.toLowerCase()];
  return meant !== undefined && types.includes(meant)
    ? ` (did you mean ${JSON.stringify(meant)}?)`
    : nearest(type, types);
}

const words: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of settings',
  record: 'a map of settings',
};

function wordFor(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  return words[Array.isArray(value) ? 'array' : typeof value] ?? typeof value;
}

/** Settings whose values are durations. */
const isDuration = (key: PropertyKey | undefined): boolean =>
  /(timeout|after|interval|age|schedule)$/i.test(String(key ?? ''));

/** How a value of another type is written as it is meant. */
function correction(input: unknown, expected: string, path: readonly PropertyKey[]): string {
  if (expected === 'string' && typeof input === 'number')
    return isDuration(path.at(-1))
      ? `: a duration has a unit, such as ${input}s or ${input}m`
      : ': put it in quotes';
  if (expected === 'string' && typeof input === 'boolean') return ': put it in quotes';
  if (
    (expected === 'number' || expected === 'int') &&
    typeof input === 'string' &&
    Number.isFinite(Number(input))
  )
    return `: write it without quotes, and not as \${NAME}, which is text`;
  if (expected === 'array' && typeof input === 'string') return ': write ["…"]';
  return '';
}

/** What is wrong, and where. */
interface Explained {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}
type Issue<Code extends z.core.$ZodIssue['code']> = Extract<z.core.$ZodIssue, { code: Code }>;

const unknownSettings = ({ keys, path }: Issue<'unrecognized_keys'>, vocabulary: Known): Explained[] =>
  keys.map((key) => ({
    path: [...path, key],
    message: `there is no setting ${JSON.stringify(key)} here${nearest(key, vocabulary.keys())}`,
  }));

function unknownType({ path, input }: Issue<'invalid_union'>, vocabulary: Known): Explained {
  const at = path.at(-1) === 'type' ? path : [...path, 'type'];
  const type = (input as { readonly type?: unknown } | undefined)?.type ?? input;
  const isSource = path[0] === 'inUse';
  const types = isSource ? vocabulary.sources : vocabulary.types;
  const hint = typeof type === 'string' ? nearestType(type, types) : '';
  const what = isSource ? 'source' : 'registry';
  return { path: at, message: `is none of the types of ${what}: ${types.join(', ')}${hint}` };
}

function wrongType({ path, input, expected }: Issue<'invalid_type'>): Explained {
  if (path.length === 0)
    return { path, message: `the document is ${wordFor(input)}: it needs \`registries:\`` };
  const isInfinite = typeof input === 'number' && expected === 'number';
  const right = isInfinite ? 'a finite one' : (words[expected] ?? expected);
  if (input === undefined) return { path, message: `is missing: it has to be ${right}` };
  const hint = correction(input, expected, path);
  return { path, message: `is ${wordFor(input)} and has to be ${right}${hint}` };
}

function outOfBounds(issue: Issue<'too_small'> | Issue<'too_big'>): Explained {
  const { path, origin, inclusive } = issue;
  const isSmall = issue.code === 'too_small';
  const limit = isSmall ? issue.minimum : issue.maximum;
  if (origin === 'string' && limit === 1) return { path, message: 'is empty and has to be text' };
  const [at, beyond] = isSmall ? ['at least', 'more than'] : ['at most', 'less than'];
  const units: Readonly<Record<string, string>> = {
    string: ' characters',
    array: limit === 1 ? ' entry' : ' entries',
  };
  return { path, message: `has to be ${inclusive ? at : beyond} ${limit}${units[origin] ?? ''}` };
}

/** A zod issue in words that say what would be right; values are not repeated, they may be secrets. */
export function explain(issue: z.core.$ZodIssue, vocabulary: Known): readonly Explained[] {
  if (issue.code === 'unrecognized_keys') return unknownSettings(issue, vocabulary);
  if (issue.code === 'invalid_union' && 'discriminator' in issue) return [unknownType(issue, vocabulary)];
  if (issue.code === 'invalid_type') return [wrongType(issue)];
  const isBound = issue.code === 'too_small' || issue.code === 'too_big';
  // The messages of our own checks say more.
  if (isBound && issue.message.includes('Too ')) return [outOfBounds(issue)];
  return [{ path: issue.path, message: issue.message }];
}
