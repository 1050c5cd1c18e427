import type { z } from 'zod';
import { CollectError } from '../../errors.ts';
import {
  createPageGuard,
  type HttpClient,
  type HttpRequest,
  type HttpResponse,
  type Judgement,
  json,
  shown,
} from '../../http.ts';
import type { Bearer, Login } from './login.ts';
import { hubError, listedRepository, listedTag, pageOf, repositoryDetail } from './wire.ts';

/** One walk over the pages of a listing. */
export interface Walk {
  /** Whether the listing changed under way, so that something may have slipped from one page to another. */
  moved: boolean;
}

/** The requests of the Docker Hub API that are needed here. */
export interface Hub {
  /** Pages of what is new in them. */
  repositories(namespace: string, walk: Walk): AsyncIterable<readonly z.infer<typeof listedRepository>[]>;
  /** Pages of what is new in them. @throws CollectError `not_found` when there is no such thing */
  tags(repository: string, walk: Walk): AsyncIterable<readonly z.infer<typeof listedTag>[]>;
  /** @throws CollectError `not_found` when the repository is definitely not there */
  repository(repository: string): Promise<z.infer<typeof repositoryDetail>>;
}

/** A listing that changes while its numbered pages are read may lose an entry between two pages: it is read again. */
export const maxWalks = 3;

export const hubAddress = 'https://hub.docker.com';

/** The largest page: https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/listNamespaceRepositories */
const pageSize = 100;
/** So many pages in a row with nothing new in them are a listing without end. */
const maxIdlePages = 20;
/** Longer than any poll, and short enough for Node's timers. */
const longestWaitMs = 86_400_000;
/** A token may expire while its request waits for its turn. */
const maxRenewals = 3;

/**
 * How long a 429 asks to wait: `Retry-After` is read elsewhere; Docker Hub also sent, and may still send, the Unix time
 * as `X-Retry-After`, and tells with each answer when its minute ends.
 * https://docs.docker.com/reference/api/hub/latest/#tag/rate-limiting
 */
export function judgeHub(response: HttpResponse): Judgement | undefined {
  if (response.status !== 429 || response.header('retry-after') !== undefined) return undefined;
  const at = Number(response.header('x-retry-after') ?? response.header('x-ratelimit-reset') ?? Number.NaN);
  if (!(at >= 0)) return undefined;
  // Both times are Docker Hub's: its own clock tells what is left.
  const date = Date.parse(response.header('date') ?? '');
  const now = Number.isNaN(date) ? Date.now() : date;
  const waitMs = at < 1e9 ? at * 1000 : Math.max(0, at * 1000 - now);
  return { reason: 'throttled', retryAfterMs: Math.min(waitMs, longestWaitMs) };
}

/** Escapes one part of a path; `.` and `..` would lead to another address, however they are escaped. */
function inPath(part: string): string {
  if (part !== '' && part !== '.' && part !== '..') return encodeURIComponent(part);
  throw new CollectError('invalid_response', `Docker Hub names ${JSON.stringify(part)}, which is no name`);
}

const pathOf = (repository: string): string => {
  const slash = repository.indexOf('/');
  return `/v2/namespaces/${inPath(repository.slice(0, slash))}/repositories/${inPath(repository.slice(slash + 1))}`;
};

/** Whether it is Docker Hub that says so: a 404 of a proxy in between says nothing of the repository. */
function isHubError(response: HttpResponse): boolean {
  try {
    return hubError.safeParse(JSON.parse(response.body.toString('utf8'))).success;
  } catch {
    return false;
  }
}

/** What to do about an answer that the credentials are not good enough for. */
function refused(response: HttpResponse, bearer: Bearer | undefined, needed: string): CollectError {
  const body = response.body.toString('utf8');
  const next = /pagination offset/i.test(body)
    ? 'without credentials Docker Hub lists the first 1000 only: give an access token under auth'
    : bearer
      ? `the access token of ${bearer.account.username} lacks a permission: a personal one needs Read-only and an account that may read it, an organisation's needs ${needed}`
      : 'it wants credentials: give an access token under auth';
  return new CollectError('forbidden', `GET ${shown(response.url)} answered ${response.status}: ${next}`, {
    status: response.status,
  });
}

export function createHub(options: {
  readonly http: HttpClient;
  readonly endpoint: string;
  readonly login: Login;
}): Hub {
  const { http, endpoint, login } = options;

  /** @param needed the organisation token's scope that allows it, for people */
  async function request(asked: HttpRequest, needed: string): Promise<HttpResponse> {
    let bearer = await login.bearer();
    for (let renewals = 0; ; renewals += 1) {
      const response = await http.request({
        ...asked,
        accept: [401, 403, ...(asked.accept ?? [])],
        headers: { accept: 'application/json', ...(bearer && { authorization: `Bearer ${bearer.value}` }) },
      });
      if (response.status === 403) throw refused(response, bearer, needed);
      if (response.status !== 401) return response;
      if (!bearer || renewals >= maxRenewals)
        throw new CollectError(
          'auth',
          `GET ${shown(response.url)} answered 401: ${bearer ? `a new token of ${bearer.account.username} is refused too` : 'it wants credentials: give an access token under auth'}`,
          { status: 401 },
        );
      bearer = await login.renew(bearer);
    }
  }

  /**
   * The next page at the endpoint. Docker Hub names its own address there, also behind a proxy that is the endpoint;
   * any other address is refused by the page guard.
   */
  function nextPage(next: string, base: URL): URL {
    if (!URL.canParse(next, base))
      throw new CollectError('pagination', `${base.origin} sent a next page that is no address`);
    const url = new URL(next, base);
    return url.host === new URL(hubAddress).host ? new URL(`${endpoint}${url.pathname}${url.search}`) : url;
  }

  async function* pages<Item extends z.ZodType>(
    listing: {
      readonly path: string;
      readonly query: string;
      readonly operation: string;
      readonly item: Item;
      readonly needed: string;
      /** What a 404 means, for people. */
      readonly missing: string;
    },
    nameOf: (item: z.infer<Item>) => string,
    walk: Walk,
  ): AsyncGenerator<readonly z.infer<Item>[]> {
    const { path, query, operation, item, needed, missing } = listing;
    const page = pageOf(item);
    const first = new URL(`${endpoint}${path}?page=1&page_size=${pageSize}${query}`);
    const guard = createPageGuard(first.origin);
    const seen = new Set<string>();
    let total: number | undefined;
    let idle = 0;
    for (let url = first; ; ) {
      const response = await request({ url, operation, accept: [404] }, needed);
      if (response.status === 404) {
        if (!isHubError(response))
          throw new CollectError(
            'invalid_response',
            `GET ${shown(url)} answered 404, and not as Docker Hub does`,
            {
              status: 404,
            },
          );
        if (url === first)
          throw new CollectError('not_found', `GET ${shown(url)} answered 404: ${missing}`, { status: 404 });
        // Pages are numbered: the last one is gone when so much was deleted meanwhile.
        walk.moved = true;
        return;
      }
      const { results, next, count } = json(response, page);
      const fresh = results.filter((one) => {
        const name = nameOf(one);
        return !seen.has(name) && seen.add(name);
      });
      const known = count ?? total;
      if (fresh.length < results.length || (total !== undefined && known !== total)) walk.moved = true;
      total = known;
      idle = fresh.length > 0 ? 0 : idle + 1;
      yield fresh;
      if (next === null || next === undefined || next === '') return;
      if (idle >= maxIdlePages)
        throw new CollectError(
          'pagination',
          `${first.origin} sent ${idle} pages in a row with nothing new: its listing never ends`,
        );
      url = nextPage(next, url);
      guard(url);
    }
  }

  return {
    repositories: (namespace, walk) =>
      pages(
        {
          path: `/v2/namespaces/${inPath(namespace)}/repositories`,
          // The order of names does not change with a push.
          query: '&ordering=name',
          operation: 'repositories',
          item: listedRepository,
          needed: 'scope-repository-list',
          missing:
            'there is no such organisation or user, or none that the credentials may see: check namespaces',
        },
        ({ name }) => name,
        walk,
      ),
    tags: (repository, walk) =>
      pages(
        {
          path: `${pathOf(repository)}/tags`,
          query: '',
          operation: 'tags',
          item: listedTag,
          needed: 'scope-tag-read for the repository',
          missing: 'there is no such repository, or it has no tags',
        },
        ({ name }) => name,
        walk,
      ),
    async repository(repository) {
      const url = new URL(`${endpoint}${pathOf(repository)}`);
      const needed = 'scope-repository-read for the repository';
      const response = await request({ url, operation: 'repository', accept: [404] }, needed);
      if (response.status !== 404) return json(response, repositoryDetail);
      const reason = isHubError(response) ? 'not_found' : 'invalid_response';
      throw new CollectError(reason, `GET ${shown(url)} answered 404`, { status: 404 });
    },
  };
}
