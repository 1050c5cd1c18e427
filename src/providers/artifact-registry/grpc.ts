import type { Api } from './api.ts';
import { dockerImagesPage, occurrencesPage, summaryRows } from './decode.ts';
import { repositoryRow } from './json-rows.ts';
import { pageSize, pages } from './pages.ts';
import type { DockerImageRow, OccurrenceRow, Page } from './rows.ts';
import type { Service, Transport } from './transport.ts';

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
export async function openGrpc(input: {
  readonly transport: Transport;
  readonly registryAt: Service;
  readonly analysisAt: Service;
}): Promise<Api> {
  const { transport, registryAt, analysisAt } = input;
  const { default: gax } = await import('google-gax');
  const reader = (bytes: Uint8Array) => gax.protobuf.Reader.create(bytes);
  const closers: (() => Promise<void>)[] = [];

  async function openRegistry() {
    const { ArtifactRegistryClient } = await import('@google-cloud/artifact-registry/build/src/v1/index.js');
    const client = new ArtifactRegistryClient(await transport.clientOptions(registryAt), gax);
    closers.push(() => client.close());
    const stub = await client.initialize();
    decodeWith(stub, 'ListDockerImages', (bytes) => dockerImagesPage(reader(bytes)));
    return client;
  }
  async function openAnalysis() {
    const [{ ContainerAnalysisClient }, { GrafeasClient }] = await Promise.all([
      import('@google-cloud/containeranalysis/build/src/v1/container_analysis_client.js'),
      import('@google-cloud/grafeas/build/src/v1/grafeas_client.js'),
    ]);
    const options = await transport.clientOptions(analysisAt);
    // Both of Google's packages on this one copy of their base library: Container Analysis would bring an older one.
    type Older = ConstructorParameters<typeof ContainerAnalysisClient>;
    const analysis = new ContainerAnalysisClient(...([{ ...options }, gax] as unknown as Older));
    const grafeas = new GrafeasClient(...([{ ...options }, gax] as unknown as Older));
    closers.push(
      () => analysis.close(),
      () => grafeas.close(),
    );
    const stubs = await Promise.all([analysis.initialize(), grafeas.initialize()]);
    decodeWith(stubs[0], 'GetVulnerabilityOccurrencesSummary', (bytes) => bytes);
    decodeWith(stubs[1], 'ListOccurrences', (bytes) => occurrencesPage(reader(bytes)));
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
        return { rows: rows.map(repositoryRow), next: answer.nextPageToken ?? '' };
      }),
    dockerImages: (parent) =>
      pages('ListDockerImages', async (pageToken) => {
        const client = await registry();
        const [, , answer] = await transport.call('ListDockerImages', registryAt, (options) =>
          client.listDockerImages({ parent, pageSize, pageToken }, options),
        );
        return answer as unknown as Page<DockerImageRow>;
      }),
    async vulnerabilitySummary({ project }, filter) {
      const { analysis: client } = await analysis();
      const request = { parent: `projects/${project}`, filter };
      const [answer] = await transport.call('GetVulnerabilityOccurrencesSummary', analysisAt, (options) =>
        client.getVulnerabilityOccurrencesSummary(request, options as object),
      );
      return summaryRows(reader(answer as Buffer));
    },
    occurrences: ({ project }, filter) =>
      pages('ListOccurrences', async (pageToken) => {
        const { grafeas } = await analysis();
        const request = { parent: `projects/${project}`, filter, pageSize, pageToken };
        const [, , answer] = await transport.call('ListOccurrences', analysisAt, (options) =>
          grafeas.listOccurrences(request, options as object),
        );
        return answer as unknown as Page<OccurrenceRow>;
      }),
    close() {
      for (const close of closers) void close().catch(() => {});
    },
  };
}
