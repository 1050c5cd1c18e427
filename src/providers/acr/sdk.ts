import { Readable } from 'node:stream';
import type { ContainerRegistryClientOptions } from '@azure/container-registry';
import { CollectError } from '../../errors.ts';
import type { HttpRequest, HttpResponse } from '../../http.ts';

/** The SDKs' own types for what carries their requests. */
export type AzureHttpClient = NonNullable<ContainerRegistryClientOptions['httpClient']>;
type PipelineRequest = Parameters<AzureHttpClient['sendRequest']>[0];
type PipelineResponse = Awaited<ReturnType<AzureHttpClient['sendRequest']>>;
type AzureHeaders = PipelineResponse['headers'];

/** Not sent on: they are the client's own business. */
const ownHeaders = new Set(['host', 'content-length', 'accept-encoding', 'user-agent', 'connection']);

/** What of an SDK's request is sent as it is. */
function requestOf({ method, headers, body }: PipelineRequest): Partial<HttpRequest> {
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST')
    throw new CollectError('internal', `${method} is not a request that reads`);
  return {
    method,
    headers: Object.fromEntries(Object.entries(headers.toJSON()).filter(([name]) => !ownHeaders.has(name))),
    // Every POST here asks for a token: nothing is changed by it.
    idempotent: true,
    ...(typeof body === 'string' && { body }),
  };
}

/** An answer as the SDKs read it; its body is unpacked already. */
function responseOf(request: PipelineRequest, answer: HttpResponse): PipelineResponse {
  const response: PipelineResponse = { request, status: answer.status, headers: headersOf(answer) };
  const { streamResponseStatusCodes: streamed } = request;
  if (streamed?.has(Number.POSITIVE_INFINITY) || streamed?.has(answer.status))
    response.readableStreamBody = Readable.from([answer.body]);
  else response.bodyAsText = answer.body.toString('utf8');
  return response;
}

function headersOf({ headers }: HttpResponse): AzureHeaders {
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && name !== 'content-encoding')
      values.set(name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value);
  return {
    get: (name) => values.get(name.toLowerCase()),
    has: (name) => values.has(name.toLowerCase()),
    set: (name, value) => void values.set(name.toLowerCase(), String(value)),
    delete: (name) => void values.delete(name.toLowerCase()),
    toJSON: () => Object.fromEntries(values),
    [Symbol.iterator]: () => values[Symbol.iterator](),
  };
}

/** An SDK may give up earlier than we do, such as when it looks whether there is a managed identity at all. */
function within<T>({ timeout }: PipelineRequest, answer: Promise<T>): Promise<T> {
  if (!timeout) return answer;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CollectError('timeout', `no answer within ${timeout} ms`)),
      timeout,
    );
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** A client for the Azure SDKs over the exporter's own: its limits, deadlines, retries, proxies and counts. */
export function createSdkTransport(
  send: (url: URL, request: Partial<HttpRequest>, sdkRequest: object) => Promise<HttpResponse>,
): AzureHttpClient {
  return {
    sendRequest: async (request) =>
      responseOf(request, await within(request, send(new URL(request.url), requestOf(request), request))),
  };
}
