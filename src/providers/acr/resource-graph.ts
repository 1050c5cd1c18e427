import { z } from 'zod';
import { CollectError } from '../../errors.ts';
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

export function createResourceGraph(azure: Azure): ResourceGraph {
  return {
    async *rows(query, subscriptions) {
      const seen = new Set<string>();
      let after: string | undefined;
      let skipToken: string | undefined;
      let read = 0;
      for (;;) {
        const response = await azure.post('resource_graph', path, version, {
          query: query(after),
          ...(subscriptions && { subscriptions }),
          options: { resultFormat: 'objectArray', $top: pageRows, $skipToken: skipToken },
        });
        const page = json(response, answer);
        const { data: rows } = page;
        if (rows.length > 0) yield rows;
        read += rows.length;
        skipToken = page.$skipToken ?? undefined;
        // A page that was cut is gone on from its last row, should the service give no token for the rest.
        const last = (rows.at(-1) as { id?: unknown } | undefined)?.id;
        if (skipToken === undefined && page.resultTruncated !== 'true' && read >= page.totalRecords) return;
        if (skipToken === undefined) {
          if (typeof last !== 'string') return;
          after = last;
          read = 0;
        }
        const mark = skipToken ?? `after ${after}`;
        if (seen.has(mark))
          throw new CollectError('pagination', `${azure.origin} sent a page of a query again: it never ends`);
        seen.add(mark);
      }
    },
  };
}

/** A text inside a query. */
export const quoted = (text: string): string =>
  `'${text.replace(/[\\']/g, (character) => `\\${character}`)}'`;
