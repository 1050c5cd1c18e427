import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { nextByLink, walkPages } from '../../http/pages.ts';
import { type HttpResponse, json, shaped, shown } from '../../http.ts';
import { list } from '../../wire.ts';

/** A page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** How many elements of the page could not be understood. */
  readonly odd: number;
  /** How many items all pages have; undefined where the answer does not tell. */
  readonly total: number | undefined;
}

/** A whole list. */
export interface List<T> {
  readonly items: readonly T[];
  /** How many more it has: elements that could not be understood, and items that no page showed. */
  readonly missing: number;
}

/** How often a list is read again from where things were deleted while it was read. */
const mostReturns = 20;

/** `X-Total-Count`; `-1` where Harbor did not count. */
export function totalOf(response: HttpResponse): number | undefined {
  const text = response.header('x-total-count');
  const total = text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : undefined;
  return Number.isSafeInteger(total) ? total : undefined;
}

/**
 * Refuses an empty list that does not say that it is empty, where other lists say how many items they have.
 * @throws CollectError `invalid_response`
 */
export function refuseUncounted(response: HttpResponse, length: number, othersAreCounted: boolean): void {
  if (length === 0 && othersAreCounted && totalOf(response) === undefined)
    throw new CollectError(
      'invalid_response',
      `${shown(response.url)} answered an empty list without its count, which other lists have: a proxy may have answered`,
    );
}

/** What was read of one page. */
interface Read {
  readonly number: number;
  /** Elements, understood or not. */
  readonly length: number;
  readonly total: number | undefined;
}

/**
 * The number of the next page, from `Link`; where a proxy dropped that header, from `X-Total-Count`; without either
 * there is another page while pages are full. Only the page's number is taken from the address in `Link`: behind a
 * proxy that serves Harbor under another path the rest of it is wrong.
 */
function nextPage(response: HttpResponse, { number, length, total }: Read, size: number): number | undefined {
  const link = nextByLink(response, response.url);
  if (!link) {
    const more = total === undefined ? length >= size : number * size < total;
    return more && length > 0 ? number + 1 : undefined;
  }
  const next = link.searchParams.get('page') ?? String(number + 1);
  if (!/^\d{1,9}$/.test(next) || Number(next) <= number)
    throw new CollectError(
      'pagination',
      `${shown(response.url)} says that page ${next.slice(0, 20)} comes after page ${number}: its listing never ends`,
    );
  return Number(next);
}

export interface PagesOf<Schema extends z.ZodType> {
  readonly operation: string;
  readonly pageSize: number;
  readonly item: Schema;
  /** Whether other lists of this Harbor said how many items they have. */
  readonly counted: boolean;
  /** Whether a list that shows fewer items than it says there are is read all the same. */
  readonly partial: boolean;
  request(page: number): Promise<HttpResponse>;
}

/** A page's number, and how often the list was gone back in before. */
interface Cursor {
  readonly number: number;
  readonly returns: number;
}

/**
 * Reads a list page by page.
 * @throws CollectError `pagination` for a list that never ends, that shrinks faster than it can be read, and, unless
 * `partial`, that shows fewer items than it says there are
 */
export async function* readPages<Schema extends z.ZodType>(
  of: PagesOf<Schema>,
): AsyncGenerator<Page<z.infer<Schema>>> {
  const { operation, pageSize: size, item, counted, partial, request } = of;
  const schema = list(operation, item);
  let before: { readonly total: number | undefined; readonly body: Buffer } | undefined;
  let seen = 0;
  let where = operation;
  const read = async ({ number, returns }: Cursor) => {
    const response = await request(number);
    where = shown(response.url);
    const elements = elementsOf(response, size);
    refuseUncounted(response, elements.length, counted);
    const items = shaped(elements, schema, where, response.onOddity) as z.infer<Schema>[];
    // A count that is less than what is seen is wrong.
    const count = totalOf(response);
    const total = count !== undefined && count < elements.length ? undefined : count;
    const gone = before?.total !== undefined && total !== undefined ? before.total - total : 0;
    const repeated = before?.body.equals(response.body) && elements.length > 0;
    before = { total, body: response.body };
    if (gone > 0 && number > 1)
      return { items: [], next: goBack({ number, returns }, Math.ceil(gone / size), where) };
    seen += elements.length;
    const next = nextPage(response, { number, length: elements.length, total }, size);
    return {
      // A page that is the same as the one before shows nothing new: a list that never ends looks so.
      items: repeated ? [] : [{ items, odd: elements.length - items.length, total }],
      next: next === undefined ? undefined : { number: next, returns },
    };
  };
  const placeOf = ({ number, returns }: Cursor) => `${number} ${returns}`;
  const first = { number: 1, returns: 0 };
  for await (const pages of walkPages({ what: `Harbor's ${operation}`, first, read, placeOf })) yield* pages;
  const total = before?.total;
  if (!partial && total !== undefined && seen < total)
    throw new CollectError('pagination', `${where} shows ${seen} entries and says that there are ${total}`);
}

/**
 * A deletion moves what follows towards the front: the first item of this page may now be on one that was read before.
 * Harbor pages by offset, so nothing is missed only by going back.
 */
function goBack({ number, returns }: Cursor, pages: number, where: string): Cursor {
  if (returns >= mostReturns)
    throw new CollectError('pagination', `${where} shrinks faster than it can be read`);
  return { number: Math.max(1, number - pages), returns: returns + 1 };
}

function elementsOf(response: HttpResponse, size: number): unknown[] {
  const elements = json(response, z.array(z.unknown()));
  if (elements.length <= size) return elements;
  throw new CollectError(
    'invalid_response',
    `${shown(response.url)} answered ${elements.length} entries where ${size} were asked for`,
  );
}

/** Reads a whole list. An item that is listed twice, because the list moved while it was read, counts once. */
export async function readList<T>(
  pages: () => AsyncIterable<Page<T>>,
  keyOf: (item: T) => unknown,
): Promise<List<T>> {
  const items = new Map<unknown, T>();
  let odd = 0;
  /** The least of the counts: what came or went while the list was read is no contradiction. */
  let least = 0;
  let isCounted = false;
  for await (const page of pages()) {
    odd += page.odd;
    for (const item of page.items) items.set(keyOf(item), item);
    if (page.total === undefined) continue;
    least = isCounted ? Math.min(page.total, least) : page.total;
    isCounted = true;
  }
  return { items: [...items.values()], missing: odd + Math.max(0, least - items.size - odd) };
}
