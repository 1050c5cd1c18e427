import { describe, expect, test } from 'vitest';
import { matchDoublestar } from '../../src/providers/harbor/doublestar.ts';
import { selects } from '../../src/providers/harbor/patterns.ts';

/**
 * What Harbor's own library says: github.com/bmatcuk/doublestar v1.3.4, run on each pair of a pattern and a name. Names
 * that a pattern matches, and those at which it is refused.
 */
const names = [
  ...['svc', 'svc/a', 'svc/a/b', 'svc/', 'one', 'two', 'two/x', 'tvc', 'a', 'ab', 'b', 'c', 'svc.v1'],
  ...['team-x/app', 'team-x', 's*c', 'a/svc', 'a/svc/b'],
];
const all = names.join(' ');
const table: readonly (readonly [pattern: string, matches: string, refused: string])[] = [
  ['**', all, ''],
  ['**/*', all, ''],
  ['*', 'svc one two tvc a ab b c svc.v1 team-x s*c', ''],
  ['*/*', 'svc/a svc/ two/x team-x/app a/svc', ''],
  ['svc', 'svc', ''],
  ['svc/**', 'svc/a svc/a/b svc/', ''],
  ['svc/*', 'svc/a svc/', ''],
  ['svc/**/b', 'svc/a/b', ''],
  ['svc/{a,b}', 'svc/a', ''],
  ['**/svc', 'svc a/svc', ''],
  ['**/svc/**', 'svc/a svc/a/b svc/ a/svc/b', ''],
  ['team-*/**', 'team-x/app', ''],
  ['{one}', 'one', ''],
  ['{one,two}', 'one two', ''],
  ['{one,two/*}', 'one two/x', ''],
  ['{a,{b,c}}', 'a b c', ''],
  ['s{vc,}', 'svc', ''],
  ['svc*', 'svc svc.v1', ''],
  ['*svc', 'svc', ''],
  ['*.v*', 'svc.v1', ''],
  ['a**', 'a ab', ''],
  ['**a', 'a', ''],
  ['a/**/', '', ''],
  ['?vc', 'svc tvc', ''],
  ['s?c', 'svc s*c', ''],
  ['[st]vc', 'svc tvc', ''],
  ['[^t]vc', 'svc', ''],
  ['[a-z]vc', 'svc tvc', ''],
  ['[!t]vc', 'tvc', ''],
  ['s\\*c', 's*c', ''],
  ['s\\vc', 'svc', ''],
  ['{svc', '', all],
  ['[svc', '', all],
  ['[]vc', '', all],
  ['svc\\', '', 'svc.v1'],
];

test.each(table)('the pattern %s', (pattern, matches, refused) => {
  const told = (wanted: boolean | undefined) =>
    names.filter((name) => matchDoublestar(pattern, name) === wanted).join(' ');
  expect([told(true), told(undefined)]).toEqual([matches, refused]);
});

test('a pattern that has too many ways to match is given up', () => {
  expect(matchDoublestar(`${'*a'.repeat(10)}*b`, 'a'.repeat(255))).toBeUndefined();
  // Ways that meet again are tried once.
  expect(matchDoublestar(`${'{a,aa}'.repeat(60)}b`, 'a'.repeat(255))).toBe(false);
});

describe('selectors', () => {
  const takes = { decoration: 'repoMatches', pattern: 'api/**' };
  const leavesOut = { decoration: 'repoExcludes', pattern: '**/old' };
  test('all of them have to take a repository', () => {
    const both = [takes, leavesOut];
    expect(['api/a', 'api/old', 'web'].map((path) => selects(both, path))).toEqual([true, false, false]);
  });
  test('none, or one without a pattern, takes everything', () => {
    expect([selects([], 'x'), selects(null, 'x'), selects([{ pattern: '' }], 'x')]).toEqual([
      true,
      true,
      true,
    ]);
  });
  test('one that Harbor refuses makes it unknown, unless another says no', () => {
    const refused = { decoration: 'repoMatches', pattern: '{api' };
    expect([selects([refused], 'api/a'), selects([refused, takes], 'web')]).toEqual([undefined, false]);
  });
});
