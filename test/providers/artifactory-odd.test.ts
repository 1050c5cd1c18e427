import { describe, expect, test } from 'vitest';
import { emptyPlatform, index, manifest, type Platform, put } from '../support/artifactory-platform.ts';

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

test('the end of a license or certificate that cannot be understood is told, and no time is guessed', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  Object.assign(made.simulator.settings, {
    license: { type: 'Trial', validThrough: '05.01.2027', licensedTo: '' },
    certificates: [
      { certificateAlias: 'one', validUntil: 'whenever' },
      { certificateAlias: 'two', validUntil: '2027-05-01T10:00:00.000Z' },
    ],
  });
  await made.running.poll();
  expect(await made.running.lines('credential_expiry_timestamp_seconds')).toEqual([
    'credential_expiry_timestamp_seconds{credential="certificate/two"} 1809165600',
  ]);
  expect(told(made)).toHaveLength(2);
  for (const name of ['license', 'certificate/one'])
    expect(told(made).join()).toContain(`the end of ${name} that is not known here`);
});

test('a page for people in place of a ping does not say that Artifactory is down', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  const body = '<!DOCTYPE html><title>Sign in</title>';
  made.simulator.faults.push({ operation: 'ping', fault: { type: 'body', body } });
  await made.running.poll();
  expect((await made.running.lines('component_up')).filter((line) => line.includes('"artifactory"'))).toEqual(
    ['component_up{component="artifactory"} 1'],
  );
  expect(await failing(made)).toEqual(['capability_up{capability="health"} 0']);
});

const summary = (binariesSize: string, rows: readonly object[]) => ({
  binariesSummary: { binariesSize },
  fileStoreSummary: { storageType: 's3' },
  repositoriesSummaryList: rows,
});

test.each([
  ['without any repository is not computed yet: no 0', [{ repoKey: 'TOTAL', usedSpace: '0 bytes' }], []],
  ['with its repositories is one', [{ repoKey: key, usedSpace: '0 bytes' }], ['storage_bytes{} 0']],
])('a storage summary of 0 bytes %s', async (_title, rows, lines) => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  reply(made, 'storage', summary('0 bytes', rows));
  await made.running.poll();
  expect(
    (await made.running.lines('storage_bytes')).map((line) =>
      line.replace(/^storage_bytes /, 'storage_bytes{} '),
    ),
  ).toEqual(lines);
  expect(told(made).join().includes('may not be computed yet')).toBe(lines.length === 0);
});

test('a size of one repository that cannot be understood is told', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  reply(made, 'storage', summary('1 GB', [{ repoKey: key, usedSpace: 'a lot' }]));
  await made.running.poll();
  expect(await made.running.lines('quota_used')).toEqual([]);
  expect(told(made)).toEqual([expect.stringContaining(`a size of the repository ${key}`)]);
});

describe('copies', () => {
  const pushTo = (repoKey: string) => ({
    replicationType: 'PUSH',
    enabled: true,
    repoKey,
    url: `https://eu.example.com/artifactory/${repoKey}`,
  });
  const replicated = async ({ running }: Platform) =>
    (await running.lines('repository_practice')).filter((line) => line.includes('"replicated"'));

  test('within a federation that cannot be read leave those by replication', async () => {
    const made = await emptyPlatform([{ key }, { key: 'other' }, { key: 'fed', type: 'FEDERATED' }]);
    push(made, 'app');
    put(made, 'other/app/1.0/manifest.json', manifest('other'));
    made.simulator.settings.replications = [pushTo(key)];
    made.simulator.settings.replicationStatus = {
      [key]: { status: 'ok', lastCompleted: '2026-11-20T10:00:00.000Z' },
    };
    reply(made, 'unavailable', [{ remoteRepoKey: null }]);
    await made.running.poll();
    expect(await made.running.lines('replication_up')).toEqual([
      `replication_up{destination="${key} to eu.example.com/artifactory/${key}"} 1`,
    ]);
    // Whether the other one has a copy in the federation is unknown.
    expect(await replicated(made)).toEqual([
      `repository_practice{repository="${key}/app",practice="replicated"} 1`,
    ]);
    expect(await failing(made)).toEqual(['capability_up{capability="replication"} 0']);
  });

  test('of which one tells no status are told, and one that cannot be read leaves the others', async () => {
    const made = await emptyPlatform([{ key }, { key: 'mute' }, { key: 'timeless' }]);
    for (const one of [key, 'mute', 'timeless']) put(made, `${one}/app/1.0/manifest.json`, manifest(one));
    made.simulator.settings.replications = [pushTo(key), pushTo('mute'), pushTo('timeless')];
    made.simulator.settings.replicationStatus = { [key]: 7, mute: {}, timeless: { status: 'ok' } };
    await made.running.poll();
    expect(await made.running.lines('replication_up')).toEqual([
      'replication_up{destination="timeless to eu.example.com/artifactory/timeless"} 1',
    ]);
    expect(await failing(made)).toEqual(['capability_up{capability="replication"} 0']);
    expect(told(made).join()).toContain('the status of a replication that is not known here');
    expect(told(made).join()).toContain('when a replication that worked ended');
  });
});

test('an index that cannot be read keeps no other image from being told from what is attached', async () => {
  const made = await emptyPlatform([{ key }]);
  const platform = put(made, `${key}/app/{digest}/manifest.json`, manifest('amd64'), { downloads: 1 });
  const whole = put(made, `${key}/app/1.0/list.manifest.json`, index(platform), { downloads: 0 });
  const signature = manifest('signature', {
    artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
    subject: whole,
  });
  put(made, `${key}/app/{digest}/manifest.json`, signature, { downloads: 0 });
  const blocked = `${key}/blocked/1.0/list.manifest.json`;
  put(made, blocked, index(whole));
  made.simulator.extra.contents.set(blocked, Buffer.from('{}'));
  await made.running.poll();
  expect(await made.running.lines('repository_signed_images', 'repository_pulls_total')).toEqual([
    `repository_pulls_total{repository="${key}/app"} 1`,
    `repository_signed_images{repository="${key}/app"} 1`,
  ]);
  expect(await failing(made)).toContain('capability_up{capability="signatures"} 0');
  // The index, the signature, the platform for its size, and what cannot be read once.
  expect(made.simulator.requests.get('manifest')).toBe(4);
});

test('manifests without a time are told: which image is the newest is unknown', async () => {
  const made = await emptyPlatform([{ key }]);
  push(made, 'app');
  const items = made.simulator.extra.items;
  for (const item of items) Object.assign(item, { modified: undefined });
  await made.running.poll();
  expect(await made.running.lines('repository_last_push_timestamp_seconds')).toEqual([]);
  expect(told(made)).toEqual([expect.stringContaining('manifests without a time')]);
});

describe('what Xray found in an image that it knows is told as unknown', () => {
  test.each([
    ['null', { issues: null }],
    ['not there', {}],
  ])('where its issues are %s', async (_title, issues) => {
    const made = await emptyPlatform([{ key }], { xray: 'old' });
    const digest = put(made, `${key}/app/1.0/manifest.json`, manifest('app'));
    reply(made, 'xray_summary', { artifacts: [{ general: { sha256: digest.slice(7) }, ...issues }] });
    await made.running.poll();
    expect(await made.running.lines('repository_findings', 'repository_vulnerable_images')).toEqual([]);
    expect(told(made)).toEqual([expect.stringContaining('does not say what it found')]);
  });

  test('where its scan is done and its list does not have it', async () => {
    const made = await emptyPlatform([{ key }]);
    push(made, 'app');
    reply(made, 'xray_artifacts', { data: null, offset: -1 });
    reply(made, 'xray_status', { overall: { status: 'DONE', time: '2026-11-01T00:00:00Z' } });
    await made.running.poll();
    expect(await made.running.lines('repository_findings', 'repository_vulnerable_images')).toEqual([]);
    expect(told(made)).toEqual([expect.stringContaining('does not say what it found')]);
  });
});
