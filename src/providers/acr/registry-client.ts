import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { type HttpClient, type HttpRequest, type HttpResponse, json, largestAnswer } from '../../http.ts';
import type { Session } from '../../provider.ts';
import {
  type Credentials,
  catalogScope,
  createRegistryClient,
  lifetimeSeconds,
  pullScope,
} from '../../registry-auth.ts';
import { NoIdentity } from './credential.ts';

/**
 * Requests to a registry, each with a token for its scope. Tokens are those of the registry protocol, but an identity
 * of Microsoft Entra ID is exchanged for a refresh token first, and the tokens of metadata have a scope of their own.
 * https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
 */
export interface AcrClient {
  request(request: HttpRequest & { readonly scope: string }): Promise<HttpResponse>;
  /** Repositories that will be read: one token is asked for several of them. */
  announce(repositories: readonly string[]): void;
}

export { catalogScope, pullScope };
export const metadataScope = (repository: string): string => `repository:${repository}:metadata_read`;

/** A token for more repositories would be too long for a header. */
const batchScopes = 20;
const batchCharacters = 1_500;

/** So many repositories are remembered with their batch; a larger registry asks for some tokens anew. */
const mostBatches = 100_000;

/** What is kept as long as the loop runs. */
interface Kept {
  /** The scope of the token that is asked for, by the scope that a request needs. */
  batches: Map<string, string>;
  /** Whether the registry gives tokens for several scopes. */
  batching: boolean;
  refresh: { readonly token: string; readonly validUntil: number } | undefined;
  exchanging: Promise<string> | undefined;
}

const exchangeAnswer = z.object({ refresh_token: z.string().min(1) });

const lacksScope = (response: HttpResponse): boolean =>
  response.status === 401 &&
  response.headerLines('www-authenticate').some((line) => line.includes('insufficient_scope'));

/** Whether a token server refused the credentials, or what they were exchanged for. */
const isTokenRefused = (error: CollectError): boolean =>
  error.reason === 'auth' || (error.cause instanceof CollectError && error.cause.status === 401);

/** Asks for one token for several repositories; each of them is read with it. */
function announce({ batches }: Kept, repositories: readonly string[]): void {
  if (batches.size > mostBatches) batches.clear();
  let batch: string[] = [];
  const close = (): void => {
    for (const scope of batch) batches.set(scope, batch.join(' '));
    batch = [];
  };
  for (const repository of repositories) {
    batch.push(metadataScope(repository));
    if (batch.length >= batchScopes || batch.join(' ').length > batchCharacters) close();
  }
  close();
}

/** Exchanges a token of Microsoft Entra ID for the registry's refresh token, once for as long as that is good. */
function createExchange(
  kept: Kept,
  options: {
    readonly http: HttpClient;
    readonly base: string;
    readonly loginServer: string;
    identity(): Promise<string>;
  },
): () => Promise<string> {
  const { http, base, loginServer, identity } = options;
  async function exchange(): Promise<string> {
    const form = new URLSearchParams({
      grant_type: 'access_token',
      service: loginServer,
      access_token: await identity(),
    });
    const response = await http.request({
      method: 'POST',
      idempotent: true,
      url: `${base}/oauth2/exchange`,
      operation: 'exchange',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
      maxBytes: largestAnswer.token,
    });
    const { refresh_token: token } = json(response, exchangeAnswer);
    const lifetimeMs = (lifetimeSeconds(token, response.header('date')) ?? 60) * 1000;
    kept.refresh = { token, validUntil: performance.now() + lifetimeMs - Math.min(60_000, lifetimeMs / 2) };
    return token;
  }
  return async () => {
    if (kept.refresh && kept.refresh.validUntil > performance.now()) return kept.refresh.token;
    kept.exchanging ??= exchange().finally(() => {
      kept.exchanging = undefined;
    });
    return kept.exchanging;
  };
}

/**
 * How a registry refuses whoever asks from an address that its network rules do not let in, whatever they show:
 * https://learn.microsoft.com/en-us/azure/container-registry/container-registry-access-selected-networks
 */
const isFirewall = ({ message }: CollectError): boolean =>
  /client with IP \S+ is not allowed access|aka\.ms\/acr\/firewall/.test(message);

const byFirewall =
  "the registry's network rules do not let this address in: add it to them, or reach the registry by its private endpoint";

/** The error with what to do, where the registry refused. */
function advised(error: unknown, advice: string): unknown {
  if (!(error instanceof CollectError) || error instanceof NoIdentity) return error;
  const { reason, message, status } = error;
  if (reason !== 'auth' && reason !== 'forbidden') return error;
  if (isFirewall(error))
    return new CollectError('forbidden', `${byFirewall}: ${message}`, { cause: error, status: 403 });
  return new CollectError(reason, `${message}: ${advice}`, { cause: error, status });
}

export function createAcrClient(options: {
  readonly http: HttpClient;
  readonly endpoint: URL;
  /** The registry's own name: by it challenges name the token server, which is at the endpoint. */
  readonly loginServer: string;
  readonly session: Session;
  /** User and password of the registry. */
  readonly own: (() => Promise<Credentials>) | undefined;
  /** A token of Microsoft Entra ID for registries. */
  readonly identity: (() => Promise<string>) | undefined;
  /** What to do when the registry refuses. */
  readonly advice: string;
}): AcrClient {
  const { endpoint, loginServer, session, own, identity, advice } = options;
  const base = endpoint.href.replace(/\/+$/, '');
  const kept = session.keep(
    'acr tokens',
    (): Kept => ({ batches: new Map(), batching: true, refresh: undefined, exchanging: undefined }),
  );
  const http: HttpClient = {
    ...options.http,
    async request(request) {
      const url = new URL(request.url);
      const atEndpoint = url.host === loginServer ? `${base}${url.pathname}${url.search}` : url;
      const response = await options.http.request({ ...request, url: atEndpoint });
      if (lacksScope(response)) kept.batching = false;
      return response;
    },
  };
  const refreshToken = identity && createExchange(kept, { http, base, loginServer, identity });
  const credentials = async () => (refreshToken ? { identityToken: await refreshToken() } : own?.());
  const client = createRegistryClient({ http, endpoint, session, trustedRealms: [loginServer], credentials });

  async function ask(request: HttpRequest & { readonly scope: string }): Promise<HttpResponse> {
    const { scope } = request;
    const batch = kept.batching ? (kept.batches.get(scope) ?? scope) : scope;
    try {
      return await client.request({ ...request, scope: batch });
    } catch (error) {
      if (batch === scope || !['auth', 'forbidden', 'invalid_response'].includes(reasonOf(error)))
        throw error;
      kept.batching = false;
      return client.request(request);
    }
  }

  return {
    announce: (repositories) => announce(kept, repositories),
    async request(request) {
      const { refresh } = kept;
      try {
        return await ask(request);
      } catch (error) {
        // A refresh token of before may have been revoked.
        const isOld = refresh !== undefined && error instanceof CollectError && isTokenRefused(error);
        if (!isOld) throw advised(error, advice);
        if (kept.refresh === refresh) kept.refresh = undefined;
      }
      try {
        return await ask(request);
      } catch (error) {
        throw advised(error, advice);
      }
    },
  };
}
