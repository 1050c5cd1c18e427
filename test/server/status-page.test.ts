import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { humanDuration } from '../../src/server/status-page.ts';
import { startApp, statusOf } from '../support/app.ts';

type Given = Parameters<typeof statusOf>[1];
const now = Date.now() / 1000;

async function pageOf(...registries: readonly (readonly [string, Given])[]) {
  const app = await startApp({ statuses: registries.map(([name, more]) => statusOf(name, more)) });
  const response = await fetch(app.url);
  const html = await response.text();
  await app.close();
  return { headers: response.headers, html };
}

/** What a person reads: the body without tags. */
const textOf = (html: string): string =>
  html
    .slice(html.indexOf('<body>'))
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');

test('a registry that is up, with its age and its numbers', async () => {
  const { html } = await pageOf([
    'prod',
    {
      host: 'registry.example.com',
      lastSuccessAt: now - 300,
      lastAttemptAt: now - 300,
      pollDurationSeconds: 2.5,
      nextPollAt: now + 3600,
      repositories: 1412,
      series: 48_211,
    },
  ]);
  const text = textOf(html);
  expect(text).toContain('1 registry, none failing');
  expect(text).toMatch(/Up prod oci &middot; registry\.example\.com/);
  expect(text).toMatch(/Data from 5 min( \d s)? ago/);
  expect(text).toContain('Last poll took 2.5 s');
  expect(text).toMatch(/Next poll in (1 h|59 min)/);
  expect(text).toContain('Repositories 1,412 Series 48,211');
});

test('an entry that covers several registries says how many, or why it cannot tell', async () => {
  const app = await startApp({
    entries: () => [
      { name: 'aws', type: 'ecr', up: true, registries: 12, lastAttemptAt: now - 60 },
      {
        name: 'azure',
        type: 'acr',
        up: false,
        registries: 0,
        lastAttemptAt: now - 5,
        error: { at: now - 5, reason: 'forbidden', message: 'the role lacks <Reader>' },
      },
    ],
  });
  const html = await (await fetch(app.url)).text();
  const waiting = await fetch(`${app.url}/-/ready`);
  await app.close();
  const text = textOf(html);
  expect(text).toMatch(/Found aws ecr &middot; covers 12 registries, looked for 1 min( \d+ s)? ago/);
  expect(text).toMatch(
    /Search failed azure acr &middot; covers 0 registries, .*forbidden the role lacks &lt;Reader&gt;/,
  );
  expect(text).toContain('1 of 2 registries and entries not readable');
  expect(waiting.status).toBe(200);
});

test('a source of what runs says how many containers it tells of, or why it cannot be read', async () => {
  const source = { type: 'prometheus', staleAfterSeconds: 300, error: undefined };
  const app = await startApp({
    inUse: () => [
      {
        ...source,
        source: 'fleet',
        up: true,
        answeredAt: now - 40,
        containers: { identified: 684, unidentified: 3 },
      },
      {
        ...{
          ...source,
          source: 'hosts',
          type: 'file',
          up: false,
          answeredAt: now - 7200,
          containers: undefined,
        },
        error: { at: now - 30, reason: 'configuration', message: 'the file <b> cannot be opened' },
      },
      { ...source, source: 'cron', type: 'file', up: true, answeredAt: now - 7200, containers: undefined },
    ],
  });
  const page = (await (await fetch(`${app.url}/`)).text())
    .replaceAll(/<[^>]+>/g, ' ')
    .replaceAll(/\s+/g, ' ');
  expect(page).toContain(
    'Read fleet What runs, from prometheus &middot; 687 containers, 3 of them of no known image, 40 s ago',
  );
  expect(page).toContain('Not readable hosts What runs, from file &middot; nothing that counts, 2 h ago');
  expect(page).toContain('configuration the file &lt;b&gt; cannot be opened');
  expect(page).toContain('Too old cron');
  await app.close();
});

test('is not ready before the registries of an entry were looked for', async () => {
  const app = await startApp({ entries: () => [{ name: 'aws', type: 'ecr', registries: 0 }] });
  const response = await fetch(`${app.url}/-/ready`);
  expect(response.status).toBe(503);
  expect(await response.text()).toContain('aws');
  await app.close();
});

describe('a poll in progress has a bar', () => {
  test('of known length', async () => {
    const { html } = await pageOf(['prod', { polling: { startedAt: now - 7, done: 130, total: 412 } }]);
    expect(html).toContain('<progress aria-label="Poll" max="412" value="130"></progress>');
    expect(textOf(html)).toMatch(/Polling: 130 of 412 repositories, \d+(\.\d)? s/);
  });
  test('of unknown length while repositories are listed', async () => {
    const { html } = await pageOf([
      'prod',
      { state: 'waiting', polling: { startedAt: now, done: 0, total: 0 } },
    ]);
    expect(html).toContain('<progress aria-label="Poll"></progress>');
    expect(textOf(html)).toMatch(/First poll pending prod .*Data from never .*Repositories unknown/);
  });
  test('none when nothing is polled', async () => {
    expect((await pageOf(['prod', {}])).html).not.toContain('<progress');
  });
});

test('what is wrong is told: errors with their reason, failing capabilities, dropped series', async () => {
  const errors = [
    { at: now - 20, reason: 'timeout', message: 'no answer within 30 s' },
    { at: now - 400, reason: 'connect', message: 'ECONNREFUSED' },
  ] as const;
  const { html } = await pageOf(
    ['edge', { state: 'down', errors }],
    ['old', { state: 'stale', lastSuccessAt: now - 90_000, seriesDropped: 5120 }],
    ['fine', {}],
  );
  const text = textOf(html);
  expect(html).toContain('<title>(2) Container registry exporter</title>');
  expect(text).toContain('2 of 3 registries not readable');
  expect(text).toMatch(/timeout no answer within 30 s 2\d s ago 1 earlier connect ECONNREFUSED/);
  expect(text).toMatch(/Stale old .*its series are left out/);
  expect(text).toContain('(5,120 series dropped)');
});

test('a registry that is up and cannot be read in part is not "none failing"', async () => {
  const { html } = await pageOf(
    [
      'edge',
      {
        capabilities: { storage_usage: false, findings: true },
        failing: [
          {
            capability: 'storage_usage',
            at: now - 400,
            reason: 'forbidden',
            message: 'GET /usage answered 403',
          },
        ],
        failedRepositories: 2,
        failedRepositoriesWithData: 2,
        notices: [{ message: 'a tag has no manifest', details: { tag: 'old' } }],
      },
    ],
    ['fine', {}],
  );
  const text = textOf(html);
  expect(text).toContain('2 registries, 1 failing in part');
  expect(text).toMatch(/Failing capability: storage usage \(forbidden\) GET \/usage answered 403 for 6 min/);
  expect(text).toContain('2 repositories not readable: the last data is shown');
  expect(text).toContain('1 notice a tag has no manifest tag: old');
});

test.each([
  [2, '2 repositories not readable: the last data is shown'],
  [1, '2 repositories not readable: the last data is shown for 1, there is none for 1'],
  [0, '2 repositories not readable: there is no data to show'],
])('of 2 repositories that could not be read, %i have data of an earlier poll', async (withData, words) => {
  const { html } = await pageOf(['edge', { failedRepositories: 2, failedRepositoriesWithData: withData }]);
  expect(textOf(html)).toContain(words);
});

test('hostile names are text and nothing else', async () => {
  const hostile = `</h2><script>alert(1)</script>"'&\u202e\u0000\ud800`;
  const { html } = await pageOf([
    hostile,
    {
      host: '<img src=x onerror=alert(1)>',
      type: '<b>',
      state: 'down',
      capabilities: { '<i>': false },
      errors: [{ at: now, reason: 'internal', message: '</li><h1>owned</h1>' }],
    },
  ]);
  expect(html).toContain(
    '&lt;/h2&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\ufffd\ufffd\ufffd',
  );
  expect(html).not.toMatch(/<script|<img|<b>|<i>|<h1>owned/);
  const tags = new Set([...html.matchAll(/<([a-z0-9]+)/g)].map(([, tag]) => tag));
  expect(
    [...tags].filter((tag) => ['script', 'img', 'iframe', 'link', 'object', 'form'].includes(tag ?? '')),
  ).toEqual([]);
});

test('the page needs nothing from elsewhere, and its policy lets nothing else in', async () => {
  const { html, headers } = await pageOf(['prod', {}]);
  expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  expect(html).not.toMatch(/@import|url\(/);
  const style = /<style>([\s\S]*)<\/style>/.exec(html)?.[1] ?? '';
  const hash = createHash('sha256').update(style).digest('base64');
  expect(headers.get('content-security-policy')).toBe(
    `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; frame-ancestors 'none'`,
  );
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.get('cache-control')).toBe('no-store');
  expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(style).toContain('@media(prefers-color-scheme:dark)');
  expect(html).toContain('name="viewport"');
  expect(html).not.toMatch(/ style="/);
});

test.each([
  [0, '0 s'],
  [0.4, '0.4 s'],
  [59.4, '59 s'],
  [59.6, '1 min'],
  [86, '1 min 26 s'],
  [600, '10 min'],
  [3600, '1 h'],
  [11_400, '3 h 10 min'],
  [187_200, '2 d 4 h'],
  [-5, '0 s'],
])('%s seconds are read as %s', (seconds, expected) => {
  expect(humanDuration(seconds)).toBe(expected);
});
