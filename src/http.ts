import { request as undiciRequest } from 'undici';
import { type Deadline, startDeadline } from './deadline.ts';
import { CollectError, type FailureReason, reasonOf } from './errors.ts';
import { type AttemptOptions, createAttempts, type Observe } from './http/attempts.ts';
import { largestAnswer, readBody } from './http/body.ts';
import { explained, failedStatus, type Judgement, shown } from './http/failure.ts';
import { parseLarge } from './http/json.ts';
import { redirectOf, withoutCredentials } from './http/redirect.ts';
import { createDispatchers, type TlsSettings } from './http/tls.ts';
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
  readonly observe: Observe;
  /**
   * What a vendor means by an answer that HTTP alone does not tell, such as a 400 that is a throttle, or how long it
   * asks to wait where it does not say so in `Retry-After`. Such an answer is an error whatever the request accepts.
   */
  judge?(response: HttpResponse): FailureReason | Judgement | undefined;
  /** Told of what is odd in an answer that is read as JSON, see `wire.ts`. */
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

/**
 * A request that ends with the signal at once. undici by itself waits for a connection that is being made, a TLS
 * handshake without an answer included, until its own timeout for connections.
 */
function answered(
  url: URL,
  signal: AbortSignal,
  options: NonNullable<Parameters<typeof undiciRequest>[1]>,
): ReturnType<typeof undiciRequest> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    undiciRequest(url, { ...options, signal })
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** A client for one cycle of one registry. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { signal, timeoutMs, maxBytes, userAgent, observe, judge, onOddity } = options;
  const dispatchers = createDispatchers(options);
  const { limiterOf, failed, repeat } = createAttempts(options);

  const limitOf = (request: HttpRequest) =>
    request.maxBytes !== undefined && request.maxBytes < maxBytes
      ? { maxBytes: request.maxBytes }
      : { maxBytes, advice: 'raise http.maxBytes if that is right' };

  /** One request to one address, counted; throws what the network says. */
  async function exchange(
    request: HttpRequest,
    target: {
      readonly url: URL;
      readonly headers: Readonly<Record<string, string>>;
      readonly stranger: boolean;
    },
    limit: AbortSignal,
  ) {
    const { url, headers, stranger } = target;
    const started = performance.now();
    let code = 'internal';
    try {
      const answer = await answered(url, limit, {
        dispatcher: dispatchers.of(stranger),
        method: request.method ?? 'GET',
        headers: { 'user-agent': userAgent, 'accept-encoding': 'gzip', ...headers },
        body: request.body ?? null,
        // undici closes the connection after a HEAD unless told otherwise; over TLS that is a handshake each.
        reset: false,
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const lines = (name: string): readonly string[] => {
        const value = answer.headers[name];
        return value === undefined ? [] : Array.isArray(value) ? value : [value];
      };
      const announced = Number(lines('content-length')[0] ?? Number.NaN);
      const failed = answer.statusCode >= 400;
      const body = await readBody(
        answer.body,
        lines('content-encoding')[0],
        failed ? { maxBytes: largestAnswer.error, cut: true } : limitOf(request),
        shown(url),
        Number.isSafeInteger(announced) ? announced : undefined,
      );
      code = String(answer.statusCode);
      const response = {
        status: answer.statusCode,
        header: (name: string) => lines(name)[0],
        headerLines: lines,
        headers: answer.headers,
        body,
        url,
        stranger,
        onOddity: onOddity && ((oddity: Oddity) => onOddity(request.operation, oddity)),
      };
      const parsed = request.raw || failed ? undefined : await parseLarge(response);
      return parsed ? { ...response, parsed } : response;
    } catch (error) {
      code = reasonOf(error);
      throw error;
    } finally {
      observe(request.operation, code, (performance.now() - started) / 1000);
    }
  }

  /** One attempt under its own deadline, redirects included. */
  async function attempt(request: HttpRequest): Promise<HttpResponse> {
    // Runs from the first start on: waiting for a place is not the registry's delay.
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

  /** A request and where it is redirected to. */
  async function follow(request: HttpRequest, limit: () => Deadline): Promise<HttpResponse> {
    const method = request.method ?? 'GET';
    let url = new URL(request.url);
    let headers: Readonly<Record<string, string>> | undefined;
    let stranger = request.stranger === true;
    for (let redirects = 0; ; redirects += 1) {
      const release = await limiterOf(url.host).acquire(signal);
      const deadline = limit();
      let response: HttpResponse;
      try {
        headers ??= typeof request.headers === 'function' ? await request.headers() : (request.headers ?? {});
        response = await exchange(request, { url, headers, stranger }, deadline.signal);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (error instanceof CollectError || headers === undefined) throw error;
        const late = deadline.passed();
        const reason = late ? 'timeout' : reasonOf(error);
        const why = late ? `no complete answer within ${timeoutMs} ms` : explained(reason, error as Error);
        // What undici cannot name is a connection that broke in the middle.
        throw new CollectError(
          reason === 'internal' ? 'connect' : reason,
          `${method} ${shown(url)}: ${why}`,
          {
            cause: error,
          },
        );
      } finally {
        release();
      }
      const next = request.redirects === 'returned' ? undefined : redirectOf(response, method, redirects);
      if (!next) return response;
      limiterOf(url.host).succeeded();
      if (next.origin !== url.origin) {
        headers = withoutCredentials(headers);
        stranger = true;
      }
      url = next;
    }
  }

  return {
    request(request) {
      const method = request.method ?? 'GET';
      return repeat(method !== 'POST' || request.idempotent === true, async () => {
        const response = await attempt(request);
        const { status } = response;
        const { host } = response.url;
        const judged = judge?.(response);
        if (judged !== undefined) throw failed(host, failedStatus(response, method, judged));
        if (status >= 200 && status < 300) limiterOf(host).succeeded();
        else if (!request.accept?.includes(status)) throw failed(host, failedStatus(response, method));
        return response;
      });
    },
    close: () => dispatchers.destroy(),
  };
}
