import type { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { walkPages } from '../../http/pages.ts';
import { json } from '../../http.ts';
import { readElements } from '../../wire.ts';
import type { AnalysisApi, Location, RegistryApi } from './api.ts';
import { dockerImageRow, locationRow, occurrenceRow, pageOf, repositoryRow, summaryRow } from './rows.ts';
import type { Service, Transport } from './transport.ts';

/** The largest page that all of the lists allow. */
export const pageSize = 1000;

/**
 * A region that cannot be reached makes its own findings missing, and not the whole answer fail:
 * https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.occurrences/list
 */
const partial = { returnPartialSuccess: 'true' };

interface List<Row extends z.ZodType> {
  readonly operation: string;
  /** Below the service's address. */
  readonly path: string;
  /** The field of the answer that holds the rows. */
  readonly name: string;
  readonly row: Row;
  readonly query?: Readonly<Record<string, string>>;
  /** What is missing of other locations does not matter. */
  readonly location?: string;
}

function createAsk(transport: Transport, at: Service, aside = false) {
  /** One page. */
  async function ask<Row extends z.ZodType>(
    { operation, path, name, row, query, location }: List<Row>,
    pageToken = '',
  ): Promise<{ readonly items: readonly z.output<Row>[]; readonly next: string | undefined }> {
    const asked = {
      ...(name !== 'counts' && { pageSize: String(pageSize) }),
      ...(pageToken && { pageToken }),
      ...query,
    };
    const response = await transport.get(operation, at, path, asked, { aside });
    const { rows, next, unreachable } = json(response, pageOf(name));
    if (location !== undefined && unreachable.some((name) => name.endsWith(`/${location}`)))
      throw new CollectError('server_error', `${operation}: Google cannot reach the location ${location}`);
    return { items: (await readElements(name, row, rows, response.onOddity)).items, next };
  }
  return {
    ask,
    pages: <Row extends z.ZodType>(list: List<Row>): AsyncGenerator<readonly z.output<Row>[]> =>
      walkPages({ what: list.operation, first: '', read: (token) => ask(list, token) }),
  };
}

/** Artifact Registry: https://cloud.google.com/artifact-registry/docs/reference/rest */
export function openRegistryByRest(transport: Transport, at: Service): RegistryApi {
  const { pages } = createAsk(transport, at);
  return {
    async *locations(project) {
      const path = `/v1/projects/${project}/locations`;
      const list = { operation: 'ListLocations', path, name: 'locations', row: locationRow };
      for await (const page of pages(list)) yield page.flatMap(({ locationId }) => locationId || []);
    },
    repositories: (parent) =>
      pages({
        operation: 'ListRepositories',
        path: `/v1/${parent}/repositories`,
        name: 'repositories',
        row: repositoryRow,
      }),
    dockerImages: (parent) =>
      pages({
        operation: 'ListDockerImages',
        path: `/v1/${parent}/dockerImages`,
        name: 'dockerImages',
        row: dockerImageRow,
      }),
    close() {},
  };
}

/** Container Analysis: https://cloud.google.com/artifact-analysis/docs/reference/rest */
export function openAnalysis(transport: Transport, at: Service): AnalysisApi {
  const { ask, pages } = createAsk(transport, at, true);
  const below = ({ project }: Location): string => `/v1/projects/${project}/occurrences`;
  return {
    vulnerabilitySummary: async (place, filter) =>
      (
        await ask({
          operation: 'GetVulnerabilityOccurrencesSummary',
          path: `${below(place)}:vulnerabilitySummary`,
          name: 'counts',
          row: summaryRow,
          query: { filter, ...partial },
          location: place.location,
        })
      ).items,
    occurrences: (place, filter) =>
      pages({
        operation: 'ListOccurrences',
        path: below(place),
        name: 'occurrences',
        row: occurrenceRow,
        query: { filter, ...partial },
        location: place.location,
      }),
  };
}
