import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { elementsOf, json } from '../../http.ts';
import { count, list, optional, pastTime, text, wholeList } from '../../wire.ts';
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
  modified: optional('modified', pastTime),
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
  range: optional('range', z.object({ notification: z.string().nullish(), limit: optional('limit', count) })),
});

export type Criteria = Readonly<Record<string, unknown>>;

const longestQuery = 5_800;
/** How often a listing goes back a page because items before it were deleted meanwhile. */
const stepsBack = 8;

export const idOf = ({ path, name }: Pick<Row, 'path' | 'name'>): string => `${path}/${name}`;

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

/** Asks, and reads the items of the answer. */
async function ask(api: Api, query: string, operation: string) {
  const response = await api.request({
    path: 'artifactory/api/search/aql',
    post: { type: 'text/plain', body: query },
    operation,
    idempotent: true,
  });
  const { results, range } = json(response, answer);
  const { items, left } = await elementsOf(response, 'results', row, results);
  return { items, left, limit: range?.limit, notification: range?.notification };
}

type Answer = Awaited<ReturnType<typeof ask>>;

/**
 * How many items the server looked at for an answer: fewer than were asked for where its own limit is lower. It says so
 * by that limit, and in words: https://docs.jfrog.com/artifactory/docs/aql-performance
 */
function givenOf({ items, left, limit, notification }: Answer, asked: number): number {
  if (limit && limit < asked) return limit;
  return notification ? Math.min(items.length + left, asked) : asked;
}

const find = (criteria: Criteria, fields: readonly string[]): string =>
  `items.find(${JSON.stringify(criteria)}).include(${fields.map((field) => JSON.stringify(field)).join(',')})`;

export function createAql(options: {
  readonly api: Api;
  readonly pageSize: number;
  /** Whether a page shorter than asked for is the last one for sure: an administrator sees every item. */
  seesAll(): boolean;
}): Aql {
  const { api } = options;
  return {
    pages: (criteria, fields, leftOut) => readPages(options, find(criteria, fields), leftOut),
    async all(criteria, fields, operation, leftOut) {
      const answer = await ask(api, find(criteria, fields), operation);
      const { items, left, limit, notification } = answer;
      if (left > 0) leftOut(left);
      if (items.length + left >= givenOf(answer, Number.POSITIVE_INFINITY))
        throw new CollectError(
          'too_large',
          `the search of Artifactory was cut: ${notification || `the server's own limit is ${limit}`}`,
        );
      return items;
    },
  };
}

/** Where the pages are: items may be deleted meanwhile, and the server may give fewer than were asked for. */
class Offsets {
  offset = 0;
  limit: number;
  /** Whether a page was short: then only an empty one is the end. */
  short = false;
  #last: string | undefined;
  #back = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** The last item of the page before comes again, to see whether the items moved meanwhile. */
  get overlap(): number {
    return this.offset > 0 ? 1 : 0;
  }

  /** Goes back a page where something before this one was deleted: what followed has moved into pages that were read. */
  goBack(items: readonly Row[]): boolean {
    const isMissing = this.#last !== undefined && !items.some((item) => idOf(item) === this.#last);
    if (this.overlap === 0 || this.short || !isMissing || this.#back >= stepsBack) return false;
    this.#last = undefined;
    this.#back += 1;
    this.offset = Math.max(0, this.offset - this.limit);
    return true;
  }

  /** @returns whether the list has ended */
  goOn(answer: Answer, seesAll: boolean): boolean {
    const { items, left } = answer;
    const given = givenOf(answer, this.limit + this.overlap);
    if (given > this.overlap) this.limit = given - this.overlap;
    if (items.length + left < given && seesAll) return true;
    this.short ||= items.length + left < given;
    const last = items.at(-1);
    this.#last = last && idOf(last);
    this.offset += this.limit;
    return false;
  }
}

async function* readPages(
  { api, pageSize, seesAll }: Parameters<typeof createAql>[0],
  query: string,
  leftOut: (items: number) => void,
): AsyncGenerator<readonly Row[]> {
  const seen = new Set<string>();
  const at = new Offsets(pageSize);
  /** Pages that may bring nothing new, since they are read again. */
  let again = 0;
  for (let ended = false; !ended; ) {
    const { overlap } = at;
    const range = `.offset(${at.offset - overlap}).limit(${at.limit + overlap})`;
    const answer = await ask(api, `${query}.sort({"$asc":["path","name"]})${range}`, 'aql');
    if (answer.left > 0) leftOut(answer.left);
    if (at.goBack(answer.items)) {
      again += 1;
      continue;
    }
    const fresh = unseen(answer.items, seen);
    if (fresh.length > 0) yield fresh;
    else if (answer.items.length <= overlap || at.short) return;
    else if (again === 0) throw endless();
    else again -= 1;
    ended = at.goOn(answer, seesAll());
  }
}

/** Items that were not on an earlier page. */
function unseen(items: readonly Row[], seen: Set<string>): Row[] {
  return items.filter((item) => {
    const id = idOf(item);
    return !seen.has(id) && seen.add(id) !== undefined;
  });
}

const endless = () =>
  new CollectError(
    'pagination',
    'the search of Artifactory repeats what it listed before: its pages never end',
  );

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
