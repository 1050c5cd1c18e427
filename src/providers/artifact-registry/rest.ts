import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import type { Api } from './api.ts';
import { dockerImageRow, occurrenceRow, pageOf, repositoryRow, summaryRow } from './json-rows.ts';
import { pageSize, pages } from './pages.ts';
import type { Page } from './rows.ts';
import type { Service, Transport } from './transport.ts';

/**
 * A region that cannot be reached makes its own findings missing, and not the whole answer fail:
 * https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.occurrences/list
 */
const partial = { returnPartialSuccess: 'true' };

/**
 * The APIs as plain JSON: https://cloud.google.com/artifact-registry/docs/reference/rest and
 * https://cloud.google.com/artifact-analysis/docs/reference/rest. Without the SDK, which takes what is of another type
 * for what is left out.
 */
export function openRest(input: {
  readonly transport: Transport;
  readonly registryAt: Service;
  readonly analysisAt: Service;
}): Api {
  const { transport, registryAt, analysisAt } = input;

  async function ask<T>(
    operation: string,
    at: Service,
    path: string,
    list: {
      readonly name: string;
      row(element: unknown): T;
      readonly query: Readonly<Record<string, string>>;
      /** What is missing of other locations does not matter. */
      readonly location?: string;
    },
  ): Promise<Page<T>> {
    const response = await transport.get(operation, at, path, list.query);
    const page = pageOf(json(response, z.unknown()), list.name, list.row);
    if (!page) throw new CollectError('invalid_response', `${operation} answered JSON of another shape`);
    if (list.location !== undefined && page.unreachable?.some((one) => one.endsWith(`/${list.location}`)))
      throw new CollectError(
        'server_error',
        `${operation}: Google cannot reach the location ${list.location}`,
      );
    return page;
  }

  const listOf = <T>(
    operation: string,
    at: Service,
    path: string,
    list: {
      readonly name: string;
      row(element: unknown): T;
      readonly query?: Readonly<Record<string, string>>;
      readonly location?: string;
    },
  ): AsyncGenerator<readonly T[]> =>
    pages(operation, (pageToken) => {
      const query = {
        pageSize: String(pageSize),
        ...(pageToken && { pageToken }),
        ...list.query,
      };
      return ask(operation, at, path, { ...list, query });
    });

  return {
    locations: (project) =>
      listOf('ListLocations', registryAt, `/v1/projects/${project}/locations`, {
        name: 'locations',
        row: (element) => String((element as { locationId?: unknown } | null)?.locationId ?? ''),
      }),
    repositories: (parent) =>
      listOf('ListRepositories', registryAt, `/v1/${parent}/repositories`, {
        name: 'repositories',
        row: repositoryRow,
      }),
    dockerImages: (parent) =>
      listOf('ListDockerImages', registryAt, `/v1/${parent}/dockerImages`, {
        name: 'dockerImages',
        row: dockerImageRow,
      }),
    async vulnerabilitySummary({ project, location }, filter) {
      const path = `/v1/projects/${project}/occurrences:vulnerabilitySummary`;
      const list = { name: 'counts', row: summaryRow, query: { filter, ...partial }, location };
      return (await ask('GetVulnerabilityOccurrencesSummary', analysisAt, path, list)).rows;
    },
    occurrences: ({ project, location }, filter) =>
      listOf('ListOccurrences', analysisAt, `/v1/projects/${project}/occurrences`, {
        name: 'occurrences',
        row: occurrenceRow,
        query: { filter, ...partial },
        location,
      }),
    close() {},
  };
}
