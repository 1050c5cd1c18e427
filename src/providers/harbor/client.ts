import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { type HttpClient, type HttpResponse, json, parseLinkNext, shown } from '../../http.ts';
import type { Auth } from '../../options.ts';
import { credentialsOf } from '../../registry-auth.ts';

/** A page of a list, and how many there are of all pages. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly total: number | undefined;
}

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
  get<Schema extends z.ZodType>(asked: Asked, schema: Schema): Promise<z.infer<Schema>>;
  /** A list page by page. */
  pages<Schema extends z.ZodType>(asked: Asked, item: Schema): AsyncGenerator<Page<z.infer<Schema>>>;
  /** A whole list; what is seen twice since the list moved counts once, by its key. */
  all<Schema extends z.ZodType>(
    asked: Asked,
    item: Schema,
    key: (one: z.infer<Schema>) => unknown,
  ): Promise<z.infer<Schema>[]>;
  /** How many a list holds, without reading it; undefined where the answer does not tell. */
  count(asked: Asked): Promise<number | undefined>;
  /** Whether something answers; undefined where it may not be asked, or not in this version. */
  works(asked: Asked): Promise<boolean | undefined>;
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

/** So many pages of one list are not a list any more. */
const mostPages = 100_000;
/** How often a list is read again from where things were deleted while it was read. */
const mostReturns = 20;

const user = z.object({ user_id: z.number().optional() });

function totalOf(response: HttpResponse): number | undefined {
  const text = response.header('x-total-count');
  // `-1` where Harbor did not count.
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/**
 * The number of the next page, from `Link`; where a proxy dropped that header, from `X-Total-Count`; without either
 * there is another page while they come full. The address in `Link` is not used: behind a proxy that serves Harbor
 * under another path it is a wrong one.
 */
function nextPage(response: HttpResponse, page: number, size: number, length: number): number | undefined {
  const total = totalOf(response);
  const link = parseLinkNext(response.headerLines('link'), response.url);
  if (!link) {
    const more = total === undefined ? length >= size : page * size < total;
    return more && length > 0 ? page + 1 : undefined;
  }
  const named = link.searchParams.get('page') ?? String(page + 1);
  if (!/^\d+$/.test(named) || Number(named) <= page || page >= mostPages)
    throw new CollectError(
      'pagination',
      `${shown(response.url)} says that page ${named} comes after page ${page}: its listing never ends`,
    );
  return Number(named);
}

export function createHarbor(options: {
  readonly http: HttpClient;
  readonly endpoint: URL;
  readonly auth: Auth | undefined;
  readonly pageSize: number;
}): Harbor {
  const { http, endpoint, auth, pageSize } = options;
  const base = endpoint.href.replace(/\/+$/, '').replace(/\/api\/v2\.0$/, '');
  const credentials = credentialsOf(auth, endpoint);

  async function authorization(): Promise<Record<string, string>> {
    const given = await credentials();
    if (!given) return {};
    if ('token' in given && given.token !== undefined) return { authorization: `Bearer ${given.token}` };
    if (!('username' in given))
      throw new CollectError('auth', 'Harbor takes a user or robot account with its password or secret');
    const pair = `${given.username}:${given.password}`;
    return { authorization: `Basic ${Buffer.from(pair, 'utf8').toString('base64')}` };
  }

  async function request(
    { operation, path, query }: Asked,
    accept: readonly number[] = [],
  ): Promise<HttpResponse> {
    const url = new URL(`${base}/api/v2.0${path}`);
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    return http.request({
      url,
      operation,
      accept,
      headers: {
        accept: 'application/json',
        // A project may be named like a number, which would else be taken for an id.
        'x-is-resource-name': 'true',
        'x-accept-vulnerabilities': reportTypes.join(', '),
        ...(await authorization()),
      },
    });
  }

  async function* pages<Schema extends z.ZodType>(
    asked: Asked,
    item: Schema,
  ): AsyncGenerator<Page<z.infer<Schema>>> {
    let page: number | undefined = 1;
    let before: number | undefined;
    for (let returns = 0; page !== undefined; ) {
      const query = { ...asked.query, page: String(page), page_size: String(pageSize) };
      const response = await request({ ...asked, query });
      const items = json(response, z.array(item)) as z.infer<Schema>[];
      const total = totalOf(response);
      // What was deleted moved the rest towards the front: the first of this page may stand on one that was read
      // before. Harbor pages by offset, so the only way to miss none is to go back.
      const gone: number = before !== undefined && total !== undefined ? before - total : 0;
      before = total;
      if (gone > 0 && page > 1) {
        returns += 1;
        if (returns > mostReturns)
          throw new CollectError(
            'pagination',
            `${shown(response.url)} shrinks faster than it can be read: it will be read at the next poll`,
          );
        page = Math.max(1, page - Math.ceil(gone / pageSize));
        continue;
      }
      yield { items, total };
      page = nextPage(response, page, pageSize, items.length);
    }
  }

  return {
    authenticates: auth !== undefined,
    get: async (asked, schema) => json(await request(asked), schema),
    pages,
    async all(asked, item, key) {
      const all = new Map<unknown, z.infer<typeof item>>();
      for await (const { items } of pages(asked, item)) for (const one of items) all.set(key(one), one);
      return [...all.values()];
    },
    async count(asked) {
      const response = await request({ ...asked, query: { ...asked.query, page: '1', page_size: '1' } });
      json(response, z.array(z.unknown()));
      return totalOf(response);
    },
    async works(asked) {
      const { status } = await request(asked, [403, 404, 405, 412, 500, 502, 503, 504]);
      return status >= 500 ? false : status < 300 ? true : undefined;
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
