import { manifestBytes, type WireManifest, wireDigest, wireManifest } from './acr-estate.ts';
import { type AzureServer, type Exchange, startAzureServer, type Tls } from './azure-server.ts';
import type { Estate, EstateRepository } from './estate.ts';
import { makeJwt, readJwt } from './jwt.ts';

/** What an identity may do with the registry. */
export type AcrPermission = 'catalog' | 'metadata' | 'pull';

export interface AcrSimulatorOptions {
  readonly estate: Estate;
  /** Name of the registry; its own address otherwise. */
  readonly loginServer?: string;
  readonly tls?: Tls;
  readonly port?: number;
  /** Entries per page at most, whatever is asked. */
  readonly pageSize?: number;
  readonly endlessPaging?: 'same' | 'cycle';
  /** Where the next page is said to be; at the registry itself otherwise. */
  readonly nextOrigin?: string;
  /** Whether a token of Microsoft Entra ID is good for the registry. */
  accepts(authorization: string | undefined): boolean;
  readonly permissions?: readonly AcrPermission[];
  readonly anonymousPull?: boolean;
  /** Where an index tells of its platforms: in the list, in its own record (the service's way), or in its bytes only. */
  readonly references?: 'list' | 'record' | 'bytes';
  /** How a request for a token with several scopes is answered. */
  readonly severalScopes?: 'all' | 'first' | 'last' | 'refused';
  /** The admin user, or a token (default `prod`, the registry's admin user). */
  readonly username?: string;
  /** Whether user and password are taken directly, and not in exchange for a token only. */
  readonly takesBasic?: boolean;
  readonly tokenSeconds?: number;
  /** Reads that the tier allows; more are refused. */
  readonly readsPerSecond?: number;
  /** Manifests besides those of the estate, by repository: in the list, in a record of their own, and as bytes. */
  readonly extra?: Map<
    string,
    readonly { readonly entry: WireManifest; readonly recorded?: WireManifest; readonly bytes?: Buffer }[]
  >;
}

export interface AcrSimulator extends AzureServer {
  readonly loginServer: string;
  readonly username: string;
  readonly password: string;
  readonly permissions: Set<AcrPermission>;
  /** Makes all tokens invalid that were given out at least so long ago. */
  expireTokens(olderThanMs?: number): void;
}

const error = (code: string, message: string, detail?: unknown): string =>
  `${JSON.stringify({ errors: [{ code, message, detail }] })}\n`;

/** What a token is good for, as it says itself. */
interface Grant {
  readonly Type: string;
  readonly Name: string;
  readonly Actions: readonly string[];
}

/** Whether a grant covers a scope; pulls from `*` are what an anonymous token is for. */
function covers({ Type, Name, Actions }: Grant, scope: string): boolean {
  const [type, name, action = ''] = scope.split(':');
  return (
    Type === type &&
    (Name === name || Name === '*') &&
    (Actions.includes(action) || (action === 'metadata_read' && Actions.includes('pull')))
  );
}

/** Seconds for which tokens are good, as recorded; `iat` and `nbf` lie a quarter of an hour back. */
const lifetimes = { refresh: 10_800, access: 3_600, anonymous: 300 };
const backdated = 900;

function route(_method: string, path: string) {
  if (path === '/acr/v1/_catalog') return { operation: 'catalog' };
  if (path === '/v2/') return { operation: 'version' };
  if (path === '/oauth2/exchange') return { operation: 'exchange' };
  if (path === '/oauth2/token') return { operation: 'token' };
  const [, record] = /^\/acr\/v1\/(.+)\/_manifests\/[^/]+$/.exec(path) ?? [];
  if (record !== undefined) return { operation: 'manifest_properties', repository: record };
  const [, listed] = /^\/acr\/v1\/(.+)\/_manifests$/.exec(path) ?? [];
  if (listed !== undefined) return { operation: 'manifests', repository: listed };
  const [, pulled] = /^\/v2\/(.+)\/manifests\/[^/]+$/.exec(path) ?? [];
  return pulled === undefined ? undefined : { operation: 'manifest', repository: pulled };
}

/**
 * A registry as
 * https://github.com/Azure/azure-rest-api-specs/tree/main/specification/containerregistry/data-plane/Azure.ContainerRegistry/stable/2021-07-01
 * describes it, with tokens as of https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md, and both as they were
 * recorded: docs/providers/acr.md, "Checked against".
 */
export async function startAcrSimulator(options: AcrSimulatorOptions): Promise<AcrSimulator> {
  const { estate, accepts, references = 'record', severalScopes = 'all', takesBasic = true } = options;
  const pageLimit = options.pageSize ?? 1000;
  const permissions = new Set<AcrPermission>(options.permissions ?? ['catalog', 'metadata', 'pull']);
  const { username = 'prod' } = options;
  const password = 's3cret-Admin-Passw0rd';
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const tokens = new Map<string, { readonly since: number; readonly kind: 'refresh' | 'access' }>();
  let issued = 0;
  let turn = 0;

  let allowance = options.readsPerSecond ?? 0;
  let filledAt = performance.now();
  /** A bucket that fills at the rate of the tier, and holds a tenth of a second of it. */
  function withinQuota(): boolean {
    const rate = options.readsPerSecond;
    if (rate === undefined) return true;
    const now = performance.now();
    allowance = Math.min(Math.max(1, rate / 10), allowance + ((now - filledAt) * rate) / 1000);
    filledAt = now;
    if (allowance < 1) return false;
    allowance -= 1;
    return true;
  }

  const permitted = (scope: string, anonymous: boolean): boolean => {
    if (anonymous && !options.anonymousPull) return false;
    if (scope === 'registry:catalog:*') return permissions.has('catalog');
    return permissions.has(scope.endsWith(':pull') ? 'pull' : 'metadata');
  };

  function issue(kind: 'refresh' | 'access', claims: object, seconds: number = lifetimes[kind]): string {
    const now = Math.floor(Date.now() / 1000);
    issued += 1;
    const token = makeJwt({
      jti: `${issued}`,
      aud: simulator.loginServer,
      iat: now - backdated,
      nbf: now - backdated,
      exp: now + (options.tokenSeconds ?? seconds),
      grant_type: `${kind}_token`,
      ...claims,
    });
    tokens.set(token, { since: Date.now(), kind });
    return token;
  }

  function accessToken(scopes: readonly string[], anonymous: boolean): string {
    const permittedScopes = scopes.filter((scope) => permitted(scope, anonymous));
    const access = permittedScopes.map((scope): Grant => {
      const [Type = '', Name = '', action = ''] = scope.split(':');
      if (anonymous && Type === 'repository') return { Type, Name: '*', Actions: ['pull'] };
      return { Type, Name, Actions: [action] };
    });
    return issue('access', { access, roles: [] }, anonymous ? lifetimes.anonymous : undefined);
  }

  /** Whether the request may go on; else it was answered with the challenge that says what is missing. */
  function authorized({ authorization, send }: Exchange, scope: string): boolean {
    if (takesBasic && authorization === basic && permitted(scope, false)) return true;
    const [, token = ''] = /^Bearer (.+)$/.exec(authorization ?? '') ?? [];
    const valid = tokens.get(token)?.kind === 'access';
    const claims = valid ? readJwt(token) : undefined;
    const live = claims !== undefined && (claims['exp'] as number) * 1000 > Date.now();
    const access = (claims?.['access'] ?? []) as Grant[];
    if (live && access.some((grant) => covers(grant, scope))) return true;
    const [type = '', ...rest] = scope.split(':');
    // Without a token, nothing is said to be wrong with it.
    const problem = live ? ',error="insufficient_scope"' : token === '' ? '' : ',error="invalid_token"';
    send(
      401,
      error(
        'UNAUTHORIZED',
        'authentication required, visit https://aka.ms/acr/authorization for more information.',
        scope ? [{ Type: type, Name: rest.slice(0, -1).join(':'), Action: rest.at(-1) }] : null,
      ),
      {
        'www-authenticate': `Bearer realm="https://${simulator.loginServer}/oauth2/token",service="${simulator.loginServer}"${scope && `,scope="${scope}"`}${problem}`,
      },
    );
    return false;
  }

  function exchange({ method, body, header, send }: Exchange): void {
    const form = new URLSearchParams(body);
    if (method !== 'POST') return send(405, error('UNSUPPORTED', 'method not allowed'));
    if (!header('content-type')?.startsWith('application/x-www-form-urlencoded'))
      return send(400, error('BAD_REQUEST', 'the body must be a form'));
    if (form.get('service') !== simulator.loginServer)
      return send(400, error('BAD_REQUEST', 'service is not this registry'));
    if (form.get('grant_type') !== 'access_token')
      return send(400, error('UNSUPPORTED', 'unsupported grant_type'));
    if (!accepts(`Bearer ${form.get('access_token')}`))
      return send(401, error('UNAUTHORIZED', 'authentication required'));
    send(200, { refresh_token: issue('refresh', { permissions: { Actions: ['read'], NotActions: null } }) });
  }

  function token({ method, url, body, authorization, send }: Exchange): void {
    const form = method === 'GET' ? url.searchParams : new URLSearchParams(body);
    const scopes = form.getAll('scope').flatMap((scope) => scope.split(' '));
    if (form.get('service') !== simulator.loginServer || scopes.length === 0)
      return send(400, error('BAD_REQUEST', 'service and scope are required'));
    let anonymous = false;
    // Docker's client asks so without credentials too.
    if (method === 'GET' && authorization === undefined) anonymous = true;
    else if (method === 'GET') {
      if (authorization !== basic) return send(401, error('UNAUTHORIZED', 'authentication required'));
    } else if (form.get('grant_type') === 'password' && !form.get('refresh_token')) anonymous = true;
    else if (form.get('grant_type') !== 'refresh_token')
      return send(400, error('UNSUPPORTED', 'unsupported grant_type'));
    else if (tokens.get(form.get('refresh_token') ?? '')?.kind !== 'refresh')
      return send(401, error('UNAUTHORIZED', 'refresh token expired or invalid'));
    if (anonymous && !options.anonymousPull)
      return send(401, error('UNAUTHORIZED', 'anonymous access is not enabled'));
    if (scopes.length > 1 && severalScopes === 'refused')
      return send(400, error('BAD_REQUEST', 'scope may be given once'));
    const granted =
      severalScopes === 'all' ? scopes : severalScopes === 'last' ? scopes.slice(-1) : scopes.slice(0, 1);
    send(200, { access_token: accessToken(granted, anonymous) });
  }

  /** One page, and the Link to the next. @returns undefined when the request was refused */
  function page<T>(
    { url, path, send }: Exchange,
    all: readonly T[],
    keyOf: (item: T) => string,
  ): { readonly items: readonly T[]; readonly headers: Record<string, string> } | undefined {
    const n = url.searchParams.get('n');
    if (n !== null && !/^[1-9]\d*$/.test(n)) {
      send(400, error('PAGINATION_NUMBER_INVALID', 'invalid number of results requested'));
      return undefined;
    }
    const size = Math.min(Number(n ?? 100), pageLimit);
    const last = url.searchParams.get('last');
    const start = last === null ? 0 : all.findIndex((item) => keyOf(item) > last);
    const items = start < 0 ? [] : all.slice(start, start + size);
    const more = start >= 0 && start + size < all.length;
    const encoded = path.replace(
      /^\/acr\/v1\/(.+)\/_manifests$/,
      (_, name) => `/acr/v1/${encodeURIComponent(name)}/_manifests`,
    );
    turn += 1;
    const endless = { same: 'again', cycle: turn % 2 === 0 ? 'again' : 'aagain' };
    const final = items.at(-1);
    const next = options.endlessPaging
      ? endless[options.endlessPaging]
      : final === undefined
        ? ''
        : keyOf(final);
    return {
      items,
      headers:
        more || options.endlessPaging
          ? {
              link: `<${options.nextOrigin ?? ''}${encoded}?last=${encodeURIComponent(next)}&n=${size}&orderby=>; rel="next"`,
            }
          : {},
    };
  }

  const byDigest = (repository: EstateRepository) =>
    new Map([...repository.images.values()].map((image) => [wireDigest(repository, image), image]));

  function content(exchange: Exchange, operation: string, repository: string): void {
    const { path, url, send, header } = exchange;
    const stored = estate.repositories.get(repository);
    const unknown = error('NAME_UNKNOWN', `repository "${repository}" is not found`);
    if (!stored) return send(404, unknown);
    const extra = options.extra?.get(repository) ?? [];
    if (operation === 'manifests') {
      const entries = [
        ...[...stored.images.values()].map((image) => wireManifest(stored, image, references === 'list')),
        ...extra.map(({ entry }) => entry),
      ].sort((a, b) => (a.digest < b.digest ? -1 : 1));
      const order = url.searchParams.get('orderby');
      if (order && !['none', 'timedesc', 'timeasc'].includes(order))
        return send(400, error('BAD_REQUEST', 'orderby is not known'));
      const found = page(exchange, entries, ({ digest }) => digest);
      if (!found) return;
      return send(
        200,
        { registry: simulator.loginServer, imageName: repository, manifests: found.items },
        found.headers,
      );
    }
    const digest = path.split('/').at(-1) ?? '';
    const image = byDigest(stored).get(digest);
    const more = extra.find(({ entry }) => entry.digest === digest);
    if (!image && !more) return send(404, error('MANIFEST_UNKNOWN', 'manifest unknown'));
    if (operation === 'manifest_properties')
      return send(200, {
        registry: simulator.loginServer,
        imageName: repository,
        manifest:
          more?.recorded ?? more?.entry ?? (image && wireManifest(stored, image, references !== 'bytes')),
      });
    const bytes = more?.bytes ?? (image && manifestBytes(stored, image));
    if (!bytes) return send(404, error('MANIFEST_UNKNOWN', 'manifest unknown'));
    const type = (JSON.parse(bytes.toString()) as { mediaType: string }).mediaType;
    if (!header('accept')?.includes(type))
      return send(404, error('MANIFEST_UNKNOWN', `manifest is of the type ${type}, which is not accepted`));
    send(200, bytes, { 'content-type': type, 'docker-content-digest': digest });
  }

  const server = await startAzureServer({
    tls: options.tls,
    port: options.port,
    error,
    route,
    throttleHeaders: { 'x-ms-ratelimit-remaining-calls-per-second': '0' },
    answer(exchanged, { operation, repository = '' }) {
      const { path, send } = exchanged;
      if (!withinQuota())
        return send(429, error('TOOMANYREQUESTS', 'too many requests'), {
          'x-ms-ratelimit-remaining-calls-per-second': '0',
        });
      if (operation === 'exchange') return exchange(exchanged);
      if (operation === 'token') return token(exchanged);
      if (exchanged.method !== 'GET') return send(405, error('UNSUPPORTED', 'method not allowed'));
      if (operation === 'version') {
        if (authorized(exchanged, '')) send(200, {});
        return;
      }
      if (operation === 'catalog') {
        if (!authorized(exchanged, 'registry:catalog:*')) return;
        const found = page(exchanged, [...estate.repositories.keys()].sort(), (name) => name);
        if (found) send(200, { repositories: found.items }, found.headers);
        return;
      }
      const action = path.startsWith('/v2/') ? 'pull' : 'metadata_read';
      if (authorized(exchanged, `repository:${repository}:${action}`))
        content(exchanged, operation, repository);
    },
  });
  const simulator: AcrSimulator = {
    ...server,
    loginServer: options.loginServer ?? server.host,
    username,
    password,
    permissions,
    expireTokens(olderThanMs = 0) {
      for (const [value, { since }] of tokens) if (Date.now() - since >= olderThanMs) tokens.delete(value);
    },
  };
  return simulator;
}
