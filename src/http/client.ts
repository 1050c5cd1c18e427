import type { FailureReason } from '../errors.ts';
import type { Oddity } from '../wire.ts';
import type { AttemptOptions, Observe } from './attempts.ts';
import type { Judgement } from './failure.ts';
import type { PemSettings, TlsSettings } from './tls.ts';

export interface HttpClientOptions extends AttemptOptions, TlsSettings {
  /** Total deadline of each attempt, its body included. */
  readonly timeoutMs: number;
  /** Of a body after decompression. */
  readonly maxBytes: number;
  readonly userAgent: string;
  /** Certificates and a key as texts, besides those in files. */
  readonly pem?: PemSettings | undefined;
  readonly observe: Observe;
  /**
   * What a vendor means by an answer that HTTP alone does not tell, such as a 400 that is a throttle, or how long it
   * asks to wait where it does not say so in `Retry-After`. Such an answer is an error whatever the request accepts.
   */
  judge?(response: HttpResponse): FailureReason | Judgement | undefined;
  /** Called with what is odd in an answer that is read as JSON, see `wire.ts`. */
  onOddity?(operation: string, oddity: Oddity): void;
}

export interface HttpRequest {
  readonly method?: 'GET' | 'HEAD' | 'POST';
  readonly url: string | URL;
  /** A function makes them anew for each attempt: signatures are good for some minutes, and an attempt may wait longer. */
  readonly headers?: Readonly<Record<string, string>> | (() => Promise<Readonly<Record<string, string>>>);
  readonly body?: string | Uint8Array;
  /** What is asked, for the metrics: a fixed word such as `catalog`. */
  readonly operation: string;
  /** Statuses besides 2xx that are returned and not thrown. */
  readonly accept?: readonly number[];
  /**
   * Whether another service is asked than the one that holds the images: a service that hangs, or refuses all that it is
   * asked, must not use up the time of a poll that can be read without it.
   */
  readonly aside?: boolean;
  /** Whether a POST may be sent again. */
  readonly idempotent?: boolean;
  /** Largest answer, where it is smaller than the client's; see `largestAnswer`. */
  readonly maxBytes?: number;
  /** The bytes are wanted as they are, not what JSON they hold. */
  readonly raw?: boolean;
  /**
   * Reads the body of a good answer as it arrives, within its limit and the deadline; it is held nowhere then. Each
   * attempt calls it anew: what an earlier one read does not count.
   */
  readonly read?: (pieces: AsyncIterable<Buffer>) => Promise<void>;
  /** Returns a redirect as it is instead of following it; its statuses have to be accepted. */
  readonly redirects?: 'returned';
  /**
   * Whether it was the registry that named the address, and not the configuration: it is shown no client
   * certificate, and what it answers is repeated in no error.
   */
  readonly stranger?: boolean;
}

export interface HttpResponse {
  readonly status: number;
  /** The first value of a header, by lower-case name. */
  header(name: string): string | undefined;
  /** Every line of a header. */
  headerLines(name: string): readonly string[];
  /** All headers, by lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** The JSON of a large body, which was parsed in pieces; use `json()`. */
  readonly parsed?: { readonly value: unknown };
  readonly onOddity?: (oddity: Oddity) => void;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** Whether it is a stranger's, after redirects too: its words are repeated nowhere. */
  readonly stranger?: boolean;
}

/** Limited, timed, retried and counted HTTP. */
export interface HttpClient {
  /** @throws CollectError with the reason, naming the address without its query, after the last attempt. */
  request(request: HttpRequest): Promise<HttpResponse>;
  close(): Promise<void>;
}
