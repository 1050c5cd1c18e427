import { describe, expect, onTestFinished, test } from 'vitest';
import { artifactory } from '../../src/providers/artifactory.ts';
import { storageOf } from '../simulators/artifactory-layout.ts';
import {
  emptyPlatform,
  manifest,
  now,
  type Platform,
  platform,
  put,
} from '../support/artifactory-platform.ts';
import { runLoop } from '../support/running-loop.ts';

/** What is known of the platform besides its images, and what a user is who is no administrator. */
const inSeconds = (time: string): number => Date.parse(time) / 1000;

test('storage: the whole instance, the file store, and the space of each repository', async () => {
  const made = await platform({ seed: 4 });
  await made.running.poll();
  expect(await made.running.value('storage_bytes')).toBe(Math.round(3.48 * 2 ** 30));
  expect(await made.running.lines('quota_limit')).toEqual([
    `quota_limit{quota="storage",project=""} ${Math.round(204.28 * 2 ** 30)}`,
  ]);
  const used = await made.running.lines('quota_used');
  expect(used[0]).toBe(`quota_used{quota="storage",project=""} ${Math.round(32.22 * 2 ** 30)}`);
  const read = made.simulator.keys.filter(
    ({ type, packageType }) => type !== 'VIRTUAL' && packageType !== 'Maven',
  );
  expect(used.slice(1).map((line) => /project="([^"]+)"/.exec(line)?.[1])).toEqual(
    read.map(({ key }) => key),
  );
  // The summary knows a remote repository by its cache.
  expect(read.some((key) => storageOf(key) !== key.key)).toBe(true);
});

test('storage of the cloud, without a limit, has none', async () => {
  const made = await platform();
  made.simulator.settings.storage = {
    binariesSummary: { binariesSize: '1.5 TB' },
    fileStoreSummary: {
      storageType: 's3-storage-v3',
      totalSpace: 'Infinite',
      usedSpace: 'Infinite',
      freeSpace: 'Infinite',
    },
  };
  await made.running.poll();
  expect(await made.running.value('storage_bytes')).toBe(1.5 * 2 ** 40);
  expect(await made.running.lines('quota_limit')).toEqual([]);
});

test.each([
  ['sharding over S3', 's3-sharding', '0 bytes', '0 bytes (N/A)'],
  ['S3 behind a cache, whose disk is told', 's3-storage-v3-direct', '20.00 GB', '15.90 GB (79.5%)'],
  ['a disk of unknown size', 'file-system', '0 bytes', '0 bytes'],
])(
  'a file store without a bound of its own is no quota: %s',
  async (_title, storageType, totalSpace, usedSpace) => {
    const made = await platform();
    made.simulator.settings.storage = {
      binariesSummary: { binariesSize: '12.50 TB' },
      fileStoreSummary: { storageType, totalSpace, usedSpace },
    };
    await made.running.poll();
    expect(await made.running.value('storage_bytes')).toBe(12.5 * 2 ** 40);
    expect(
      (await made.running.lines('quota_used', 'quota_limit')).filter((line) => line.includes('project=""')),
    ).toEqual([]);
  },
);

describe('an edition without a licence (JFrog Container Registry, OSS)', () => {
  const proOnly = {
    type: 'status',
    status: 400,
    body: JSON.stringify({
      errors: [{ status: 400, message: 'This REST API is available only in Artifactory Pro' }],
    }),
  } as const;
  const refuseLicensed = (made: Platform) => {
    for (const operation of [
      'repository',
      'configurations',
      'replications',
      'replication',
      'certificates',
      'licenses',
    ])
      made.simulator.faults.push({ operation, fault: proOnly });
  };

  test('what it cannot have neither works nor fails', async () => {
    const made = await platform();
    refuseLicensed(made);
    await made.running.poll();
    expect((await made.running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
    expect((await made.running.lines('capability_up')).join()).not.toContain('replication');
    expect((await made.running.lines('repository_practice')).join()).not.toContain('replicated');
    expect(await made.running.lines('repository_practice')).not.toEqual([]);
  });

  test('its refusal to tell of a repository is no deletion: the images stay', async () => {
    const made = await platform();
    refuseLicensed(made);
    await made.running.poll();
    const before = await made.running.lines('repository_images', 'repository_tags');
    made.simulator.faults.push({
      operation: 'aql',
      fault: { type: 'body', body: '{"results":[],"range":{}}' },
    });
    await made.running.poll();
    expect(await made.running.lines('repository_images', 'repository_tags')).toEqual(before);
    expect(made.running.log()).toMatch(/lists no image of \S+ all of a sudden/);
  });
});

describe('repositories that the configuration names', () => {
  test('none of them is there: the poll fails, and no 0 is exported', async () => {
    const made = await platform({}, { keys: ['no-such-key'] });
    await made.running.poll();
    expect(await made.running.lines('up', 'repositories')).toEqual(['up{} 0']);
    expect(made.running.log()).toContain('shows no repository of images named no-such-key: check `keys`');
  });

  test('one of them is not there: told once, the others are read', async () => {
    const made = await platform();
    const [{ key = '' } = {}] = made.simulator.keys.filter(
      ({ type, packageType }) => type !== 'VIRTUAL' && packageType === 'Docker',
    );
    const named = await runLoop(artifactory, {
      endpoint: made.simulator.url,
      auth: { username: made.simulator.username, password: made.simulator.password },
      keys: [key, 'no-such-key'],
    });
    onTestFinished(() => named.stop());
    await named.poll();
    await named.poll();
    expect(await named.value('up')).toBe(1);
    expect(named.log().match(/level=warn.*no-such-key/g)).toHaveLength(1);
  });
});

describe('a user who is no administrator', () => {
  test('sees all images; what is for administrators is unknown, and its log line says what it takes', async () => {
    const made = await platform({ role: 'reader', seed: 4 });
    await made.running.poll();
    const capabilities = Object.fromEntries(
      (await made.running.lines('capability_up')).map((line) => [/"(\w+)"/.exec(line)?.[1], line.slice(-1)]),
    );
    expect(capabilities).toEqual({
      repositories: '1',
      images: '1',
      health: '1',
      projects: '1',
      sizes: '1',
      push_times: '1',
      pull_times: '1',
      findings: '0',
      signatures: '1',
      storage: '0',
      quotas: '0',
      practices: '0',
      replication: '0',
      credentials: '0',
    });
    expect(await made.running.lines('storage_bytes', 'quota_used', 'replication_up')).toEqual([]);
    const log = made.running.log();
    for (const capability of ['storage', 'quotas', 'replication', 'practices', 'credentials'])
      expect(
        log.match(new RegExp(`${capability} could not be read.*administrator's token`, 'g')),
      ).toHaveLength(1);
    expect(await made.running.lines('repository_findings', 'repository_size_bytes')).not.toEqual([]);
    // What anybody may read can be seen by anybody.
    expect((await made.running.lines('repository_practice')).join()).toContain('no_anonymous_pull');
  });

  test.each([
    // Quotas of the space that is left are read from there too.
    ['storage', 'storage', 'quotas'],
    ['configurations', 'practices'],
    ['replications', 'replication'],
    ['certificates', 'credentials'],
    ['tokens', 'credentials'],
    ['xray_artifacts', 'findings'],
    ['aql_stats', 'pull_times'],
    ['aql_blobs', 'sizes'],
    // Sizes of images in a cache are what their manifests say.
    ['manifest', 'sizes', 'signatures'],
  ])('%s refused costs %s, and nothing that does not depend on it', async (operation, ...capabilities) => {
    const made = await platform({ seed: 4 });
    made.simulator.faults.push({ operation, fault: { type: 'status', status: 403 } });
    await made.running.poll();
    const failing = (await made.running.lines('capability_up')).filter((line) => line.endsWith(' 0'));
    expect(failing).toEqual(capabilities.map((name) => `capability_up{capability="${name}"} 0`));
    expect(await made.running.value('up')).toBe(1);
    expect(await made.running.lines('repository_tags')).not.toEqual([]);
  });
});

describe('credentials', () => {
  test('licenses, certificates and lasting tokens', async () => {
    const made = await platform();
    const { settings } = made.simulator;
    settings.licenses = {
      licenses: [
        {
          type: 'Enterprise',
          validThrough: 'Jan 5, 2027',
          nodeId: 'art-1',
          licenseHash: 'a',
          expired: false,
        },
        {
          type: 'Enterprise',
          validThrough: 'Feb 6, 2027',
          nodeId: 'art-2',
          licenseHash: 'b',
          expired: false,
        },
      ],
    };
    settings.certificates = [
      {
        certificateAlias: 'mirror',
        issuedTo: 'x',
        issuedBy: 'y',
        validUntil: 'Sat May 01 2027 10:00:00 GMT +02:00 (UTC)',
      },
    ];
    const token = (token_id: string, more: object) => ({
      token_id,
      subject: 'jfac@01/users/ci',
      refreshable: false,
      ...more,
    });
    const year = 31_536_000;
    const start = Math.floor(Date.now() / 1000);
    settings.tokens = {
      tokens: [
        token('1', { description: 'deploy', issued_at: start, expiry: start + year }),
        token('2', { issued_at: start, expiry: start + year }),
        token('aaaaaaaa-1', { description: 'twice', issued_at: start, expiry: start + year }),
        token('bbbbbbbb-2', { description: 'twice', issued_at: start, expiry: start + 2 * year }),
        // One of a build, one without an end, one that has ended.
        token('3', { description: 'build 42', issued_at: start, expiry: start + 3600 }),
        token('4', { description: 'for ever', issued_at: start }),
        token('5', { description: 'over', issued_at: start - 2 * year, expiry: start - year }),
      ],
    };
    await made.running.poll();
    expect(await made.running.lines('credential_expiry_timestamp_seconds')).toEqual(
      [
        ['license/art-1', inSeconds('2027-01-05T00:00:00Z')],
        ['license/art-2', inSeconds('2027-02-06T00:00:00Z')],
        ['certificate/mirror', inSeconds('2027-05-01T08:00:00Z')],
        ['token/deploy', start + year],
        ['token/ci', start + year],
        ['token/twice#aaaaaaaa', start + year],
        ['token/twice#bbbbbbbb', start + 2 * year],
      ].map(([name, at]) => `credential_expiry_timestamp_seconds{credential="${name}"} ${at}`),
    );
  });

  test('an edition without a license that ends has none', async () => {
    const made = await platform();
    made.simulator.settings.license = { type: 'JCR Edition', validThrough: '', licensedTo: '' };
    await made.running.poll();
    expect(await made.running.lines('credential_expiry_timestamp_seconds')).toEqual([]);
    expect(await made.running.lines('capability_up')).toContain('capability_up{capability="credentials"} 1');
    expect(made.running.log()).not.toContain('validThrough');
  });

  test.each([
    ['JFrog, which answers 400', undefined],
    ['JFrog, which answers N/R', { type: 'Commercial', validThrough: 'N/R', licensedTo: '' }],
  ])('the cloud of %s has no license to renew, and lacks nothing', async (_who, license) => {
    const made = await platform();
    made.simulator.settings.license = license;
    await made.running.poll();
    expect(await made.running.lines('credential_expiry_timestamp_seconds')).toEqual([]);
    expect(await made.running.lines('capability_up')).toContain('capability_up{capability="credentials"} 1');
  });
});

describe('copies', () => {
  test('replications by their targets; the secrets of their configuration are shown nowhere', async () => {
    const made = await emptyPlatform([
      { key: 'one' },
      { key: 'two' },
      { key: 'three' },
      { key: 'hub', type: 'REMOTE' },
    ]);
    for (const key of ['one', 'two', 'three']) put(made, `${key}/app/1.0/manifest.json`, manifest('app'));
    const secret = 'r3plic4tion-Passw0rd';
    const push = (repoKey: string, enabled = true) => ({
      replicationType: 'PUSH',
      enabled,
      repoKey,
      url: `https://replicator:${secret}@eu.example.com/artifactory/${repoKey}?token=${secret}`,
      username: 'replicator',
      password: secret,
    });
    made.simulator.settings.replications = [
      push('one'),
      push('two'),
      push('three', false),
      push('maven'),
      { replicationType: 'PULL', enabled: true, repoKey: 'hub', url: null },
    ];
    const at = '2026-11-20T10:00:00.000+00:00';
    made.simulator.settings.replicationStatus = {
      one: {
        status: 'ok',
        lastCompleted: at,
        targets: [
          { url: 'https://eu.example.com/artifactory/one', repoKey: 'one', status: 'ok', lastCompleted: at },
          {
            url: 'https://us.example.com/artifactory/one',
            repoKey: 'one',
            status: 'error',
            lastCompleted: at,
          },
        ],
      },
      two: { status: 'never_run', lastCompleted: null },
      hub: { status: 'inconsistent', lastCompleted: at },
    };
    await made.running.poll();
    expect(await made.running.lines('replication_up', 'replication_last_success_timestamp_seconds')).toEqual([
      'replication_up{destination="one to eu.example.com/artifactory/one"} 1',
      'replication_up{destination="one to us.example.com/artifactory/one"} 0',
      'replication_up{destination="hub from its remote"} 0',
      `replication_last_success_timestamp_seconds{destination="one to eu.example.com/artifactory/one"} ${inSeconds(at)}`,
    ]);
    expect(
      (await made.running.lines('repository_practice')).filter((line) => line.includes('replicated')),
    ).toEqual(
      ['one', 'three', 'two'].map(
        (key) =>
          `repository_practice{repository="${key}/app",practice="replicated"} ${key === 'three' ? 0 : 1}`,
      ),
    );
    const told = `${made.running.log()}${await made.running.text()}${JSON.stringify(made.running.loop.status())}`;
    expect(told).not.toContain(secret);
  });

  test('federated mirrors: those that are unavailable, and how far the others are behind', async () => {
    const made = await emptyPlatform([{ key: 'fed', type: 'FEDERATED' }, { key: 'plain' }]);
    put(made, 'fed/app/1.0/manifest.json', manifest('app'));
    const mirror = (remoteUrl: string, more: object) => ({ remoteUrl, remoteRepoKey: 'fed', ...more });
    made.simulator.settings.mirrors = [
      mirror('https://eu.example.com/artifactory/', { localRepoKey: 'fed', lagInMS: 90_000 }),
      // Misspelt as in JFrog's own examples.
      mirror('https://us.example.com/artifactory', { locallRepoKey: 'fed', lagInMS: 0 }),
      mirror('https://eu.example.com/artifactory', { localRepoKey: 'npm', lagInMS: 5 }),
    ];
    made.simulator.settings.unavailable = [
      mirror('https://us.example.com/artifactory/', { localRepoKey: 'fed', status: 'OUT_OF_SYNC' }),
    ];
    await made.running.poll();
    expect(await made.running.lines('replication_up')).toEqual([
      'replication_up{destination="fed to eu.example.com/artifactory/fed"} 1',
      'replication_up{destination="fed to us.example.com/artifactory/fed"} 0',
    ]);
    const [eu = ''] = await made.running.lines('replication_last_success_timestamp_seconds');
    expect(Math.abs(Number(eu.split(' ').at(-1)) - (Date.now() / 1000 - 90))).toBeLessThan(10);
    expect((await made.running.lines('repository_practice')).join()).toContain('practice="replicated"} 1');
  });

  test('federation as a service of its own (from 7.104.2) tells connections by repository', async () => {
    const made = await emptyPlatform([{ key: 'fed', type: 'FEDERATED' }], { federation: 'service' });
    made.simulator.settings.mirrors = [
      {
        localRepoKey: 'fed',
        remoteRepoKey: 'fed-eu',
        remotePlatformUrl: 'https://eu.example.com/artifactory',
        status: 'HEALTHY',
        lagInMs: 0,
        disabled: false,
        supported: true,
      },
      {
        localRepoKey: 'fed',
        remoteRepoKey: 'fed-us',
        remotePlatformUrl: 'https://us.example.com/artifactory',
        status: 'ERROR',
        lagInMs: 0,
        disabled: false,
        supported: true,
      },
      {
        localRepoKey: 'fed',
        remoteRepoKey: 'fed-ap',
        remotePlatformUrl: 'https://ap.example.com/artifactory',
        status: 'N/A',
        lagInMs: 0,
        disabled: false,
        supported: false,
      },
    ];
    await made.running.poll();
    expect(await made.running.lines('replication_up')).toEqual([
      'replication_up{destination="fed to eu.example.com/artifactory/fed-eu"} 1',
      'replication_up{destination="fed to us.example.com/artifactory/fed-us"} 0',
    ]);
  });
});

describe('components', () => {
  test('services as the router knows them, with 503 when one is ill, and the nodes of a cluster', async () => {
    const made = await platform();
    const service = (service_id: string, state: string) => ({
      service_id,
      node_id: 'art-1',
      state,
      message: '',
    });
    made.simulator.settings.health = {
      status: 503,
      body: {
        router: { node_id: 'art-1', state: 'HEALTHY', message: 'OK' },
        services: [
          service('jfrt@01', 'UNHEALTHY_PEER'),
          service('jfxr@02', 'UNHEALTHY'),
          service('jfnew@03', 'HEALTHY'),
          service('jfmd@04', 'DREAMING'),
        ],
      },
    };
    made.simulator.settings.nodes = {
      nodes: [
        { id: 'art-1', state: 'RUNNING' },
        { id: 'art-2', state: 'OFFLINE' },
      ],
    };
    await made.running.poll();
    expect((await made.running.lines('component_up')).toSorted()).toEqual([
      'component_up{component="artifactory"} 1',
      'component_up{component="jfnew"} 1',
      'component_up{component="node/art-1"} 1',
      'component_up{component="node/art-2"} 0',
      'component_up{component="router"} 1',
      'component_up{component="xray"} 0',
    ]);
    expect(made.running.log().match(/DREAMING/g)).toHaveLength(1);
  });

  test('a proxy that hides the router hides its services only', async () => {
    const made = await platform();
    made.simulator.faults.push({
      operation: 'health',
      fault: { type: 'status', status: 404, body: '<html></html>' },
    });
    await made.running.poll();
    expect(await made.running.lines('component_up')).toEqual(['component_up{component="artifactory"} 1']);
  });
});

describe('health', () => {
  test('the version', async () => {
    const made = await platform();
    await made.running.poll();
    expect(await made.running.lines('version_info')).toEqual(['version_info{version="7.111.4"} 1']);
  });

  test('what breaks is told, and the rest is there', async () => {
    const made = await platform();
    made.simulator.faults.push({ operation: 'version', fault: { type: 'body', body: '{}' } });
    await made.running.poll();
    expect(await made.running.lines('version_info')).toEqual([]);
    expect(await made.running.lines('capability_up')).toContain('capability_up{capability="health"} 0');
    expect(await made.running.lines('up')).toEqual(['up{} 1']);
  });
});

describe('practices', () => {
  const of = (made: Awaited<ReturnType<typeof platform>>, practice: string) =>
    made.running
      .lines('repository_practice')
      .then((lines) => lines.filter((line) => line.includes(practice)));

  test('follow from the settings of the repository; a limit of tags that is not set says nothing', async () => {
    const made = await emptyPlatform([
      { key: 'kept', xrayIndex: false, maxUniqueTags: 20 },
      { key: 'loose', xrayIndex: true },
    ]);
    for (const key of ['kept', 'loose']) put(made, `${key}/app/1.0/manifest.json`, manifest('app'));
    await made.running.poll();
    expect(await of(made, 'scan_on_push')).toEqual([
      'repository_practice{repository="kept/app",practice="scan_on_push"} 0',
      'repository_practice{repository="loose/app",practice="scan_on_push"} 1',
    ]);
    expect(await of(made, 'retention_policy')).toEqual([
      'repository_practice{repository="kept/app",practice="retention_policy"} 1',
    ]);
  });

  test('what anybody may pull is tried without credentials: one request where nobody may', async () => {
    const shut = await emptyPlatform([{ key: 'a' }, { key: 'b' }]);
    const open = await emptyPlatform([{ key: 'a' }, { key: 'b' }], { anonymous: ['b'] });
    for (const made of [shut, open]) {
      for (const key of ['a', 'b']) put(made, `${key}/app/1.0/manifest.json`, manifest('app'));
      await made.running.poll();
    }
    const practice = (a: number, b: number) => [
      `repository_practice{repository="a/app",practice="no_anonymous_pull"} ${a}`,
      `repository_practice{repository="b/app",practice="no_anonymous_pull"} ${b}`,
    ];
    expect(await of(shut, 'no_anonymous_pull')).toEqual(practice(1, 1));
    expect(await of(open, 'no_anonymous_pull')).toEqual(practice(1, 0));
    expect(shut.simulator.requests.get('storage_item')).toBeUndefined();
  });
});

test("a proxy's page for people in place of an answer is told as one", async () => {
  const made = await platform();
  made.simulator.faults.push({ operation: 'repositories', fault: { type: 'status', status: 502 } });
  await made.running.poll();
  expect(made.running.log()).toMatch(/api\/repositories answered 502 \(an HTML page\)/);
  expect(await made.running.lines('poll_failures_total')).toContain(
    'poll_failures_total{reason="server_error"} 1',
  );
});

test("Artifactory's own words for an error are passed on", async () => {
  const made = await platform();
  const body = '{"errors":[{"status":500,"message":"Could not acquire a database connection"}]}';
  made.simulator.faults.push({ operation: 'repositories', fault: { type: 'status', status: 500, body } });
  await made.running.poll();
  expect(made.running.log()).toMatch(/answered 500 \(Could not acquire a database connection\)/);
});

test('nothing that is stored between two polls is a secret', async () => {
  const made = await platform({ seed: 4 });
  await made.running.poll();
  const told = `${made.running.log()}${JSON.stringify(made.running.loop.status())}${now}`;
  expect(told).not.toContain(made.simulator.password);
});
