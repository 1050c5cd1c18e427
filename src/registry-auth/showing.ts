import { CollectError } from '../errors.ts';
import type { HttpClient } from '../http.ts';
import type { Session } from '../provider.ts';
import { type Credentials, identityOf, type ReadCredentials } from './credentials.ts';
import { createGreeting } from './greeting.ts';
import { createHeaders, type Headers } from './header.ts';
import { createLearned } from './learned.ts';
import { CredentialsRefused, createProof, isRefusal } from './proof.ts';
import { lacking, noTokenServer, redirected, scopeRefusals } from './refusals.ts';
import { isSame, type Scheme, usualOf } from './scheme.ts';

/** What a client is made of. */
export interface ClientOptions {
  readonly http: HttpClient;
  readonly endpoint: URL;
  readonly credentials: ReadCredentials;
  /** Keeps what is known of the registry, and its tokens, over cycles. */
  readonly session?: Session;
  /** Hosts that may be sent the credentials besides the registry and its own domain. */
  readonly trustedRealms?: readonly string[];
}

/** How credentials are shown to one registry, and what its refusals mean. */
export function createShowing(options: ClientOptions) {
  const { http, endpoint, session, credentials: read, trustedRealms = [] } = options;
  const learned = session ? session.keep(`registry-auth ${endpoint.href}`, createLearned) : createLearned();
  const greeting = createGreeting(http, endpoint, learned);
  const headers = createHeaders({ http, endpoint, learned, trustedRealms });
  const { prove, proveAgain } = createProof({ http, endpoint, learned, greeting, ...headers });

  /**
   * Whether the credentials are good although something was refused.
   * @throws CredentialsRefused when they are the registry's and are refused for anything
   */
  async function areGood(credentials: Credentials): Promise<boolean> {
    try {
      return await proveAgain(credentials);
    } catch (error) {
      if (!(error instanceof CredentialsRefused)) throw error;
      const own = await read().catch(() => undefined);
      if (identityOf(own) === identityOf(credentials)) throw error;
      // Those of one path say nothing of the rest.
      return false;
    }
  }

  let forgotten = false;
  /** A token server that cannot be used may have been a gateway's word: `/v2/` is asked anew, once in each cycle. */
  const forget = (): void => {
    if (!forgotten) delete learned.greeting;
    forgotten = true;
  };

  /** A failure to make a header, with its cause where the token server tells it. */
  async function explained(error: unknown, ...[scheme, scope, credentials]: Parameters<Headers['header']>) {
    if (isRefusal(error))
      return credentials && (await areGood(credentials)) ? lacking(endpoint, scope, error) : error;
    if (!(error instanceof CollectError) || scheme?.kind !== 'bearer') return error;
    if (!scopeRefusals.includes(error.status ?? 0)) return error;
    const answersOtherwise = await headers.newToken(scheme, credentials).then(() => true, isRefusal);
    return answersOtherwise ? lacking(endpoint, scope, error) : noTokenServer(error);
  }

  return {
    prove,
    areGood,
    doubt: headers.doubt,
    /** The header for a request. What a token server refuses may be the credentials, or only the scope. */
    async show(...shown: Parameters<typeof headers.header>): Promise<string | undefined> {
      try {
        return await headers.header(...shown);
      } catch (error) {
        if (!isRefusal(error)) forget();
        throw await explained(error, ...shown);
      }
    },
    /** How credentials are shown for a scope. */
    async schemeFor(scope: string | undefined, credentials: Credentials | undefined) {
      const { scheme, elsewhere } = await greeting();
      if (credentials && elsewhere !== undefined) throw redirected(endpoint, elsewhere);
      return (scope === undefined ? undefined : learned.byScope.get(scope)) ?? scheme;
    },
    /** Keeps what a challenge taught: for its scope, and for all where nothing was known. */
    async learn(scope: string | undefined, scheme: Scheme): Promise<void> {
      const before = await greeting();
      const usual = usualOf(scheme);
      if (!before.scheme && usual) learned.greeting = Promise.resolve({ ...before, scheme: usual });
      if (scope !== undefined && !isSame(before.scheme, scheme, scope)) learned.byScope.set(scope, scheme);
    },
  };
}
