import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { packTotals } from '../../src/totals.ts';
import { startApp, totalsOf, viewOf } from '../support/app.ts';
import { parseExposition } from '../support/exposition-text.ts';
import { program, programs } from '../support/programs.ts';

/** Pieces that break parsers which forget one of them. */
const pieces = [
  '"',
  '\\',
  '\n',
  '\\n',
  '\\"',
  '\\\\',
  '\r',
  '\t',
  '\0',
  '\x1b[31m',
  '{',
  '}',
  ',',
  '=',
  '=~"',
  '#',
  ' ',
  '# EOF\n',
  '"} 1\nforged{a="',
  '# HELP x y\n',
  '<script>',
  '&amp;',
  '\u2028',
  '\u202e',
  '\ufeff',
  'é',
  'e\u0301',
  '漢',
  '😀',
  '\ud800',
  '\udc00',
  '%0a',
  '$1',
  '$\u007bx}',
  '/',
  '..',
  'a',
  'Z',
  '0',
  '-',
  '_',
];

/** The same seed gives the same names; all are different, also once lone surrogates have become U+FFFD. */
function hostileNames(count: number): string[] {
  let state = 26;
  const next = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: count }, (_, index) => {
    const parts = Array.from({ length: 1 + next(8) }, () => pieces[next(pieces.length)]);
    parts.splice(next(parts.length + 1), 0, `<${index}>`);
    return parts.join('');
  });
}

async function scrapeWith(names: readonly string[]): Promise<string> {
  const app = await startApp();
  const repositories = new Map(
    names.map((name) => [name, { totals: packTotals(totalsOf(name, { tags: name.length })) }]),
  );
  await app.exposition.publish('edge', { view: viewOf('edge'), repositories });
  const text = await (await fetch(`${app.url}/metrics`)).text();
  await app.close();
  return text;
}

test('100,000 hostile names come back from a scrape as they went in', async () => {
  const names = hostileNames(100_000);
  const samples = parseExposition(await scrapeWith(names));
  const read = samples
    .filter(({ name }) => name === 'container_registry_repository_tags')
    .map(({ labels, value }) => [labels['repository'], value]);
  // What UTF-8 cannot carry becomes U+FFFD, with a hash that keeps such names apart.
  const expected = names.map((name) => [name.toWellFormed(), name.length]);
  for (const pair of read)
    if (String(pair[0]).includes('\ufffd')) pair[0] = String(pair[0]).replace(/~[0-9a-f]{8}$/, '');
  const byName = (a: unknown[], b: unknown[]) => (String(a[0]) < String(b[0]) ? -1 : 1);
  expect(read.length).toBe(100_000);
  expect(JSON.stringify(read.sort(byName))).toBe(JSON.stringify(expected.sort(byName)));
  expect(samples.some(({ name }) => name === 'forged')).toBe(false);
});

test.skipIf(!programs('promtool'))('promtool reads 10,000 hostile names without a complaint', async () => {
  const input = await scrapeWith(hostileNames(10_000));
  const { status, stdout, stderr } = spawnSync(program('promtool') ?? '', ['check', 'metrics'], {
    input,
    encoding: 'utf8',
    timeout: 25_000,
  });
  // It also has opinions on names that prom-client chose; what it cannot parse it calls an error.
  const complaints = `${stdout}${stderr}`
    .split('\n')
    .filter((line) => /container_registry|error|parsing/i.test(line));
  expect(complaints).toEqual([]);
  expect([0, 3]).toContain(status);
});

test.each([
  ['x{a="b} 1\n', /without an end/],
  ['x{a="b\\t"} 1\n', /wrong escape/],
  ['x{a="b",a="c"} 1\n', /a label twice/],
  ['x{a="b"} 1\nx{a="b"} 2\n', /the same series twice/],
  ['x{a="b"}1\n', /no value/],
  ['x 1', /line feed/],
  ['y 1\n', /outside its family/],
])('the parser that says so is strict: %j', (text, complaint) => {
  expect(() => parseExposition(`# TYPE x gauge\n${text}`)).toThrow(complaint);
});
