import { describe, expect, test } from 'vitest';
import { nextByLink, walkNames, walkPages } from '../../src/http/pages.ts';

const first = new URL('https://registry.example.com/prefix/v2/_catalog?n=3');

interface Answer {
  readonly url: URL;
  readonly names: readonly string[];
  headerLines(name: string): readonly string[];
}

const answer = (url: URL, names: readonly string[], link?: string): Answer => ({
  url,
  names,
  headerLines: (name) => (name === 'link' && link ? [`<${link}>; rel="next"`] : []),
});

/** Walks a list of names. @returns the names, or the error, and the queries that were asked */
async function walk(server: (url: URL) => Answer | undefined, from = first) {
  const asked: string[] = [];
  const names: string[] = [];
  try {
    const request = async (url: URL) => {
      asked.push(url.search);
      if (asked.length > 60) throw new Error('never ends');
      return server(url);
    };
    for await (const some of walkNames({ first: from, request, namesOf: (one: Answer) => one.names }))
      names.push(...some);
    return { names, asked };
  } catch (error) {
    return { error: (error as Error).message, asked };
  }
}

const all = ['a', 'b', 'c', 'd', 'e', 'f'];
const namesAfter = (url: URL) => all.slice(all.indexOf(url.searchParams.get('last') ?? '') + 1).slice(0, 3);

describe('a list of names', () => {
  test('a full page without a link goes on after its last name, until an empty page', async () => {
    expect(await walk((url) => answer(url, namesAfter(url)))).toEqual({
      names: all,
      asked: ['?n=3', '?n=3&last=c', '?n=3&last=f'],
    });
  });

  test('a short page without a link is the end', async () => {
    expect(await walk((url) => answer(url, ['a', 'b']))).toEqual({ names: ['a', 'b'], asked: ['?n=3'] });
  });

  test('a full page that comes again is not known to be all', async () => {
    const { error, asked } = await walk((url) => answer(url, ['a', 'b', 'c']));
    expect(error).toContain('how many there are is unknown');
    expect(asked).toEqual(['?n=3', '?n=3&last=c']);
  });

  test('a page that is longer than was asked for is all there is, though it comes again', async () => {
    const many = Array.from({ length: 200 }, (_, index) => `n${index}`);
    expect(await walk((url) => answer(url, many))).toEqual({
      names: many,
      asked: ['?n=3', '?n=3&last=n199'],
    });
  });

  test.each([50, 100])('a page that is cut at %d goes on', async (size) => {
    const many = Array.from({ length: 250 }, (_, index) => `n${index}`);
    const from = new URL('https://registry.example.com/v2/_catalog?n=1000');
    const server = (url: URL) =>
      answer(url, many.slice(many.indexOf(url.searchParams.get('last') ?? '') + 1).slice(0, size));
    expect((await walk(server, from)).names).toEqual(many);
  });

  test.each([
    ['the same', '?n=3&last=f'],
    ['none', '?n=3&last='],
    ['the first page', '?n=3'],
  ])('an empty page is the end, whose link goes on after %s', async (_what, ofEmpty) => {
    const server = (url: URL) => {
      const names = namesAfter(url);
      return answer(url, names, names.length > 0 ? `?n=3&last=${names.at(-1)}` : ofEmpty);
    };
    expect(await walk(server)).toEqual({ names: all, asked: ['?n=3', '?n=3&last=c', '?n=3&last=f'] });
  });

  test('an empty page whose link goes on after another name is not the end', async () => {
    const server = (url: URL) => {
      const last = url.searchParams.get('last') ?? '';
      if (last === 'c') return answer(url, [], '?n=3&last=d');
      const names = namesAfter(url);
      return answer(url, names, names.length === 3 ? `?n=3&last=${names.at(-1)}` : undefined);
    };
    expect((await walk(server)).names).toEqual(['a', 'b', 'c', 'e', 'f']);
  });

  test('a link is followed by its query, at the address that was asked', async () => {
    const link = (url: URL) =>
      url.searchParams.has('last') ? undefined : 'http://10.0.0.7:5000/v2/_catalog?last=c&n=3';
    expect(await walk((url) => answer(url, namesAfter(url), link(url)))).toEqual({
      names: all,
      asked: ['?n=3', '?last=c&n=3', '?last=f&n=3'],
    });
  });

  test.each([
    ['the first page', '?n=3'],
    ['a number in the place of the last name', '?n=3&last=3'],
    ['the same page each time', '?n=3&last=c'],
  ])('a link back, to %s: the list goes on after its last name', async (_what, link) => {
    const server = (url: URL) => {
      const last = url.searchParams.get('last') ?? '';
      return answer(url, all.filter((name) => name > last).slice(0, 3), link);
    };
    expect((await walk(server)).names).toEqual(all);
  });

  test.each([3, 50, 60])('a link back of a server that knows no last name (%d names)', async (count) => {
    const names = Array.from({ length: count }, (_, index) => `n${index}`);
    const { error } = await walk((url) => answer(url, names, '?n=3'));
    expect(error).toContain(
      'https://registry.example.com/prefix/v2/_catalog shows a next page that was read',
    );
  });

  test('a page of any other number of names than servers cut at is short', async () => {
    const many = Array.from({ length: 60 }, (_, index) => `n${index}`);
    const from = new URL('https://registry.example.com/v2/_catalog?n=1000');
    expect((await walk((url) => answer(url, many), from)).asked).toEqual(['?n=1000']);
  });

  test('a first page that was read already is not asked for again', async () => {
    const asked: string[] = [];
    const names: string[] = [];
    const list = walkNames({
      first,
      answer: answer(first, ['a', 'b', 'c']),
      async request(url, tentative) {
        asked.push(`${url.search}${tentative ? ' tentative' : ''}`);
        return answer(url, namesAfter(url).slice(0, 2));
      },
      namesOf: (one) => one.names,
    });
    for await (const some of list) names.push(...some);
    expect([names, asked]).toEqual([['a', 'b', 'c', 'd', 'e'], ['?n=3&last=c tentative']]);
  });

  test('a registry that refuses to go on after a name has shown all, unless the page was full', async () => {
    const many = Array.from({ length: 50 }, (_, index) => `n${index}`);
    const server = (url: URL) => (url.searchParams.has('last') ? undefined : answer(url, many));
    const pageOf = (n: number) => new URL(`https://registry.example.com/v2/_catalog?n=${n}`);
    expect((await walk(server, pageOf(1000))).names).toEqual(many);
    expect((await walk(server, pageOf(50))).error).toContain('how many there are is unknown');
  });

  test('a full page without a name that can be one is the end: there is nothing to go on after', async () => {
    const asked: string[] = [];
    const list = walkNames({
      first,
      async request(url) {
        asked.push(url.search);
        return answer(url, ['!', '?', '']);
      },
      namesOf: (one) => one.names,
      isName: (name) => /^\w/.test(name),
    });
    for await (const _some of list);
    expect(asked).toEqual(['?n=3']);
  });

  test('links to ever new pages that show nothing new are an error', async () => {
    let page = 0;
    const { error } = await walk((url) => answer(url, ['a'], `?page=${++page}`));
    expect(error).toContain('20 pages in a row show nothing new');
  });
});

test('a link never leaves the origin', () => {
  const linked = { url: first, headerLines: () => ['<https://evil.example/steal?last=b>; rel="next"'] };
  expect(nextByLink(linked, first)?.href).toBe('https://registry.example.com/prefix/v2/_catalog?last=b');
});

test('large pages are handed on in pieces, and an item that comes again is left out', async () => {
  const items = Array.from({ length: 2_500 }, (_, index) => index % 2_400);
  const sizes: number[] = [];
  for await (const some of walkPages({
    what: 'x',
    first: '',
    read: async () => ({ items }),
    keyOf: (item) => item,
  }))
    sizes.push(some.length);
  expect(sizes).toEqual([1000, 1000, 400]);
});

test('a token that comes again is an error', async () => {
  const read = async (token: string) => ({ items: [token], next: token === 'b' ? 'a' : 'b' });
  const error = await readAll(read).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    reason: 'pagination',
    message: 'ListThings: the server names a next page that was read before: the list never ends',
  });
});

/** Reads a list whose places are words. @returns the sizes of what was handed on */
async function readAll(read: (token: string) => Promise<{ items: readonly unknown[]; next?: string }>) {
  const sizes: number[] = [];
  for await (const some of walkPages({ what: 'ListThings', first: 'a', read, keyOf: (item) => item }))
    sizes.push(some.length);
  return sizes;
}

test('the first page is one that was read before, too', async () => {
  const asked: string[] = [];
  const walked = readAll(async (token) => {
    asked.push(token);
    return { items: [asked.length], next: token === 'b' ? 'a' : 'b' };
  });
  await expect(walked).rejects.toThrow('read before');
  expect(asked).toEqual(['a', 'b']);
});

test('an empty page is handed on as such, and a full one without an empty rest', async () => {
  expect(await readAll(async () => ({ items: [] }))).toEqual([0]);
  expect(await readAll(async () => ({ items: Array.from({ length: 1000 }, (_, at) => at) }))).toEqual([1000]);
});

test('pages that show nothing new are no end while others do, if fewer than twenty come in a row', async () => {
  let page = 0;
  const read = async () => {
    page += 1;
    return { items: [page % 20 === 1 ? page : 1], ...(page < 100 && { next: `page ${page}` }) };
  };
  expect((await readAll(read)).reduce((sum, size) => sum + size, 0)).toBe(5);
});

test('a list of more than a hundred thousand pages never ends', async () => {
  let page = 0;
  const error = await readAll(async () => ({ items: [++page], next: `page ${page}` })).catch(
    (thrown: unknown) => thrown,
  );
  expect([page, (error as Error).message]).toEqual([
    100_000,
    'ListThings: more than 100000 pages: the list never ends',
  ]);
});
