import type { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { walkPages } from '../../http/pages.ts';
import { jsonIn } from '../../http/parse.ts';
import {
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
  /** Entries that could not be understood: the list is not whole. */
  odd: number;
}

/** The requests of the Docker Hub API that are needed here. */
export interface Hub {
  /** Pages of what is new in them. */
  repositories(namespace: string, walk: Walk): AsyncIterable<readonly z.infer<typeof listedRepository>[]>;
  /** Pages of what is new in them. @throws CollectError `not_found` when there is no such thing */
  tags(repository: string, walk: Walk): AsyncIterable<readonly z.infer<typeof listedTag>[]>;
  /** Whether there is a user or organisation of this name; undefined where Docker Hub does not tell. */
  exists(namespace: string): Promise<boolean | undefined>;
  /** @throws CollectError `not_found` when the repository is definitely not there */
  repository(repository: string): Promise<z.infer<typeof repositoryDetail>>;
}

/** A listing that changes while its numbered pages are read may lose an entry between two pages: it is read again. */
export const maxWalks = 3;

export const hubAddress = 'https://hub.docker.com';

/** The largest page: https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/listNamespaceRepositories */
const pageSize = 100;
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
    return hubError.safeParse(jsonIn(response.body)).success;
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

/** A listing that is read page by page. */
interface Listed<Item extends z.ZodType> {
  readonly path: string;
  readonly query: string;
  readonly operation: string;
  readonly item: Item;
  readonly needed: string;
  /** What a 404 means, for people. */
  readonly missing: string;
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
   * The next page at the endpoint: Docker Hub names its own address, also behind a proxy that is the endpoint. Only the
   * query is used, so that it never leads elsewhere.
   */
  function nextPage(next: string, asked: URL): URL {
    if (!URL.canParse(next, asked))
      throw new CollectError('pagination', `${asked.origin} sent a next page that is no address`);
    const url = new URL(asked);
    url.search = new URL(next, asked).search;
    return url;
  }

  /** One page; undefined for a numbered page that is not there any more. */
  async function page<Item extends z.ZodType>(url: URL, first: URL, listing: Listed<Item>) {
    const { operation, needed, missing } = listing;
    const response = await request({ url, operation, accept: [404] }, needed);
    if (response.status !== 404) return json(response, pageOf(listing.item));
    if (!isHubError(response))
      throw new CollectError(
        'invalid_response',
        `GET ${shown(url)} answered 404, and not as Docker Hub does`,
        {
          status: 404,
        },
      );
    if (url !== first) return undefined;
    throw new CollectError('not_found', `GET ${shown(url)} answered 404: ${missing}`, { status: 404 });
  }

  function pages<Item extends z.ZodType>(
    listing: Listed<Item>,
    nameOf: (item: z.infer<Item>) => string,
    walk: Walk,
  ): AsyncGenerator<readonly z.infer<Item>[]> {
    const first = new URL(`${endpoint}${listing.path}?page=1&page_size=${pageSize}${listing.query}`);
    const seen = new Set<string>();
    let total: number | undefined;
    return walkPages<z.infer<Item>, URL>({
      what: `${first.origin}${first.pathname}`,
      first,
      placeOf: ({ href }) => href,
      keyOf: nameOf,
      async read(url) {
        const read = await page(url, first, listing);
        // Pages are numbered: the last one is gone when so much was deleted meanwhile.
        if (!read) {
          walk.moved = true;
          return { items: [] };
        }
        const { next, count } = read;
        const { items, left } = read.results;
        walk.odd += left;
        const known = count ?? total;
        if (items.some((item) => seen.has(nameOf(item))) || (total !== undefined && known !== total))
          walk.moved = true;
        for (const item of items) seen.add(nameOf(item));
        total = known;
        if (next) return { items, next: nextPage(next, url) };
        // An end that is not the end: more were counted than were shown.
        if (known !== undefined && known > seen.size && items.length + left >= pageSize)
          throw new CollectError(
            'pagination',
            `${shown(url)} counts ${known} entries, shows ${seen.size} and names no next page: the rest is unknown`,
          );
        return { items };
      },
    });
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
    async exists(namespace) {
      // A listing answers 200 and nothing for what does not exist, on purpose:
      // https://github.com/docker/hub-feedback/issues/2357
      let missing = 0;
      for (const kind of ['users', 'orgs']) {
        const url = new URL(`${endpoint}/v2/${kind}/${inPath(namespace)}`);
        const response = await http.request({ url, operation: 'namespace', accept: [400, 401, 403, 404] });
        if (response.status < 300) return true;
        if (response.status === 404 && isHubError(response)) missing += 1;
      }
      return missing === 2 ? false : undefined;
    },
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
