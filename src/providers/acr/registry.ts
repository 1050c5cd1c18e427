import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { failedStatus } from '../../http/failure.ts';
import { nextByLink, type Page, walkNames, walkPages } from '../../http/pages.ts';
import { type HttpRequest, type HttpResponse, json, largestAnswer, shaped } from '../../http.ts';
import { isDigest } from '../../images/digest.ts';
import { tagName } from '../../images/tag.ts';
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
/** The same as the SDK names it. */
const related = z
  .object({ digest, architecture: word('architecture'), operatingSystem: word('os') })
  .transform(
    ({ digest: part, architecture, operatingSystem: os }): Reference => ({
      digest: part,
      architecture,
      os,
    }),
  );

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
  tags: list('tags', tagName).nullish(),
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

interface RegistryOptions {
  readonly endpoint: URL;
  readonly loginServer: string;
  readonly client: AcrClient;
  readonly signal: AbortSignal;
}

const baseOf = ({ href }: URL): string => href.replace(/\/+$/, '');

/** The SDK, anonymous as far as it knows: {@link AcrClient} has the tokens, of which the SDK keeps one at a time. */
async function createSdk({ endpoint, loginServer, client, signal }: RegistryOptions) {
  const { ContainerRegistryClient, ContainerRegistryContentClient } = await import(
    '@azure/container-registry'
  );
  const answers = new WeakMap<object, HttpResponse>();
  const httpClient = createSdkTransport(async (url, request, sdkRequest) => {
    const answer = await client.request({
      ...request,
      ...operationOf(decodeURIComponent(url.pathname)),
      url: `${baseOf(endpoint)}${url.pathname}${url.search}`,
      accept: [404],
    });
    answers.set(sdkRequest, answer);
    return present(answer);
  });
  // It refuses any address that is not secure; where the registry is, the transport knows.
  const address = `https://${loginServer}`;
  const settings = { httpClient, retryOptions: { maxRetries: 0 } };
  return {
    registry: new ContainerRegistryClient(address, settings),
    // Its types ask for a credential; without one it reads anonymously, as the other client does.
    contents: (repository: string) =>
      new ContainerRegistryContentClient(address, repository, undefined as never, settings),
    answerTo: (request: object) => answers.get(request),
    /** What it throws besides our own errors: that an answer made no sense to it. */
    explained: (error: unknown): unknown =>
      signal.aborted || error instanceof CollectError || !(error instanceof Error)
        ? error
        : new CollectError('invalid_response', error.message.slice(0, 300), { cause: error }),
  };
}
type Sdk = Awaited<ReturnType<typeof createSdk>>;

/** The SDK skips a page without its list, and would go on without end where that names itself as the next one. */
class SkippedPage extends Error {}

/** A page of the catalog, with the headers that name the next one. */
async function pageOfCatalog({ registry, answerTo, explained }: Sdk, continuationToken: string) {
  let answer: HttpResponse | undefined;
  const onResponse = ({ request }: { readonly request: object }) => {
    if (answer) throw new SkippedPage();
    answer = answerTo(request);
  };
  try {
    const pages = registry.listRepositoryNames({ onResponse } as object).byPage({ continuationToken });
    const { value, done } = await pages.next().catch((error: unknown) => {
      if (error instanceof SkippedPage) return { value: undefined, done: true };
      throw error;
    });
    if (!answer) throw new CollectError('internal', 'the SDK answered without a request');
    const shown = done
      ? (json(answer, catalogPage).repositories ?? [])
      : shaped(value, names, 'the catalog', answer.onOddity);
    const { headerLines } = answer;
    return { names: shown, headerLines };
  } catch (error) {
    throw explained(error);
  }
}

/** A page of manifests, and where the next is: after its last one where it is full and there is no link. */
async function pageOfManifests(
  client: AcrClient,
  scope: string,
  url: URL,
  onLeft: (count: number) => void,
): Promise<Page<ManifestEntry, URL>> {
  const response = present(await client.request({ operation: 'manifests', url, scope, accept: [404] }));
  const values = json(response, manifestsPage).manifests ?? [];
  const { items, left } = await readElements('manifests', manifestEntry, values, response.onOddity).catch(
    (cause: unknown) => {
      const where = `${url.origin}${url.pathname}`;
      throw new CollectError('invalid_response', `${where} answered manifests that cannot be understood`, {
        cause,
      });
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

/**
 * Reads through the SDK. Only the list of manifests is read without it, since its model drops the media types, which
 * tell images from what is attached to them, and one odd entry makes it throw the page away.
 */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { client, endpoint } = options;
  const base = baseOf(endpoint);
  const folder = new URL(base).pathname.replace(/\/$/, '');
  const sdk = await createSdk(options);
  return {
    catalog: () =>
      walkNames({
        first: new URL(`${base}/acr/v1/_catalog?n=${pageSize}`),
        request: async (url) => ({
          url,
          ...(await pageOfCatalog(sdk, `${url.pathname.slice(folder.length)}${url.search}`)),
        }),
        namesOf: (page) => page.names,
      }),
    manifests(repository, onLeft) {
      const path = repository.split('/').map(encodeURIComponent).join('/');
      const first = new URL(`${base}/acr/v1/${path}/_manifests?n=${pageSize}`);
      return walkPages({
        what: `${first.origin}${first.pathname}`,
        first,
        read: (url) => pageOfManifests(client, metadataScope(repository), url, onLeft),
        keyOf: (entry) => entry.digest,
      });
    },
    async references(repository, digest) {
      let listed: unknown;
      try {
        const record = await sdk.registry.getArtifact(repository, digest).getManifestProperties();
        listed = record.relatedArtifacts;
      } catch (error) {
        const thrown = sdk.explained(error);
        // Where the registry's record is odd, the manifest itself tells.
        if (!['invalid_response', 'too_large'].includes(reasonOf(thrown))) throw thrown;
      }
      const parsed = wholeList(related).safeParse(listed);
      return parsed.data?.length ? parsed.data : undefined;
    },
    async manifest(repository, digest) {
      try {
        return (await sdk.contents(repository).getManifest(digest)).content;
      } catch (error) {
        throw sdk.explained(error);
      }
    },
  };
}
