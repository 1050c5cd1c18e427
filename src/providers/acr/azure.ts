import type { HttpClient, HttpResponse } from '../../http.ts';
import type { EntraCredential } from './credential.ts';

/** One of Azure's own APIs: every request with a token of Microsoft Entra ID for it. */
export interface Azure {
  /** Where the API is, as it was configured. */
  readonly origin: string;
  get(operation: string, path: string, query: Readonly<Record<string, string>>): Promise<HttpResponse>;
  /** A query: it changes nothing, so that it may be repeated. */
  post(
    operation: string,
    path: string,
    query: Readonly<Record<string, string>>,
    body: object,
    more?: {
      readonly headers?: Readonly<Record<string, string>>;
      /** Statuses that are no failure, besides those of success. */
      readonly accept?: readonly number[];
    },
  ): Promise<HttpResponse>;
}

/** A registry, its usages and its copies in all regions of Azure are some 60 KB at most. */
const largestResource = 256 * 2 ** 10;
/** A page of a thousand rows with counts, or registries, is less than 1 MB. */
const largestPage = 4 * 2 ** 20;

export function createAzure(options: {
  readonly http: HttpClient;
  readonly endpoint: URL | undefined;
  /** Its own address, which is also what its tokens are for. */
  readonly service: string;
  readonly credential: EntraCredential;
}): Azure {
  const { http, endpoint, service, credential } = options;
  const base = (endpoint?.href ?? service).replace(/\/+$/, '');
  const addressOf = (path: string, query: Readonly<Record<string, string>>): URL => {
    const url = new URL(`${base}${path}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url;
  };
  const headers = async (): Promise<Record<string, string>> => ({
    accept: 'application/json',
    authorization: `Bearer ${await credential.token(service)}`,
  });
  return {
    origin: new URL(base).origin,
    get: async (operation, path, query) =>
      http.request({
        operation,
        aside: true,
        url: addressOf(path, query),
        headers: await headers(),
        maxBytes: largestResource,
      }),
    post: async (operation, path, query, body, { headers: others, ...more } = {}) =>
      http.request({
        ...more,
        operation,
        aside: true,
        method: 'POST',
        idempotent: true,
        url: addressOf(path, query),
        headers: { ...(await headers()), ...others, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        maxBytes: largestPage,
      }),
  };
}
