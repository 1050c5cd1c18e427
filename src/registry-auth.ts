import { CollectError } from './errors.ts';
import { type HttpClient, type HttpRequest, type HttpResponse, shown } from './http.ts';
import type { Session } from './provider.ts';
import { type Credentials, identityOf, type ReadCredentials } from './registry-auth/credentials.ts';
import { NoEntry } from './registry-auth/docker-config.ts';
import { createGreeting } from './registry-auth/greeting.ts';
import { createHeaders } from './registry-auth/header.ts';
import { createKnown } from './registry-auth/known.ts';
import { CredentialsRefused, createProof, isRefusal } from './registry-auth/proof.ts';
import {
  challengeErrors,
  isSame,
  type Scheme,
  schemesOf,
  unknownSchemes,
  usualOf,
} from './registry-auth/scheme.ts';
import { repositoryOf } from './registry-auth/scope.ts';

export { parseChallenges } from './registry-auth/challenge.ts';
export { basicHeader, type Credentials, credentialsOf } from './registry-auth/credentials.ts';
export { type DockerConfig, openDockerConfig } from './registry-auth/docker-config.ts';
export { lifetimeSeconds } from './registry-auth/lifetime.ts';
export { CredentialsRefused } from './registry-auth/proof.ts';
export { catalogScope, pullScope } from './registry-auth/scope.ts';
export { parseToken } from './registry-auth/token-server.ts';

/** A request to the registry, with the scope that its token needs, such as `repository:team/app:pull`. */
export type RegistryRequest = HttpRequest & { readonly scope?: string };

/** Speaks the registry protocol's authentication around an {@link HttpClient}. */
export interface RegistryClient {
  /**
   * Shows the configured credentials before anything is read. Where a part is shown to anybody, wrong ones would else
   * pass unnoticed, and with them all that is private.
   * @param scope what will be asked for first
   * @throws CredentialsRefused when the registry does not take them
   */
  prove(scope: string): Promise<void>;
  /** @throws CollectError `auth` or `forbidden` when a fresh token is refused too. */
  request(request: RegistryRequest): Promise<HttpResponse>;
}

/** What a client is made of. */
interface ClientOptions {
  readonly http: HttpClient;
  readonly endpoint: URL;
  readonly credentials: ReadCredentials;
  /** Keeps what is known of the registry, and its tokens, over cycles. */
  readonly session?: Session;
  /** Hosts that may be sent the credentials besides the registry and its own domain. */
  readonly trustedRealms?: readonly string[];
}

/** How often a request is sent again because its token expired while it waited for its turn. */
const mostRenewals = 3;

/** The scheme that answers a refusal; undefined when all were tried. */
function answerTo(
  response: HttpResponse,
  credentials: Credentials | undefined,
  shownBy: Scheme | undefined,
  tried: readonly Scheme['kind'][],
): Scheme | undefined {
  if (credentials && 'token' in credentials) return undefined;
  const offered = schemesOf(response);
  // Harbor asks who brought an expired token for Basic, and others for nothing: a new token is tried first.
  const known = offered[0]?.kind !== 'bearer' && shownBy?.kind === 'bearer' ? [shownBy] : [];
  const renewals = challengeErrors(response).includes('invalid_token') ? mostRenewals : 1;
  return [...known, ...offered].find(({ kind }) =>
    kind === 'bearer'
      ? tried.filter((one) => one === kind).length < renewals
      : credentials !== undefined && 'username' in credentials && !tried.includes(kind),
  );
}

function refused(response: HttpResponse, hadCredentials: boolean, lacksPermission: boolean): CollectError {
  const unknown = unknownSchemes(response);
  const next = unknown
    ? `it wants credentials shown by ${unknown}, which is not known here: Basic is, and Bearer with a realm`
    : !hadCredentials
      ? 'it wants credentials: give them under auth'
      : lacksPermission
        ? 'the credentials lack a permission for it'
        : 'check that the credentials are right and have not expired';
  return new CollectError(
    lacksPermission ? 'forbidden' : 'auth',
    `${shown(response.url)} answered 401: ${next}`,
    { status: 401 },
  );
}

const lacking = (endpoint: URL, scope: string | undefined, cause: CollectError): CollectError =>
  new CollectError(
    'forbidden',
    `the token server of ${endpoint.origin} answered ${cause.status} for ${scope}: ${isRefusal(cause) ? 'the credentials lack a permission for it' : 'it gives no token for that scope'}`,
    { status: 401, cause },
  );

/** Answers that may mean that a token server does not know the scope, or that it is no token server. */
const scopeRefusals = [400, 404, 405, 406, 410, 422, 501];

const noTokenServer = (cause: CollectError): CollectError =>
  new CollectError(
    'auth',
    `${cause.message}, whatever it is asked for: the registry names this address as the realm of its tokens. Check that setting of the registry`,
    { cause },
  );

const redirected = (endpoint: URL, elsewhere: string): CollectError =>
  new CollectError(
    'auth',
    `${endpoint.origin} redirects to ${elsewhere}, which is not sent the credentials: if that is the registry, make it the endpoint`,
  );

const refusedElsewhere = ({ url }: HttpResponse): CollectError =>
  new CollectError(
    'auth',
    `${shown(url)} answered 401: the registry redirects there, and its credentials are not sent to other servers`,
    { status: 401 },
  );

/** How credentials are shown to one registry, and what its refusals mean. */
function createShowing(options: ClientOptions) {
  const { http, endpoint, session, credentials: read, trustedRealms = [] } = options;
  const known = session ? session.keep(`registry-auth ${endpoint.href}`, createKnown) : createKnown();
  const greeting = createGreeting(http, endpoint, known);
  const headers = createHeaders({ http, endpoint, known, trustedRealms });
  const { prove, proveAgain } = createProof({ http, endpoint, known, greeting, ...headers });

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
    if (!forgotten) delete known.greeting;
    forgotten = true;
  };

  return {
    prove,
    areGood,
    /** The header for a request. What a token server refuses may be the credentials, or only the scope. */
    async show(...shown: Parameters<typeof headers.header>): Promise<string | undefined> {
      const [scheme, scope, credentials] = shown;
      try {
        return await headers.header(...shown);
      } catch (error) {
        if (!isRefusal(error)) forget();
        const { status = 0 } = error instanceof CollectError ? error : {};
        if (error instanceof CollectError && scheme?.kind === 'bearer' && scopeRefusals.includes(status)) {
          const answersOtherwise = await headers.newToken(scheme, credentials).then(() => true, isRefusal);
          throw answersOtherwise ? lacking(endpoint, scope, error) : noTokenServer(error);
        }
        if (!credentials || !isRefusal(error) || !(await areGood(credentials))) throw error;
        throw lacking(endpoint, scope, error);
      }
    },
    /** How credentials are shown for a scope. */
    async schemeFor(scope: string | undefined, credentials: Credentials | undefined) {
      const { scheme, elsewhere } = await greeting();
      if (credentials && elsewhere !== undefined) throw redirected(endpoint, elsewhere);
      return (scope === undefined ? undefined : known.byScope.get(scope)) ?? scheme;
    },
    /** Keeps what a challenge taught: for its scope, and for all where nothing was known. */
    async learn(scope: string | undefined, scheme: Scheme): Promise<void> {
      const before = await greeting();
      const usual = usualOf(scheme);
      if (!before.scheme && usual) known.greeting = Promise.resolve({ ...before, scheme: usual });
      if (scope !== undefined && !isSame(before.scheme, scheme, scope)) known.byScope.set(scope, scheme);
    },
  };
}

/**
 * A client of one registry for one cycle. How the registry wants credentials to be shown is asked once, at `/v2/`;
 * from then on every request brings along what it needs.
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
export function createRegistryClient(options: ClientOptions): RegistryClient {
  const { http, endpoint, credentials: read } = options;
  const { show, prove, schemeFor, learn, areGood } = createShowing(options);

  return {
    async prove(scope) {
      let credentials: Credentials | undefined;
      try {
        credentials = await read();
      } catch (error) {
        // A file with entries for paths only: each is shown for what lies below it.
        if (error instanceof NoEntry) return;
        throw error;
      }
      if (!credentials) return;
      await schemeFor(scope, credentials);
      await prove(credentials, scope);
    },

    async request(request) {
      const { scope, ...plain } = request;
      if (new URL(request.url).origin !== endpoint.origin) return http.request({ ...plain, stranger: true });
      const credentials = await read(repositoryOf(scope));
      let scheme = await schemeFor(scope, credentials);
      let sent = await show(scheme, scope, credentials);
      const tried: Scheme['kind'][] = sent?.startsWith('Basic ') ? ['basic'] : [];
      for (let answered = false; ; answered = true) {
        const response = await http.request({
          ...plain,
          accept: [...(request.accept ?? []), 401],
          headers: { ...request.headers, ...(sent !== undefined && { authorization: sent }) },
        });
        if (response.status !== 401) {
          if (answered && scheme) await learn(scope, scheme);
          return response;
        }
        // Where the registry redirects to has no say in what is shown to the registry.
        const next = response.stranger ? undefined : answerTo(response, credentials, scheme, tried);
        if (!next) {
          if (request.accept?.includes(401)) return response;
          if (response.stranger) throw refusedElsewhere(response);
          const insufficient = challengeErrors(response).includes('insufficient_scope');
          // With a token that was asked for just now, it was the token server that took the credentials.
          const good =
            insufficient || (credentials && (tried.includes('bearer') || (await areGood(credentials))));
          throw refused(response, credentials !== undefined, good === true);
        }
        tried.push(next.kind);
        scheme = next;
        sent = await show(next, scope, credentials, sent);
      }
    },
  };
}
