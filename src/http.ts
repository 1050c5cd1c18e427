import { type Deadline, startDeadline } from './deadline.ts';
import { CollectError, type FailureReason, reasonOf } from './errors.ts';
import { type AttemptOptions, createAttempts, type Observe } from './http/attempts.ts';
import { createExchange, type Target } from './http/exchange.ts';
import { explained, failedStatus, type Judgement, shown } from './http/failure.ts';
import { redirectOf, withoutCredentials } from './http/redirect.ts';
import { createDispatchers, type PemSettings, type TlsSettings } from './http/tls.ts';
import type { Oddity } from './wire.ts';

/** @public */
export { largestAnswer } from './http/body.ts';
export { type Judgement, retryAfterMs, shown } from './http/failure.ts';
/** @public */
export { elementsOf, json, shaped } from './http/json.ts';

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

const headersOf = async ({ headers }: HttpRequest): Promise<Target['headers']> =>
  typeof headers === 'function' ? headers() : (headers ?? {});

/** What broke an exchange, as an error that names its address. */
function failedExchange(error: unknown, method: string, url: URL, lateMs: number | undefined): CollectError {
  if (error instanceof CollectError) return error;
  const reason = lateMs === undefined ? reasonOf(error) : 'timeout';
  const why =
    lateMs === undefined ? explained(reason, error as Error) : `no complete answer within ${lateMs} ms`;
  // What undici cannot name is a connection that broke in the middle.
  return new CollectError(reason === 'internal' ? 'connect' : reason, `${method} ${shown(url)}: ${why}`, {
    cause: error,
  });
}

/** A client for one cycle of one registry. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { signal, timeoutMs, judge } = options;
  const dispatchers = createDispatchers(options);
  const exchange = createExchange(options, dispatchers);
  const { limiterOf, failed, repeat } = createAttempts(options);

  /** One attempt under its own deadline, redirects included. */
  async function attempt(request: HttpRequest): Promise<HttpResponse> {
    // Runs from the first start on: the limiter's delay is not the registry's.
    let deadline: Deadline | undefined;
    try {
      return await follow(request, () => {
        deadline ??= startDeadline(signal, timeoutMs);
        return deadline;
      });
    } finally {
      deadline?.clear();
    }
  }

  /** Asks one address, as soon as its host's limiter lets it. */
  async function ask(
    request: HttpRequest,
    to: Omit<Target, 'headers'> & Partial<Target>,
    limit: () => Deadline,
  ) {
    const release = await limiterOf(to.url.host).acquire(signal);
    try {
      const deadline = limit();
      const headers = to.headers ?? (await headersOf(request));
      const response = await exchange(request, { ...to, headers }, deadline.signal).catch((error) => {
        throw failedExchange(
          error,
          request.method ?? 'GET',
          to.url,
          deadline.passed() ? timeoutMs : undefined,
        );
      });
      return { response, headers };
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      release();
    }
  }

  /** A request and where it is redirected to. */
  async function follow(request: HttpRequest, limit: () => Deadline): Promise<HttpResponse> {
    let url = new URL(request.url);
    let headers: Target['headers'] | undefined;
    let stranger = request.stranger === true;
    for (let redirects = 0; ; redirects += 1) {
      const answer = await ask(request, { url, headers, stranger }, limit);
      const { response } = answer;
      const next =
        request.redirects === 'returned'
          ? undefined
          : redirectOf(response, request.method ?? 'GET', redirects);
      if (!next) return response;
      limiterOf(url.host).succeeded();
      const leaves = next.origin !== url.origin;
      headers = leaves ? withoutCredentials(answer.headers) : answer.headers;
      stranger ||= leaves;
      url = next;
    }
  }

  return {
    request(request) {
      const method = request.method ?? 'GET';
      return repeat(method !== 'POST' || request.idempotent === true, async (tried) => {
        const response = await attempt(request);
        const { status } = response;
        const { host } = response.url;
        const judged = judge?.(response);
        if (judged !== undefined) throw failed(host, failedStatus(response, method, judged), tried);
        if (status >= 200 && status < 300) limiterOf(host).succeeded();
        else if (!request.accept?.includes(status)) throw failed(host, failedStatus(response, method), tried);
        return response;
      });
    },
    close: () => dispatchers.destroy(),
  };
}
