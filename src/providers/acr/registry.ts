import type { ContainerRegistryClient } from '@azure/container-registry';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { createPageGuard, type HttpResponse, json } from '../../http.ts';
import { isDigest } from '../../images/digest.ts';
import { count, countedList, expected, list, optional, pastTime, text, wholeList } from '../../wire.ts';
import type { TokenCredential } from './credential.ts';
import { TokenExpired } from './tokens.ts';
import type { Transport } from './transport.ts';

/**
 * As much as the service gives at once: it takes any number and names the next page in a Link, whatever the page's
 * size was.
 */
const pageSize = 1000;

/** A token that expired between its request and its use is asked for so often. */
const renewals = 3;

const catalogPage = z.object({ repositories: list('repositories', text).nullable() });

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
  imageSize: optional('imageSize', count),
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

const manifestsPage = z.object({ manifests: countedList('manifests', manifestEntry).nullable() });

/** A page of manifests. */
export interface ManifestPage {
  readonly items: readonly ManifestEntry[];
  /** How many more it has that cannot be understood. */
  readonly left: number;
}

/** What is read of a registry's contents; through its SDK, which knows the addresses, the paging and the tokens. */
export interface Registry {
  /** Names, page by page. */
  catalog(): AsyncIterable<readonly string[]>;
  /** Manifests of a repository, page by page. @throws CollectError `not_found` when there is no such repository */
  manifests(repository: string): AsyncIterable<ManifestPage>;
  /** What an index lists, as far as the registry says it; undefined where it does not. */
  references(repository: string, digest: string): Promise<readonly Reference[] | undefined>;
  /** The bytes of a manifest; the SDK checks them against the digest. */
  manifest(repository: string, digest: string): Promise<Buffer>;
}

type OnResponse = (response: { readonly request: object }) => void;
interface Paged {
  byPage(settings: { maxPageSize?: number; continuationToken?: string }): AsyncIterator<unknown>;
}

/** What an SDK throws besides our own errors: that an answer made no sense to it. */
function explained(error: unknown): unknown {
  if (error instanceof CollectError || !(error instanceof Error)) return error;
  const { statusCode } = error as { statusCode?: number };
  if (statusCode === 401) return new CollectError('auth', error.message, { cause: error, status: 401 });
  return new CollectError('invalid_response', error.message.slice(0, 300), { cause: error });
}

export async function createRegistry(options: {
  readonly loginServer: string;
  readonly credential: TokenCredential | undefined;
  readonly audience: string;
  readonly transport: Transport;
  readonly signal: AbortSignal;
}): Promise<Registry> {
  const { credential, audience, transport, signal } = options;
  const endpoint = `https://${options.loginServer}`;
  const sdk = await import('@azure/container-registry');
  const settings = { httpClient: transport, audience, retryOptions: { maxRetries: 0 } };
  const connect = (): ContainerRegistryClient =>
    credential
      ? new sdk.ContainerRegistryClient(endpoint, credential, settings)
      : new sdk.ContainerRegistryClient(endpoint, settings);
  let client = connect();

  /** Asks until a token holds. */
  async function ask<T>(what: () => Promise<T>): Promise<T> {
    for (let refusals = 0; ; refusals += 1) {
      const used = client;
      try {
        return await what();
      } catch (error) {
        if (signal.aborted) throw error;
        if (!(error instanceof TokenExpired) || refusals >= renewals) throw explained(error);
        if (client === used) client = connect();
      }
    }
  }

  async function* pages(
    open: (client: ContainerRegistryClient, onResponse: OnResponse) => Paged,
  ): AsyncGenerator<HttpResponse> {
    const guard = createPageGuard(endpoint);
    let next: string | undefined;
    do {
      const page = await ask(async () => {
        let answer: HttpResponse | undefined;
        const iterator = open(client, ({ request }) => {
          answer = transport.list(request);
        }).byPage(next === undefined ? { maxPageSize: pageSize } : { continuationToken: next });
        const { value } = await iterator.next();
        if (!answer) throw new CollectError('invalid_response', `${endpoint} answered without a page`);
        return { answer, next: (value as { continuationToken?: string } | undefined)?.continuationToken };
      });
      next = page.next;
      if (next !== undefined) {
        if (!URL.canParse(next, endpoint))
          throw new CollectError('pagination', `${endpoint} sent a Link to the next page that is no address`);
        guard(new URL(next, endpoint));
      }
      yield page.answer;
    } while (next !== undefined);
  }

  return {
    async *catalog() {
      for await (const page of pages((sdkClient, onResponse) =>
        sdkClient.listRepositoryNames({ onResponse } as object),
      ))
        yield json(page, catalogPage).repositories ?? [];
    },
    async *manifests(repository) {
      for await (const page of pages((sdkClient, onResponse) =>
        sdkClient.getRepository(repository).listManifestProperties({ onResponse } as object),
      ))
        yield json(page, manifestsPage).manifests ?? { items: [], left: 0 };
    },
    async references(repository, digest) {
      const { relatedArtifacts } = await ask(() =>
        client.getArtifact(repository, digest).getManifestProperties(),
      );
      const parsed = wholeList(reference).safeParse(
        relatedArtifacts.map(({ digest: part, architecture, operatingSystem }) => ({
          digest: part,
          architecture,
          os: operatingSystem,
        })),
      );
      // Where the registry's record is odd, the manifest itself tells.
      return parsed.data?.length ? parsed.data : undefined;
    },
    async manifest(repository, digest) {
      const { content } = await ask(() =>
        // Its types ask for a credential; without one it reads anonymously, as the other client does.
        new sdk.ContainerRegistryContentClient(
          endpoint,
          repository,
          credential as TokenCredential,
          settings,
        ).getManifest(digest),
      );
      return content;
    },
  };
}
