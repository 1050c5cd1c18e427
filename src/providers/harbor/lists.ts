import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { nextByLink, walkPages } from '../../http/pages.ts';
import { type HttpResponse, json, shaped, shown } from '../../http.ts';
import { list } from '../../wire.ts';

/** A page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** How many of the page could not be understood. */
  readonly odd: number;
  /** How many there are of all pages; undefined where the answer does not tell. */
  readonly total: number | undefined;
}

/** A whole list. */
export interface Found<T> {
  readonly items: readonly T[];
  /** How many it holds besides: those that could not be understood, and those that no page showed. */
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
 * Refuses an empty list that does not say that it is empty, where other lists say how many they hold.
 * @throws CollectError `invalid_response`
 */
export function refuseUncounted(response: HttpResponse, length: number, othersAreCounted: boolean): void {
  if (length === 0 && othersAreCounted && totalOf(response) === undefined)
    throw new CollectError(
      'invalid_response',
      `${shown(response.url)} answered an empty list without its count, which other lists have: something in between may have answered`,
    );
}

/**
 * The number of the next page, from `Link`; where a proxy dropped that header, from `X-Total-Count`; without either
 * there is another page while they come full. Of the address in `Link` only the page's number is used: behind a proxy
 * that serves Harbor under another path it is a wrong one.
 */
function nextPage(
  response: HttpResponse,
  read: { readonly page: number; readonly size: number; readonly length: number; readonly total?: number },
): number | undefined {
  const { page, size, length, total } = read;
  const link = nextByLink(response, response.url);
  if (!link) {
    const more = total === undefined ? length >= size : page * size < total;
    return more && length > 0 ? page + 1 : undefined;
  }
  const named = link.searchParams.get('page') ?? String(page + 1);
  if (!/^\d{1,9}$/.test(named) || Number(named) <= page)
    throw new CollectError(
      'pagination',
      `${shown(response.url)} says that page ${named.slice(0, 20)} comes after page ${page}: its listing never ends`,
    );
  return Number(named);
}

/**
 * Reads a list page by page.
 * @throws CollectError `pagination` for one that never ends, that shrinks faster than it can be read, and, unless
 * `partial`, that shows fewer than it says there are
 */
export async function* readPages<Schema extends z.ZodType>(of: {
  readonly operation: string;
  readonly pageSize: number;
  readonly item: Schema;
  /** Whether other lists of this Harbor said how many there are. */
  readonly counted: boolean;
  /** Whether a list that shows fewer than it says there are is read all the same. */
  readonly partial?: boolean;
  request(page: number): Promise<HttpResponse>;
}): AsyncGenerator<Page<z.infer<Schema>>> {
  const { operation, pageSize: size, item, request } = of;
  interface Place {
    readonly page: number;
    /** How often the list was gone back in. */
    readonly returns: number;
  }
  const schema = list(operation, item);
  let before: { readonly total: number | undefined; readonly body: Buffer } | undefined;
  let seen = 0;
  let where = operation;
  const read = async ({ page, returns }: Place) => {
    const response = await request(page);
    where = shown(response.url);
    const given = json(response, z.array(z.unknown()));
    if (given.length > size)
      throw new CollectError(
        'invalid_response',
        `${where} answered ${given.length} entries where ${size} were asked for`,
      );
    const items = shaped(given, schema, where, response.onOddity) as z.infer<Schema>[];
    const told = totalOf(response);
    refuseUncounted(response, given.length, of.counted);
    // Fewer than were seen are not all that there is, whatever the header says.
    const total = told !== undefined && told < given.length ? undefined : told;
    // What was deleted moved the rest towards the front: the first of this page may stand on one that was read
    // before. Harbor pages by offset, so the only way to miss none is to go back.
    const gone = before?.total !== undefined && total !== undefined ? before.total - total : 0;
    const repeated = before?.body.equals(response.body) && given.length > 0;
    before = { total, body: response.body };
    if (gone > 0 && page > 1) {
      if (returns >= mostReturns)
        throw new CollectError(
          'pagination',
          `${where} shrinks faster than it can be read: it will be read at the next poll`,
        );
      return {
        items: [],
        next: { page: Math.max(1, page - Math.ceil(gone / size)), returns: returns + 1 },
      };
    }
    seen += given.length;
    const next = nextPage(response, {
      page,
      size,
      length: given.length,
      total,
    });
    return {
      // A page that says nothing new, again and again, is how a list that never ends looks.
      items: repeated ? [] : [{ items, odd: given.length - items.length, total }],
      ...(next !== undefined && { next: { page: next, returns } }),
    };
  };
  const first: Place = { page: 1, returns: 0 };
  const placeOf = ({ page, returns }: Place) => `${page} ${returns}`;
  for await (const pages of walkPages({ what: `Harbor's ${operation}`, first, read, placeOf })) yield* pages;
  const total = before?.total;
  if (!of.partial && total !== undefined && seen < total)
    throw new CollectError('pagination', `${where} shows ${seen} entries and says that there are ${total}`);
}

/** Reads a whole list; what is seen twice since the list moved counts once, by its key. */
export async function findAll<T>(
  pages: () => AsyncIterable<Page<T>>,
  keyOf: (one: T) => unknown,
): Promise<Found<T>> {
  const all = new Map<unknown, T>();
  let odd = 0;
  let least: number | undefined;
  for await (const { items, odd: more, total } of pages()) {
    odd += more;
    for (const one of items) all.set(keyOf(one), one);
    // What came or went while the list was read is no contradiction.
    if (total !== undefined) least = Math.min(total, least ?? total);
  }
  const unseen = least === undefined ? 0 : Math.max(0, least - all.size - odd);
  return { items: [...all.values()], missing: odd + unseen };
}
