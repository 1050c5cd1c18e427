import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { nextByLink, walkNames, walkPages } from '../../http/pages.ts';
import { type HttpRequest, type HttpResponse, json, shown } from '../../http.ts';
import { referrerOf, referrersPage } from '../../images/forms.ts';
import type { Memory } from '../../provider.ts';
import { errorCodes, notOfARegistry } from '../../registry-answers.ts';
import { catalogScope } from '../../registry-auth.ts';
import { isName } from './names.ts';

/** A client that answers challenges; see `registry-auth.ts`. */
export interface ScopedClient {
  request(request: HttpRequest & { readonly scope?: string }): Promise<HttpResponse>;
}

type Asked = HttpRequest & { readonly url: URL; readonly scope: string };

/** Elements of any type: {@link textsOf} checks them. */
const names = z.array(z.unknown()).max(1_000_000).nullable();
const catalogPage = z.object({ repositories: names });
/** distribution answers `"tags": null` for a repository whose last tag was deleted. */
const tagsPage = z.object({ tags: names });

/**
 * Names as the list has them. An element that is no text becomes `(number)/` for example, which is neither a name nor a
 * tag: the caller reports it and asks for nothing.
 * @throws CollectError `invalid_response` for a list that is mostly of something else
 */
function textsOf(values: readonly unknown[], { url }: HttpResponse): string[] {
  const odd = values.filter((value) => typeof value !== 'string').length;
  if (odd >= 10 && odd * 2 > values.length)
    throw new CollectError(
      'invalid_response',
      `${shown(url)} answered with a list of ${values.length}, of which ${odd} are no text: is it a list of names?`,
    );
  return values.map((value) => (typeof value === 'string' ? value : `(${typeof value})/`));
}

/**
 * Page sizes to try: distribution answers 400 above its maximum (1000 by default), Quay caps at 100, and some
 * proxies know no `n` at all. https://distribution.github.io/distribution/spec/api/#pagination
 */
const pageSizes: readonly (number | undefined)[] = [1000, 100, undefined];

/** Answers that say that a page cannot be of this size; 400 by the specification. */
const sizeRefusals = [400, 416, 422];

/** Answers that say that a page cannot be asked for in this way. */
const pageRefusals = [400, 404, 405, 406, 416, 422, 501];

/**
 * Answers of registries that do not offer the referrers API, besides 404: Artifactory says 406, Quay 400, Harbor's
 * proxies 401, GitHub's redirects to its web site.
 */
const referrerRefusals = [301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 410, 415, 422, 501];

/**
 * Codes of a 404 to a list of tags: that of the specification, Harbor's, and that of registries which know repositories
 * by their manifests only. https://github.com/goharbor/harbor/blob/main/src/lib/errors/const.go
 */
const unknownNames: ReadonlySet<string> = new Set(['NAME_UNKNOWN', 'NOT_FOUND', 'MANIFEST_UNKNOWN']);

/** What is attached to a manifest. */
export interface Attached {
  readonly digests: readonly string[];
  /** Whether all that was listed could be understood. */
  readonly complete: boolean;
}

/** The lists of the distribution specification. */
export class Listings {
  readonly #client: ScopedClient;
  readonly #base: string;
  readonly #memory: Memory;

  /** @param base the registry's address, without a slash at its end */
  constructor(client: ScopedClient, base: string, memory: Memory) {
    this.#client = client;
    this.#base = base;
    this.#memory = memory;
  }

  /** Pages of names. */
  async *catalog(): AsyncGenerator<readonly string[]> {
    const url = new URL(`${this.#base}/v2/_catalog`);
    const asked = { url, operation: 'catalog', scope: catalogScope };
    const first = await this.#firstPage(asked);
    yield* this.#walk(asked, first, (page) => textsOf(json(page, catalogPage).repositories ?? [], page));
  }

  /** Undefined: the registry does not know the repository. */
  async tags(asked: Asked): Promise<readonly string[] | undefined> {
    const first = await this.#firstPage({ ...asked, accept: [404] });
    if (first.answer.status === 404) {
      if (errorCodes(first.answer).some((code) => unknownNames.has(code))) return undefined;
      throw notOfARegistry(first.answer.url);
    }
    const pages = this.#walk(asked, first, (page) => textsOf(json(page, tagsPage).tags ?? [], page));
    return (await Array.fromAsync(pages)).flat();
  }

  /** What is attached to a manifest; undefined where the registry does not offer that. */
  async referrers(asked: Asked): Promise<Attached | undefined> {
    const first = await firstReferrers(this.#client, asked);
    if (!first) return undefined;
    if (first === 'gone') return { digests: [], complete: true };
    const pages = walkPages({
      what: `${asked.url.origin}${asked.url.pathname}`,
      first: asked.url,
      placeOf: ({ href }) => href,
      keyOf: (item) => referrerOf(item) ?? item,
      read: async (url) => {
        const page = url === asked.url ? first : await this.#client.request({ ...asked, url });
        return { items: json(page, referrersPage).manifests ?? [], next: nextByLink(page, url) };
      },
    });
    const digests = (await Array.fromAsync(pages)).flat().map(referrerOf);
    const listed = digests.filter((digest) => digest !== undefined);
    return { digests: listed, complete: listed.length === digests.length };
  }

  /** The first page, with the greatest page size that the registry takes; which one that is is remembered. */
  async #firstPage(asked: Asked): Promise<FirstPage> {
    const key = `page-size ${asked.operation}`;
    const remembered = this.#memory.get<number>(key)?.value ?? 0;
    for (let at = remembered; ; at += 1) {
      const size = pageSizes[at];
      const url = new URL(asked.url);
      if (size !== undefined) url.searchParams.set('n', String(size));
      const refusals = size === undefined ? [] : sizeRefusals;
      const accept = [...(asked.accept ?? []), ...refusals];
      const answer = await this.#client.request({ ...asked, url, accept });
      if (refusals.includes(answer.status)) continue;
      if (at !== remembered) this.#memory.set(key, at);
      return { url, answer };
    }
  }

  #walk(asked: Asked, first: FirstPage, namesOf: (page: HttpResponse) => readonly string[]) {
    return walkNames({
      first: first.url,
      answer: first.answer,
      namesOf,
      isName,
      request: async (url, tentative) => {
        const accept = tentative ? pageRefusals : [];
        const response = await this.#client.request({ ...asked, url, accept });
        return response.status >= 400 ? undefined : response;
      },
    });
  }
}

interface FirstPage {
  readonly url: URL;
  readonly answer: HttpResponse;
}

/** The first page of referrers; `gone` where their subject is; undefined where the registry does not offer them. */
async function firstReferrers(
  client: ScopedClient,
  asked: Asked,
): Promise<HttpResponse | 'gone' | undefined> {
  const ask = (url: URL) =>
    client.request({ ...asked, url, accept: referrerRefusals, redirects: 'returned' });
  let response = await ask(asked.url);
  const location = response.header('location');
  if (response.status < 400 && location !== undefined && URL.canParse(location, response.url)) {
    const next = new URL(location, response.url);
    // A web site is no referrers API, and may not even be reachable.
    if (next.origin !== asked.url.origin || !next.pathname.includes('/referrers/')) return undefined;
    response = await ask(next);
  }
  if (response.status === 401 && response.headerLines('www-authenticate').length > 0)
    throw new CollectError(
      'forbidden',
      `${asked.url.origin}${asked.url.pathname} answered 401: the credentials are not enough for it`,
      { status: 401 },
    );
  if (response.status >= 300) {
    // A registry that has the API does not answer 404 for lack of referrers, but may for what was deleted.
    const codes = errorCodes(response);
    return codes.includes('NAME_UNKNOWN') || codes.includes('MANIFEST_UNKNOWN') ? 'gone' : undefined;
  }
  return isIndex(response) ? response : undefined;
}

/**
 * What has no list of manifests is a page for people, or the answer of a registry that answers anything.
 * @throws CollectError for JSON that is broken: its list is unknown
 */
function isIndex(response: HttpResponse): boolean {
  try {
    json(response, z.object({ manifests: z.array(z.unknown()).nullable() }));
    return true;
  } catch (error) {
    const isJson = /^\s*\{/.test(response.body.toString('utf8', 0, 100));
    if (isJson && error instanceof CollectError && error.cause instanceof SyntaxError) throw error;
    return false;
  }
}
