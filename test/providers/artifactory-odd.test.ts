import { expect, test } from 'vitest';
import { emptyPlatform, manifest, type Platform, put } from '../support/artifactory-platform.ts';

/** One odd row of a search or entry of a list hides nothing else, and what is missing is said. */

const key = 'docker-local';
const push = (made: Platform, image: string, downloads = 1): void => {
  put(made, `${key}/${image}/1.0/manifest.json`, manifest(image), { downloads });
};
const told = ({ running }: Platform): string[] =>
  running
    .log()
    .split('\n')
    .filter((line) => line.includes('level=warn'));
const reply = (made: Platform, operation: string, value: unknown): void => {
  made.simulator.faults.push({ operation, fault: { type: 'body', body: JSON.stringify(value) } });
};
const failing = async ({ running }: Platform): Promise<string[]> =>
  (await running.lines('capability_up')).filter((line) => line.endsWith(' 0'));

test('settings that Artifactory leaves out are unknown, and said once', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  reply(made, 'configurations', {});
  await made.running.poll();
  await made.running.poll();
  expect((await made.running.lines('repository_practice')).join()).not.toContain('scan_on_push');
  expect(told(made)).toEqual([expect.stringContaining('scan_on_push and retention_policy')]);
  expect(await failing(made)).toEqual([]);
});

test('settings of a repository that says nothing of its scans are said too', async () => {
  const made = await emptyPlatform([{ key }, { key: 'other-local' }]);
  push(made, 'app');
  put(made, 'other-local/app/1.0/manifest.json', manifest('other'));
  reply(made, 'configurations', { LOCAL: [{ key, xrayIndex: true }, { key: 'other-local' }, null] });
  await made.running.poll();
  expect(
    (await made.running.lines('repository_practice')).filter((line) => line.includes('scan_on_push')),
  ).toEqual(['repository_practice{repository="docker-local/app",practice="scan_on_push"} 1']);
  expect(told(made).join()).toContain('at=xrayIndex');
});

const row = (image: string, more: object = {}) => ({
  repo: key,
  path: `${image}/1.0`,
  name: 'manifest.json',
  size: 100,
  sha256: 'a'.repeat(64),
  created: '2026-11-01T00:00:00.000Z',
  modified: '2026-11-01T00:00:00.000Z',
  ...more,
});

test.each([
  ['null', null],
  ['a number', 5],
  ['a path that leads elsewhere', row('app', { path: '../../api/system/1.0' })],
  ['a path without an end', row('app', { path: 'app//1.0' })],
])('a row that is %s makes counts unknown, and leaves the images that can be read', async (_, odd) => {
  const made = await emptyPlatform([{ key }]);
  reply(made, 'aql', { results: [row('app'), odd] });
  await made.running.poll();
  expect(await made.running.lines('repository_tags', 'repository_practice')).toContain(
    'repository_practice{repository="docker-local/app",practice="no_anonymous_pull"} 1',
  );
  expect(await made.running.lines('repository_tags')).toEqual([]);
  expect(told(made).join()).toContain('the counts of the image are unknown');
  expect(await made.running.value('up')).toBe(1);
});

test('a manifest without a digest makes the counts of its image unknown, and of no other', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  push(made, 'web');
  const items = made.simulator.extra.items;
  Object.assign(items.find(({ path }) => path.startsWith('app/')) ?? {}, { sha256: undefined });
  await made.running.poll();
  expect(await made.running.lines('repository_tags')).toEqual([
    'repository_tags{repository="docker-local/web"} 1',
  ]);
  expect(told(made).join()).toContain('image=app');
});

test('statistics that cannot be read leave those that can; the newest pull of the others is unknown', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app', 3);
  push(made, 'web', 5);
  const items = made.simulator.extra.items;
  Object.assign(items.find(({ path }) => path.startsWith('app/')) ?? {}, {
    stats: { downloads: 'many', downloaded: '2026-11-01T00:00:00.000Z' },
  });
  await made.running.poll();
  expect(await made.running.lines('repository_pulls_total')).toEqual([
    'repository_pulls_total{repository="docker-local/web"} 5',
  ]);
  expect(
    (await made.running.lines('repository_last_pull_timestamp_seconds')).map((line) => line.split(' ')[0]),
  ).toEqual(['repository_last_pull_timestamp_seconds{repository="docker-local/web"}']);
  expect(told(made).join()).toContain('operation=aql_stats');
});

test('an account that is shown no repository of images is told so, once', async () => {
  const made = await emptyPlatform([{ key: 'libs', packageType: 'Maven' }]);
  await made.running.poll();
  await made.running.poll();
  expect(told(made).filter((line) => line.includes('shows this account no repository'))).toHaveLength(1);
});

test('a storage summary without its repositories is reported', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  reply(made, 'storage', {
    binariesSummary: { binariesSize: '1 GB' },
    fileStoreSummary: { storageType: 'file-system', totalSpace: '2 GB', usedSpace: '1 GB' },
    repositoriesSummaryList: null,
  });
  await made.running.poll();
  expect(told(made).join()).toContain('at=repositoriesSummaryList');
  expect(await made.running.value('storage_bytes')).toBe(2 ** 30);
});
