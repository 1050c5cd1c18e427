import { describe, expect, test } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import { createPageGuard, parseLinkNext } from '../../src/http.ts';

const base = new URL('https://r.example.com/registry/v2/_catalog?n=2');

describe('the next page of a Link header', () => {
  test.each<[string, string[], string | undefined]>([
    [
      'relative to the root',
      ['</v2/_catalog?last=b>; rel="next"'],
      'https://r.example.com/v2/_catalog?last=b',
    ],
    ['relative to the page', ['<?last=b>; rel=next'], 'https://r.example.com/registry/v2/_catalog?last=b'],
    ['absolute', ['<https://r.example.com/v2/x>; rel="next"'], 'https://r.example.com/v2/x'],
    ['on another host, which the guard judges', ['<//evil.example/x>; rel="next"'], 'https://evil.example/x'],
    ['after another link', ['</a>; rel="prev", </b>; rel="next"'], 'https://r.example.com/b'],
    ['in another line', ['</a>; rel="prev"', '</b>; rel="next"'], 'https://r.example.com/b'],
    ['with a comma in it', ['</b?last=a,b>; rel="next"'], 'https://r.example.com/b?last=a,b'],
    ['among several relations', ['</b>; rel="last NEXT"'], 'https://r.example.com/b'],
    [
      'after a title that looks like one',
      ['</b>; title="a; rel=prev, <c>"; rel="next"'],
      'https://r.example.com/b',
    ],
    ['after another parameter', ['</b>; title="a, b"; rel="next"'], 'https://r.example.com/b'],
    ['that is none', ['</a>; rel="prev"', '</b>', 'nonsense', ''], undefined],
  ])('%s', (_title, lines, expected) => {
    expect(parseLinkNext(lines, base)?.href).toBe(expected);
  });

  test('that is no address is an error', () => {
    expect(() => parseLinkNext(['<http://[>; rel="next"'], base)).toThrow(/that is no address/);
  });
});

describe('a page is refused', () => {
  const next = (number: number) => new URL(`https://r.example.com/v2/_catalog?last=${number}`);
  const reasonOf = (step: () => void): string | undefined => {
    try {
      step();
    } catch (error) {
      return (error as CollectError).message;
    }
    return undefined;
  };

  test.each(['https://evil.example/', 'http://r.example.com/', 'https://r.example.com:444/'])(
    'on another origin: %s',
    (url) => {
      expect(reasonOf(() => createPageGuard(base.origin)(new URL(url)))).toContain('on another origin');
    },
  );

  test('that was read before', () => {
    const guard = createPageGuard(base.origin);
    guard(next(1));
    guard(next(2));
    expect(reasonOf(() => guard(next(1)))).toContain('was read before');
    expect(() => guard(next(2))).toThrow(CollectError);
  });

  test('that comes after too many others', () => {
    const guard = createPageGuard(base.origin, 3);
    for (const number of [1, 2, 3]) guard(next(number));
    expect(reasonOf(() => guard(next(4)))).toContain('more than 3 pages');
  });
});
