import { parse as parseHost } from 'tldts';
import { z } from 'zod';
import { CollectError } from '../errors.ts';
import { jsonIn } from '../http/parse.ts';
import { type HttpClient, type HttpResponse, largestAnswer, shown } from '../http.ts';
import { basicHeader, type Credentials } from './credentials.ts';
import { lifetimeSeconds } from './lifetime.ts';
import type { Token } from './tokens.ts';

/** Where a registry sends its clients for tokens, as its challenge names it: text that anyone may send. */
export interface TokenServer {
  readonly realm: string;
  readonly service: string;
}

/**
 * Token servers that registries with another domain are known to use. Scaleway's:
 * https://github.com/apple/container/issues/2268
 */
const knownRealms: readonly (readonly [registries: RegExp, realm: string])[] = [
  [/^(registry-1|index)\.docker\.io$/, 'auth.docker.io'],
  [/^rg\.[a-z]+-[a-z]+\.scw\.cloud$/, 'api.scaleway.com'],
];

/** What somebody registered: `gitlab.com` of `registry.gitlab.com`, but `example.co.uk` and not `co.uk`; none of addresses. */
const domainOf = (host: string): string | null => parseHost(host, { allowPrivateDomains: true }).domain;

/** Whether the configuration trusts the host, or everybody knows it. */
function isTrusted(url: URL, endpoint: URL, trustedRealms: readonly string[]): boolean {
  const known = knownRealms.filter(([registries]) => registries.test(endpoint.hostname));
  const trusted = [...trustedRealms, ...known.map(([, realm]) => realm)];
  return trusted.includes(url.host) || trusted.includes(url.hostname);
}

/** Whether the host is the registry's own: itself, of its domain, or trusted. */
function isOwn(url: URL, endpoint: URL, trustedRealms: readonly string[]): boolean {
  if (url.hostname === endpoint.hostname || isTrusted(url, endpoint, trustedRealms)) return true;
  const domain = domainOf(endpoint.hostname);
  return domain !== null && domain === domainOf(url.hostname);
}

/**
 * Whether it is a server of the public internet that has to prove its name: nothing inside a network answers to a
 * public name with a certificate for it, wherever that name may lead.
 */
function isPublic({ protocol, hostname }: URL): boolean {
  const { isIcann, isIp, domain } = parseHost(hostname);
  return protocol === 'https:' && isIcann === true && isIp !== true && domain !== null;
}

/** The address with https, where that is the registry itself: a proxy that ends TLS did not send X-Forwarded-Proto. */
function secured(realm: URL, endpoint: URL): URL {
  if (endpoint.protocol !== 'https:' || realm.protocol !== 'http:') return realm;
  const secure = new URL(realm);
  secure.protocol = 'https:';
  return secure.origin === endpoint.origin ? secure : realm;
}

/**
 * The token server's address, if it may be asked. Credentials go to the registry's own hosts only, and not over
 * plain http when the registry is read over https. Without credentials a public server may be asked too, but none
 * inside a network: its answer would be shown to the registry as a token.
 * @returns `stranger` where what it says is not to be repeated
 * @throws CollectError `auth` with what would make it right
 */
export function tokenServerUrl(options: {
  readonly endpoint: URL;
  readonly realm: string;
  readonly withCredentials: boolean;
  readonly trustedRealms: readonly string[];
}): { readonly url: URL; readonly stranger: boolean } {
  const { endpoint, realm, withCredentials, trustedRealms } = options;
  const { origin } = endpoint;
  if (!URL.canParse(realm, endpoint) || !/^https?:$/.test(new URL(realm, endpoint).protocol))
    throw new CollectError('auth', `${origin} names a token server that is no address`);
  const url = secured(new URL(realm, endpoint), endpoint);
  url.username = '';
  url.password = '';
  url.hash = '';
  const own = isOwn(url, endpoint, trustedRealms);
  if (!own && (withCredentials || !isPublic(url)))
    throw new CollectError(
      'auth',
      `${origin} asks for ${withCredentials ? 'the credentials' : 'a token'} at ${url.origin}, another host: if that is right, add ${JSON.stringify(url.host)} to auth.trustedRealms`,
    );
  if (withCredentials && endpoint.protocol === 'https:' && url.protocol !== 'https:')
    throw new CollectError(
      'auth',
      `${origin} asks for the credentials at ${url.origin}, over http without encryption: they are not sent. Let the registry name its token server with https: a proxy in front of it has to send X-Forwarded-Proto, and Harbor has external_url`,
    );
  // It may be asked, but it is the registry alone that says what it is.
  const stranger = url.origin !== origin && !isTrusted(url, endpoint, trustedRealms);
  return { url, stranger };
}

/** What the specification says of an answer that does not tell it. */
const usualSeconds = 60;
/** A token of a longer life is asked for again all the same. */
const mostSeconds = 86_400;

/**
 * Go servers send the fields that they do not set as `""`, `0` or `null`; some send the lifetime as text. So no field
 * is refused for its type; what is none counts as not given.
 * https://distribution.github.io/distribution/spec/auth/token/#token-response-fields
 */
const tokenAnswer = z.record(z.string(), z.unknown());

/** Whether it can be sent as a header. */
const isToken = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= 65_536 && /^[\x21-\x7e]+$/.test(value);

/** As the answer says, or else the token itself, as Azure's do. */
function secondsOf(expiresIn: unknown, token: string, date: string | undefined): number {
  const said = typeof expiresIn === 'string' && /^\d+$/.test(expiresIn) ? Number(expiresIn) : expiresIn;
  const seconds = typeof said === 'number' && said > 0 ? said : lifetimeSeconds(token, date);
  return seconds !== undefined && seconds > 0 ? Math.min(seconds, mostSeconds) : usualSeconds;
}

/**
 * The answer of a token server. What cannot be read of it is not repeated: it may hold a token.
 * @throws CollectError `invalid_response` where there is no JSON object, `auth` where there is no token in it
 */
export function parseToken(response: HttpResponse): { readonly value: string; readonly seconds: number } {
  const somethingElse = () =>
    new CollectError(
      'invalid_response',
      `${shown(response.url)} answered something else than JSON with a token: is it the token server?`,
    );
  let answer: z.infer<typeof tokenAnswer>;
  try {
    answer = tokenAnswer.parse(jsonIn(response.body));
  } catch {
    throw somethingElse();
  }
  const { token, access_token, expires_in } = answer;
  const value = [token, access_token].find(isToken);
  if (value !== undefined) return { value, seconds: secondsOf(expires_in, value, response.header('date')) };
  if (token || access_token) throw somethingElse();
  throw new CollectError('auth', `${shown(response.url)} answered without a token: check the credentials`);
}

/** Asks a token server for a token: https://distribution.github.io/distribution/spec/auth/token/ */
export async function fetchToken(options: {
  readonly http: HttpClient;
  readonly endpoint: URL;
  readonly server: TokenServer;
  readonly scope: string | undefined;
  readonly credentials: Credentials | undefined;
  readonly trustedRealms: readonly string[];
}): Promise<Token> {
  const { http, endpoint, server, scope, credentials, trustedRealms } = options;
  const { realm, service } = server;
  const withCredentials = credentials !== undefined;
  const { url, stranger } = tokenServerUrl({ endpoint, realm, withCredentials, trustedRealms });
  const asked = performance.now();
  const common = { url, operation: 'token', accept: [401], maxBytes: largestAnswer.token, stranger } as const;
  const response = await http.request(
    credentials && 'identityToken' in credentials
      ? { ...common, ...exchangeOf(credentials.identityToken, service, scope) }
      : { ...common, headers: questionOf(url, service, scope, credentials) },
  );
  if (response.url.origin !== url.origin && !isOwn(response.url, endpoint, trustedRealms))
    throw new CollectError('auth', `${shown(url)} redirects to ${response.url.origin}, another host`);
  if (response.status === 401)
    throw new CollectError(
      'auth',
      `${shown(response.url)} answered 401: ${withCredentials ? 'check that the credentials are right and have not expired' : 'it wants credentials: give them under auth'}`,
      { status: 401 },
    );
  const { value, seconds } = parseToken(response);
  const lifetimeMs = seconds * 1000;
  return { value, validUntil: asked + lifetimeMs - Math.min(10_000, lifetimeMs / 2) };
}

/** Adds what is asked to the address; @returns the headers. */
function questionOf(
  url: URL,
  service: string,
  scope: string | undefined,
  credentials: Credentials | undefined,
): Record<string, string> {
  if (service) url.searchParams.set('service', service);
  for (const part of scope?.split(' ') ?? []) url.searchParams.append('scope', part);
  if (!credentials || !('username' in credentials)) return {};
  url.searchParams.set('account', credentials.username);
  return { authorization: basicHeader(credentials) };
}

/** https://distribution.github.io/distribution/spec/auth/oauth/ */
function exchangeOf(identityToken: string, service: string, scope: string | undefined) {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    service,
    client_id: 'container-registry-exporter',
    refresh_token: identityToken,
  });
  if (scope) form.set('scope', scope);
  return {
    method: 'POST',
    idempotent: true,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  } as const;
}
