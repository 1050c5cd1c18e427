import { getDomain } from 'tldts';
import { z } from 'zod';
import { CollectError } from './errors.ts';
import { type HttpClient, type HttpRequest, type HttpResponse, shown } from './http.ts';
import { type Challenge, parseChallenges } from './registry-auth/challenge.ts';
import type { Credentials } from './registry-auth/credentials.ts';

export { parseChallenges } from './registry-auth/challenge.ts';
export { type Credentials, credentialsOf, dockerConfigCredentials } from './registry-auth/credentials.ts';

/** A request to the registry, with the scope that its token needs, such as `repository:team/app:pull`. */
export type RegistryRequest = HttpRequest & { readonly scope?: string };

/** Speaks the registry protocol's authentication around an {@link HttpClient}. */
export interface RegistryClient {
  /** @throws CollectError `auth` or `forbidden` when a fresh token is refused too. */
  request(request: RegistryRequest): Promise<HttpResponse>;
}

const tokenAnswer = z.object({
  token: z.string().min(1).optional(),
  access_token: z.string().min(1).optional(),
  expires_in: z.number().positive().optional(),
});

/** The answer of a token server. What cannot be read of it is not repeated: it may hold a token. */
function tokenAnswerOf(response: HttpResponse): z.infer<typeof tokenAnswer> {
  try {
    return tokenAnswer.parse(JSON.parse(response.body.toString('utf8')));
  } catch {
    throw new CollectError(
      'invalid_response',
      `${shown(response.url)} answered something else than JSON with a token: is it the token server?`,
    );
  }
}

interface Token {
  readonly value: string;
  /** Monotonic milliseconds. */
  readonly validUntil: number;
}

/** Token servers that registries with another domain are known to use. */
const knownRealms: Readonly<Record<string, readonly string[]>> = {
  'registry-1.docker.io': ['auth.docker.io'],
  'index.docker.io': ['auth.docker.io'],
};

/** What somebody registered: `gitlab.com` of `registry.gitlab.com`, but `example.co.uk` and not `co.uk`; none of addresses. */
const domainOf = (host: string): string | null => getDomain(host, { allowPrivateDomains: true });

/**
 * A client of one registry for one cycle.
 * @see https://distribution.github.io/distribution/spec/auth/token/
 */
export function createRegistryClient(options: {
  readonly http: HttpClient;
  readonly endpoint: URL;
  credentials(): Promise<Credentials | undefined>;
  /** Hosts that may be sent the credentials besides the registry and its own domain. */
  readonly trustedRealms?: readonly string[];
}): RegistryClient {
  const { http, endpoint } = options;
  const tokens = new Map<string, Promise<Token>>();
  /** The last challenge, so that the next request of a known scope brings its token along. */
  let bearer: { readonly realm: string; readonly service: string } | undefined;
  let basic = false;

  /** Credentials go to the registry's own hosts only: a challenge is text that anyone may send. */
  function mayHaveCredentials(realm: URL): boolean {
    if (endpoint.protocol === 'https:' && realm.protocol !== 'https:') return false;
    if (realm.hostname === endpoint.hostname) return true;
    const trusted = [...(options.trustedRealms ?? []), ...(knownRealms[endpoint.hostname] ?? [])];
    if (trusted.includes(realm.host) || trusted.includes(realm.hostname)) return true;
    const domain = domainOf(endpoint.hostname);
    return domain !== null && domain === domainOf(realm.hostname);
  }

  async function fetchToken(realm: string, service: string, scope: string | undefined): Promise<Token> {
    if (!URL.canParse(realm, endpoint))
      throw new CollectError('auth', `${endpoint.origin} names a token server that is no address`);
    const url = new URL(realm, endpoint);
    const credentials = await options.credentials();
    if (credentials && !mayHaveCredentials(url))
      throw new CollectError(
        'auth',
        `${endpoint.origin} asks for the credentials at ${url.origin}, another host: if that is right, add ${JSON.stringify(url.host)} to auth.trustedRealms`,
      );
    const asked = performance.now();
    let response: HttpResponse;
    if (credentials && 'identityToken' in credentials) {
      const form = new URLSearchParams({
        grant_type: 'refresh_token',
        service,
        client_id: 'container-registry-exporter',
        refresh_token: credentials.identityToken,
      });
      if (scope) form.set('scope', scope);
      response = await http.request({
        method: 'POST',
        url,
        operation: 'token',
        idempotent: true,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: form.toString(),
      });
    } else {
      if (service) url.searchParams.set('service', service);
      for (const one of scope?.split(' ') ?? []) url.searchParams.append('scope', one);
      const login = credentials && 'username' in credentials ? credentials : undefined;
      if (login) url.searchParams.set('account', login.username);
      response = await http.request({
        url,
        operation: 'token',
        headers: login ? { authorization: basicHeader(login) } : {},
      });
    }
    const answer = tokenAnswerOf(response);
    const value = answer.token ?? answer.access_token;
    if (value === undefined)
      throw new CollectError('auth', `${shown(url)} answered without a token: check the credentials`);
    // 60 seconds is what the specification says of an answer without expires_in.
    const lifetimeMs = (answer.expires_in ?? 60) * 1000;
    return { value, validUntil: asked + lifetimeMs - Math.min(10_000, lifetimeMs / 2) };
  }

  async function tokenFor(key: string, scope: string | undefined): Promise<string> {
    if (!bearer) throw new CollectError('internal', 'no token server is known yet');
    const { realm, service } = bearer;
    const cached = await tokens.get(key)?.catch(() => undefined);
    if (cached && cached.validUntil > performance.now()) return cached.value;
    const current = tokens.get(key);
    // Somebody else may have asked meanwhile.
    const pending =
      current && (await current.catch(() => undefined)) !== cached
        ? current
        : fetchToken(realm, service, scope);
    tokens.set(key, pending);
    pending.catch(() => tokens.get(key) === pending && tokens.delete(key));
    return (await pending).value;
  }

  async function authorization(scope: string | undefined): Promise<string | undefined> {
    const credentials = await options.credentials();
    if (credentials && 'token' in credentials) return `Bearer ${credentials.token}`;
    if (bearer && scope !== undefined) return `Bearer ${await tokenFor(scope, scope)}`;
    if (basic && credentials && 'username' in credentials) return basicHeader(credentials);
    return undefined;
  }

  /** Answers a challenge; undefined when there is nothing to answer it with. */
  async function answer(
    challenges: readonly Challenge[],
    scope: string | undefined,
  ): Promise<string | undefined> {
    const credentials = await options.credentials();
    const asked = challenges.find(({ scheme }) => scheme === 'bearer');
    const realm = asked?.parameters.get('realm');
    if (asked && realm !== undefined && !(credentials && 'token' in credentials)) {
      bearer = { realm, service: asked.parameters.get('service') ?? '' };
      const wanted = asked.parameters.get('scope') ?? scope;
      const key = scope ?? wanted ?? '';
      tokens.delete(key);
      return `Bearer ${await tokenFor(key, wanted)}`;
    }
    if (challenges.some(({ scheme }) => scheme === 'basic') && credentials && 'username' in credentials) {
      basic = true;
      return basicHeader(credentials);
    }
    return undefined;
  }

  return {
    async request(request) {
      const { scope, ...plain } = request;
      const url = new URL(request.url);
      const own = url.origin === endpoint.origin;
      const accept = [...(request.accept ?? []), 401];
      const send = (header: string | undefined) =>
        http.request({
          ...plain,
          accept,
          headers: { ...request.headers, ...(own && header !== undefined && { authorization: header }) },
        });
      let sent = await authorization(scope);
      for (let refusals = 0; ; refusals += 1) {
        const response = await send(sent);
        if (response.status !== 401) return response;
        const challenges = parseChallenges(response.headerLines('www-authenticate'));
        // A fresh token may expire while its request waits for its turn: one more is asked for then.
        const expired = challenges.some(({ parameters }) => parameters.get('error') === 'invalid_token');
        const next = refusals < (expired ? 3 : 1) ? await answer(challenges, scope) : undefined;
        if (next === undefined || (next === sent && !next.startsWith('Bearer'))) {
          if (request.accept?.includes(401)) return response;
          throw refused(response, challenges, (await options.credentials()) !== undefined);
        }
        sent = next;
      }
    },
  };
}

function refused(
  response: HttpResponse,
  challenges: readonly Challenge[],
  hadCredentials: boolean,
): CollectError {
  const insufficient = challenges.some(({ parameters }) => parameters.get('error') === 'insufficient_scope');
  const next = insufficient
    ? 'the credentials lack a permission for it'
    : hadCredentials
      ? 'check that the credentials are right and have not expired'
      : 'it wants credentials: give them under auth';
  return new CollectError(
    insufficient ? 'forbidden' : 'auth',
    `${shown(response.url)} answered 401: ${next}`,
    {
      status: 401,
    },
  );
}

function basicHeader({
  username,
  password,
}: {
  readonly username: string;
  readonly password: string;
}): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}
