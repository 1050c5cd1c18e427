import type { DockerImageRow, OccurrenceRow, RepositoryRow, SummaryRow } from './rows.ts';

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
