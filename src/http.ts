import { type Deadline, startDeadline } from './deadline.ts';
import { CollectError, reasonOf } from './errors.ts';
import { createAttempts } from './http/attempts.ts';
import type { HttpClient, HttpClientOptions, HttpRequest, HttpResponse } from './http/client.ts';
import { createExchange, type Target } from './http/exchange.ts';
import { explained, failedStatus, shown } from './http/failure.ts';
import { redirectOf, withoutCredentials } from './http/redirect.ts';
import type { Repeated } from './http/refusals.ts';
import { createDispatchers } from './http/tls.ts';

/** @public */
export { largestAnswer } from './http/body.ts';
export type { HttpClient, HttpClientOptions, HttpRequest, HttpResponse } from './http/client.ts';
export { type Judgement, retryAfterMs, shown } from './http/failure.ts';
/** @public */
export { elementsOf, json, shaped } from './http/json.ts';

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

/** What ends an attempt. */
interface Limits {
  /** The poll's end, or that of the patience with what is asked aside. */
  readonly within: AbortSignal;
  /** Begins the time of the attempt itself, once. */
  start(): Deadline;
}

/** A client for one cycle of one registry. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { signal, timeoutMs, judge } = options;
  const dispatchers = createDispatchers(options);
  const exchange = createExchange(options, dispatchers);
  const { limiterOf, failed, repeat } = createAttempts(options);

  /**
   * One attempt under its own deadline, redirects included.
   * @param within what ends it besides
   */
  async function attempt(request: HttpRequest, within: AbortSignal): Promise<HttpResponse> {
    // Runs from the first start on: the limiter's delay is not the registry's.
    let deadline: Deadline | undefined;
    const start = () => {
      deadline ??= startDeadline(within, timeoutMs);
      return deadline;
    };
    return follow(request, { within, start }).finally(() => deadline?.clear());
  }

  /** Asks one address, as soon as its host's limiter lets it. */
  async function ask(
    request: HttpRequest,
    to: Omit<Target, 'headers'> & Partial<Target>,
    { within, start }: Limits,
  ) {
    const { method = 'GET' } = request;
    const release = await limiterOf(to.url.host)
      .acquire(within)
      .catch((error) => {
        throw signal.aborted ? error : failedExchange(error, method, to.url, undefined);
      });
    try {
      const deadline = start();
      const headers = to.headers ?? (await headersOf(request));
      const response = await exchange(request, { ...to, headers }, deadline.signal).catch((error) => {
        throw failedExchange(error, method, to.url, deadline.passed() ? timeoutMs : undefined);
      });
      return { response, headers };
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      release();
    }
  }

  /** A request and where it is redirected to. */
  async function follow(request: HttpRequest, limits: Limits): Promise<HttpResponse> {
    let url = new URL(request.url);
    let headers: Target['headers'] | undefined;
    let stranger = request.stranger === true;
    for (let redirects = 0; ; redirects += 1) {
      const answer = await ask(request, { url, headers, stranger }, limits);
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
      const { method = 'GET', operation, aside } = request;
      const once = async (tried: Repeated, within: AbortSignal): Promise<HttpResponse> => {
        const response = await attempt(request, within);
        const { status } = response;
        const { host } = response.url;
        const judged = judge?.(response);
        if (judged !== undefined) throw failed(host, failedStatus(response, method, judged), tried);
        if (status >= 200 && status < 300) limiterOf(host).succeeded();
        else if (!request.accept?.includes(status)) throw failed(host, failedStatus(response, method), tried);
        return response;
      };
      const repeatable = method !== 'POST' || request.idempotent === true;
      return repeat({ repeatable, kind: `${operation} of ${new URL(request.url).host}`, aside }, once);
    },
    close: () => dispatchers.destroy(),
  };
}
