import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { elementsOf, json } from '../../http.ts';
import { count, isPastTime, list, optional, text, wholeList } from '../../wire.ts';
import type { Api } from './api.ts';

/**
 * Artifactory's query language. What its documentation says of it and what follows from that:
 * https://jfrog.com/help/r/jfrog-artifactory-documentation/display-limits-and-pagination
 * - `sort`, `offset` and `limit` work only where `include` names fields of the item itself: statistics and properties
 *   are asked for apart, page by page of the items that were listed before.
 * - Permissions are applied after the limit: a page that is short need not be the last one.
 * https://docs.jfrog.com/artifactory/docs/aql-performance
 * - Three queries at once and 6,000 characters each by default; more are answered 429 and 400.
 */
const stats = optional(
  'stats',
  wholeList(z.object({ downloads: count, downloaded: optional('downloaded', z.string()) })),
);
/** `.` is the root. A path with `..` would lead out of its repository where it becomes part of an address. */
const isPath = (path: string): boolean =>
  path === '.' || !path.split('/').some((part) => ['', '.', '..'].includes(part));
const row = z.object({
  repo: text,
  path: text.refine(isPath, 'no path'),
  name: text,
  // A number, or one in quotes.
  size: optional('size', count),
  sha256: optional('sha256', z.string()),
  created: optional('created', z.string()),
  modified: optional('modified', z.string()),
  // Absent of what was never downloaded; null here: what there is cannot be understood.
  stats: z
    .unknown()
    .optional()
    .transform((value) => (value === undefined || value === null ? undefined : (stats.parse(value) ?? null))),
  properties: optional(
    'properties',
    list('properties', z.object({ key: text, value: optional('value', z.string()) })),
  ),
});
export type Row = z.infer<typeof row>;

const answer = z.object({
  results: z.array(z.unknown()),
  range: optional('range', z.object({ notification: z.string().nullish() })),
});

export type Criteria = Readonly<Record<string, unknown>>;

const longestQuery = 5_800;
/** How often a listing goes back a page because items before it were deleted meanwhile. */
const stepsBack = 8;

export const idOf = ({ path, name }: Pick<Row, 'path' | 'name'>): string => `${path}/${name}`;

const listOf = (fields: readonly string[]): string => fields.map((field) => JSON.stringify(field)).join(',');

export interface Aql {
  /**
   * Pages of items by path and name. Each item once.
   * @param leftOut told how many items of a page could not be understood
   */
  pages(
    criteria: Criteria,
    fields: readonly string[],
    leftOut: (items: number) => void,
  ): AsyncGenerator<readonly Row[]>;
  /**
   * All items at once, with fields of statistics or properties, which exclude paging.
   * @param leftOut told how many items could not be understood
   */
  all(
    criteria: Criteria,
    fields: readonly string[],
    operation: string,
    leftOut: (items: number) => void,
  ): Promise<readonly Row[]>;
}

export function createAql(given: {
  readonly api: Api;
  readonly pageSize: number;
  /** Whether a page shorter than asked for is the last one for sure: an administrator sees every item. */
  seesAll(): boolean;
}): Aql {
  const { api, pageSize, seesAll } = given;

  async function ask(query: string, operation: string) {
    const response = await api.request({
      path: 'artifactory/api/search/aql',
      post: { type: 'text/plain', body: query },
      operation,
      idempotent: true,
    });
    const { results, range } = json(response, answer);
    return { results: await elementsOf(response, 'results', row, results), range };
  }
  const find = (criteria: Criteria, fields: readonly string[]): string =>
    `items.find(${JSON.stringify(criteria)}).include(${listOf(fields)})`;

  return {
    async *pages(criteria, fields, leftOut) {
      const seen = new Set<string>();
      let limit = pageSize;
      let offset = 0;
      let short = false;
      let last: string | undefined;
      let back = 0;
      /** Pages that may bring nothing new, since they are read again. */
      let again = 0;
      for (;;) {
        // The last item of the page before comes again, to see whether the items moved meanwhile.
        const overlap = offset > 0 ? 1 : 0;
        const query = `${find(criteria, fields)}.sort({"$asc":["path","name"]}).offset(${offset - overlap}).limit(${limit + overlap})`;
        const {
          results: { items: results, left },
          range,
        } = await ask(query, 'aql');
        if (left > 0) leftOut(left);
        if (overlap === 1 && last !== undefined && !short && !results.some((one) => idOf(one) === last)) {
          // Something before this page was deleted, and what followed has moved into the pages that were read.
          last = undefined;
          if (back < stepsBack) {
            back += 1;
            again += 1;
            offset = Math.max(0, offset - limit);
            continue;
          }
        }
        const fresh = results.filter((one) => !seen.has(idOf(one)));
        for (const one of fresh) seen.add(idOf(one));
        if (fresh.length > 0) yield [...new Map(fresh.map((one) => [idOf(one), one])).values()];
        else if (results.length <= overlap || short) return;
        else if (again > 0) again -= 1;
        else
          throw new CollectError(
            'pagination',
            'the search of Artifactory repeats what it listed before: its pages never end',
          );
        if (range?.notification && results.length > overlap && results.length + left < limit + overlap) {
          // The server's own limit is lower: https://docs.jfrog.com/artifactory/docs/aql-performance
          limit = results.length + left - overlap;
        } else if (results.length + left < limit + overlap) {
          if (seesAll()) return;
          short = true;
        }
        last = results.at(-1) && idOf(results.at(-1) as Row);
        offset += limit;
      }
    },
    async all(criteria, fields, operation, leftOut) {
      const {
        results: { items, left },
        range,
      } = await ask(find(criteria, fields), operation);
      if (left > 0) leftOut(left);
      if (range?.notification)
        throw new CollectError('too_large', `the search of Artifactory was cut: ${range.notification}`);
      return items;
    },
  };
}

/** The criteria once for so many paths that the query stays within its length. */
export function chunksByPath(criteria: Criteria, paths: readonly string[]): Criteria[] {
  const chunks: Criteria[] = [];
  let length = longestQuery;
  let chunk: { path: string }[] = [];
  const base = JSON.stringify(criteria).length + 200;
  for (const path of paths) {
    const more = JSON.stringify({ path }).length + 1;
    if (length + more > longestQuery) {
      chunk = [];
      chunks.push({ $and: [criteria, { $or: chunk }] });
      length = base;
    }
    chunk.push({ path });
    length += more;
  }
  return chunks;
}

/** Unix seconds of `2015-01-01T10:10:10.000+02:00`; undefined for what is no moment that has passed. */
export function secondsOf(time: string | null | undefined): number | undefined {
  const seconds = time ? Math.floor(Date.parse(time) / 1000) : Number.NaN;
  return isPastTime(seconds) ? seconds : undefined;
}
