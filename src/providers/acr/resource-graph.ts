import { z } from 'zod';
import { walkPages } from '../../http/pages.ts';
import { json } from '../../http.ts';
import { count } from '../../wire.ts';
import type { Azure } from './azure.ts';

/** Azure Resource Graph: what Azure knows of all resources, in one query instead of a call for each. */
export interface ResourceGraph {
  /**
   * All rows of a query, page by page. Missing permissions show as missing rows, never as an error.
   * @param query orders by the column `id`, which paging needs, and puts `after` to use where it is given
   */
  rows(
    query: (after: string | undefined) => string,
    subscriptions?: readonly string[],
  ): AsyncIterable<readonly unknown[]>;
}

/** https://learn.microsoft.com/en-us/azure/governance/resource-graph/concepts/work-with-data: the largest page. */
const pageRows = 1000;

/** https://learn.microsoft.com/en-us/rest/api/azureresourcegraph/resourcegraph/resources/resources */
const path = '/providers/Microsoft.ResourceGraph/resources';
const version = { 'api-version': '2024-04-01' };
const answer = z.object({
  data: z.array(z.unknown()),
  totalRecords: count,
  resultTruncated: z.string().nullish(),
  $skipToken: z.string().nullish(),
});

/** Where a page of a query begins. */
interface Place {
  readonly skipToken?: string | undefined;
  /** The last row of the page before, where the service cut that short and gave no token for the rest. */
  readonly after?: string | undefined;
  /** Rows since the query began or was begun anew. */
  readonly read: number;
}

/** Where the next page begins; undefined at the end. */
function nextOf({ read, after }: Place, page: z.infer<typeof answer>): Place | undefined {
  const { data: rows, $skipToken: skipToken, resultTruncated, totalRecords } = page;
  const readNow = read + rows.length;
  if (skipToken) return { skipToken, after, read: readNow };
  if (resultTruncated !== 'true' && readNow >= totalRecords) return undefined;
  const last = (rows.at(-1) as { id?: unknown } | undefined)?.id;
  return typeof last === 'string' ? { after: last, read: 0 } : undefined;
}

export function createResourceGraph(azure: Azure): ResourceGraph {
  return {
    rows: (query, subscriptions) =>
      walkPages<unknown, Place>({
        what: `${azure.origin}${path}`,
        first: { read: 0 },
        placeOf: ({ skipToken, after }) => JSON.stringify([skipToken, after]),
        async read(place) {
          const response = await azure.post('resource_graph', path, version, {
            query: query(place.after),
            subscriptions,
            options: { resultFormat: 'objectArray', $top: pageRows, $skipToken: place.skipToken },
          });
          const page = json(response, answer);
          return { items: page.data, next: nextOf(place, page) };
        },
      }),
  };
}

/** A text inside a query. */
export const quoted = (text: string): string =>
  `'${text.replace(/[\\']/g, (character) => `\\${character}`)}'`;
