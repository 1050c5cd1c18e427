import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';

/**
 * The rooms of `src/` and what each may import. Part of `npm run check`; the table in docs/architecture.md is generated
 * from it.
 */
export interface Room {
  /** What belongs here, as docs/architecture.md says it. */
  readonly holds: string;
  /** Files and folders of `src/`, without `.ts`. */
  readonly files: readonly string[];
  /** Rooms that it may import besides itself. */
  readonly rooms: readonly string[];
  /** Packages that it may import; those of Node are free. */
  readonly packages: readonly string[];
}

/** From the ground up: a room imports only rooms above it in this table, so that there is no cycle. */
export const rooms: Readonly<Record<string, Room>> = {
  model: {
    holds: 'the domain: what a registry, a repository and an image are; which images are exported one by one',
    files: ['model', 'media-types', 'bounded'],
    rooms: [],
    packages: ['zod'],
  },
  basics: {
    holds: 'time, names, errors, secrets: what any program needs',
    files: [
      'build',
      'clock',
      'deadline',
      'defined',
      'errors',
      'names',
      'queue',
      'secret',
      'times',
      'token-bucket',
      'yielding',
    ],
    rooms: [],
    packages: ['zod'],
  },
  wire: {
    holds:
      'schemas for what comes from outside: bounded numbers, names and times; odd elements are left out and reported',
    files: ['wire'],
    rooms: ['basics'],
    packages: ['zod'],
  },
  events: {
    holds: 'what registries tell of pushes, read from their requests',
    files: ['events'],
    rooms: ['basics', 'wire'],
    packages: ['zod'],
  },
  http: {
    holds:
      'requests with a limit, a deadline, retries and a count, for our own calls and for SDKs; pages; bounds of answers',
    files: ['http'],
    rooms: ['basics', 'wire'],
    packages: ['@streamparser/json', 'http-link-header', 'undici', 'zod'],
  },
  images: {
    holds: 'what manifests and attaching tags say, whoever stores them',
    files: ['images'],
    rooms: ['model', 'basics', 'wire', 'http'],
    packages: ['zod'],
  },
  provider: {
    holds:
      'the contract of a provider, and what every provider stands on: options, the registry protocol’s authentication, many repositories read at once, things that fail alone, what the configuration names',
    files: [
      'provider',
      'failing',
      'options',
      'named',
      'parts',
      'reading-span',
      'registry-answers',
      'registry-auth',
      'registry-metrics',
      'side-by-side',
    ],
    rooms: ['model', 'basics', 'wire', 'http', 'events'],
    packages: ['lru-cache', 'p-map', 'tldts', 'zod'],
  },
  fold: {
    holds: 'observations → totals per repository',
    files: ['fold', 'totals'],
    rooms: ['model', 'basics', 'wire'],
    packages: ['zod'],
  },
  metrics: {
    holds: 'THE TABLE: each metric once',
    files: ['metrics', 'self-metrics'],
    rooms: ['model', 'basics'],
    packages: ['prom-client'],
  },
  exposition: {
    holds: 'totals × table → buffers',
    files: ['exposition'],
    rooms: ['model', 'basics', 'fold', 'metrics'],
    packages: ['prom-client'],
  },
  storage: {
    holds: 'what survives a restart',
    files: ['storage', 'memory'],
    rooms: ['model', 'basics', 'provider', 'fold'],
    packages: ['zod'],
  },
  schedule: { holds: 'when to poll', files: ['schedule'], rooms: ['basics'], packages: ['node-cron', 'zod'] },
  'in-use': {
    holds: 'which images run: sources that tell it, and what of it concerns a registry',
    files: ['in-use'],
    rooms: ['model', 'basics', 'wire', 'http', 'provider'],
    packages: ['yaml', 'zod'],
  },
  loop: {
    holds: 'schedule → collect → fold → commit → publish → save',
    files: ['loop'],
    rooms: [
      'model',
      'basics',
      'http',
      'provider',
      'fold',
      'metrics',
      'exposition',
      'storage',
      'events',
      'schedule',
      'in-use',
    ],
    packages: ['zod'],
  },
  config: {
    holds: 'the configuration file, and what is wrong with it in words',
    files: ['config'],
    rooms: ['basics', 'http', 'provider', 'schedule', 'in-use', 'loop'],
    packages: ['fastest-levenshtein', 'node-cron', 'picomatch', 'yaml', 'zod'],
  },
  daemon: {
    holds: 'all loops; entries that cover many registries; what tells one registry from another',
    files: ['daemon', 'places', 'target', 'log'],
    rooms: [
      'model',
      'basics',
      'http',
      'provider',
      'metrics',
      'exposition',
      'storage',
      'schedule',
      'in-use',
      'loop',
      'config',
    ],
    packages: ['pino'],
  },
  server: {
    holds: 'endpoints, status page, receiver of events, TLS and users',
    files: ['server'],
    rooms: ['basics', 'http', 'provider', 'metrics', 'exposition', 'events', 'loop', 'config', 'daemon'],
    packages: [
      'basic-auth',
      'bcryptjs',
      'express',
      'google-auth-library',
      'prom-client',
      'undici',
      'yaml',
      'zod',
    ],
  },
};

/** Of every provider: their files are not in the table by name. */
const provider: Omit<Room, 'files'> = {
  holds: 'one file and folder per provider; none imports another',
  rooms: ['model', 'basics', 'wire', 'http', 'events', 'images', 'provider'],
  packages: [
    '@aws-sdk/*',
    '@azure/*',
    '@google-cloud/*',
    'google-auth-library',
    'google-gax',
    'p-map',
    'picomatch',
    'zod',
  ],
};
const programHolds = 'main, run, cli, faults, leave, log-output, providers/index: the process';

const source = join(import.meta.dirname, '..', 'src');

/** The room of a file, such as `loop/cycle.ts`, `providers/oci/names.ts` or `main.ts`. */
function roomOf(file: string): { name: string; rules?: Omit<Room, 'files'> } {
  const [first = '', second = ''] = file.replace(/\.ts$/, '').split('/');
  if (first === 'providers' && second !== 'index') return { name: `providers/${second}`, rules: provider };
  const entry = Object.entries(rooms).find(([, room]) => room.files.includes(first));
  return entry ? { name: entry[0], rules: entry[1] } : { name: 'program' };
}

const matches = (allowed: readonly string[], name: string): boolean =>
  allowed.some((one) => (one.endsWith('/*') ? name.startsWith(one.slice(0, -1)) : one === name));

/** What a source imports, types too. */
const importsOf = (text: string): string[] =>
  [...text.matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, to = '']) => to);

/**
 * Files that import each other, by way of others too.
 * @param sources the texts by path below `src/`
 * @returns one sentence for each circle that is met
 */
export function circles(sources: ReadonlyMap<string, string>): string[] {
  const done = new Set<string>();
  const mistakes: string[] = [];
  function visit(file: string, way: readonly string[]): void {
    const at = way.indexOf(file);
    if (at >= 0)
      mistakes.push(`${[...way.slice(at), file].map((name) => `src/${name}`).join(' imports ')}: no circles`);
    if (at >= 0 || done.has(file)) return;
    for (const to of importsOf(sources.get(file) ?? ''))
      if (to.startsWith('.')) visit(normalize(join(dirname(file), to)), [...way, file]);
    done.add(file);
  }
  for (const file of sources.keys()) visit(file, []);
  return mistakes;
}

/**
 * What a file imports and may not.
 * @param file path below `src/`, @param text its source
 * @returns one sentence for each forbidden import
 */
export function forbiddenImports(file: string, text: string): string[] {
  const { name, rules } = roomOf(file);
  if (!rules)
    return /from '[^']*\bmain\.ts'/.test(text) ? [`src/${file} imports main, which nothing may`] : [];
  return importsOf(text).flatMap((to) => {
    if (to.startsWith('node:') || builtinModules.includes(to)) return [];
    const [what, allowed] = to.startsWith('.')
      ? [roomOf(normalize(join(dirname(file), to))).name, [name, ...rules.rooms]]
      : [/^(?:@[^/]+\/)?[^/]+/.exec(to)?.[0] ?? to, rules.packages];
    if (matches(allowed, what)) return [];
    return [
      `src/${file} imports ${to} (${what}), and ${name} may import only ${allowed.join(', ') || 'nothing'}: see scripts/layers.ts`,
    ];
  });
}

/** Every forbidden import in `src/`, every room that imports one below it in the table, and every circle of files. */
export function layerMistakes(): string[] {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const names = Object.keys(rooms);
  const upwards = names.flatMap((name, index) =>
    (rooms[name]?.rooms ?? [])
      .filter((other) => names.indexOf(other) >= index)
      .map((other) => `scripts/layers.ts: ${name} stands above ${other} and imports it`),
  );
  const sources = new Map(files.map((file) => [file, readFileSync(join(source, file), 'utf8')]));
  return [
    ...upwards,
    ...[...sources].flatMap(([file, text]) => forbiddenImports(file, text)),
    ...circles(sources),
  ];
}

/** The table of docs/architecture.md. */
export function roomsTable(): string {
  const row = (name: string, files: readonly string[], room: Omit<Room, 'files'>) =>
    `| ${name} | ${files.map((file) => `\`${file}\``).join(', ')} | ${room.holds} | ${room.rooms.join(', ') || '–'} | ${room.packages.join(', ') || '–'} |`;
  return [
    '| room | in `src/` | holds | may import | packages |',
    '|---|---|---|---|---|',
    ...Object.entries(rooms).map(([name, room]) => row(name, room.files, room)),
    row('a provider', ['providers/*'], provider),
    `| the program | | ${programHolds} | all | |`,
  ].join('\n');
}

if (import.meta.main) {
  const mistakes = layerMistakes();
  for (const mistake of mistakes) process.stderr.write(`${mistake}\n`);
  process.exitCode = mistakes.length > 0 ? 1 : 0;
}
