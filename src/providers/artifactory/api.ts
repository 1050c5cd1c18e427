import type { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { type HttpClient, type HttpRequest, type HttpResponse, json, shown } from '../../http.ts';
import type { Auth } from '../../registry-auth.ts';
import { basicHeader, type Credentials, credentialsOf } from '../../registry-auth.ts';

/** A request below the platform's address, such as `artifactory/api/repositories`. */
export interface ApiRequest extends Pick<HttpRequest, 'operation' | 'accept' | 'idempotent'> {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly post?: { readonly type: 'application/json' | 'text/plain'; readonly body: string };
  /** Sent without credentials, to see what anybody may see. */
  readonly anonymous?: boolean;
}

/** The JFrog platform's services: `artifactory/…`, `xray/…`, `access/…`, `router/…`. */
export interface Api {
  /** @throws CollectError with what to do about it */
  request(request: ApiRequest): Promise<HttpResponse>;
  /** @returns undefined where one of the statuses that `accept` names is answered: the platform has no such thing */
  read<Schema extends z.ZodType>(request: ApiRequest, schema: Schema): Promise<z.infer<Schema> | undefined>;
}

/**
 * The platform's address. JFrog's own tools and self-hosted installations name Artifactory's, one level below; both
 * are understood. https://jfrog.com/help/r/jfrog-rest-apis/jfrog-platform-rest-apis
 */
export const platformOf = (endpoint: URL): string =>
  endpoint.href.replace(/\/+$/, '').replace(/\/artifactory$/, '');

/** What most of the platform's own facts need. */
export const administrator = "an administrator's token (scope applied-permissions/admin)";

/**
 * An access token, an identity token or a reference token as bearer; a password or a token as password as Basic.
 * https://jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens
 */
function headerOf(credentials: Credentials | undefined): string | undefined {
  if (!credentials) return undefined;
  if ('token' in credentials) return `Bearer ${credentials.token}`;
  if ('identityToken' in credentials) return `Bearer ${credentials.identityToken}`;
  return basicHeader(credentials);
}

/** One segment after the other, so that `sha256:…` folders and odd names arrive as they are. */
export const escapePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** How often a request is sent again because its token was replaced meanwhile. */
const renewals = 3;

function send(http: HttpClient, url: URL, request: ApiRequest, authorization: string | undefined) {
  const { operation, accept = [], idempotent, post } = request;
  return http.request({
    url,
    operation,
    // Xray and the platform's other services may hang while Artifactory works.
    aside: !request.path.startsWith('artifactory/'),
    idempotent,
    accept: [...accept, 401],
    ...(post && { method: 'POST', body: post.body }),
    headers: {
      accept: 'application/json, */*;q=0.5',
      ...(post && { 'content-type': post.type }),
      ...(authorization !== undefined && { authorization }),
    },
  });
}

export function createApi(
  http: HttpClient,
  { endpoint, auth }: { readonly endpoint: URL; readonly auth?: Auth | undefined },
): Api {
  const platform = platformOf(endpoint);
  const credentials = credentialsOf(auth, endpoint);

  async function request(asked: ApiRequest): Promise<HttpResponse> {
    const url = new URL(`${platform}/${asked.path}`);
    for (const [name, value] of Object.entries(asked.query ?? {})) url.searchParams.set(name, value);
    if (asked.anonymous) return send(http, url, asked, undefined);
    let authorization = headerOf(await credentials());
    for (let refusals = 0; refusals <= renewals; refusals += 1) {
      const response = await send(http, url, asked, authorization);
      if (response.status !== 401) return response;
      // The file of a token may have been replaced while the request was on its way.
      const renewed = headerOf(await credentials());
      if (renewed === authorization) break;
      authorization = renewed;
    }
    const advice =
      authorization === undefined
        ? 'it wants credentials: give them under auth'
        : 'check that the credentials are right and have not expired';
    throw new CollectError('auth', `${shown(url)} answered 401: ${advice}`, { status: 401 });
  }

  return {
    request,
    async read(asked, schema) {
      const response = await request(asked);
      if (!asked.accept?.includes(response.status)) return json(response, schema);
      // Where the platform redirects to, such as a web site, does not tell what the platform has.
      const { url } = response;
      if (url.pathname === new URL(`${platform}/${asked.path}`).pathname) return undefined;
      throw new CollectError(
        'invalid_response',
        `${asked.path} led to ${shown(response.url)}, which answered ${response.status}`,
      );
    },
  };
}
