import LinkHeader from 'http-link-header';
import { CollectError } from '../errors.ts';
import { createYielder } from '../yielding.ts';

/** One page of a list: what it shows, and where the next one is. */
export interface Page<Item, Cursor> {
  readonly items: readonly Item[];
  /** Absent at the end of the list. */
  readonly next?: Cursor | undefined;
}

export interface Walk<Item, Cursor> {
  /** Names the list in errors, such as `https://registry.example.com/v2/_catalog`. */
  readonly what: string;
  /** Where the first page is. */
  readonly first: Cursor;
  read(cursor: Cursor): Promise<Page<Item, Cursor>>;
  /** What tells one page's place from another's; default: its text. */
  placeOf?(cursor: Cursor): string;
  /** What tells one item from another. Items that were seen before are left out. */
  keyOf?(item: Item): unknown;
}

const mostPages = 100_000;
/** So many pages in a row may show nothing new: of lists that are filtered or change while they are read. */
const mostIdlePages = 20;
/** Consumers work on so many items at once, so that a page of any size does not hold the event loop. */
const itemsAtOnce = 1_000;

/**
 * Reads a list page by page, whatever its pages are found by: an address, a token or a number. The list ends where the
 * server says so.
 * @returns new items, at most 1,000 at once; an empty page is an empty array
 * @throws CollectError `pagination` for a place that was read before, for too many pages, and for too many in a row
 * that show nothing new: such a list never ends
 */
export async function* walkPages<Item, Cursor>(walk: Walk<Item, Cursor>): AsyncGenerator<readonly Item[]> {
  const { what, read, placeOf = String, keyOf } = walk;
  const pause = createYielder();
  const checkPlace = createPlaceGuard(what);
  checkPlace(placeOf(walk.first));
  const seen = new Set<unknown>();
  const isNew = (item: Item): boolean => {
    const key = keyOf?.(item);
    return !seen.has(key) && seen.add(key) !== undefined;
  };
  let idle = 0;
  for (let cursor = walk.first; ; ) {
    const { items, next } = await read(cursor);
    let newItems = 0;
    for (let start = 0; start === 0 || start < items.length; start += itemsAtOnce) {
      const some = items.slice(start, start + itemsAtOnce);
      const fresh = keyOf ? some.filter(isNew) : some;
      newItems += fresh.length;
      yield fresh;
      await pause();
    }
    if (next === undefined) return;
    idle = newItems > 0 ? 0 : idle + 1;
    if (idle >= mostIdlePages) throw endless(what, `${idle} pages in a row show nothing new`);
    checkPlace(placeOf(next));
    cursor = next;
  }
}

const endless = (what: string, why: string): CollectError =>
  new CollectError('pagination', `${what}: ${why}: the list never ends`);

/** Refuses a place that was read before, and one after too many others. */
function createPlaceGuard(what: string): (place: string) => void {
  const places = new Set<string>();
  return (place) => {
    if (places.size >= mostPages) throw endless(what, `more than ${mostPages} pages`);
    if (places.has(place)) throw endless(what, 'the server names a next page that was read before');
    places.add(place);
  };
}

/** @throws Error for what is no list of links */
function linksIn(line: string): LinkHeader {
  // The parser knows no space before a comma, which Harbor writes:
  // https://github.com/goharbor/harbor/blob/main/src/lib/link.go
  // Each run of spaces is looked at once: a header full of them must not hold the event loop.
  const spaced = line.replace(/(?<!\s)\s+,/g, ',');
  // Quay wrote the address without its brackets: https://github.com/heroku/docker-registry-client/pull/11
  const plain = spaced.replace(/^\s*((?:https?:\/\/|\/)[^\s<>;,]*)\s*;/, '<$1>;');
  try {
    return LinkHeader.parse(plain);
  } catch {
    // A parameter such as `title*` in another encoding than it says is none of ours.
    return LinkHeader.parse(plain.replace(/;\s?[\w-]+\*\s?=[^;,\s]*/g, ''));
  }
}

/** What of an answer tells where the next page is. */
interface Linked {
  readonly url: URL;
  headerLines(name: string): readonly string[];
}

/**
 * The next page by the `Link` header (RFC 8288). Only its query is used: servers behind a proxy name inner addresses,
 * other schemes and paths, and what was asked is the one address that is known to work. So it never leaves our origin.
 * @param asked the address of this page, as it was asked for
 * @throws CollectError `pagination` for a link that is no address, and for a header that holds no link at all
 */
export function nextByLink(response: Linked, asked: URL): URL | undefined {
  const refuse = (what: string) =>
    new CollectError(
      'pagination',
      `${asked.origin}${asked.pathname} sent a Link header ${what}: whether there is a next page is unknown`,
    );
  for (const line of response.headerLines('link')) {
    let links: LinkHeader;
    try {
      links = linksIn(line);
    } catch {
      // What cannot be read and is about something else does no harm.
      if (/<[^>]*>/.test(line) && !/\bnext\b/i.test(line)) continue;
      throw refuse('without a link');
    }
    const link = links.refs.find(({ rel }) => rel?.toLowerCase() === 'next');
    if (!link) continue;
    if (!URL.canParse(link.uri, response.url)) throw refuse('to the next page that is no address');
    const next = new URL(asked);
    next.search = new URL(link.uri, response.url).search;
    return next;
  }
  return undefined;
}

/** Servers cut pages at round numbers, whatever was asked for: Quay at 50, others at 100 or 1,000. */
const smallestCut = 50;
const looksCut = (length: number): boolean => length >= smallestCut && length % smallestCut === 0;

/**
 * A list of names of the registry protocol, with `n` and `last`. A page without a link that is as full as was asked
 * for, or as servers are known to cut pages, goes on after its last name, until a page is empty or short.
 *
 * Some registries know neither a link nor `last`: they answer the same page again. A page that was as full as was asked
 * for is then not known to be the whole list.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
 */
export interface NameList<Response extends Linked> {
  /** The first page, with `n` if the registry takes it. */
  readonly first: URL;
  /** The first answer, where it has been read already. */
  readonly answer?: Response;
  /**
   * @param url the page
   * @param tentative whether the page is asked for without a link: `undefined` says that the registry refuses that
   */
  request(url: URL, tentative: boolean): Promise<Response | undefined>;
  namesOf(response: Response): readonly string[];
  /** Whether a name is one that the list can go on after; default: any. */
  isName?(name: string): boolean;
}

/** A page of a list of names. */
interface NamesPlace {
  readonly url: URL;
  /** How many names the page before showed, where this page is asked for without a link. */
  readonly after?: number;
  /** Whether the page before has a link, so that there is more, to a page that was read before. */
  readonly leadsBack?: boolean;
}

/** What a page shows, for {@link nextPlace}. */
interface NamesPage {
  readonly names: readonly string[];
  /** The last of its names that can be one. */
  readonly last: string | undefined;
  /** Whether it shows no name, and pages before it did. */
  readonly isEmpty: boolean;
  /** Addresses of the pages that were read. */
  readonly read: ReadonlySet<string>;
}

/**
 * Where to go on after a page: by its link, else after its last name if it is full; undefined where it is the last one.
 * A link back says that there is more, and not where: Artifactory named `n` in the place of the last name.
 * https://github.com/renovatebot/renovate/issues/15080
 */
function nextPlace(response: Linked, url: URL, page: NamesPage): NamesPlace | undefined {
  const { names, last, isEmpty, read } = page;
  const link = nextByLink(response, url);
  const leadsBack = link !== undefined && read.has(link.href);
  if (link && isEmpty && isEnd(url, link, leadsBack)) return undefined;
  if (link && !(leadsBack && last !== undefined)) return { url: link };
  const isFull = names.length === askedFor(url) || looksCut(names.length);
  if (last === undefined || !(isFull || leadsBack)) return undefined;
  const next = new URL(url);
  next.searchParams.set('last', last);
  return { url: next, after: names.length, leadsBack };
}

/**
 * Whether an empty page ends the list although it has a link: it shows that nothing comes after a name, and asks to go
 * on after none, the same, or one before. Servers that link each page do so: https://github.com/pulp/pulp_container/pull/220
 */
function isEnd(url: URL, link: URL, leadsBack: boolean): boolean {
  const last = url.searchParams.get('last');
  const next = link.searchParams.get('last');
  return Boolean(last) && (!next || next === last || leadsBack);
}

const askedFor = (url: URL): number => Number(url.searchParams.get('n') ?? Number.NaN);

/**
 * The end of a list whose server knows no `last`. A page shorter or longer than asked for is all that there is.
 * @throws CollectError `pagination` where there may be more
 */
function endOfRepeated(what: string, { url, after, leadsBack }: NamesPlace): Page<string, NamesPlace> {
  if (after !== askedFor(url) && !leadsBack) return { items: [] };
  const shows = leadsBack
    ? 'a next page that was read before'
    : 'as many names as were asked for and no next page';
  throw new CollectError(
    'pagination',
    `${what} shows ${shows}, and the same again when asked to go on after its last name: how many there are is unknown`,
  );
}

/** @throws CollectError `pagination` where the list cannot be read to its end */
export async function* walkNames<Response extends Linked>(
  list: NameList<Response>,
): AsyncGenerator<readonly string[]> {
  const { first, answer, request, namesOf, isName = () => true } = list;
  const what = `${first.origin}${first.pathname}`;
  const seen = new Set<string>();
  const places = new Set<string>();
  const pause = createYielder();
  const onlyNew = async (names: readonly string[]) => {
    const fresh: string[] = [];
    for (const name of names) {
      if (!seen.has(name)) fresh.push(name);
      seen.add(name);
      if (seen.size % itemsAtOnce === 0) await pause();
    }
    return fresh;
  };
  const read = async (place: NamesPlace): Promise<Page<string, NamesPlace>> => {
    const { url } = place;
    const isTentative = place.after !== undefined;
    const response = url === first && answer ? answer : await request(url, isTentative);
    const names = response ? namesOf(response) : [];
    const items = await onlyNew(names);
    const isRepeated = items.length === 0 && names.some(isName);
    if (!response || (isTentative && isRepeated)) return endOfRepeated(what, place);
    places.add(url.href);
    const isEmpty = names.length === 0 && seen.size > 0;
    const page = { names, last: names.findLast(isName), isEmpty, read: places };
    return { items, next: nextPlace(response, url, page) };
  };
  yield* walkPages({ what, first: { url: first }, read, placeOf: ({ url }) => url.href });
}
