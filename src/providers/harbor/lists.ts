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
 * The elements of a list. Go writes a list without any as `null` where nobody made it an empty one, which is believed
 * when it is counted as empty.
 * @throws CollectError `invalid_response` for what is no list
 */
export function elementsIn(response: HttpResponse): unknown[] {
  const list = z.array(z.unknown());
  return json(response, totalOf(response) === 0 ? list.nullable() : list) ?? [];
}

/** The count of a list; one that is less than what is seen is wrong. */
function plausibleTotal(response: HttpResponse, seen: number): number | undefined {
  const total = totalOf(response);
  return total !== undefined && total < seen ? undefined : total;
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
  /** Elements of the first page: fewer than were asked for where something between has a limit of its own. */
  readonly first: number;
  /** It is the page before once more. */
  readonly repeated: boolean;
}

/** What Harbor gives where it is not told how many; who shortens pages does not make them shorter than that. */
const usualSize = 10;

/**
 * The number of the next page, from `Link`; where a proxy dropped that header, from `X-Total-Count`; without either
 * there is another page while pages are as long as the first one. Only the page's number is taken from the address in
 * `Link`: behind a proxy that serves Harbor under another path the rest of it is wrong.
 */
function nextPage(response: HttpResponse, read: Read, size: number): number | undefined {
  const { number, length, total, first, repeated } = read;
  const link = nextByLink(response, response.url);
  if (!link) {
    // What gives fewer than were asked for, and the same again, takes no notice of pages: it has shown all that it has.
    if (length === 0 || (repeated && length < size)) return undefined;
    const more =
      total === undefined ? length >= Math.min(size, Math.max(first, usualSize)) : number * first < total;
    return more ? number + 1 : undefined;
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
  let perPage = size;
  let where = operation;
  const read = async ({ number, returns }: Cursor) => {
    const response = await request(number);
    where = shown(response.url);
    const elements = elementsOf(response, size);
    refuseUncounted(response, elements.length, counted);
    const items = shaped(elements, schema, where, response.onOddity) as z.infer<Schema>[];
    const total = plausibleTotal(response, elements.length);
    const gone = before?.total !== undefined && total !== undefined ? before.total - total : 0;
    const { length } = elements;
    const repeated = length > 0 && before?.body.equals(response.body) === true;
    before = { total, body: response.body };
    if (number === 1) perPage = length;
    else if (gone > 0)
      return { items: [], next: goBack({ number, returns }, Math.ceil(gone / perPage), where) };
    if (!repeated) seen += length;
    const next = nextPage(response, { number, length, total, first: perPage, repeated }, size);
    return {
      // A page that is the same as the one before shows nothing new: a list that never ends looks so.
      items: repeated ? [] : [{ items, odd: length - items.length, total }],
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
  const elements = elementsIn(response);
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
  /** Items that one page shows twice: no others are missing for them, as they are when the list moves between pages. */
  let twice = 0;
  /** The least of the counts: what came or went while the list was read is no contradiction. */
  let least = 0;
  let isCounted = false;
  for await (const page of pages()) {
    odd += page.odd;
    const keys = new Set(page.items.map(keyOf));
    twice += page.items.length - keys.size;
    for (const item of page.items) items.set(keyOf(item), item);
    if (page.total === undefined) continue;
    least = isCounted ? Math.min(page.total, least) : page.total;
    isCounted = true;
  }
  return { items: [...items.values()], missing: odd + Math.max(0, least - items.size - odd - twice) };
}
