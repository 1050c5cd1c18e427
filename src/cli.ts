import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { type LogLevel, logLevels } from './log.ts';

/** The command line, as in every Prometheus exporter. */
export interface Flags {
  readonly configFile: string;
  readonly checkOnly: boolean;
  /** Whether the configuration is read again when its file changes. */
  readonly watchConfig: boolean;
  readonly listenAddresses: readonly { readonly host: string | undefined; readonly port: number }[];
  /** Where probes are answered without TLS and users, besides the other addresses. */
  readonly healthAddresses: readonly { readonly host: string | undefined; readonly port: number }[];
  readonly eventsAddresses: readonly { readonly host: string | undefined; readonly port: number }[];
  readonly telemetryPath: string;
  readonly maxRequests: number;
  readonly webConfigFile: string | undefined;
  readonly storagePath: string | undefined;
  /** Which of several exporters that share the configuration this is, from 0. */
  readonly shard: number | undefined;
  /** How many of them there are; undefined where the configuration says it. */
  readonly shards: number | undefined;
  /** Address of the shards, with `{shard}` for the number: where push events for their registries go. */
  readonly shardPeers: string | undefined;
  readonly logLevel: LogLevel;
  readonly logFormat: 'logfmt' | 'json';
}

/** A flag that is not right; its message says what would be. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const usage = `Usage: container-registry-exporter [flags]

  --config.file=exporter.yaml       Configuration file.
  --config.check                    Check the configuration, the files that it names, and --web.config.file, and leave.
  --no-config.watch                 Do not read the configuration again when its file changes.
  --web.listen-address=:10056       Address to listen on; may be given several times.
  --web.health-listen-address=ADDR  Address that answers /-/healthy and /-/ready only, without TLS and users.
  --web.events-listen-address=ADDR  Address that takes push events only, apart from the metrics.
  --web.telemetry-path=/metrics     Path of the metrics.
  --web.max-requests=40             Scrapes at once at most; 0 for no limit.
  --web.config.file=FILE            TLS and users, in the format of Prometheus' exporter-toolkit.
  --storage.path=DIR                Where state survives a restart; without it none does.
  --shard=N                         Which shard this process is, from 0; or a name that ends with -N, such as a pod's.
  --shards=N                        How many shards there are, whatever the configuration says.
  --shard.peers=URL                 Address of the shards, with {shard} for the number: push events that belong to
                                    another shard are handed to it, and the state of a registry that moved is asked for.
  --log.level=info                  debug, info, warn or error.
  --log.format=logfmt               logfmt or json.
  --version                         Show the version and leave.
  -h, --help                        Show this and leave.
`;

function listenAddress(flag: string, text: string): { host: string | undefined; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535)
    throw new UsageError(`--${flag}=${text}: write :10056, 127.0.0.1:10056 or [::1]:10056`);
  return { host: match[1] ?? (match[2] || undefined), port };
}

/** @throws UsageError */
function shardFlags({
  shard,
  shards,
}: {
  readonly shard: string | undefined;
  readonly shards: string | undefined;
}) {
  const [, ordinal] = /^(?:.+-)?(\d{1,4})$/.exec(shard ?? '') ?? [];
  if (shard !== undefined && ordinal === undefined)
    throw new UsageError(`--shard=${shard}: write a number from 0, or a name that ends with -0, -1, …`);
  if (shards !== undefined && !/^[1-9]\d{0,3}$/.test(shards))
    throw new UsageError(`--shards=${shards}: write a number from 1`);
  return {
    shard: ordinal === undefined ? undefined : Number(ordinal),
    shards: shards === undefined ? undefined : Number(shards),
  };
}

/** @throws UsageError */
function peersOf(text: string | undefined): string | undefined {
  const isAddress =
    text === undefined || /^https?:$/.test(URL.parse(text.replaceAll('{shard}', '0'))?.protocol ?? '');
  if (isAddress && text?.includes('{shard}') !== false) return text;
  throw new UsageError(
    `--shard.peers=${text}: write an address with {shard} for the number, such as http://exporter-{shard}:10056`,
  );
}

/** The flags as Node parses them. */
const flagOptions = {
  'config.file': { type: 'string', default: 'exporter.yaml' },
  'config.check': { type: 'boolean', default: false },
  'config.watch': { type: 'boolean', default: true },
  'web.listen-address': { type: 'string', multiple: true, default: [':10056'] },
  'web.health-listen-address': { type: 'string', multiple: true, default: [] },
  'web.events-listen-address': { type: 'string', multiple: true, default: [] },
  'web.telemetry-path': { type: 'string', default: '/metrics' },
  'web.max-requests': { type: 'string', default: '40' },
  'web.config.file': { type: 'string' },
  'storage.path': { type: 'string' },
  shard: { type: 'string' },
  shards: { type: 'string' },
  'shard.peers': { type: 'string' },
  'log.level': { type: 'string', default: 'info' },
  'log.format': { type: 'string', default: 'logfmt' },
  version: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} satisfies ParseArgsOptionsConfig;

/**
 * Reads the command line.
 * @returns flags, or what to print before leaving
 * @throws UsageError
 */
export function parseFlags(args: readonly string[]): Flags | 'version' | 'help' {
  let values: Record<string, string | boolean | string[] | undefined>;
  try {
    ({ values } = parseArgs({ args: [...args], allowNegative: true, options: flagOptions }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const empty = Object.entries(values).find(
    ([, value]) => typeof value === 'string' && value.trim() === '',
  )?.[0];
  if (empty !== undefined) throw new UsageError(`--${empty} is empty: give it a value, or leave it out`);
  if (values['help']) return 'help';
  if (values['version']) return 'version';
  const telemetryPath = String(values['web.telemetry-path']);
  if (!/^(\/(?!\.+(?:\/|$))[\w.~-]+)+\/?$/.test(telemetryPath))
    throw new UsageError(
      '--web.telemetry-path is a path such as /metrics, of letters, digits, dots, dashes and underscores, and not / itself',
    );
  if (/^\/(-|events|api)(\/|$)/.test(telemetryPath))
    throw new UsageError('--web.telemetry-path is not below /-, /api or /events: other things are there');
  const maxRequests = Number(values['web.max-requests']);
  if (!Number.isInteger(maxRequests) || maxRequests < 0)
    throw new UsageError('--web.max-requests is a whole number from 0');
  const logLevel = logLevels.find((level) => level === values['log.level']);
  if (!logLevel) throw new UsageError(`--log.level is one of ${logLevels.join(', ')}`);
  const logFormat = (['logfmt', 'json'] as const).find((format) => format === values['log.format']);
  if (!logFormat) throw new UsageError('--log.format is logfmt or json');
  const addresses = (name: string) => (values[name] as string[]).map((text) => listenAddress(name, text));
  const path = (name: string) => (typeof values[name] === 'string' ? values[name] : undefined);
  return {
    configFile: String(values['config.file']),
    checkOnly: values['config.check'] === true,
    watchConfig: values['config.watch'] === true,
    listenAddresses: addresses('web.listen-address'),
    healthAddresses: addresses('web.health-listen-address'),
    eventsAddresses: addresses('web.events-listen-address'),
    telemetryPath,
    maxRequests,
    webConfigFile: path('web.config.file'),
    storagePath: path('storage.path'),
    ...shardFlags({ shard: path('shard'), shards: path('shards') }),
    shardPeers: peersOf(path('shard.peers')),
    logLevel,
    logFormat,
  };
}
