import { CollectError } from '../../errors.ts';
import type { Cloud } from './clouds.ts';
import type { TokenCredential } from './credential.ts';
import type { AzureHttpClient } from './transport.ts';

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

export async function createResourceGraph(options: {
  readonly credential: TokenCredential;
  readonly cloud: Cloud;
  readonly httpClient: AzureHttpClient;
}): Promise<ResourceGraph> {
  const { cloud } = options;
  const { ResourceGraphClient } = await import('@azure/arm-resourcegraph');
  const client = new ResourceGraphClient(options.credential, {
    endpoint: cloud.management,
    credentials: { scopes: [`${cloud.management}/.default`] },
    httpClient: options.httpClient,
    retryOptions: { maxRetries: 0 },
  });
  return {
    async *rows(query, subscriptions) {
      const seen = new Set<string>();
      let after: string | undefined;
      let skipToken: string | undefined;
      let read = 0;
      for (;;) {
        const page = await client.resources({
          query: query(after),
          ...(subscriptions && { subscriptions: [...subscriptions] }),
          options: {
            resultFormat: 'objectArray',
            top: pageRows,
            ...(skipToken !== undefined && { skipToken }),
          },
        });
        if (!Array.isArray(page.data))
          throw new CollectError('invalid_response', `${cloud.management} answered a query without its rows`);
        const rows: readonly unknown[] = page.data;
        if (rows.length > 0) yield rows;
        read += rows.length;
        skipToken = page.skipToken ?? undefined;
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
          throw new CollectError(
            'pagination',
            `${cloud.management} sent a page of a query again: it never ends`,
          );
        seen.add(mark);
      }
    },
  };
}

/** A text inside a query. */
export const quoted = (text: string): string =>
  `'${text.replace(/[\\']/g, (character) => `\\${character}`)}'`;
