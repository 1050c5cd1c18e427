import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { type HttpClient, type HttpResponse, json } from '../../http.ts';
import type { Auth } from '../../options.ts';
import type { Session } from '../../provider.ts';
import { basicHeader, credentialsOf } from '../../registry-auth.ts';
import { count, expected, leading } from '../../wire.ts';
import { type Found, findAll, type Page, readPages, refuseUncounted, totalOf } from './lists.ts';

export interface Asked {
  /** The word that is counted. */
  readonly operation: string;
  /** Below `/api/v2.0`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
}

/**
 * Harbor's API, read only: `api/v2.0/swagger.yaml`,
 * https://github.com/goharbor/harbor/blob/main/api/v2.0/swagger.yaml
 */
export interface Harbor {
  /** Whether there are credentials. */
  readonly authenticates: boolean;
  /** The name of the account that reads; empty without one. */
  account(): Promise<string>;
  get<Schema extends z.ZodType>(asked: Asked, schema: Schema): Promise<z.infer<Schema>>;
  /** A list page by page. */
  pages<Schema extends z.ZodType>(asked: Asked, item: Schema): AsyncGenerator<Page<z.infer<Schema>>>;
  /** A whole list. What is seen twice since the list moved counts once, by its key. */
  all<Schema extends z.ZodType>(
    asked: Asked,
    item: Schema,
    key: (one: z.infer<Schema>) => unknown,
  ): Promise<Found<z.infer<Schema>>>;
  /** The beginning of a list that is in an order of its own, up to an element that cannot be understood. */
  first<Schema extends z.ZodType>(asked: Asked, item: Schema): Promise<z.infer<Schema>[]>;
  /** How many a list holds, without reading it; undefined where the answer does not tell. */
  count(asked: Asked): Promise<number | undefined>;
  /** Whether what Harbor asks in its turn answers. */
  works(asked: Asked): Promise<boolean>;
  /**
   * Whether these credentials are good, and whose they are.
   * @throws CollectError `auth` when Harbor does not take them
   */
  whoAmI(): Promise<Caller>;
}

/** `robot` for any account that is no user. */
export interface Caller {
  readonly robot: boolean;
  /** The account that every installation has: user 1, `admin`. */
  readonly builtInAdmin?: boolean;
}

/** As in a path: Harbor decodes a repository's name once more than its router does. */
export const repositoryPath = (project: string, repository: string): string =>
  `/projects/${encodeURIComponent(project)}/repositories/${encodeURIComponent(encodeURIComponent(repository))}`;

export const projectPath = (project: string): string => `/projects/${encodeURIComponent(project)}`;

/** Enough to find the newest run that ended, and the newest that worked. */
const firstOnes = 10;

const user = z.object({ user_id: expected('user_id', count) });

/**
 * Harbor begins a session in its Redis for each request that shows no cookie of one, so it is shown the first one
 * again. It is no credential here: each request carries those. https://github.com/goharbor/harbor/blob/main/src/core/main.go
 */
function createCookie(session: Session) {
  const kept = session.keep<{ sid?: string }>('harbor cookie', () => ({}));
  return {
    header: (): Record<string, string> => (kept.sid === undefined ? {} : { cookie: `sid=${kept.sid}` }),
    take(response: HttpResponse): void {
      for (const line of response.headerLines('set-cookie')) {
        const [, sid] = /^sid=([\w.~-]{1,256})(?:;|$)/.exec(line) ?? [];
        if (sid !== undefined) kept.sid = sid;
      }
    },
  };
}

export function createHarbor(options: {
  readonly http: HttpClient;
  readonly session: Session;
  readonly endpoint: URL;
  readonly auth: Auth | undefined;
  readonly pageSize: number;
}): Harbor {
  const { http, endpoint, auth, pageSize } = options;
  const base = endpoint.href.replace(/\/+$/, '').replace(/\/api\/v2\.0$/, '');
  const credentials = credentialsOf(auth, endpoint);
  const cookie = createCookie(options.session);
  /** Whether a list said how many it holds: behind some proxies none does. */
  const kept = options.session.keep('harbor counts', () => ({ counted: false }));

  async function authorization(): Promise<Record<string, string>> {
    const given = await credentials();
    if (!given) return {};
    if ('token' in given && given.token !== undefined) return { authorization: `Bearer ${given.token}` };
    if (!('username' in given))
      throw new CollectError('auth', 'Harbor takes a user or robot account with its password or secret');
    return { authorization: basicHeader(given) };
  }

  async function request(
    { operation, path, query }: Asked,
    accept: readonly number[] = [],
  ): Promise<HttpResponse> {
    const url = new URL(`${base}/api/v2.0${path}`);
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    const response = await http.request({
      url,
      operation,
      accept,
      headers: {
        accept: 'application/json',
        // A project may be named like a number, which would else be taken for an id.
        'x-is-resource-name': 'true',
        'x-accept-vulnerabilities': reportTypes.join(', '),
        ...cookie.header(),
        ...(await authorization()),
      },
    });
    // Another server's, where Harbor redirects to one, is not Harbor's to see.
    if (!response.stranger) cookie.take(response);
    if (totalOf(response) !== undefined) kept.counted = true;
    return response;
  }

  const pages = <Schema extends z.ZodType>(asked: Asked, item: Schema, partial = false) =>
    readPages({
      operation: asked.operation,
      pageSize,
      item,
      counted: kept.counted,
      partial,
      request: (page) =>
        request({ ...asked, query: { ...asked.query, page: String(page), page_size: String(pageSize) } }),
    });

  return {
    authenticates: auth !== undefined,
    async account() {
      const own = await credentials();
      return own && 'username' in own ? own.username : '';
    },
    get: async (asked, schema) => json(await request(asked), schema),
    pages: (asked, item) => pages(asked, item),
    all: (asked, item, key) => findAll(() => pages(asked, item, true), key),
    async first(asked, item) {
      const query = { page: '1', page_size: String(firstOnes), ...asked.query };
      const response = await request({ ...asked, query });
      refuseUncounted(response, json(response, z.array(z.unknown())).length, kept.counted);
      return json(response, leading(asked.operation, item, firstOnes));
    },
    async count(asked) {
      const response = await request({ ...asked, query: { ...asked.query, page: '1', page_size: '1' } });
      const { length } = json(response, z.array(z.unknown()));
      const total = totalOf(response);
      return total !== undefined && total < length ? undefined : total;
    },
    async works(asked) {
      // What a proxy says in between is no word of Harbor's.
      const { status } = await request(asked, [500]);
      return status !== 500;
    },
    async whoAmI() {
      // Wrong or expired credentials are no error in Harbor: it goes on as with nobody's, and shows what is public.
      // This request alone tells: 401 for nobody, 412 for what is no user. src/server/v2.0/handler/user.go
      const response = await request({ operation: 'current_user', path: '/users/current' }, [403, 404, 412]);
      if (response.status !== 200) return { robot: response.status === 412 };
      const { user_id } = json(response, user);
      return { robot: false, ...(user_id !== undefined && { builtInAdmin: user_id === 1 }) };
    },
  };
}

/** Media types of scan reports, the better first. https://github.com/goharbor/pluggable-scanner-spec */
export const reportTypes = [
  'application/vnd.security.vulnerability.report; version=1.1',
  'application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0',
] as const;
