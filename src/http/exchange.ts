import { request as undiciRequest } from 'undici';
import { reasonOf } from '../errors.ts';
import type { Oddity } from '../wire.ts';
import { type BodyLimit, largestAnswer, piecesOf, readBody } from './body.ts';
import type { HttpClientOptions, HttpRequest, HttpResponse } from './client.ts';
import { shown } from './failure.ts';
import { parseLarge } from './json.ts';
import type { Dispatchers } from './tls.ts';

/** Where a request goes: the address that was asked for, or one that it was redirected to. */
export interface Target {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly stranger: boolean;
}

/** One request to one address, counted. @throws what the network says */
export type Exchange = (request: HttpRequest, target: Target, limit: AbortSignal) => Promise<HttpResponse>;

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

type Answer = Awaited<ReturnType<typeof undiciRequest>>;

const isGood = (status: number): boolean => status >= 200 && status < 300;

/** Reads the body of an answer within its bounds. */
async function toResponse(
  answer: Answer,
  request: HttpRequest,
  { url, stranger }: Target,
  { maxBytes, onOddity }: Pick<HttpClientOptions, 'maxBytes' | 'onOddity'>,
): Promise<HttpResponse> {
  const lines = (name: string): readonly string[] => {
    const value = answer.headers[name];
    return value === undefined ? [] : Array.isArray(value) ? value : [value];
  };
  const status = answer.statusCode;
  const isError = status >= 400;
  const announced = Number(lines('content-length')[0] ?? Number.NaN);
  const encoding = lines('content-encoding')[0];
  const limit = isError ? { maxBytes: largestAnswer.error, cut: true } : limitOf(request, maxBytes);
  let body: Buffer = Buffer.alloc(0);
  if (request.read && isGood(status)) await request.read(piecesOf(answer.body, encoding, limit, shown(url)));
  else
    body = await readBody(
      answer.body,
      encoding,
      limit,
      shown(url),
      Number.isSafeInteger(announced) ? announced : undefined,
    );
  const response = {
    ...{ status, body, url, stranger, headers: answer.headers },
    header: (name: string) => lines(name)[0],
    headerLines: lines,
    onOddity: onOddity && ((oddity: Oddity) => onOddity(request.operation, oddity)),
  };
  const parsed = request.raw || isError ? undefined : await parseLarge(response);
  return parsed ? { ...response, parsed } : response;
}

const limitOf = (request: HttpRequest, maxBytes: number): BodyLimit =>
  request.maxBytes !== undefined && request.maxBytes < maxBytes
    ? { maxBytes: request.maxBytes }
    : { maxBytes, advice: 'raise http.maxBytes if that is right' };

export function createExchange(options: HttpClientOptions, dispatchers: Dispatchers): Exchange {
  const { userAgent, observe } = options;
  return async (request, target, limit) => {
    const started = performance.now();
    let code = 'internal';
    try {
      const answer = await answered(target.url, limit, {
        dispatcher: dispatchers.of(target.stranger),
        method: request.method ?? 'GET',
        headers: { 'user-agent': userAgent, 'accept-encoding': 'gzip', ...target.headers },
        body: request.body ?? null,
        // undici closes the connection after a HEAD unless told otherwise; over TLS that is a handshake each.
        reset: false,
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      const response = await toResponse(answer, request, target, options);
      code = String(response.status);
      return response;
    } catch (error) {
      code = reasonOf(error);
      throw error;
    } finally {
      observe(request.operation, code, (performance.now() - started) / 1000);
    }
  };
}
