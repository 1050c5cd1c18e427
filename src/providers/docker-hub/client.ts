import type { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { walkPages } from '../../http/pages.ts';
import { type HttpClient, type HttpRequest, type HttpResponse, json, shown } from '../../http.ts';
import { failed, isHubError, noCredentials, notFound, refused } from './errors.ts';
import type { Login } from './login.ts';
import { listedRepository, listedTag, pageOf, repositoryDetail } from './wire.ts';

/** What is noticed while a listing is read. */
export interface Walk {
  /** Whether the listing changed meanwhile, so that something may have slipped from one page to another. */
  moved: boolean;
  /** Entries that could not be understood. */
  odd: number;
  /** Entries that the listing counts and does not show. */
  missing: number;
}

export const newWalk = (): Walk => ({ moved: false, odd: 0, missing: 0 });

type Pages<Item extends z.ZodType> = AsyncIterable<readonly z.infer<Item>[]>;

/** The part of Docker Hub's API that is needed here. */
export interface Hub {
  /** Entries that were not on an earlier page, page by page. */
  repositories(namespace: string, walk: Walk): Pages<typeof listedRepository>;
  /** The same of tags. @throws CollectError `not_found` when there is no such repository, or no tag */
  tags(repository: string, walk: Walk): Pages<typeof listedTag>;
  /** Whether there is a user or organisation of this name; undefined where Docker Hub does not tell. */
  exists(namespace: string): Promise<boolean | undefined>;
  /** @throws CollectError `not_found` when there is definitely no such repository */
  repository(repository: string): Promise<z.infer<typeof repositoryDetail>>;
}

/** A listing that changes while its numbered pages are read may lose an entry between two pages: it is read again. */
export const maxWalks = 3;

export const hubAddress = 'https://hub.docker.com';

/** The largest page: https://docs.docker.com/reference/api/hub/latest/#tag/repositories/operation/listNamespaceRepositories */
const pageSize = 100;
/** A token may expire while its request waits for its turn. */
const maxRenewals = 3;

/** Escapes one part of a path; `.` and `..` would lead to another address, however they are escaped. */
function inPath(part: string): string {
  if (part !== '' && part !== '.' && part !== '..') return encodeURIComponent(part);
  throw new CollectError('invalid_response', `Docker Hub names ${JSON.stringify(part)}, which is no name`);
}

const pathOf = (repository: string): string => {
  const slash = repository.indexOf('/');
  return `/v2/namespaces/${inPath(repository.slice(0, slash))}/repositories/${inPath(repository.slice(slash + 1))}`;
};

/** A listing that is read page by page. */
interface Listing<Item extends z.ZodType> {
  readonly path: string;
  readonly operation: string;
  readonly item: Item;
  /** The scope of an organisation's token that allows it. */
  readonly needed: string;
  /** What a 404 means. */
  readonly missing: string;
}

/** Sends requests with the bearer token, which is renewed when Docker Hub refuses it. */
function createRequest(http: HttpClient, login: Login) {
  /** @param needed the scope of an organisation's token that allows it */
  return async (request: HttpRequest, needed: string): Promise<HttpResponse> => {
    let bearer = await login.bearer();
    for (let renewals = 0; ; renewals += 1) {
      const response = await http.request({
        ...request,
        accept: [401, 403, 404],
        headers: { accept: 'application/json', ...(bearer && { authorization: `Bearer ${bearer.value}` }) },
      });
      if (response.status === 403) throw refused(response, bearer, needed);
      if (response.status !== 401) return response;
      if (!bearer) throw failed('auth', response, noCredentials);
      if (renewals >= maxRenewals)
        throw failed('auth', response, `a new token of ${bearer.account.username} is refused too`);
      bearer = await login.bearer(bearer);
    }
  };
}

/**
 * The next page at the endpoint. Docker Hub names its own address, also behind a proxy that is the endpoint: only its
 * query is used, so that it never leads elsewhere.
 */
function nextPage(next: string, page: URL): URL {
  if (!URL.canParse(next, page))
    throw new CollectError('pagination', `${page.origin} sent a next page that is no address`);
  const url = new URL(page);
  url.search = new URL(next, page).search;
  return url;
}

/** Notices whether a listing changes while it is read, and what is missing of it. */
function createWatch(walk: Walk) {
  const seen = new Set<string>();
  let total: number | undefined;
  /** The least of the counts: what is new since the listing began is not missing. */
  let least: number | undefined;
  return {
    /**
     * @param left how many entries of the page could not be understood
     * @param count how many entries the listing has
     * @returns how many were seen
     */
    note(items: readonly { readonly name: string }[], left: number, count = total): number {
      if (items.some(({ name }) => seen.has(name)) || (total !== undefined && count !== total))
        walk.moved = true;
      for (const { name } of items) seen.add(name);
      total = count;
      least = count === undefined ? least : Math.min(count, least ?? count);
      walk.odd += left;
      walk.missing = Math.max(0, (least ?? 0) - seen.size - walk.odd);
      return seen.size;
    },
  };
}

/** Reads the pages of a listing. */
function createPages(request: ReturnType<typeof createRequest>, endpoint: string) {
  return <Item extends z.ZodType<{ readonly name: string }>>(
    { path, operation, item, needed, missing }: Listing<Item>,
    walk: Walk,
  ): AsyncGenerator<readonly z.infer<Item>[]> => {
    // Repositories are ordered by name, which a push does not change; tags know no order by name.
    const order = operation === 'repositories' ? '&ordering=name' : '';
    const first = new URL(`${endpoint}${path}?page=1&page_size=${pageSize}${order}`);
    const watch = createWatch(walk);

    async function read(url: URL) {
      const response = await request({ url, operation }, needed);
      if (response.status === 404) {
        if (url === first || !isHubError(response)) throw notFound(response, missing);
        // Pages are numbered: the last one is gone when so much was deleted meanwhile.
        walk.moved = true;
        return { items: [] };
      }
      const { next, count, results } = json(response, pageOf(item));
      const { items, left } = results;
      const seen = watch.note(items, left, count);
      // More were counted than were shown: it is not the end.
      if (!next && walk.missing > 0 && items.length + left >= pageSize)
        throw new CollectError(
          'pagination',
          `${shown(url)} shows ${seen} entries, counts ${walk.missing} more and names no next page: they are unknown`,
        );
      return { items, next: next ? nextPage(next, url) : undefined };
    }
    return walkPages<z.infer<Item>, URL>({
      what: `${first.origin}${first.pathname}`,
      first,
      placeOf: ({ href }) => href,
      keyOf: ({ name }) => name,
      read,
    });
  };
}

export function createHub(options: {
  readonly http: HttpClient;
  readonly endpoint: string;
  readonly login: Login;
}): Hub {
  const { http, endpoint, login } = options;
  const request = createRequest(http, login);
  const pages = createPages(request, endpoint);
  return {
    repositories: (namespace, walk) =>
      pages(
        {
          path: `/v2/namespaces/${inPath(namespace)}/repositories`,
          operation: 'repositories',
          item: listedRepository,
          needed: 'scope-repository-list',
          missing:
            'there is no such organisation or user, or none that the credentials may see: check namespaces',
        },
        walk,
      ),
    tags: (repository, walk) =>
      pages(
        {
          path: `${pathOf(repository)}/tags`,
          operation: 'tags',
          item: listedTag,
          needed: 'scope-tag-read for the repository',
          missing: 'there is no such repository, or it has no tags',
        },
        walk,
      ),
    async exists(namespace) {
      // A listing answers 200 and nothing for what does not exist, on purpose:
      // https://github.com/docker/hub-feedback/issues/2357
      let missing = 0;
      for (const kind of ['users', 'orgs']) {
        const url = `${endpoint}/v2/${kind}/${inPath(namespace)}`;
        const response = await http.request({ url, operation: 'namespace', accept: [400, 401, 403, 404] });
        if (response.status < 300) return true;
        if (response.status === 404 && isHubError(response)) missing += 1;
      }
      return missing === 2 ? false : undefined;
    },
    async repository(repository) {
      const url = `${endpoint}${pathOf(repository)}`;
      const response = await request(
        { url, operation: 'repository' },
        'scope-repository-read for the repository',
      );
      if (response.status !== 404) return json(response, repositoryDetail);
      throw notFound(response, 'there is no such repository');
    },
  };
}
