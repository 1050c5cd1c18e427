import type { HttpClient } from '../http.ts';
import { basicHeader, type Credentials, identityOf } from './credentials.ts';
import type { Learned } from './learned.ts';
import type { Bearer, Scheme } from './scheme.ts';
import { fetchToken } from './token-server.ts';
import type { Token } from './tokens.ts';

/** Makes the `Authorization` of requests. */
export interface Headers {
  /**
   * What shows the credentials, or that there are none, in the registry's way; undefined: nothing does.
   * @param refused what was sent before and is not to be sent again
   * @throws CollectError `auth` or `forbidden` where the token server refuses them
   */
  header(
    scheme: Scheme | undefined,
    scope: string | undefined,
    credentials: Credentials | undefined,
    refused?: string,
  ): Promise<string | undefined>;
  /** Gives up the token of a header that may be good no longer. */
  doubt(authorization: string | undefined): void;
  /** Asks for a token without a scope, whatever tokens are kept. */
  newToken(scheme: Bearer, credentials: Credentials | undefined): Promise<Token>;
}

export function createHeaders(options: {
  readonly http: HttpClient;
  readonly endpoint: URL;
  readonly learned: Learned;
  readonly trustedRealms: readonly string[];
}): Headers {
  const { learned, ...asked } = options;
  return {
    async header(scheme, scope, credentials, refused) {
      if (credentials && 'token' in credentials) return `Bearer ${credentials.token}`;
      if (scheme?.kind === 'bearer') {
        const { server } = scheme;
        const wanted = scheme.scope ?? scope;
        const token = await learned.tokens.get(
          JSON.stringify([identityOf(credentials), server.realm, server.service, wanted]),
          () => fetchToken({ ...asked, server, scope: wanted, credentials }),
          refused?.replace(/^Bearer /, ''),
        );
        return `Bearer ${token}`;
      }
      // Also where no challenge is known: what is shown to anybody may not be all.
      return credentials && 'username' in credentials ? basicHeader(credentials) : undefined;
    },
    doubt: (authorization) => learned.tokens.doubt(authorization?.replace(/^Bearer /, '') ?? ''),
    newToken: ({ server }, credentials) => fetchToken({ ...asked, server, scope: undefined, credentials }),
  };
}
