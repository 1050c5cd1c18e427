import { describe, expect, test } from 'vitest';
import { nextByLink } from '../../src/http/pages.ts';

const asked = new URL('https://r.example.com/registry/v2/_catalog?n=2');
const nextOf = (...lines: string[]) => nextByLink({ url: asked, headerLines: () => lines }, asked);

describe('the next page of a Link header: its query, at the address that was asked for', () => {
  test.each<[string, string[], string | undefined]>([
    ['relative to the root', ['</v2/_catalog?last=b>; rel="next"'], '?last=b'],
    ['relative to the page', ['<?last=b>; rel=next'], '?last=b'],
    ['on another host', ['<//evil.example/x?last=b>; rel="next"'], '?last=b'],
    ['without a query', ['<https://r.example.com/v2/x>; rel="next"'], ''],
    ['after another link', ['</?a>; rel="prev", </?b>; rel="next"'], '?b'],
    ['after another link and a space, as Harbor writes it', ['</?a>; rel="prev" , </?b>; rel="next"'], '?b'],
    ['in another line', ['</?a>; rel="prev"', '</?b>; rel="next"'], '?b'],
    ['with a comma in it', ['</b?last=a,b>; rel="next"'], '?last=a,b'],
    ['among several relations', ['</?b>; rel="last NEXT"'], '?b'],
    ['after a title that looks like one', ['</?b>; title="a; rel=prev, <c>"; rel="next"'], '?b'],
    ['after another parameter', ['</?b>; title="a, b"; rel="next"'], '?b'],
    ['with spaces and capitals', ['</?b> ; Rel = next'], '?b'],
    ['beside a link that cannot be read', ['x <a>', '</?b>; rel=next'], '?b'],
    ['with a title in no known encoding', ['</?b>; rel="next"; title*=latin'], '?b'],
    ['with a title that is cut', ["</?b>; title*=UTF-8''%z; rel=next"], '?b'],
    [
      'without brackets, as Quay wrote it',
      ['https://r.example.com/v2/x?last=b&n=50; rel="next"'],
      '?last=b&n=50',
    ],
    ['without brackets, after a space, over http', [' http://r/v2/x?last=b ; rel="next"'], '?last=b'],
    ['with many spaces before the next one', ['</a>; rel="prev"   , </v2/x?last=b>; rel="next"'], '?last=b'],
    ['without brackets and relative', ['/v2/x?last=b;rel=next'], '?last=b'],
    ['that is none', ['</a>; rel="prev"', '</b>', ''], undefined],
  ])('%s', (_title, lines, query) => {
    const expected = query === undefined ? undefined : `https://r.example.com/registry/v2/_catalog${query}`;
    expect(nextOf(...lines)?.href).toBe(expected);
  });

  test.each([
    ['that is no address', '<http://[>; rel="next"', 'is no address'],
    ['that is no link', 'nonsense', 'without a link'],
    ['that cannot be read', 'x <?b>; rel="next"', 'without a link'],
  ])('%s is an error', (_title, line, problem) => {
    expect(() => nextOf(line)).toThrow(problem);
  });
});
