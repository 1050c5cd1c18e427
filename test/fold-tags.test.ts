import { expect, test } from 'vitest';
import { shownTags } from '../src/fold/tags.ts';

/** Of six tags of one of the newest images five are shown: which one is left out. */
test.each<[string, string[], string]>([
  ['no version', ['1.2.3', '1.2', '1', '11.22.33.44', 'v10', 'main'], 'main'],
  ['no version, before a longer one', ['1.2.3-alpine', '1.2_x', 'V1+x', '1.20', '2026', 'x1.2'], 'x1.2'],
  ['the least precise version', ['1.2.3', '1.2.4', '1.2.5', '1.2.6', '1.2.7', '1.2'], '1.2'],
  ['a large number is no precise version', ['1.2', '1.3', '1.4', '1.5', '1.6', 'v100000'], 'v100000'],
  ['the lowest in natural order', ['n-10', 'n-9', 'n-8', 'n-7', 'n-6', 'n-5'], 'n-5'],
  ['also when it comes first', ['n-5', 'n-10', 'n-9', 'n-8', 'n-7', 'n-6'], 'n-5'],
  ['a commit', ['f123456', 'a', 'b', 'c', 'd', 'e'], 'f123456'],
  ['a commit of letters only', ['fffffff', 'a', 'b', 'c', 'd', 'e'], 'fffffff'],
  ['a commit with its prefix', ['sha-1234567f', 'a', 'b', 'c', 'd', 'e'], 'sha-1234567f'],
  ['before what only holds a commit', ['release-f123456', 'a', 'b', 'c', 'd', 'e'], 'a'],
  ['before what only begins like a commit', ['f123456-debian', 'a', 'b', 'c', 'd', 'e'], 'a'],
  ['before a word that is too short for a commit', ['facade', 'a', 'b', 'c', 'd', 'e'], 'a'],
])('%s', (_title, tags, leftOut) => {
  const shown = shownTags(tags, { isNew: true, matches: () => false });
  expect(shown).toEqual(tags.filter((tag) => tag !== leftOut).sort());
});
