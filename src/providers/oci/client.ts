import { createHash } from 'node:crypto';
import { CollectError } from '../../errors.ts';
import { type HttpResponse, largestAnswer } from '../../http.ts';
import { isDigest, matchesDigest } from '../../images/digest.ts';
import { type Document, jsonOf, manifestAccept, parseManifest } from '../../images/manifest.ts';
import type { Memory } from '../../provider.ts';
import { errorCodes, notOfARegistry } from '../../registry-answers.ts';
import { pullScope } from '../../registry-auth.ts';
import { type Attached, Listings, type ScopedClient } from './listings.ts';
import { isName } from './names.ts';

/** What a tag names, as reading it shows; without the document where it did not change. */
export interface Tagged {
  readonly digest: string;
  readonly document?: Document;
}

/** The requests of the distribution specification that are needed here, answers checked and verified. */
export interface Distribution {
  /** Pages of names. @throws CollectError, with the status where the catalog is refused or missing. */
  catalog(): AsyncIterable<readonly string[]>;
  /** Undefined: the registry does not know the repository. */
  tags(repository: string): Promise<readonly string[] | undefined>;
  /** The digest that the registry names when asked without the body; undefined where it names none. */
  head(repository: string, tag: string): Promise<string | undefined>;
  /** What a tag names, by reading it; the digest already known when it did not move; undefined: gone. */
  read(repository: string, tag: string, lastDigest: string | undefined): Promise<Tagged | undefined>;
  /** Verified against its digest. Undefined: not there. */
  manifest(repository: string, digest: string): Promise<Document | undefined>;
  /**
   * Verified against its digest.
   * @param maxBytes where the setting `http.maxBytes` is too much
   * @throws CollectError `not_found` where the registry does not have it
   */
  blob(repository: string, digest: string, maxBytes?: number): Promise<Document>;
  /** What is attached to a manifest; undefined where the registry does not offer that. */
  referrers(repository: string, digest: string): Promise<Attached | undefined>;
}

/** Escapes a name for a path. */
function inPath(name: string): string {
  if (!isName(name))
    throw new CollectError(
      'invalid_response',
      `the registry names ${JSON.stringify(name.slice(0, 100))}, which is no name`,
    );
  return name.split('/').map(encodeURIComponent).join('/');
}

/**
 * A registry may refuse HEAD in any way, and a store that it redirects to does: a signed address is good for one
 * method. A GET then shows what the tag names.
 */
const headRefusals = [400, 401, 403, 404, 405, 406, 410, 415, 416, 501];

export function createDistribution(client: ScopedClient, endpoint: string, memory: Memory): Distribution {
  const base = endpoint.replace(/\/+$/, '');
  const request = (repository: string, rest: string, operation: string) => ({
    url: new URL(`${base}/v2/${inPath(repository)}/${rest}`),
    operation,
    scope: pullScope(repository),
  });
  const listings = new Listings(client, base, memory);

  return {
    catalog: () => listings.catalog(),
    tags: (repository) => listings.tags(request(repository, 'tags/list', 'tags')),
    referrers: (repository, digest) =>
      listings.referrers(request(repository, `referrers/${digest}`, 'referrers')),
    async head(repository, tag) {
      const response = await client.request({
        ...request(repository, `manifests/${inPath(tag)}`, 'manifest_head'),
        method: 'HEAD',
        headers: { accept: manifestAccept },
        accept: headRefusals,
      });
      const digest = response.header('docker-content-digest');
      return response.status < 300 && digest !== undefined && isDigest(digest) ? digest : undefined;
    },
    async read(repository, tag, lastDigest) {
      const response = await client.request({
        ...request(repository, `manifests/${inPath(tag)}`, 'manifest_by_tag'),
        headers: {
          accept: manifestAccept,
          ...(lastDigest !== undefined && { 'if-none-match': `"${lastDigest}"` }),
        },
        accept: [304, 404],
        maxBytes: largestAnswer.manifest,
      });
      if (isUnknown(response)) return undefined;
      if (response.status === 304 && lastDigest !== undefined) return { digest: lastDigest };
      return { digest: await digestOf(response), document: response };
    },
    async manifest(repository, digest) {
      const response = await client.request({
        ...request(repository, `manifests/${digest}`, 'manifest'),
        headers: { accept: manifestAccept },
        accept: [404],
        maxBytes: largestAnswer.manifest,
      });
      if (isUnknown(response)) return undefined;
      return isSchema1(response) ? response : verified(response, digest);
    },
    async blob(repository, digest, maxBytes) {
      const response = await client.request({
        ...request(repository, `blobs/${digest}`, 'blob'),
        accept: [404],
        maxBytes,
      });
      if (isUnknown(response))
        throw new CollectError(
          'not_found',
          `GET ${response.url.origin}${response.url.pathname} answered 404: the registry has lost it`,
          { status: 404 },
        );
      return verified(response, digest);
    },
  };
}

/** Whether it is the registry that does not know the thing: a 404 of a proxy in between says nothing of it. */
function isUnknown(response: HttpResponse): boolean {
  if (response.status !== 404) return false;
  if (errorCodes(response).length > 0) return true;
  throw notOfARegistry(response.url);
}

async function verified(response: HttpResponse, digest: string): Promise<Document> {
  if ((await matchesDigest(response.body, digest)) !== false) return response;
  throw new CollectError(
    'invalid_response',
    `${response.url.origin}${response.url.pathname} answered something else than its digest names`,
  );
}

/**
 * The digest of a manifest that was asked for by its tag. What the registry says is taken where the bytes agree: the
 * bytes are what is stored.
 */
async function digestOf(response: HttpResponse): Promise<string> {
  try {
    parseManifest(response);
  } catch (cause) {
    const { origin, pathname } = response.url;
    throw new CollectError('invalid_response', `${origin}${pathname} answered no manifest`, { cause });
  }
  const named = response.header('docker-content-digest') ?? '';
  if (isDigest(named) && (isSchema1(response) || (await matchesDigest(response.body, named)) !== false))
    return named;
  return `sha256:${createHash('sha256').update(response.body).digest('hex')}`;
}

/** The digest of a schema 1 manifest leaves its signatures out, and cannot be verified from its bytes. */
function isSchema1(response: HttpResponse): boolean {
  if (/distribution\.manifest\.v1\+/.test(response.header('content-type') ?? '')) return true;
  try {
    return (jsonOf(response) as { schemaVersion?: unknown } | null)?.schemaVersion === 1;
  } catch {
    return false;
  }
}
