import type { HttpClient, HttpResponse } from '../../http.ts';
import type { Cloud } from './clouds.ts';
import type { EntraCredential } from './credential.ts';

/** Azure's management API: every request with a token of Microsoft Entra ID for it. */
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
  ): Promise<HttpResponse>;
}

/** A registry, its usages and its copies in all regions of Azure are some 60 KB at most. */
const largestResource = 256 * 2 ** 10;
/** A page of a thousand rows with counts, or registries, is less than 1 MB. */
const largestPage = 4 * 2 ** 20;

export function createAzure(options: {
  readonly http: HttpClient;
  readonly endpoint: URL | undefined;
  readonly cloud: Cloud;
  readonly credential: EntraCredential;
}): Azure {
  const { http, endpoint, cloud, credential } = options;
  const base = (endpoint?.href ?? cloud.management).replace(/\/+$/, '');
  const addressOf = (path: string, query: Readonly<Record<string, string>>): URL => {
    const url = new URL(`${base}${path}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url;
  };
  const headers = async (): Promise<Record<string, string>> => ({
    accept: 'application/json',
    authorization: `Bearer ${await credential.token(cloud.management)}`,
  });
  return {
    origin: new URL(base).origin,
    get: async (operation, path, query) =>
      http.request({
        operation,
        url: addressOf(path, query),
        headers: await headers(),
        maxBytes: largestResource,
      }),
    post: async (operation, path, query, body) =>
      http.request({
        operation,
        method: 'POST',
        idempotent: true,
        url: addressOf(path, query),
        headers: { ...(await headers()), 'content-type': 'application/json' },
        body: JSON.stringify(body),
        maxBytes: largestPage,
      }),
  };
}
