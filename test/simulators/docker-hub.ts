import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extrasOf, hubName, repositoryEntry, repositoryInfo, tagEntries } from './docker-hub-estate.ts';
import { createEstate, type Estate, type EstateRepository } from './estate.ts';
import { applyFault, type FaultRule } from './faults.ts';

/**
 * Docker Hub: its API (https://docs.docker.com/reference/api/hub/latest/), the token server of pulls and the registry,
 * each a server of its own.
 */
export interface DockerHubOptions {
  readonly estate?: Estate;
  readonly namespace?: string;
  /** Entries per page at most, whatever is asked. */
  /** How many entries a listing says that it has, where that is not what it shows. */
  readonly counts?: Readonly<Partial<Record<'repositories' | 'tags', number>>>;
  readonly pageSize?: number;
  readonly tokenSeconds?: number;
  /** Whose token it is: a user's, or an organisation's with these scopes. */
  readonly scopes?: readonly string[];
  /** Whether the bearer token says which scopes it has: nobody promises that it does. */
  readonly tellsScopes?: boolean;
  /** The namespace is a user (the default) or an organisation. */
  readonly isUser?: boolean;
  /** Only the route of before 2024 is known. */
  readonly legacyLogin?: boolean;
  /** API requests per minute; refused ones are told as of now, or as of before 2025. */
  readonly apiLimit?: {
    readonly perMinute: number;
    readonly windowMs: number;
    readonly says: 'retry-after' | 'x-retry-after' | 'reset-only';
  };
  readonly endlessPaging?: 'same' | 'cycle';
  /** The origin in links to next pages, where it is another than one's own. */
  readonly nextOrigin?: string;
}

/** What the registry says of pulls. */
export interface SimulatedPulls {
  limit: number;
  remaining: number;
  windowSeconds: number;
  source: string;
  /** Paid plans have none. */
  headers: 'sent' | 'absent' | 'malformed';
}

export interface DockerHubSimulator {
  /** Addresses of the three. */
  readonly settings: {
    readonly endpoint: string;
    readonly authEndpoint: string;
    readonly registryEndpoint: string;
  };
  readonly namespace: string;
  readonly username: string;
  readonly token: string;
  readonly estate: Estate;
  readonly faults: FaultRule[];
  readonly pulls: SimulatedPulls;
  /** Tags of a repository as they are answered, in place of those of the estate. */
  readonly tags: Map<string, readonly unknown[]>;
  /** Called when a page was made, before it is sent. */
  afterPage: (operation: string, page: number) => void;
  /** Requests by operation since the last reset. */
  readonly requests: Map<string, number>;
  /** Makes all bearer tokens invalid that were given out at least so long ago. */
  expireTokens(olderThanMs?: number): void;
  close(): Promise<void>;
}

interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly operation: string;
  readonly repository?: string;
}

const send = (response: ServerResponse, status: number, body: unknown, headers: object = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers } as Record<string, string>);
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
};
/** https://docs.docker.com/reference/api/hub/latest/schemas/error/ */
const hubError = (message: string) => ({ message, errinfo: {} });

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    return undefined;
  }
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
  const server: Server = createServer((request, response) => {
    answer(request, response).catch((failure) => {
      if (response.headersSent) response.destroy();
      else send(response, 500, hubError(String(failure)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, close };
}

const pageSizeMax = 100;
/** Since August 2026: https://github.com/dotCMS/core/issues/37025 */
const anonymousOffsetMax = 1000;
const orderings = ['name', 'last_updated', 'pull_count'].flatMap((field) => [field, `-${field}`]);

export async function startDockerHubSimulator(options: DockerHubOptions = {}): Promise<DockerHubSimulator> {
  const { namespace = 'acme', scopes, apiLimit } = options;
  const estate =
    options.estate ?? createEstate({ seed: 1, repositories: 5, now: Math.floor(Date.now() / 1000) - 86_400 });
  const username = scopes ? namespace : 'ci-reader';
  const token = scopes ? 'dckr_oat_7awgM4jG5SQvxcvmNzhKj8PQjxo' : 'dckr_pat_124509ugsdjga93';
  const basic = `Basic ${Buffer.from(`${username}:${token}`).toString('base64')}`;
  const faults: FaultRule[] = [];
  const requests = new Map<string, number>();
  const pulls: SimulatedPulls = {
    limit: 200,
    remaining: 176,
    windowSeconds: 21_600,
    source: 'b30a2d2f-5b45-4d2c-8ea7-4c0b1fb1c1d5',
    headers: 'sent',
  };
  const bearers = new Map<string, { readonly since: number; readonly until: number }>();
  const registryTokens = new Set<string>();
  let asked = 0;
  let windowStart = 0;
  let turn = 0;

  /** Faults in Docker Hub's own words. @returns whether the request was answered */
  async function fail({ request, response, operation, repository }: Asked): Promise<boolean> {
    const rule = faults.find(
      (one) =>
        (one.times === undefined || one.times > 0) &&
        (one.operation === undefined || one.operation === operation) &&
        (one.repository === undefined || one.repository === repository),
    );
    const fault = rule?.fault;
    if (rule && (fault?.type === 'throttle' || (fault?.type === 'status' && fault.body === undefined))) {
      if (rule.times !== undefined) rule.times -= 1;
      if (fault.type === 'status') send(response, fault.status, hubError('simulated'));
      else refuse(response, fault.retryAfter === undefined ? undefined : Number(fault.retryAfter));
      return true;
    }
    return applyFault(faults, { operation, repository }, request, response, '');
  }

  /** https://docs.docker.com/reference/api/hub/latest/#tag/rate-limiting */
  function refuse(response: ServerResponse, seconds: number | undefined, says = 'x-retry-after'): void {
    const at = seconds === undefined ? undefined : Math.ceil(Date.now() / 1000 + seconds);
    const headers =
      at === undefined
        ? {}
        : {
            'retry-after': { 'retry-after': String(seconds) },
            'x-retry-after': { 'x-retry-after': String(at) },
            'reset-only': {
              'x-ratelimit-limit': String(apiLimit?.perMinute),
              'x-ratelimit-remaining': '0',
              'x-ratelimit-reset': String(at),
            },
          }[says];
    send(response, 429, { detail: 'Rate limit exceeded', error: false }, headers);
  }

  function limited(response: ServerResponse): boolean {
    if (!apiLimit) return false;
    const now = Date.now();
    if (now - windowStart >= apiLimit.windowMs) {
      windowStart = now;
      asked = 0;
    }
    asked += 1;
    const leftMs = windowStart + apiLimit.windowMs - now;
    if (asked > apiLimit.perMinute) {
      refuse(response, leftMs / 1000, apiLimit.says);
      return true;
    }
    response.setHeader('x-ratelimit-limit', apiLimit.perMinute);
    response.setHeader('x-ratelimit-remaining', apiLimit.perMinute - asked);
    response.setHeader('x-ratelimit-reset', Math.ceil((now + leftMs) / 1000));
    return false;
  }

  function giveBearer(): string {
    const iat = Math.floor(Date.now() / 1000);
    const seconds = options.tokenSeconds ?? 600;
    const claims = {
      aud: 'https://hub.docker.com',
      iss: 'https://login.docker.com/',
      iat,
      exp: iat + seconds,
      sub: 'd80f7c79-7730-49d8-9a41-7c42fb622d9c',
      jti: randomBytes(8).toString('hex'),
      'https://hub.docker.com': { username, roles: [], session_id: '' },
      scope: (scopes && options.tellsScopes !== false ? scopes : ['openid', 'offline_access']).join(' '),
    };
    const value = `${base64url({ alg: 'RS256', typ: 'JWT' })}.${base64url(claims)}.${randomBytes(12).toString('base64url')}`;
    bearers.set(value, { since: Date.now(), until: Date.now() + seconds * 1000 });
    return value;
  }

  async function login({ request, response, url }: Asked): Promise<void> {
    const legacy = url.pathname === '/v2/users/login';
    if (request.method !== 'POST' || (options.legacyLogin === true) !== legacy)
      return send(response, 404, hubError('404 page not found'));
    const body = ((await bodyOf(request)) ?? {}) as Record<string, unknown>;
    const [name, secret] = legacy
      ? [body['username'], body['password']]
      : [body['identifier'], body['secret']];
    if (typeof name !== 'string' || typeof secret !== 'string')
      return send(response, 400, hubError('identifier and secret are required'));
    if (name !== username || secret !== token)
      return send(response, 401, { detail: 'Incorrect authentication credentials' });
    const value = giveBearer();
    send(response, 200, legacy ? { token: value } : { access_token: value });
  }

  /** Whether a repository may be seen, or its tags be read. */
  function allowed(anonymous: boolean, repository: EstateRepository, scope: string): boolean {
    if (!extrasOf(repository).isPrivate) return true;
    if (anonymous) return false;
    return !scopes || scopes.includes(scope);
  }

  /** A page by its number, as the API cuts it. */
  function sendPage(
    { response, url, operation }: Asked,
    entries: readonly unknown[],
    anonymous: boolean,
  ): void {
    const page = Number(url.searchParams.get('page') ?? 1);
    const askedSize = Number(url.searchParams.get('page_size') ?? 10);
    const ordering = url.searchParams.get('ordering');
    if (!Number.isInteger(page) || page < 1) return send(response, 400, hubError('invalid page'));
    if (!Number.isInteger(askedSize) || askedSize < 1 || askedSize > pageSizeMax)
      return send(response, 400, hubError('invalid page_size'));
    if (ordering !== null && (operation !== 'repositories' || !orderings.includes(ordering)))
      return send(response, 400, {
        fields: { ordering: ['Invalid ordering value'] },
        text: 'Invalid ordering value',
      });
    const size = Math.min(askedSize, options.pageSize ?? pageSizeMax);
    const start = (page - 1) * size;
    if (anonymous && start >= anonymousOffsetMax)
      return send(
        response,
        403,
        hubError('pagination offset too large for anonymous requests; sign in to page further'),
      );
    const results = entries.slice(start, start + size);
    if (page > 1 && results.length === 0) return send(response, 404, hubError('page not found'));
    turn += 1;
    const nextPage = { same: 2, cycle: 2 + (turn % 2) }[options.endlessPaging ?? 'same'];
    const endless = options.endlessPaging !== undefined && operation === 'repositories';
    const link = (number: number) => {
      const target = new URL(`${options.nextOrigin ?? hub.url}${url.pathname}`);
      for (const [key, value] of url.searchParams) target.searchParams.set(key, value);
      target.searchParams.set('page', String(number));
      return target.href;
    };
    const more = start + size < entries.length;
    simulator.afterPage(operation, page);
    send(response, 200, {
      count: options.counts?.[operation as 'repositories' | 'tags'] ?? entries.length,
      next: endless ? link(nextPage) : more ? link(page + 1) : null,
      previous: page > 1 ? link(page - 1) : null,
      results,
    });
  }

  function answerHub(one: Asked): void {
    const { request, response, url, operation } = one;
    const given = request.headers.authorization;
    const bearer = bearers.get((given ?? '').replace(/^Bearer /, ''));
    if (given !== undefined && (!given.startsWith('Bearer ') || !bearer || bearer.until < Date.now()))
      return send(response, 401, hubError('token is malformed, revoked or expired'));
    const anonymous = given === undefined;
    if (/^\/v2\/(?:users\/[^/]+\/)?repositories\//.test(url.pathname))
      return scopes
        ? send(response, 403, hubError('token issued from organization access token is not allowed'))
        : send(response, 410, hubError('deprecated'));
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, hubError('method not allowed'));
    const [, space] = /^\/v2\/namespaces\/([^/]+)/.exec(url.pathname) ?? [];
    const [, who] = /^\/v2\/(?:users|orgs)\/([^/]+)$/.exec(url.pathname) ?? [];
    if (who !== undefined)
      return who === namespace && !url.pathname.startsWith('/v2/orgs/') === (options.isUser ?? true)
        ? send(response, 200, { id: 'd80f7c79', username: who })
        : send(response, 404, hubError('object not found'));
    // On purpose, so that nobody learns who exists: https://github.com/docker/hub-feedback/issues/2357
    if (space !== namespace && operation === 'repositories') return sendPage(one, [], anonymous);
    if (space !== namespace) return send(response, 404, hubError('object not found'));
    const all = [...estate.repositories.values()].sort((a, b) =>
      hubName(a.name) < hubName(b.name) ? -1 : 1,
    );
    if (operation === 'repositories') {
      const seen = all.filter((repository) => allowed(anonymous, repository, 'scope-repository-list'));
      return sendPage(
        one,
        seen.map((repository) => repositoryEntry(namespace, repository)),
        anonymous,
      );
    }
    const repository = all.find(({ name }) => `${namespace}/${hubName(name)}` === one.repository);
    if (!repository || (anonymous && !allowed(true, repository, '')))
      return send(response, 404, hubError('object not found'));
    const scope = operation === 'tags' ? 'scope-tag-read' : 'scope-repository-read';
    if (!allowed(anonymous, repository, scope))
      return send(response, 403, hubError('access to the resource is forbidden with this token'));
    if (operation === 'tags')
      return sendPage(one, simulator.tags.get(one.repository ?? '') ?? tagEntries(repository), anonymous);
    send(response, 200, repositoryInfo(namespace, repository));
  }

  function route(url: URL): Pick<Asked, 'operation' | 'repository'> | undefined {
    const { pathname } = url;
    if (/^\/v2\/(users|orgs)\/[^/]+$/.test(pathname) && pathname !== '/v2/users/login')
      return { operation: 'namespace' };
    if (pathname === '/v2/auth/token' || pathname === '/v2/users/login') return { operation: 'login' };
    const [, space, name, tags] =
      /^\/v2\/namespaces\/([^/]+)\/repositories(?:\/([^/]+)(\/tags)?)?$/.exec(pathname) ?? [];
    if (space === undefined) return { operation: 'unknown' };
    if (name === undefined) return { operation: 'repositories' };
    const repository = `${space}/${decodeURIComponent(name)}`;
    return { operation: tags === undefined ? 'repository' : 'tags', repository };
  }

  const count = (operation: string) => requests.set(operation, (requests.get(operation) ?? 0) + 1);

  const hub = await listen(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://hub');
    const one = { request, response, url, ...(route(url) ?? { operation: 'unknown' }) };
    count(one.operation);
    if (await fail(one)) return;
    if (limited(response)) return;
    if (one.operation === 'login') return login(one);
    answerHub(one);
  });

  /** https://docs.docker.com/docker-hub/usage/pulls/#view-hourly-pull-rate-and-limit */
  const auth = await listen(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://auth');
    count('registry_token');
    if (await fail({ request, response, url, operation: 'registry_token' })) return;
    const { searchParams } = url;
    if (url.pathname !== '/token') return send(response, 404, '404 page not found\n');
    if (searchParams.get('service') !== 'registry.docker.io')
      return send(response, 400, { details: 'invalid service' });
    if (searchParams.get('scope') !== 'repository:ratelimitpreview/test:pull')
      return send(response, 400, { details: 'invalid scope' });
    const given = request.headers.authorization;
    if (given !== undefined && given !== basic)
      return send(response, 401, { details: 'incorrect username or password' });
    const value = randomBytes(12).toString('hex');
    registryTokens.add(value);
    send(response, 200, {
      token: value,
      access_token: value,
      expires_in: 300,
      issued_at: new Date().toISOString(),
    });
  });

  const registry = await listen(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://registry');
    const operation = `manifest_${(request.method ?? 'get').toLowerCase()}`;
    count(operation);
    if (await fail({ request, response, url, operation })) return;
    if (url.pathname !== '/v2/ratelimitpreview/test/manifests/latest')
      return send(response, 404, { errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] });
    if (!registryTokens.has((request.headers.authorization ?? '').replace(/^Bearer /, '')))
      return send(
        response,
        401,
        { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] },
        {
          'www-authenticate': `Bearer realm="${auth.url}/token",service="registry.docker.io",scope="repository:ratelimitpreview/test:pull"`,
          'docker-ratelimit-source': pulls.source,
        },
      );
    if (request.method === 'GET') pulls.remaining -= 1;
    const window = `;w=${pulls.windowSeconds}`;
    const limits = {
      absent: {},
      malformed: { 'ratelimit-limit': window, 'ratelimit-remaining': window },
      sent: {
        'ratelimit-limit': `${pulls.limit}${window}`,
        'ratelimit-remaining': `${Math.max(0, pulls.remaining)}${window}`,
      },
    }[pulls.headers];
    response.writeHead(pulls.remaining < 0 ? 429 : 200, {
      'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws',
      'docker-content-digest': 'sha256:767a3815c34823b355bed31760d5fa3daca0aec2ce15b217c9cd83229e0e2020',
      ...limits,
      'docker-ratelimit-source': pulls.source,
    });
    response.end();
  });

  const simulator: DockerHubSimulator = {
    settings: { endpoint: hub.url, authEndpoint: auth.url, registryEndpoint: registry.url },
    namespace,
    username,
    token,
    estate,
    faults,
    pulls,
    tags: new Map(),
    afterPage: () => {},
    requests,
    expireTokens(olderThanMs = 0) {
      for (const [value, { since }] of bearers) if (Date.now() - since >= olderThanMs) bearers.delete(value);
    },
    close: async () => {
      await Promise.all([hub, auth, registry].map((server) => server.close()));
    },
  };
  return simulator;
}
