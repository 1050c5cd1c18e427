import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach } from 'vitest';
import type { CollectError } from '../../src/errors.ts';
import { createHttpClient } from '../../src/http.ts';
import type { Session } from '../../src/provider.ts';
import { type Credentials, createRegistryClient } from '../../src/registry-auth.ts';
import type { KeyPair } from './web.ts';

/** Small servers that answer as told, for what a whole simulator would only hide. */

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Closes it when the test ends. */
export const atEnd = (close: () => void): void => void closing.push(close);

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

export interface Site {
  readonly url: string;
  readonly seen: Seen[];
  /** The paths that were asked, without their query. */
  paths(): string[];
}

/** A server that answers as told, and what it was asked. */
export async function site(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
  options: {
    readonly host?: string;
    readonly tls?: KeyPair;
    /** Whether it is there for all tests of the file. */
    readonly keep?: boolean;
  } = {},
): Promise<Site> {
  const { host = '127.0.0.1', tls, keep = false } = options;
  const seen: Seen[] = [];
  const listener: RequestListener = (request, response) => {
    let body = '';
    request.on('data', (data) => (body += String(data)));
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request;
      seen.push({ method, path, authorization: headers.authorization, body });
      answer(request, response, body);
    });
  };
  const server: Server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  if (keep) afterAll(close);
  else atEnd(close);
  return {
    url: `http${tls ? 's' : ''}://${host}:${(server.address() as AddressInfo).port}`,
    seen,
    paths: () => seen.map(({ path }) => path.replace(/\?.*/, '')),
  };
}

/** A 401 with this challenge. */
export const challenge = (response: ServerResponse, text?: string): void =>
  void response.writeHead(401, text === undefined ? {} : { 'www-authenticate': text }).end();

/** What a promise failed with. */
export const failure = (promise: Promise<unknown>): Promise<CollectError> =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: CollectError) => error,
  );

export interface ClientSettings {
  readonly credentials?: Credentials | undefined;
  /** Others for some repositories, as a file may give them. */
  readonly credentialsFor?: (repository: string) => Credentials | undefined;
  readonly trustedRealms?: readonly string[];
  /** Of the poll before. */
  readonly session?: Session;
  readonly caFile?: string;
  readonly timeoutMs?: number;
  /** Ends the poll. */
  readonly signal?: AbortSignal;
}

/** A client of a registry for one cycle. */
export function registryClient(endpoint: string, settings: ClientSettings = {}) {
  const { credentials, credentialsFor, trustedRealms, session, caFile } = settings;
  const { timeoutMs = 20_000, signal = new AbortController().signal } = settings;
  const http = createHttpClient({
    maxConcurrent: 16,
    timeoutMs,
    maxBytes: 100_000,
    retries: 0,
    signal,
    userAgent: 'test/1',
    observe: () => {},
    ...(caFile !== undefined && { caFile }),
  });
  atEnd(() => void http.close());
  const client = createRegistryClient({
    http,
    endpoint: new URL(endpoint),
    credentials: async (repository) =>
      (repository === undefined ? undefined : credentialsFor?.(repository)) ?? credentials,
    ...(trustedRealms && { trustedRealms }),
    ...(session && { session }),
  });
  const get = (path: string, scope?: string) =>
    client.request({ url: `${endpoint}${path}`, operation: 'x', ...(scope && { scope }) });
  return { ...client, get };
}

export const robot = { username: 'robot', password: 'pass:word' };
export const basicOf = ({ username, password }: { readonly username: string; readonly password: string }) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
export const basic = basicOf(robot);

/** A registry with a token server at the same address. Tokens are numbered; wrong credentials are refused. */
export async function bearerRegistry(
  options: {
    readonly token?: (number: number) => object;
    /** Whether the token server wants credentials. */
    readonly strict?: boolean;
    /** The scope of challenges; default: as the path needs it. */
    readonly scope?: string;
  } = {},
) {
  const { token = (n) => ({ token: `t${n}` }), strict = false } = options;
  let given = 0;
  const valid = new Set<string>();
  const registry = await site((request, response) => {
    const path = request.url ?? '';
    const { authorization } = request.headers;
    if (path.startsWith('/token')) {
      if (strict && authorization !== basic) return challenge(response);
      given += 1;
      valid.add(`Bearer t${given}`);
      return void response.end(JSON.stringify(token(given)));
    }
    if (valid.has(authorization ?? '')) return void response.end('ok');
    const [, repository] = /^\/v2\/([^/]+)/.exec(path) ?? [];
    const scope = options.scope ?? (repository && `repository:${repository}:pull`);
    challenge(
      response,
      `Bearer realm="${registry.url}/token",service="s"${scope ? `,scope="${scope}"` : ''}${authorization ? ',error="invalid_token"' : ''}`,
    );
  });
  const asked = () => registry.seen.filter(({ path }) => path.startsWith('/token'));
  return {
    ...registry,
    /** The requests of the token server. */
    asked,
    expire: () => valid.clear(),
  };
}
