import { Readable } from 'node:stream';
import type { ContainerRegistryClientOptions } from '@azure/container-registry';
import { CollectError } from '../../errors.ts';
import { failedStatus } from '../../http/failure.ts';
import type { HttpClient, HttpResponse } from '../../http.ts';
import { errorCodes, notOfARegistry } from '../../registry-answers.ts';

/** The SDKs' own types for what carries their requests. */
export type AzureHttpClient = NonNullable<ContainerRegistryClientOptions['httpClient']>;
export type PipelineRequest = Parameters<AzureHttpClient['sendRequest']>[0];
type PipelineResponse = Awaited<ReturnType<AzureHttpClient['sendRequest']>>;
type AzureHeaders = PipelineResponse['headers'];

/** What the SDKs get instead of a network: our limits, deadlines, retries, proxies and counts. */
export interface Transport extends AzureHttpClient {
  /** The bytes of a list that was answered to this request; the SDK itself is given an empty list. */
  list(request: object): HttpResponse | undefined;
}

/** Answers some requests itself, and changes others; see tokens.ts. */
export interface Intermediary {
  /** Handles a request to the registry; `send` makes it. */
  handle(request: PipelineRequest, send: Send): Promise<HttpResponse>;
}

export type Send = (changes?: {
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly url?: string;
  readonly method?: 'GET' | 'POST';
  readonly body?: string;
}) => Promise<HttpResponse>;

/** The word that a request is counted under, by its path. What is left are the many addresses of managed identities. */
const operations: readonly (readonly [RegExp, string])[] = [
  [/^\/acr\/v1\/_catalog$/, 'catalog'],
  [/^\/acr\/v1\/.+\/_manifests$/, 'manifests'],
  [/^\/acr\/v1\/.+\/_manifests\/[^/]+$/, 'manifest_properties'],
  [/^\/v2\/.+\/manifests\/[^/]+$/, 'manifest'],
  [/^\/oauth2\/exchange$/, 'exchange'],
  [/^\/oauth2\/token$/, 'token'],
  [/\/oauth2\/v2\.0\/token$/, 'entra_token'],
  [/\/providers\/microsoft\.resourcegraph\/resources$/i, 'resource_graph'],
  [/\/registries\/[^/]+\/listUsages$/i, 'usages'],
  [/\/registries\/[^/]+\/replications$/i, 'replications'],
  [/\/registries\/[^/]+$/i, 'registry'],
  [/\/providers\/microsoft\.containerregistry\/registries$/i, 'registries'],
];

const operationOf = (path: string): string =>
  operations.find(([pattern]) => pattern.test(path))?.[1] ?? 'managed_identity';

/** Lists are read from the bytes: the SDK drops what the kind of a manifest shows in, and is slow on large pages. */
const emptyLists: Readonly<Record<string, string>> = {
  catalog: '{"repositories":[]}',
  manifests: '{"manifests":[]}',
};

/** Of the registry itself, where 404 says that something is gone. */
const ofContents = new Set(['manifests', 'manifest_properties', 'manifest']);

/** A 404 that no registry wrote says nothing of what was asked for. */
function checkMissing(answer: HttpResponse, method: string): HttpResponse {
  if (answer.status !== 404) return answer;
  if (errorCodes(answer).length === 0) throw notOfARegistry(answer.url);
  throw failedStatus(answer, method);
}

/** Statuses that an SDK has to see itself. */
function seenBySdk(operation: string): readonly number[] {
  // Microsoft Entra ID explains refusals in the body, https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
  if (operation === 'entra_token' || operation === 'managed_identity') return [400, 401, 403, 404];
  return [401];
}

/** Not sent on: they are the client's own business. */
const ownHeaders = new Set(['host', 'content-length', 'accept-encoding', 'user-agent', 'connection']);

const withoutSlash = (url: string): string => url.replace(/\/+$/, '');

/**
 * A client for the Azure SDKs. They refuse to send a token over plain http, so they are made to believe in the
 * cloud's own addresses, and `rewrites` leads from those to where the servers are.
 */
export function createTransport(options: {
  readonly http: HttpClient;
  /** Origins as the SDKs know them, and where they are. */
  readonly rewrites: ReadonlyMap<string, string>;
  /** Origin of the registry, and who handles its requests. */
  readonly registry?: { readonly origin: string; readonly intermediary: Intermediary };
}): Transport {
  const { http, rewrites, registry } = options;
  const lists = new WeakMap<object, HttpResponse>();

  function rewritten(url: string): string {
    const { origin } = new URL(url);
    const to = rewrites.get(origin);
    return to === undefined ? url : `${withoutSlash(to)}${url.slice(origin.length)}`;
  }

  async function exchange(
    request: PipelineRequest,
    operation: string,
    changes: Parameters<Send>[0],
  ): Promise<HttpResponse> {
    const method = changes?.method ?? request.method;
    if (method !== 'GET' && method !== 'HEAD' && method !== 'POST')
      throw new CollectError('internal', `${method} is not a request that reads`);
    const headers = Object.fromEntries(
      Object.entries({ ...request.headers.toJSON(), ...changes?.headers }).flatMap(([name, value]) =>
        value === undefined || ownHeaders.has(name.toLowerCase()) ? [] : [[name.toLowerCase(), value]],
      ),
    );
    if (method === 'GET') delete headers['content-type'];
    const body = method === 'GET' ? undefined : (changes?.body ?? request.body);
    const isContent = ofContents.has(operation);
    const answer = await http.request({
      method,
      url: rewritten(changes?.url ?? request.url),
      headers,
      operation,
      accept: isContent ? [...seenBySdk(operation), 404] : seenBySdk(operation),
      // Every POST here asks for a token or makes a query: nothing is changed by it.
      idempotent: true,
      ...(typeof body === 'string' && { body }),
    });
    return isContent ? checkMissing(answer, method) : answer;
  }

  return {
    list: (request) => lists.get(request),
    async sendRequest(request) {
      const url = new URL(request.url);
      const operation = operationOf(decodeURIComponent(url.pathname));
      const send: Send = (changes) => exchange(request, operation, changes);
      const answer =
        registry?.origin === url.origin
          ? await registry.intermediary.handle(request, send)
          : await within(request, send());
      const response: PipelineResponse = { request, status: answer.status, headers: headersOf(answer) };
      const empty = answer.status === 200 ? emptyLists[operation] : undefined;
      if (empty !== undefined) {
        lists.set(request, answer);
        response.headers.set('content-type', 'application/json');
        response.bodyAsText = empty;
        return response;
      }
      const streamed =
        request.streamResponseStatusCodes?.has(Number.POSITIVE_INFINITY) ||
        request.streamResponseStatusCodes?.has(answer.status);
      if (streamed) response.readableStreamBody = Readable.from([answer.body]);
      else response.bodyAsText = answer.body.toString('utf8');
      return response;
    },
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

/** Headers of an answer as the SDKs read them; the body is unpacked already. */
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
