import type { ContainerRegistryClient } from '@azure/container-registry';
import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { failedStatus } from '../../http/failure.ts';
import { nextByLink, type Page, walkNames, walkPages } from '../../http/pages.ts';
import { type HttpRequest, type HttpResponse, json, largestAnswer, shaped } from '../../http.ts';
import { isDigest } from '../../images/digest.ts';
import { errorCodes, notOfARegistry } from '../../registry-answers.ts';
import { count, expected, list, optional, pastTime, readElements, text, wholeList } from '../../wire.ts';
import { type AcrClient, catalogScope, metadataScope, pullScope } from './registry-client.ts';
import { createSdkTransport } from './sdk.ts';

/**
 * As much as the service gives at once: it takes any number and names the next page in a Link, whatever the page's
 * size was.
 */
const pageSize = 1000;

/** What the SDK parses at once: a thousand names of 256 characters, and an index of some hundred platforms. */
const largestParsed = { catalog: 512 * 2 ** 10, manifest_properties: 64 * 2 ** 10 };

const names = list('repositories', text);
const catalogPage = z.object({ repositories: names.nullable() });

const digest = z.string().max(300).refine(isDigest, 'no digest');
const word = (at: string) => optional(at, text);

/** A platform that an index lists. */
const reference = z.object({ digest, architecture: word('architecture'), os: word('os') });
export type Reference = z.infer<typeof reference>;

/**
 * Only what is used. `mediaType`, `configMediaType` and `artifactType` are what the service sends and its published
 * model leaves out.
 * https://github.com/Azure/azure-rest-api-specs/blob/main/specification/containerregistry/data-plane/Azure.ContainerRegistry/stable/2021-07-01/containerregistry.json
 */
const manifestEntry = z.object({
  digest,
  createdTime: expected('createdTime', pastTime),
  imageSize: expected('imageSize', count),
  architecture: word('architecture'),
  os: word('os'),
  mediaType: word('mediaType'),
  configMediaType: word('configMediaType'),
  artifactType: word('artifactType'),
  // Of another type: whether the manifest has tags is unknown, and so is what the repository holds.
  tags: list('tags', text).nullish(),
  // All or none: a platform that is missing here would pass for an untagged image.
  references: optional('references', wholeList(reference)),
});
export type ManifestEntry = z.infer<typeof manifestEntry>;

const manifestsPage = z.object({ manifests: z.array(z.unknown()).nullable() });

/** What is read of a registry's contents. */
export interface Registry {
  /** Names, page by page. */
  catalog(): AsyncIterable<readonly string[]>;
  /**
   * Manifests of a repository, page by page.
   * @param onLeft told how many of a page cannot be understood
   * @throws CollectError `not_found` when there is no such repository
   */
  manifests(repository: string, onLeft: (count: number) => void): AsyncIterable<readonly ManifestEntry[]>;
  /** What an index lists, as far as the registry says it; undefined where it does not. */
  references(repository: string, digest: string): Promise<readonly Reference[] | undefined>;
  /** The bytes of a manifest; the SDK checks them against the digest. */
  manifest(repository: string, digest: string): Promise<Buffer>;
}

/** What a request of the SDK asks for, by its path. */
function operationOf(path: string): Pick<HttpRequest, 'operation' | 'maxBytes'> & { readonly scope: string } {
  const [, recorded] = /^\/acr\/v1\/(.+)\/_manifests\/[^/]+$/.exec(path) ?? [];
  if (recorded !== undefined)
    return {
      operation: 'manifest_properties',
      scope: metadataScope(recorded),
      maxBytes: largestParsed.manifest_properties,
    };
  const [, pulled] = /^\/v2\/(.+)\/manifests\/[^/]+$/.exec(path) ?? [];
  if (pulled !== undefined)
    return { operation: 'manifest', scope: pullScope(pulled), maxBytes: largestAnswer.manifest };
  return { operation: 'catalog', scope: catalogScope, maxBytes: largestParsed.catalog };
}

/** @throws CollectError for a 404: one that no registry wrote says nothing of what was asked for */
function present(answer: HttpResponse): HttpResponse {
  if (answer.status !== 404) return answer;
  if (errorCodes(answer).length === 0) throw notOfARegistry(answer.url);
  throw failedStatus(answer, 'GET');
}

/**
 * Reads through the SDK, anonymously to it: {@link AcrClient} knows the tokens, of which the SDK keeps one for all
 * repositories. Only the list of manifests is read without it, since its model drops the media types, which tell
 * images from what is attached to them, and one odd entry makes it throw the page away.
 */
export async function createRegistry(options: {
  readonly endpoint: URL;
  readonly loginServer: string;
  readonly client: AcrClient;
  readonly signal: AbortSignal;
}): Promise<Registry> {
  const { client, loginServer, signal } = options;
  const base = options.endpoint.href.replace(/\/+$/, '');
  const folder = options.endpoint.pathname.replace(/\/+$/, '');
  const sdk = await import('@azure/container-registry');
  const answers = new WeakMap<object, HttpResponse>();
  const httpClient = createSdkTransport(async (url, request, sdkRequest) => {
    const answer = await client.request({
      ...request,
      ...operationOf(decodeURIComponent(url.pathname)),
      url: `${base}${url.pathname}${url.search}`,
      accept: [404],
    });
    answers.set(sdkRequest, answer);
    return present(answer);
  });
  // The SDK refuses to be anything but secure; where the registry is, the transport knows.
  const address = `https://${loginServer}`;
  const settings = { httpClient, retryOptions: { maxRetries: 0 } };
  const registry: ContainerRegistryClient = new sdk.ContainerRegistryClient(address, settings);

  /** What the SDK throws besides our own errors: that an answer made no sense to it. */
  const explained = (error: unknown): unknown =>
    signal.aborted || error instanceof CollectError || !(error instanceof Error)
      ? error
      : new CollectError('invalid_response', error.message.slice(0, 300), { cause: error });

  async function pageOfCatalog({ pathname, search }: URL) {
    let answer: HttpResponse | undefined;
    const onResponse = ({ request }: { readonly request: object }) => {
      answer = answers.get(request);
    };
    const pages = registry
      .listRepositoryNames({ onResponse } as object)
      .byPage({ continuationToken: `${pathname.slice(folder.length)}${search}` });
    try {
      const { value, done } = await pages.next();
      if (!answer) throw new CollectError('internal', 'the SDK answered without a request');
      // The SDK takes an answer without its list for the end.
      const shown = done
        ? (json(answer, catalogPage).repositories ?? [])
        : shaped(value, names, 'the catalog', answer.onOddity);
      return { answer, names: shown };
    } catch (error) {
      throw explained(error);
    }
  }

  /** A page, and where the next is: after its last manifest where it is full and there is no link. */
  async function manifestsOf(
    scope: string,
    url: URL,
    onLeft: (count: number) => void,
  ): Promise<Page<ManifestEntry, URL>> {
    const response = present(await client.request({ operation: 'manifests', url, scope, accept: [404] }));
    const values = json(response, manifestsPage).manifests ?? [];
    const { items, left } = await readElements('manifests', manifestEntry, values, response.onOddity).catch(
      (error: unknown) => {
        throw new CollectError(
          'invalid_response',
          `${url.origin}${url.pathname} answered manifests that cannot be understood`,
          { cause: error },
        );
      },
    );
    onLeft(left);
    const linked = nextByLink(response, url);
    const last = items.at(-1)?.digest;
    if (linked || last === undefined || values.length !== pageSize) return { items, next: linked };
    const next = new URL(url);
    next.searchParams.set('last', last);
    return { items, next };
  }

  return {
    catalog: () =>
      walkNames({
        first: new URL(`${base}/acr/v1/_catalog?n=${pageSize}`),
        async request(url) {
          const page = await pageOfCatalog(url);
          return { url, names: page.names, headerLines: (name) => page.answer.headerLines(name) };
        },
        namesOf: (page) => page.names,
      }),
    manifests(repository, onLeft) {
      const path = repository.split('/').map(encodeURIComponent).join('/');
      const first = new URL(`${base}/acr/v1/${path}/_manifests?n=${pageSize}`);
      return walkPages({
        what: `${first.origin}${first.pathname}`,
        first,
        read: (url) => manifestsOf(metadataScope(repository), url, onLeft),
        keyOf: (entry) => entry.digest,
      });
    },
    async references(repository, digest) {
      let listed: unknown;
      try {
        listed = (await registry.getArtifact(repository, digest).getManifestProperties()).relatedArtifacts;
      } catch (error) {
        // Where the registry's record is odd, the manifest itself tells.
        const thrown = explained(error);
        if (!['invalid_response', 'too_large'].includes(reasonOf(thrown))) throw thrown;
      }
      const parts = Array.isArray(listed) ? listed : [];
      const parsed = wholeList(reference).safeParse(
        parts.map(({ digest: part, architecture, operatingSystem }) => ({
          digest: part,
          architecture,
          os: operatingSystem,
        })),
      );
      return parsed.data?.length ? parsed.data : undefined;
    },
    async manifest(repository, digest) {
      // Its types ask for a credential; without one it reads anonymously, as the other client does.
      const contents = new sdk.ContainerRegistryContentClient(
        address,
        repository,
        undefined as never,
        settings,
      );
      try {
        return (await contents.getManifest(digest)).content;
      } catch (error) {
        throw explained(error);
      }
    },
  };
}
