import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { type HttpResponse, json, shown } from '../../http.ts';
import { parseChallenges, parseToken } from '../../registry-auth.ts';
import { grantsOf, standIn, type Token, validUntil } from './token-claims.ts';
import type { Intermediary, PipelineRequest, Send } from './transport.ts';

/**
 * A token was refused that was good before: what was asked may be asked again, by a client that asks for new ones.
 */
export class TokenExpired extends CollectError {}

/**
 * Access tokens of a registry, one for each scope, for as long as the loop runs.
 *
 * The exchange of tokens is the SDK's: it answers the registry's challenge, changes the token of Microsoft Entra ID
 * into a refresh token and that into an access token. But it keeps a single access token, and each repository is a
 * scope of its own, so that every repository would cost a refusal, a token and a request. Here tokens are kept by
 * scope: a request whose token is known brings it along, the SDK is shown the challenge of others without asking the
 * registry for it, and one request for a token covers several repositories, where the registry allows that.
 * https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
 */
export interface Tokens extends Intermediary {
  /** Repositories that will be read soon: their tokens are asked for together. */
  announce(repositories: readonly string[]): void;
  /** Forgets what has expired. */
  prune(): void;
}

/** A token for more repositories would be too long for a header. */
const batchScopes = 20;
const batchCharacters = 1500;

/** The scope that a request needs. */
function scopeOf(path: string): string | undefined {
  if (path === '/acr/v1/_catalog') return 'registry:catalog:*';
  const [, listed] = /^\/acr\/v1\/(.+)\/_manifests(?:\/[^/]+)?$/.exec(path) ?? [];
  if (listed !== undefined) return metadataScope(listed);
  const [, pulled] = /^\/v2\/(.+)\/manifests\/[^/]+$/.exec(path) ?? [];
  return pulled === undefined ? undefined : `repository:${pulled}:pull`;
}

const metadataScope = (repository: string): string => `repository:${repository}:metadata_read`;

const exchangeAnswer = z.object({ refresh_token: z.string().min(1) });

const tokenOf = (response: HttpResponse, value: string): Token => ({
  value,
  validUntil: validUntil(value, response.header('date')),
});

/** An answer that the registry was not asked for. */
function answered(url: string, body: object, challenge?: string): HttpResponse {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (challenge !== undefined) headers['www-authenticate'] = challenge;
  return {
    status: challenge === undefined ? 200 : 401,
    headers,
    header: (name) => headers[name],
    headerLines: (name) => (headers[name] === undefined ? [] : [headers[name]]),
    body: Buffer.from(JSON.stringify(body)),
    url: new URL(url),
  };
}

export function createTokens(options: {
  /** Where the SDK believes the registry to be. */
  readonly origin: string;
  /** The registry's own credentials, sent as they are; undefined when there are none. */
  basic(): Promise<string | undefined>;
  /** What to do when the registry refuses. */
  readonly advice: string;
}): Tokens {
  const { origin, basic, advice } = options;
  const tokens = new Map<string, Token>();
  const pending = new Map<string, Promise<void>>();
  const upcoming = new Set<string>();
  /** Scopes by the names that the registry itself calls them, where they differ. */
  const named = new Map<string, string>();
  /** Requests whose challenge was answered already. */
  const challenged = new WeakSet<PipelineRequest>();
  let refresh: Token | undefined;
  let renewing: Promise<void> | undefined;
  let challenger: { readonly realm: string; readonly service: string } | undefined;
  let batching = true;
  let takesBasic = true;

  const known = (scope: string): Token | undefined => {
    const token = tokens.get(scope);
    return token && token.validUntil > performance.now() ? token : undefined;
  };

  /** Scopes to ask for together with one that is needed now. */
  function batchOf(scope: string): string[] {
    upcoming.delete(scope);
    const batch = [scope];
    let characters = scope.length;
    for (const other of batching ? upcoming : []) {
      if (batch.length >= batchScopes || characters + other.length > batchCharacters) break;
      upcoming.delete(other);
      if (known(other) || pending.has(other)) continue;
      batch.push(other);
      characters += other.length;
    }
    return batch;
  }

  /** @returns whether the token is for what was asked first; of a single scope the registry is asked when it is used */
  function store(kept: Token, batch: readonly string[]): boolean {
    const good = batch.length === 1 ? batch : batch.filter(grantsOf(kept.value));
    for (const scope of good) tokens.set(scope, kept);
    // Either the identity may read no more, or the registry gives a token for one scope only.
    if (batch.length > 1 && good.length < 2) batching = false;
    return good[0] === batch[0];
  }

  /** Asks for one token. @returns undefined when several scopes were asked for and the registry does not like that. */
  async function ask(
    batch: readonly string[],
    form: URLSearchParams,
    send: Send,
  ): Promise<Token | undefined> {
    const own = await basic();
    const used = refresh;
    const asked = new URLSearchParams(form);
    asked.delete('scope');
    for (const scope of batch) asked.append('scope', scope);
    let response: HttpResponse;
    try {
      if (own !== undefined) {
        // https://github.com/Azure/acr/blob/main/docs/Token-BasicAuth.md
        const url = new URL('/oauth2/token', origin);
        url.searchParams.set('service', form.get('service') ?? '');
        for (const scope of batch) url.searchParams.append('scope', scope);
        response = await send({ method: 'GET', url: url.href, headers: { authorization: own } });
      } else {
        if (asked.get('grant_type') === 'refresh_token') {
          if (!used) throw new TokenExpired('auth', `${origin}: the refresh token has expired`);
          asked.set('refresh_token', used.value);
        }
        response = await send({ body: asked.toString() });
      }
    } catch (error) {
      const status = error instanceof CollectError ? (error.status ?? 0) : 0;
      if (batch.length > 1 && status >= 400 && status < 500 && status !== 429) return undefined;
      throw error;
    }
    if (response.status !== 401) return tokenOf(response, parseToken(response).value);
    if (batch.length > 1) return undefined;
    if (own === undefined && used) {
      if (refresh === used) refresh = undefined;
      throw new TokenExpired('auth', `${shown(response.url)} no longer takes the refresh token`);
    }
    throw new CollectError('auth', `${shown(response.url)} answered 401: ${advice}`, { status: 401 });
  }

  async function fetchToken(scope: string, form: URLSearchParams, send: Send): Promise<void> {
    const batch = batchOf(scope);
    const fetching = (async () => {
      const token = await ask(batch, form, send);
      if (token !== undefined && store(token, batch)) return;
      batching = false;
      const single = await ask([scope], form, send);
      if (single !== undefined) store(single, [scope]);
    })();
    for (const one of batch) pending.set(one, fetching);
    try {
      await fetching;
    } finally {
      for (const one of batch) pending.delete(one);
    }
  }

  async function token(request: PipelineRequest, send: Send): Promise<HttpResponse> {
    const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '');
    const scope = form.get('scope') ?? '';
    // Another request may be under way that covers it; if that fails, it is asked for by itself.
    const underWay = pending.get(scope);
    if (underWay) await underWay.catch(() => {});
    if (!known(scope)) await fetchToken(scope, form, send);
    return answered(request.url, { access_token: tokens.get(scope)?.value });
  }

  async function renew(send: Send): Promise<void> {
    const response = await send();
    if (response.status === 401)
      throw new CollectError('auth', `${shown(response.url)} answered 401: ${advice}`, { status: 401 });
    refresh = tokenOf(response, json(response, exchangeAnswer).refresh_token);
  }

  async function exchange(request: PipelineRequest, send: Send): Promise<HttpResponse> {
    if (!refresh || refresh.validUntil <= performance.now()) {
      renewing ??= renew(send).finally(() => {
        renewing = undefined;
      });
      await renewing;
    }
    return answered(request.url, { refresh_token: standIn });
  }

  async function resource(request: PipelineRequest, path: string, send: Send): Promise<HttpResponse> {
    const usual = scopeOf(path);
    const scope = usual === undefined ? undefined : (named.get(usual) ?? usual);
    const own = takesBasic ? await basic() : undefined;
    const sent = scope === undefined ? undefined : known(scope)?.value;
    if (sent === undefined && own === undefined && challenger && scope !== undefined) {
      challenged.add(request);
      return answered(request.url, {}, challengeOf(challenger, scope));
    }
    const response = await send({
      headers: { authorization: sent !== undefined ? `Bearer ${sent}` : own },
    });
    if (response.status !== 401) return response;
    if (scope !== undefined && tokens.get(scope)?.value === sent) tokens.delete(scope);
    if (sent === undefined && own !== undefined) takesBasic = false;
    const challenge = parseChallenges(response.headerLines('www-authenticate')).find(
      ({ scheme }) => scheme === 'bearer',
    )?.parameters;
    const wanted = challenge?.get('scope');
    if (challenge)
      challenger = { realm: challenge.get('realm') ?? '', service: challenge.get('service') ?? '' };
    const renamed = usual !== undefined && wanted !== undefined && wanted !== scope;
    if (renamed) named.set(usual, wanted);
    if (challenge && wanted !== undefined && !challenged.has(request)) {
      challenged.add(request);
      return response;
    }
    const where = `${shown(response.url)} answered 401`;
    if (challenge?.get('error') === 'insufficient_scope')
      throw new CollectError('forbidden', `${where}: ${advice}`, { status: 401 });
    if (renamed || challenge?.get('error') === 'invalid_token')
      throw new TokenExpired('auth', `${where}: ${advice}`, { status: 401 });
    throw new CollectError('auth', `${where}: ${advice}`, { status: 401 });
  }

  /** What a challenge said led to a refusal: it may have been another server's. The next request asks anew. */
  function forget(): void {
    challenger = undefined;
    refresh = undefined;
    named.clear();
  }

  return {
    announce(repositories) {
      for (const repository of repositories) upcoming.add(metadataScope(repository));
    },
    prune() {
      const now = performance.now();
      for (const [scope, { validUntil: until }] of tokens) if (until <= now) tokens.delete(scope);
      upcoming.clear();
    },
    async handle(request, send) {
      const path = decodeURIComponent(new URL(request.url).pathname);
      try {
        if (path === '/oauth2/exchange') return await exchange(request, send);
        if (path === '/oauth2/token') return await token(request, send);
        return await resource(request, path, send);
      } catch (error) {
        if (['auth', 'forbidden'].includes(reasonOf(error))) forget();
        throw error;
      }
    },
  };
}

const challengeOf = (
  { realm, service }: { readonly realm: string; readonly service: string },
  scope: string,
): string => `Bearer realm="${realm}",service="${service}",scope="${scope}",error="invalid_token"`;
