import { CollectError } from '../../errors.ts';
import { type HttpClient, type HttpRequest, type HttpResponse, shown } from '../../http.ts';
import type { Auth } from '../../options.ts';
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
}

/**
 * The platform's address. JFrog's own tools and self-hosted installations name Artifactory's, one level below; both
 * are understood. https://jfrog.com/help/r/jfrog-rest-apis/jfrog-platform-rest-apis
 */
export const platformOf = (endpoint: URL): string =>
  endpoint.href.replace(/\/+$/, '').replace(/\/artifactory$/, '');

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

export function createApi(given: {
  readonly http: HttpClient;
  readonly endpoint: URL;
  readonly auth: Auth | undefined;
}): Api {
  const platform = platformOf(given.endpoint);
  const credentials = credentialsOf(given.auth, given.endpoint);

  return {
    async request({ path, query, post, anonymous, ...rest }) {
      const url = new URL(`${platform}/${path}`);
      for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
      const send = (authorization: string | undefined) =>
        given.http.request({
          ...rest,
          accept: [...(rest.accept ?? []), 401],
          url,
          ...(post && { method: 'POST', body: post.body }),
          headers: {
            accept: 'application/json, */*;q=0.5',
            ...(post && { 'content-type': post.type }),
            ...(authorization !== undefined && { authorization }),
          },
        });
      if (anonymous) return send(undefined);
      let authorization = headerOf(await credentials());
      for (let refusals = 0; ; refusals += 1) {
        const response = await send(authorization);
        if (response.status !== 401) return response;
        // A token whose file was replaced while the request was on its way.
        const renewed = headerOf(await credentials());
        if (renewed === authorization || refusals >= renewals) break;
        authorization = renewed;
      }
      throw new CollectError(
        'auth',
        `${shown(url)} answered 401: ${
          authorization === undefined
            ? 'it wants credentials: give them under auth'
            : 'check that the credentials are right and have not expired'
        }`,
        { status: 401 },
      );
    },
  };
}

/** The error with the permission that would mend it, where that is what it is about. */
export function needing(permission: string, error: unknown): unknown {
  if (!(error instanceof CollectError) || !['auth', 'forbidden'].includes(error.reason)) return error;
  return new CollectError(error.reason, `${error.message}; it needs ${permission}`, {
    cause: error,
    ...(error.status !== undefined && { status: error.status }),
  });
}
