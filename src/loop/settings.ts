import type { ImageSelection } from '../bounded.ts';
import type { Retention } from '../fold.ts';
import type { TlsSettings } from '../http/tls.ts';
import type { ReferenceRule } from '../model.ts';
import type { When } from '../schedule.ts';
import type { Secret } from '../secret.ts';

/** Who may send push events with a token that Google signs. */
export interface OidcSender {
  /** What the token is made for. */
  readonly audience: string;
  /** The service account that it is made of. */
  readonly email: string;
  /** Where Google's certificates are. */
  readonly certificates: URL;
  /** How they are fetched. */
  readonly http: RegistrySettings['http'];
}

/** What a loop needs to know of its registry's configuration; all durations in milliseconds. */
export interface RegistrySettings {
  readonly name: string;
  readonly when: When;
  /** Between two polls; of a cron expression the longest gap. */
  readonly intervalMs: number;
  /** Of a whole cycle. */
  readonly timeoutMs: number;
  readonly staleAfterMs: number;
  readonly maxSeries: number;
  readonly images: ImageSelection;
  readonly retention?: Retention;
  /** Other names of the registry: aliases, mirrors, caches before it. */
  readonly hosts?: readonly ReferenceRule[] | undefined;
  wants(repository: string): boolean;
  /** The patterns of `repositories.include`, where there are any. */
  readonly include?: readonly string[];
  /** What push events have to show; present when they are accepted. */
  readonly eventsToken?: Secret;
  /** The same by a token that Google signs. */
  readonly eventsOidc?: OidcSender;
  readonly http: TlsSettings & {
    readonly maxConcurrent: number;
    readonly requestsPerSecond?: number;
    readonly timeoutMs: number;
    readonly maxBytes: number;
    readonly retries: number;
  };
  /** The provider's own part, parsed by its schema. */
  readonly options: unknown;
}
