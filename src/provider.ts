import type { z } from 'zod';
import type { ImageSelection } from './bounded.ts';
import type { ReadEvents } from './events/push-event.ts';
import type { Tells } from './events/told.ts';
import type { Calls } from './http/calls.ts';
import type { TlsSettings } from './http/tls.ts';
import type { HttpClient, HttpClientOptions } from './http.ts';
import type { Observation, ReferenceRule, RegistryIdentity } from './model.ts';

/** What a provider can report, as data: the README table and `container_registry_capability_up` derive from it. */
export const capabilities = [
  'repositories',
  'images',
  'sizes',
  'push_times',
  'pull_times',
  'findings',
  'signatures',
  'storage',
  'quotas',
  'practices',
  'replication',
  'credentials',
  'pull_limit',
  'projects',
  'health',
  'tasks',
  'events',
] as const;
export type Capability = (typeof capabilities)[number];

/** For each capability that the provider has, one sentence on where it comes from and what limits it. */
export type Capabilities = Readonly<Partial<Record<Capability, string>>>;

/** A line-oriented logger, bound to the registry. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * Remembers immutable or slowly changing facts between cycles and restarts: bounded (least recently used go
 * first), persisted under `--storage.path`. Values are JSON. Keys of one registry never meet another's.
 */
export interface Memory {
  /** The value and when it was stored (Unix seconds), or undefined. */
  get<T>(key: string): { readonly value: T; readonly storedAt: number } | undefined;
  set(key: string, value: unknown): void;
}

/**
 * Keeps what is costly to make and must not be saved, such as credentials and tokens, for as long as the registry's
 * loop runs.
 */
export interface Session {
  /** The value under the key, made when there is none yet. */
  keep<T>(key: string, make: () => T): T;
  forget(key: string): void;
}

/** How the configuration wants connections to be made; for SDKs that bring a transport of their own. */
export interface ConnectionSettings extends TlsSettings {
  /** Deadline of each attempt. */
  readonly timeoutMs: number;
  /** Largest answer that is read. */
  readonly maxBytes: number;
}

/** In which order repositories are read. */
export interface ReadingOrder {
  /** To be told when the reading of a repository begins. */
  begins(name: string): void;
  /** Present after a poll that ran out of time: when a repository was last tried, Unix seconds; 0 is never. */
  lastTried?(name: string): number;
}

/** What the daemon lends a provider for one cycle. The provider neither sleeps, retries nor keeps state. */
export interface CollectContext {
  /** Ends at the cycle's deadline, and when the daemon stops. */
  readonly signal: AbortSignal;
  /** A limited, timed, retried and counted HTTP client; closed by the loop after the cycle. */
  http(options?: Pick<HttpClientOptions, 'caFile' | 'insecureSkipVerify' | 'judge'>): HttpClient;
  /** The same limits, deadlines, retries and counts for SDKs with a transport of their own. */
  calls(): Calls;
  readonly connection: ConnectionSettings;
  readonly session: Session;
  readonly log: Logger;
  readonly memory: Memory;
  /** Which repositories the configuration asks for. */
  wants(repository: string): boolean;
  /** The patterns of `repositories.include`, for what they name; `wants` says what they take. */
  readonly include?: readonly string[];
  /** Present when only these repositories are to be looked at again (after push events). */
  readonly only?: readonly string[];
  /** The bounded set of images that are exported one by one. */
  readonly images: ImageSelection;
  /** How many repositories may be read at once. */
  readonly concurrency: number;
  /** For `readSideBySide`; absent when single repositories are looked at. */
  readonly order?: ReadingOrder;
  /** A detail could not be read: its capability reads 0, the rest is published. */
  degraded(capability: Capability, error: unknown): void;
  /**
   * Says what is odd without being a failure, such as a tag without a manifest: one line of the log while it lasts.
   * @param key tells one notice from another
   * @param message what it is, what follows from it, and what to do
   */
  tell(key: string, fields: object, message: string): void;
  /**
   * This registry does not have it at all, such as a scanner that is not installed, or is not asked for it: it neither
   * works nor fails. Without `repositories` there is no number of repositories either.
   */
  absent(capability: Capability): void;
  /** For the progress bar: repositories done of those listed so far. */
  progress(done: number, total: number): void;
  /** Unix seconds. */
  now(): number;
}

/** Push events that were read together. */
export interface EventBatch {
  readonly events: ReadEvents;
  /** When the newest of them happened, Unix seconds. */
  readonly newestAt?: number | undefined;
  /** Called once they are counted and on disk: the source need not give them again. */
  done(): Promise<void>;
}

/** Where push events are read by asking, with no port to open. It gives each event at least once. */
export interface EventSource {
  /** Value of the label `source`, such as `sqs`. */
  readonly name: string;
  readonly tells: Tells;
  /** Milliseconds between two readings; 0 where the source itself waits for events. */
  readonly everyMs: number;
  /**
   * Reads what is new.
   * @param context lasts as long as one reading; its session is the source's own
   * @param since when the exporter first looked, Unix seconds: what happened before is not its to count
   * @throws CollectError
   */
  read(context: CollectContext, since: number): AsyncIterable<EventBatch>;
}

/** One of the places that an entry of the configuration covers; it becomes a registry of its own. */
export interface Place<Options> {
  /** What tells it from the others, in the order of a name made of them: `account`, `region`. */
  readonly values: Readonly<Record<string, string>>;
  /** The entry's options, narrowed to this place. */
  readonly options: Options;
}

/** What asking a vendor needs, whether places are looked for or read. */
export type PlacesContext = Pick<
  CollectContext,
  'signal' | 'http' | 'calls' | 'connection' | 'session' | 'log' | 'tell'
>;

/** What finding an entry's places is lent. */
export interface PlacesSearch extends PlacesContext {
  /**
   * Some places could not be looked for: those of before go on, beside those that are found, and the search counts as
   * failed. One project without permission must not hide the others.
   */
  incomplete(error: unknown): void;
}

/** A kind of registry. One provider is one file, registered in `providers/index.ts`. */
export interface Provider<Options = unknown> {
  /** Discriminator in the configuration, such as `docker-hub`. */
  readonly type: string;
  /** Value of the label `provider`, such as `docker_hub`. */
  readonly label: string;
  /** The provider's own part of a registry's configuration. */
  readonly options: z.ZodObject;
  readonly capabilities: Capabilities;
  /** How requests are limited where the configuration does not say; the vendor's page stands beside a number. */
  readonly http?: { readonly maxConcurrent?: number; readonly requestsPerSecond?: number };
  /**
   * The places of an entry that covers several, such as accounts and regions; undefined for an entry that is one
   * place as it stands. Asked again from time to time, so that new places are found.
   */
  places?(options: Options): ((context: PlacesSearch) => Promise<readonly Place<Options>[]>) | undefined;
  /** The keys of a place's `values`, for names of registries that are made of them. */
  readonly placeValues?: readonly string[];
  /**
   * What is wrong with options of which each by itself is right: those that exclude or need each other.
   * @param receives whether the registry may send push events
   */
  check?(
    options: Options,
    receives: boolean,
  ): readonly { readonly path: readonly (string | number)[]; readonly message: string }[];
  /** What is known of the registry before anything was asked. */
  identity(options: Options): RegistryIdentity;
  /** How its images are named where they run; without it, `host/REPOSITORY` with the host of the identity. */
  references?(options: Options, identity: RegistryIdentity): readonly ReferenceRule[];
  /** Where push events are to be read, as the options say. */
  eventSources?(options: Options): readonly EventSource[];
  /**
   * Reads everything that the registry shows, as a stream.
   * @throws CollectError when repositories cannot be listed: the cycle failed and the last good snapshot stays.
   */
  collect(options: Options, context: CollectContext): AsyncIterable<Observation>;
}

/** Keeps the options' type inside the provider while the map of providers forgets it. */
export function defineProvider<Schema extends z.ZodObject>(
  provider: Omit<Provider<z.infer<Schema>>, 'options'> & { readonly options: Schema },
): Provider {
  return provider as unknown as Provider;
}
