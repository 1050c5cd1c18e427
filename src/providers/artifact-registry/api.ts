import type { protos } from '@google-cloud/artifact-registry';
import { CollectError } from '../../errors.ts';
import type { PlacesContext } from '../../provider.ts';
import { type CredentialOptions, openCredentials } from './credentials.ts';
import { dockerImagesPage, occurrencesPage, summaryRows } from './decode.ts';
import type { DockerImageRow, OccurrenceRow, Page, SummaryRow } from './rows.ts';
import { dockerImageRow, occurrenceRow, summaryRow } from './sdk-rows.ts';
import { createTransport, service } from './transport.ts';

export type Repository = protos.google.devtools.artifactregistry.v1.IRepository;

/** The calls that are needed of Artifact Registry and Container Analysis; lists come page by page. */
export interface Api {
  /** @param project its id */
  locations(project: string): AsyncGenerator<readonly string[]>;
  /** @param parent `projects/P/locations/L` */
  repositories(parent: string): AsyncGenerator<readonly Repository[]>;
  /** @param parent `projects/P/locations/L/repositories/R` */
  dockerImages(parent: string): AsyncGenerator<readonly DockerImageRow[]>;
  vulnerabilitySummary(project: string, filter: string): Promise<Iterable<SummaryRow>>;
  occurrences(project: string, filter: string): AsyncGenerator<readonly OccurrenceRow[]>;
  close(): void;
}

export interface ApiOptions extends CredentialOptions {
  readonly endpoint?: URL | undefined;
  readonly containerAnalysisEndpoint?: URL | undefined;
  readonly transport?: 'grpc' | 'rest' | undefined;
}

/** The largest that all of these lists allow. */
const pageSize = 1000;
const maxPages = 100_000;

/** Pages until a token is empty. @throws CollectError `pagination` when a token comes again */
async function* pages<T>(
  operation: string,
  read: (pageToken: string) => Promise<Page<T>>,
): AsyncGenerator<readonly T[]> {
  const seen = new Set<string>();
  for (let token = ''; ; ) {
    const { rows, next } = await read(token);
    yield rows;
    if (!next) return;
    if (seen.has(next) || seen.size >= maxPages)
      throw new CollectError(
        'pagination',
        `${operation} gave a page token that it gave before: it never ends`,
      );
    seen.add(next);
    token = next;
  }
}

interface Definition {
  readonly path: string;
  readonly requestSerialize: (request: object) => Buffer;
}

/** A stub of grpc-js as the SDK makes it. */
interface Stub {
  [method: string]: unknown;
  makeUnaryRequest(
    path: string,
    serialize: (request: object) => Buffer,
    deserialize: (bytes: Buffer) => unknown,
    ...more: unknown[]
  ): unknown;
}

/** Lets a method's answers be read by `decode`; everything else stays the SDK's. */
function decodeWith(made: unknown, name: string, decode: (bytes: Buffer) => unknown): void {
  const stub = made as Stub;
  const { service: definitions } = stub.constructor as unknown as { service: Record<string, Definition> };
  const definition = definitions[name];
  if (!definition) throw new Error(`the SDK has no ${name}`);
  stub[`${name[0]?.toLowerCase()}${name.slice(1)}`] = (request: object, ...more: unknown[]) =>
    stub.makeUnaryRequest(definition.path, definition.requestSerialize, decode, request, ...more);
}

/** Opens the SDK's clients for one cycle: its channels are closed with it. */
export async function openApi(given: ApiOptions, context: PlacesContext): Promise<Api> {
  const http = context.http();
  const rest = given.transport === 'rest';
  const credentials = openCredentials(given, context, http);
  const transport = createTransport({ rest, credentials, http, context });
  const registryAt = service(given.endpoint ?? new URL('https://artifactregistry.googleapis.com'));
  const analysisAt = service(
    given.containerAnalysisEndpoint ?? new URL('https://containeranalysis.googleapis.com'),
  );
  const { default: gax } = await import('google-gax');
  // Both of Google's packages on this one copy of its base library: Container Analysis would bring an older one.
  const base = (rest ? gax.fallback : gax) as typeof gax;
  const reader = (bytes: Uint8Array) => gax.protobuf.Reader.create(bytes);
  const closers: (() => Promise<void>)[] = [];

  async function openRegistry() {
    const { ArtifactRegistryClient } = await import('@google-cloud/artifact-registry/build/src/v1/index.js');
    const client = new ArtifactRegistryClient(await transport.clientOptions(registryAt), base);
    closers.push(() => client.close());
    const stub = await client.initialize();
    if (!rest) decodeWith(stub, 'ListDockerImages', (bytes) => dockerImagesPage(reader(bytes)));
    return client;
  }
  async function openAnalysis() {
    const [{ ContainerAnalysisClient }, { GrafeasClient }] = await Promise.all([
      import('@google-cloud/containeranalysis/build/src/v1/container_analysis_client.js'),
      import('@google-cloud/grafeas/build/src/v1/grafeas_client.js'),
    ]);
    const options = await transport.clientOptions(analysisAt);
    type Older = ConstructorParameters<typeof ContainerAnalysisClient>;
    const analysis = new ContainerAnalysisClient(...([{ ...options }, base] as unknown as Older));
    const grafeas = new GrafeasClient(...([{ ...options }, base] as unknown as Older));
    closers.push(
      () => analysis.close(),
      () => grafeas.close(),
    );
    const stubs = await Promise.all([analysis.initialize(), grafeas.initialize()]);
    if (!rest) {
      decodeWith(stubs[0], 'GetVulnerabilityOccurrencesSummary', (bytes) => bytes);
      decodeWith(stubs[1], 'ListOccurrences', (bytes) => occurrencesPage(reader(bytes)));
    }
    return { analysis, grafeas };
  }
  let registryClient: ReturnType<typeof openRegistry> | undefined;
  let analysisClients: ReturnType<typeof openAnalysis> | undefined;
  // Container Analysis is loaded when it is asked for the first time.
  const registry = () => {
    registryClient ??= openRegistry();
    return registryClient;
  };
  const analysis = () => {
    analysisClients ??= openAnalysis();
    return analysisClients;
  };

  return {
    locations: (project) =>
      pages('ListLocations', async (pageToken) => {
        const { locationsClient } = await registry();
        const request = { name: `projects/${project}`, pageSize, pageToken };
        const [rows, , answer] = await transport.call('ListLocations', registryAt, (options) =>
          locationsClient.listLocations(request, options),
        );
        const { nextPageToken } = answer as unknown as { nextPageToken?: string };
        return { rows: rows.flatMap(({ locationId }) => locationId || []), next: nextPageToken ?? '' };
      }),
    repositories: (parent) =>
      pages('ListRepositories', async (pageToken) => {
        const client = await registry();
        const [rows, , answer] = await transport.call('ListRepositories', registryAt, (options) =>
          client.listRepositories({ parent, pageSize, pageToken }, options),
        );
        return { rows, next: answer.nextPageToken ?? '' };
      }),
    dockerImages: (parent) =>
      pages('ListDockerImages', async (pageToken) => {
        const client = await registry();
        const [rows, , answer] = await transport.call('ListDockerImages', registryAt, (options) =>
          client.listDockerImages({ parent, pageSize, pageToken }, options),
        );
        if (!rest) return answer as unknown as Page<DockerImageRow>;
        return { rows: rows.map(dockerImageRow), next: answer.nextPageToken ?? '' };
      }),
    async vulnerabilitySummary(project, filter) {
      const { analysis: client } = await analysis();
      const request = { parent: `projects/${project}`, filter };
      const [answer] = await transport.call('GetVulnerabilityOccurrencesSummary', analysisAt, (options) =>
        client.getVulnerabilityOccurrencesSummary(request, options as object),
      );
      if (!rest) return summaryRows(reader(answer as Buffer));
      return (answer.counts ?? []).map(summaryRow);
    },
    occurrences: (project, filter) =>
      pages('ListOccurrences', async (pageToken) => {
        const { grafeas } = await analysis();
        const request = { parent: `projects/${project}`, filter, pageSize, pageToken };
        const [rows, , answer] = await transport.call('ListOccurrences', analysisAt, (options) =>
          grafeas.listOccurrences(request, options as object),
        );
        if (!rest) return answer as unknown as Page<OccurrenceRow>;
        return { rows: rows.map(occurrenceRow), next: answer.nextPageToken ?? '' };
      }),
    close() {
      for (const close of closers) void close().catch(() => {});
    },
  };
}
