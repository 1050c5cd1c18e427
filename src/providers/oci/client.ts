import { createHash } from 'node:crypto';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { createPageGuard, type HttpRequest, type HttpResponse, json, parseLinkNext } from '../../http.ts';
import type { Memory } from '../../provider.ts';
import { type Descriptor, indexManifest, manifestAccept, matchesDigest, parseManifest } from './manifest.ts';

/** The requests of the distribution specification that are needed here, answers checked and verified. */
export interface Distribution {
  /** Pages of names. @throws CollectError, with the status where the catalog is refused or missing. */
  catalog(): AsyncIterable<readonly string[]>;
  /** Undefined: the registry does not know the repository. */
  tags(repository: string): Promise<readonly string[] | undefined>;
  /** `missing`: the registry does not answer HEAD for it, or it is not there; no digest: it does not name it. */
  head(repository: string, tag: string): Promise<{ readonly missing: boolean; readonly digest?: string }>;
  /** The digest of what a tag names by reading it; the one already known when it did not move; undefined: gone. */
  read(repository: string, tag: string, known: string | undefined): Promise<string | undefined>;
  /** Verified against its digest. Undefined: not there. */
  manifest(repository: string, digest: string): Promise<Buffer | undefined>;
  /** Verified against its digest. */
  blob(repository: string, digest: string): Promise<Buffer>;
  /** What is attached to a manifest; undefined where the registry has no referrers API. */
  referrers(repository: string, digest: string): Promise<readonly Descriptor[] | undefined>;
}

/** A client that answers challenges; see `registry-auth.ts`. */
export interface ScopedClient {
  request(request: HttpRequest & { readonly scope?: string }): Promise<HttpResponse>;
}

const catalogPage = z.object({ repositories: z.array(z.string()).nullable() });
/** distribution answers `"tags": null` for a repository whose last tag was deleted. */
const tagsPage = z.object({ tags: z.array(z.string()).nullable() });
const errorAnswer = z.object({ errors: z.array(z.object({ code: z.string() })) });

function errorCodes(response: HttpResponse): string[] {
  try {
    const parsed = errorAnswer.safeParse(JSON.parse(response.body.toString('utf8')));
    return parsed.data?.errors.map((error) => error.code) ?? [];
  } catch {
    return [];
  }
}

/**
 * Page sizes to try: distribution answers 400 above its maximum (1000 by default), Quay caps at 100, and some
 * proxies know no `n` at all. https://distribution.github.io/distribution/spec/api/#pagination
 */
const pageSizes = [1000, 100, undefined] as const;
/** So many pages in a row that name nothing new are a listing without end. */
const maxIdlePages = 20;

/** Whether a name can stand in a path: `.` and `..` would lead to another address, however they are escaped. */
export const isName = (name: string): boolean =>
  name.isWellFormed() &&
  name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');

/** Escapes a name for a path. */
function inPath(name: string): string {
  if (!isName(name))
    throw new CollectError(
      'invalid_response',
      `the registry names ${JSON.stringify(name)}, which is no name`,
    );
  return name.split('/').map(encodeURIComponent).join('/');
}

export function createDistribution(client: ScopedClient, endpoint: string, memory: Memory): Distribution {
  const base = endpoint.replace(/\/+$/, '');
  const url = (repository: string, rest: string) => new URL(`${base}/v2/${inPath(repository)}/${rest}`);
  const pull = (repository: string) => `repository:${repository}:pull`;

  /** The first page, with the greatest page size that the registry takes; which one that is is remembered. */
  async function firstPage(request: HttpRequest & { readonly url: URL; readonly scope: string }) {
    const key = `page-size ${request.operation}`;
    const from = memory.get<number>(key)?.value ?? 0;
    for (const [place, size] of pageSizes.entries()) {
      if (place < from) continue;
      const page = new URL(request.url);
      if (size !== undefined) page.searchParams.set('n', String(size));
      const last = place === pageSizes.length - 1;
      const accept = [...(request.accept ?? []), ...(last ? [] : [400])];
      const response = await client.request({ ...request, url: page, accept });
      if (response.status === 400) continue;
      if (place !== from) memory.set(key, place);
      return response;
    }
    throw new CollectError('internal', 'no page size was tried');
  }

  /** All pages after the first one, guarded against listings that never end. */
  async function* pages<T>(
    first: HttpResponse,
    request: { readonly operation: string; readonly scope: string },
    parse: (response: HttpResponse) => readonly T[],
  ): AsyncGenerator<readonly T[]> {
    const guard = createPageGuard(new URL(base).origin);
    const seen = new Set<unknown>();
    let idle = 0;
    for (let response = first; ; ) {
      const items = parse(response);
      const before = seen.size;
      for (const item of items) seen.add(typeof item === 'object' ? JSON.stringify(item) : item);
      idle = seen.size > before ? 0 : idle + 1;
      yield items;
      const next = parseLinkNext(response.headerLines('link'), response.url);
      if (!next) return;
      if (idle >= maxIdlePages)
        throw new CollectError(
          'pagination',
          `${new URL(base).origin} sent ${idle} pages in a row with nothing new: its listing never ends`,
        );
      guard(next);
      response = await client.request({ ...request, url: next });
    }
  }

  /** Whether it is the registry that does not know the thing: a 404 of a proxy in between says nothing of it. */
  const isUnknown = (response: HttpResponse): boolean => {
    if (response.status !== 404) return false;
    if (errorCodes(response).length > 0) return true;
    throw plain404(response.url);
  };

  const verify = (body: Buffer, digest: string, where: URL): Buffer => {
    if (matchesDigest(body, digest)) return body;
    throw new CollectError(
      'invalid_response',
      `${where.origin}${where.pathname} answered something else than its digest names`,
    );
  };

  const request = (repository: string, rest: string, operation: string) => ({
    url: url(repository, rest),
    operation,
    scope: pull(repository),
  });

  return {
    async *catalog() {
      const asked = { operation: 'catalog', scope: 'registry:catalog:*' };
      const first = await firstPage({ ...asked, url: new URL(`${base}/v2/_catalog`) });
      yield* pages(first, asked, (response) => json(response, catalogPage).repositories ?? []);
    },
    async tags(repository) {
      const asked = request(repository, 'tags/list', 'tags');
      const first = await firstPage({ ...asked, accept: [404] });
      if (first.status === 404) {
        if (errorCodes(first).includes('NAME_UNKNOWN')) return undefined;
        throw plain404(first.url);
      }
      const tags = new Set<string>();
      for await (const page of pages(first, asked, (response) => json(response, tagsPage).tags ?? []))
        for (const tag of page) tags.add(tag);
      return [...tags];
    },
    async head(repository, tag) {
      const response = await client.request({
        ...request(repository, `manifests/${inPath(tag)}`, 'manifest_head'),
        method: 'HEAD',
        headers: { accept: manifestAccept },
        accept: [404, 405, 501],
      });
      if (response.status >= 400) return { missing: true };
      const digest = response.header('docker-content-digest');
      return { missing: false, ...(digest !== undefined && { digest }) };
    },
    async read(repository, tag, known) {
      const response = await client.request({
        ...request(repository, `manifests/${inPath(tag)}`, 'manifest_by_tag'),
        headers: { accept: manifestAccept, ...(known !== undefined && { 'if-none-match': `"${known}"` }) },
        accept: [304, 404],
      });
      if (isUnknown(response)) return undefined;
      if (response.status === 304) return known;
      const digest = response.header('docker-content-digest');
      if (digest === undefined) return digestOfManifest(response);
      if (!isSchema1(response)) verify(response.body, digest, response.url);
      return digest;
    },
    async manifest(repository, digest) {
      const response = await client.request({
        ...request(repository, `manifests/${digest}`, 'manifest'),
        headers: { accept: manifestAccept },
        accept: [404],
      });
      if (isUnknown(response)) return undefined;
      return isSchema1(response) ? response.body : verify(response.body, digest, response.url);
    },
    async blob(repository, digest) {
      const response = await client.request(request(repository, `blobs/${digest}`, 'blob'));
      return verify(response.body, digest, response.url);
    },
    async referrers(repository, digest) {
      const asked = request(repository, `referrers/${digest}`, 'referrers');
      const first = await client.request({ ...asked, accept: [404, 405, 501] });
      if (first.status >= 400) {
        // A registry that has the API does not answer 404 for lack of referrers, but may for what was deleted.
        const gone = errorCodes(first).some((code) => code === 'NAME_UNKNOWN' || code === 'MANIFEST_UNKNOWN');
        return gone ? [] : undefined;
      }
      const found: Descriptor[] = [];
      for await (const page of pages(
        first,
        asked,
        (response) => json(response, indexManifest).manifests ?? [],
      ))
        found.push(...page);
      return found;
    },
  };
}

const plain404 = ({ origin, pathname }: URL): CollectError =>
  new CollectError(
    'not_found',
    `GET ${origin}${pathname} answered 404, but not as a registry does: is it what answers there?`,
    { status: 404 },
  );

/** The digest of an answer that does not name it: of a manifest only, not of whatever stood in its place. */
function digestOfManifest({ body, url }: HttpResponse): string {
  try {
    parseManifest(body);
  } catch (cause) {
    throw new CollectError('invalid_response', `${url.origin}${url.pathname} answered no manifest`, {
      cause,
    });
  }
  return `sha256:${createHash('sha256').update(body).digest('hex')}`;
}

/** The digest of a schema 1 manifest leaves its signatures out, and cannot be verified from its bytes. */
function isSchema1(response: HttpResponse): boolean {
  return /distribution\.manifest\.v1\+/.test(response.header('content-type') ?? '');
}
