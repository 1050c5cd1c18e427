import { describe, expect, test } from 'vitest';
import {
  emptyPlatform,
  index,
  manifest,
  now,
  type Platform,
  platform,
  put,
  sha256,
} from '../support/artifactory-platform.ts';

/** How what lies in a JFrog repository becomes images. */
const blob = (name: string): string => `sha256__${sha256(name)}`;

/** An image as docker pushes it: its manifest and blobs in the folder of its tag. */
function push(made: Platform, folder: string, name: string, downloads?: number): string {
  put(made, `${folder}/${blob(`config of ${name}`)}`, 100);
  put(made, `${folder}/${blob(name)}`, 1000);
  return put(made, `${folder}/manifest.json`, manifest(name), downloads === undefined ? {} : { downloads });
}

describe('an image', () => {
  test('with two tags is one; its size comes from the search, and nothing of it is read', async () => {
    const made = await emptyPlatform([{ key: 'docker-local' }]);
    push(made, 'docker-local/team/app/1.0', 'app', 5);
    push(made, 'docker-local/team/app/latest', 'app', 2);
    await made.running.poll();
    const bytes = JSON.stringify(manifest('app')).length + 1100;
    const lines = await made.running.lines(
      'repository_(images|tags|size_bytes|pulls_total|practice)',
      'repositories',
    );
    expect(lines).toEqual(
      expect.arrayContaining([
        'repositories{} 1',
        'repository_images{repository="docker-local/team/app",state="tagged"} 1',
        'repository_images{repository="docker-local/team/app",state="untagged"} 0',
        'repository_tags{repository="docker-local/team/app"} 2',
        `repository_size_bytes{repository="docker-local/team/app"} ${bytes}`,
        'repository_pulls_total{repository="docker-local/team/app"} 7',
        'repository_practice{repository="docker-local/team/app",practice="no_latest_tag"} 0',
      ]),
    );
    expect(made.simulator.requests.get('manifest')).toBeUndefined();
  });

  test('whose layers are not beside it, or only as markers of a cache, is read for its size', async () => {
    const made = await emptyPlatform([{ key: 'hub', type: 'REMOTE' }]);
    const folder = `hub-cache/library/app/1.0`;
    put(made, `${folder}/manifest.json`, manifest('app'));
    put(made, `${folder}/${blob('app')}.marker`, 0);
    put(made, `${folder}/${blob('config of app')}`, 100);
    put(made, 'hub-cache/library/bare/1.0/manifest.json', manifest('bare'));
    await made.running.poll();
    const size = (name: string) => JSON.stringify(manifest(name)).length + 1100;
    expect(await made.running.lines('repository_size_bytes')).toEqual([
      `repository_size_bytes{repository="hub/library/app"} ${size('app')}`,
      `repository_size_bytes{repository="hub/library/bare"} ${size('bare')}`,
    ]);
    expect(made.simulator.requests.get('manifest')).toBe(2);
  });

  test('of which the cleanup of a cache took a layer has the size that its manifest says', async () => {
    const made = await emptyPlatform([{ key: 'hub', type: 'REMOTE' }]);
    put(made, `hub-cache/library/app/1.0/manifest.json`, manifest('app'));
    put(made, `hub-cache/library/app/1.0/${blob('config of app')}`, 100);
    for (let polls = 0; polls < 2; polls += 1) await made.running.poll();
    expect(await made.running.lines('repository_size_bytes')).toEqual([
      `repository_size_bytes{repository="hub/library/app"} ${JSON.stringify(manifest('app')).length + 1100}`,
    ]);
    expect(made.simulator.requests.get('manifest')).toBe(1);
  });

  test('has the size of what lies in its own repository, whatever lay beside the same manifest in another', async () => {
    const made = await emptyPlatform([{ key: 'docker-dev' }, { key: 'docker-prod' }]);
    put(made, `docker-dev/app/1.0/${blob('config of app')}`, 100);
    put(made, 'docker-dev/app/1.0/manifest.json', manifest('app'));
    await made.running.poll();
    push(made, 'docker-prod/app/1.0', 'app');
    await made.running.poll();
    const own = JSON.stringify(manifest('app')).length;
    expect(await made.running.lines('repository_size_bytes')).toEqual([
      `repository_size_bytes{repository="docker-dev/app"} ${own + 100}`,
      `repository_size_bytes{repository="docker-prod/app"} ${own + 1100}`,
    ]);
  });

  test('that can be read by no means has no size, and is there all the same', async () => {
    const made = await emptyPlatform([{ key: 'hub', type: 'REMOTE' }]);
    put(made, 'hub-cache/library/app/1.0/manifest.json', manifest('app'));
    // "Resource has expired": https://github.com/jfrog/jfrog-cli/issues/721
    made.simulator.extra.contents.clear();
    await made.running.poll();
    expect(await made.running.lines('repository_size_bytes')).toEqual([]);
    expect(await made.running.lines('repository_tags')).toEqual([
      'repository_tags{repository="hub/library/app"} 1',
    ]);
    expect(await made.running.value('up')).toBe(1);
  });

  test('of several platforms: the index is read once, its pull counts at the platform', async () => {
    const made = await emptyPlatform([{ key: 'docker-local' }]);
    const [amd, arm] = ['amd64', 'arm64'].map((platform) => {
      const folder = `docker-local/app/{digest}` as const;
      return put(made, `${folder}/manifest.json`, manifest(platform), { downloads: 3 });
    }) as [string, string];
    for (const [name, digest] of [
      ['amd64', amd],
      ['arm64', arm],
    ] as const)
      put(made, `docker-local/app/${digest}/${blob(name)}`, name === 'amd64' ? 7000 : 5000);
    put(made, 'docker-local/app/1.0/list.manifest.json', index(amd, arm), { downloads: 6 });
    // Beside the index lies the manifest of the platform that was pushed last: the tag names the index.
    put(made, 'docker-local/app/1.0/manifest.json', manifest('arm64'));
    await made.running.poll();
    await made.running.poll();
    const bytes =
      JSON.stringify(manifest('amd64')).length + JSON.stringify(manifest('arm64')).length + 12_000;
    expect(await made.running.lines('repository_(images|tags|artifacts|size_bytes|pulls_total)')).toEqual([
      'repository_images{repository="docker-local/app",state="tagged"} 1',
      'repository_images{repository="docker-local/app",state="untagged"} 0',
      'repository_tags{repository="docker-local/app"} 1',
      'repository_artifacts{repository="docker-local/app",kind="platform"} 2',
      `repository_size_bytes{repository="docker-local/app"} ${bytes}`,
      'repository_pulls_total{repository="docker-local/app"} 6',
    ]);
    expect(made.simulator.requests.get('manifest')).toBe(1);
  });
});

test("what is attached: cosign's tags, manifests with a subject, and the tag of an index of referrers", async () => {
  const made = await emptyPlatform([{ key: 'docker-local' }]);
  const signed = ['by tag', 'by subject', 'by index'].map((name, at) =>
    push(made, `docker-local/app/${at}.0`, name),
  );
  push(made, 'docker-local/app/3.0', 'not at all');
  // The tag of a digest of its own names an image, and no index of referrers.
  const own = push(made, 'docker-local/app/4.0', 'own');
  push(made, `docker-local/app/sha256-${own.slice(7)}`, 'own');
  const sigType = { artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' };
  put(made, `docker-local/app/sha256-${signed[0]?.slice(7)}.sig/manifest.json`, manifest('sig 1', sigType));
  put(
    made,
    'docker-local/app/{digest}/manifest.json',
    manifest('sig 2', { ...sigType, subject: signed[1] as string }),
  );
  const third = put(made, 'docker-local/app/{digest}/manifest.json', manifest('sig 3', sigType));
  put(made, `docker-local/app/sha256-${signed[2]?.slice(7)}/list.manifest.json`, index(third));
  put(
    made,
    'docker-local/app/{digest}/manifest.json',
    manifest('bill', { artifactType: 'application/spdx+json', subject: signed[1] as string }),
  );
  await made.running.poll();
  expect(await made.running.lines('repository_(images|tags|artifacts|signed_images)')).toEqual([
    'repository_images{repository="docker-local/app",state="tagged"} 5',
    'repository_images{repository="docker-local/app",state="untagged"} 0',
    'repository_tags{repository="docker-local/app"} 6',
    'repository_artifacts{repository="docker-local/app",kind="signature"} 3',
    'repository_artifacts{repository="docker-local/app",kind="sbom"} 1',
    'repository_signed_images{repository="docker-local/app"} 3',
  ]);
});

test('charts: all that is in a repository for them, and what says so of itself in one for anything', async () => {
  const made = await emptyPlatform([
    { key: 'charts', packageType: 'HelmOCI' },
    { key: 'anything', packageType: 'OCI' },
  ]);
  put(made, 'charts/web/1.0/manifest.json', manifest('web'));
  put(
    made,
    'anything/web/1.0/manifest.json',
    manifest('web', { config: 'application/vnd.cncf.helm.config.v1+json' }),
  );
  put(made, 'anything/app/1.0/manifest.json', manifest('app'));
  await made.running.poll();
  expect(await made.running.lines('repository_(images|artifacts)')).toEqual(
    expect.arrayContaining([
      'repository_artifacts{repository="charts/web",kind="chart"} 1',
      'repository_artifacts{repository="anything/web",kind="chart"} 1',
      'repository_images{repository="anything/app",state="tagged"} 1',
    ]),
  );
});

test('virtual repositories and those of other packages are not read; an unknown kind is told once', async () => {
  const made = await emptyPlatform([
    { key: 'docker-local' },
    { key: 'docker', type: 'VIRTUAL' },
    { key: 'libs', packageType: 'Maven' },
    { key: 'odd', type: 'SHADOW' },
    { key: 'odder', type: 'SHADOW' },
  ]);
  for (const { key } of made.simulator.keys) push(made, `${key}/app/1.0`, 'app');
  await made.running.poll();
  expect(await made.running.lines('repository_tags')).toEqual([
    'repository_tags{repository="docker-local/app"} 1',
  ]);
  expect(made.running.log().match(/word=SHADOW/g)).toHaveLength(1);
});

test('which repositories are read can be said by key, by kind and by name', async () => {
  const made = await emptyPlatform(
    [{ key: 'team-local' }, { key: 'team-remote', type: 'REMOTE' }, { key: 'other-local' }],
    {},
    { keys: ['team-*'], types: ['local'], repositories: { exclude: ['**/secret'] } },
  );
  for (const key of ['team-local', 'team-remote-cache', 'other-local'])
    for (const image of ['app', 'secret']) push(made, `${key}/${image}/1.0`, image);
  await made.running.poll();
  expect(await made.running.lines('repository_tags')).toEqual([
    'repository_tags{repository="team-local/app"} 1',
  ]);
});

describe('paging', () => {
  test('an image that is deleted between two pages hides no other', async () => {
    const made = await emptyPlatform(
      [{ key: 'docker-local' }],
      {},
      { aqlPageSize: 3, images: { tags: ['*'] } },
    );
    for (let tag = 10; tag < 30; tag += 1) push(made, `docker-local/app/${tag}`, `app ${tag}`);
    let pages = 0;
    made.simulator.before = (operation) => {
      if (operation !== 'aql') return;
      pages += 1;
      const { items } = made.simulator.extra;
      // What the first page showed goes: all others move forward.
      if (pages === 2)
        items.splice(
          0,
          items.findIndex(({ path }) => path === 'app/12'),
        );
    };
    const tags = async () =>
      (await made.running.lines('image_pushed_timestamp_seconds'))
        .map((line) => Number(/tag="(\d+)"/.exec(line)?.[1]))
        .toSorted((a, b) => a - b);
    await made.running.poll();
    const left = Array.from({ length: 18 }, (_, at) => 12 + at);
    // The two that went were seen before they did.
    expect(await tags()).toEqual([10, 11, ...left]);
    await made.running.poll();
    expect(await tags()).toEqual(left);
  });

  test('a user who may not see every item sees those behind a page that came back short', async () => {
    const made = await emptyPlatform(
      [{ key: 'docker-local' }],
      { role: 'reader', hides: ({ path }) => /^app\/1[0-3]/.test(path) },
      { aqlPageSize: 5 },
    );
    for (let tag = 10; tag < 20; tag += 1) push(made, `docker-local/app/${tag}`, `app ${tag}`);
    await made.running.poll();
    expect(await made.running.lines('repository_tags')).toEqual([
      'repository_tags{repository="docker-local/app"} 6',
    ]);
  });

  test.each(['words', 'number'] as const)("the server's own limit, told in %s, is kept to", async (says) => {
    const made = await emptyPlatform([{ key: 'docker-local' }], { hardLimit: 4, saysLimit: says });
    for (let tag = 10; tag < 20; tag += 1)
      for (const [name, content] of [
        ['manifest.json', manifest(`app ${tag}`)],
        [blob(`app ${tag}`), 1000],
      ] as const)
        put(made, `docker-local/app/${tag}/${name}`, content);
    await made.running.poll();
    // Sizes come from the manifests where the search for blobs is cut.
    const bytes = JSON.stringify(manifest('app 10')).length + 100 + 1000;
    expect(await made.running.lines('repository_size_bytes')).toEqual([
      `repository_size_bytes{repository="docker-local/app"} ${10 * bytes}`,
    ]);
    expect(await made.running.lines('repository_tags')).toEqual([
      'repository_tags{repository="docker-local/app"} 10',
    ]);
    // Statistics cannot be paged: what was cut is unknown, and not zero.
    expect(await made.running.lines('repository_pulls_total')).toEqual([]);
    expect(await made.running.lines('capability_up')).toContain('capability_up{capability="pull_times"} 0');
  });
});

test('a repository that lists nothing all of a sudden is believed when the next poll says so too', async () => {
  const made = await emptyPlatform([{ key: 'docker-local' }, { key: 'team-local' }]);
  push(made, 'docker-local/app/1.0', 'app');
  push(made, 'team-local/app/1.0', 'app');
  await made.running.poll();
  const tags = () => made.running.lines('repository_tags');
  const before = await tags();
  // A permission that was taken away looks like this.
  made.simulator.extra.items.splice(0, 3);
  await made.running.poll();
  expect(await tags()).toEqual(before);
  expect(await made.running.lines('poll_failures_total')).toContain(
    'poll_failures_total{reason="partial"} 1',
  );
  expect(made.running.log()).toMatch(/lists no image of docker-local all of a sudden/);
  await made.running.poll();
  expect(await tags()).toEqual(['repository_tags{repository="team-local/app"} 1']);
});

test('what was pushed is looked at alone: two searches, and a definite end of what is gone', async () => {
  const made = await emptyPlatform([{ key: 'docker-local' }]);
  push(made, 'docker-local/team/app/1.0', 'app');
  push(made, 'docker-local/team/web/1.0', 'web');
  await made.running.poll();
  push(made, 'docker-local/team/app/2.0', 'app 2');
  push(made, 'docker-local/team/web/2.0', 'web 2');
  made.simulator.requests.clear();
  made.running.loop.look('docker-local/team/app');
  await expect
    .poll(() => made.running.lines('repository_tags'), { timeout: 120_000 })
    .toEqual([
      'repository_tags{repository="docker-local/team/app"} 2',
      'repository_tags{repository="docker-local/team/web"} 1',
    ]);
  expect(made.simulator.requests.get('aql')).toBe(1);
  expect(made.simulator.requests.get('storage')).toBeUndefined();
  expect(made.simulator.requests.get('xray_violations')).toBeUndefined();
});

describe('what a poll costs', () => {
  const searches = ['aql', 'aql_stats', 'aql_blobs', 'aql_properties', 'manifest', 'xray_artifacts'];
  const cost = (made: Platform) =>
    Object.fromEntries(searches.map((operation) => [operation, made.simulator.requests.get(operation) ?? 0]));

  test('2,000 images in one repository: three searches and a list of scans, then two and one', async () => {
    const made = await emptyPlatform([{ key: 'docker-local' }], {}, { scanStatusesPerPoll: 0 });
    for (let at = 0; at < 2000; at += 1) push(made, `docker-local/service-${at % 40}/1.${at}`, `image ${at}`);
    await made.running.poll();
    expect(cost(made)).toEqual({
      aql: 1,
      aql_stats: 1,
      aql_blobs: 1,
      aql_properties: 0,
      manifest: 0,
      xray_artifacts: 1,
    });
    expect(await made.running.value('repositories')).toBe(40);
    made.simulator.requests.clear();
    await made.running.poll();
    expect(cost(made)).toMatchObject({ aql: 1, aql_stats: 1, aql_blobs: 0, manifest: 0, xray_artifacts: 1 });
  });

  test('more manifests than may be read at once are read over several polls; nothing is made up meanwhile', async () => {
    const made = await emptyPlatform([{ key: 'docker-local' }], {}, { manifestsPerPoll: 2 });
    for (let at = 0; at < 5; at += 1) {
      const digest = put(made, 'docker-local/app/{digest}/manifest.json', manifest(`platform ${at}`));
      put(made, `docker-local/app/${digest}/${blob(`platform ${at}`)}`, 1000);
      put(made, `docker-local/app/${at}.0/list.manifest.json`, index(digest));
    }
    const untagged = () =>
      made.running
        .lines('repository_images')
        .then((lines) => lines.filter((line) => line.includes('untagged')));
    await made.running.poll();
    expect(await untagged()).toEqual([]);
    expect(await made.running.lines('repository_size_bytes', 'repository_signed_images')).toEqual([]);
    await made.running.poll();
    await made.running.poll();
    expect(await untagged()).toEqual(['repository_images{repository="docker-local/app",state="untagged"} 0']);
    expect(await made.running.lines('repository_(size_bytes|signed_images)')).toHaveLength(2);
    expect(made.simulator.requests.get('manifest')).toBe(5);
  });

  test('nothing but questions is ever sent', async () => {
    const { running, simulator } = await platform({ seed: 9 });
    simulator.settings.watches = [{ name: 'all', active: true }];
    await running.poll();
    const posts = new Set(simulator.asked.filter((line) => !line.startsWith('GET ')));
    expect([...posts].toSorted()).toEqual([
      'POST /artifactory/api/search/aql',
      'POST /xray/api/v1/artifact/status',
      'POST /xray/api/v1/violations',
    ]);
  });
});

test('the newest images come first, whatever the order of their tags', async () => {
  const made = await emptyPlatform([{ key: 'docker-local' }], {}, { images: { perRepository: 1 } });
  put(made, 'docker-local/app/a/manifest.json', manifest('old'), { at: now - 100 });
  put(made, 'docker-local/app/b/manifest.json', manifest('new'), { at: now });
  put(made, 'docker-local/app/c/manifest.json', manifest('older'), { at: now - 200 });
  await made.running.poll();
  const lines = await made.running.lines('image_pushed_timestamp_seconds');
  expect(lines).toEqual([
    `image_pushed_timestamp_seconds{repository="docker-local/app",tag="b",digest="sha256:${sha256(JSON.stringify(manifest('new')))}"} ${now}`,
  ]);
});
