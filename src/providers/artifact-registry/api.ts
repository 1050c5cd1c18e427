import type { PlacesContext } from '../../provider.ts';
import { type CredentialOptions, openCredentials } from './credentials.ts';
import { openRegistryByGrpc } from './grpc.ts';
import { openAnalysis, openRegistryByRest } from './rest.ts';
import type { DockerImageRow, OccurrenceRow, RepositoryRow, SummaryRow } from './rows.ts';
import { createTransport, service } from './transport.ts';

/** Where repositories lie. */
export interface Location {
  readonly project: string;
  readonly location: string;
}

/** The calls that are needed of Artifact Registry; lists come page by page. */
export interface RegistryApi {
  /** @param project its id */
  locations(project: string): AsyncGenerator<readonly string[]>;
  /** @param parent `projects/P/locations/L` */
  repositories(parent: string): AsyncGenerator<readonly RepositoryRow[]>;
  /** @param parent `projects/P/locations/L/repositories/R` */
  dockerImages(parent: string): AsyncGenerator<readonly DockerImageRow[]>;
  close(): void;
}

/** The calls that are needed of Container Analysis. */
export interface AnalysisApi {
  /** @throws CollectError where what is known of the location cannot be reached */
  vulnerabilitySummary(at: Location, filter: string): Promise<readonly SummaryRow[]>;
  /** @throws CollectError where what is known of the location cannot be reached */
  occurrences(at: Location, filter: string): AsyncGenerator<readonly OccurrenceRow[]>;
}

export type Api = RegistryApi & AnalysisApi;

export interface ApiOptions extends CredentialOptions {
  readonly endpoint?: URL | undefined;
  readonly containerAnalysisEndpoint?: URL | undefined;
  readonly transport?: 'grpc' | 'rest' | undefined;
}

/** Opens the APIs for one cycle. */
export async function openApi(given: ApiOptions, context: PlacesContext): Promise<Api> {
  const http = context.http();
  const credentials = openCredentials(given, context, http);
  const transport = createTransport({ credentials, http, context });
  const registryAt = service(given.endpoint ?? new URL('https://artifactregistry.googleapis.com'));
  const analysisAt = service(
    given.containerAnalysisEndpoint ?? new URL('https://containeranalysis.googleapis.com'),
  );
  const registry =
    given.transport === 'rest'
      ? openRegistryByRest(transport, registryAt)
      : await openRegistryByGrpc(transport, registryAt, context);
  return { ...registry, ...openAnalysis(transport, analysisAt) };
}
