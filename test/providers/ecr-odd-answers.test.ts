import { describe, expect, test } from 'vitest';
import { setup } from '../support/ecr-setup.ts';
import type { RunningLoop } from '../support/running-loop.ts';
import { emptyEstate, image, now, put, scanned } from '../support/uniform-estate.ts';

/** One odd part of an answer makes what depends on it unknown, is told once, and hides nothing else. */

const warnings = (running: RunningLoop): string[] =>
  running
    .log()
    .split('\n')
    .filter((line) => line.includes('level=warn'))
    .map((line) => /at="?([^\s"]+)"? problem="?([^"]+)"?$/.exec(line)?.slice(1).join(': ') ?? line);

/** Everything that is exported of a repository's images. */
const contents = (running: RunningLoop) =>
  running.lines(
    'repository_images',
    'repository_tags',
    'repository_size_bytes',
    'repository_last_push_timestamp_seconds',
    'repository_findings',
    'image_size_bytes',
    'image_pushed_timestamp_seconds',
  );

const digest = (seed: string) => image(seed).digest;

describe('one odd image', () => {
  const seconds = Math.floor(Date.now() / 1000);
  test.each<[string, Record<string, unknown>, string, readonly string[]]>([
    ['a size below nothing', { imageSizeInBytes: -1 }, 'imageSizeInBytes: no number of bytes', ['size']],
    [
      'a size beyond all numbers',
      { imageSizeInBytes: 1e308 },
      'imageSizeInBytes: no number of bytes',
      ['size'],
    ],
    ['a size as text', { imageSizeInBytes: '12' }, 'imageSizeInBytes: no number of bytes', ['size']],
    [
      'a push in the future',
      { imagePushedAt: seconds + 2 * 86_400 },
      'imagePushedAt: a time that lies in the future or cannot be',
      ['push'],
    ],
    [
      'a push beyond all times',
      { imagePushedAt: 1e308 },
      'imagePushedAt: a time that lies in the future or cannot be',
      ['push'],
    ],
    ['a push that is no time', { imagePushedAt: 'yesterday' }, 'imagePushedAt: no time', ['push']],
    ['a push in an object', { imagePushedAt: {} }, 'imagePushedAt: no time', ['push']],
  ])('%s', async (_title, row, warning, lost) => {
    const estate = emptyEstate();
    put(estate, 'app', image('odd', { pushedAt: now - 1 }), image('good', { pushedAt: now - 2 }));
    put(estate, 'web', image('other', { pushedAt: now - 3 }));
    const { simulator, running } = await setup({ estate });
    simulator.overrides.set(digest('odd'), row);
    await running.poll();
    await running.poll();
    const lines = await contents(running);
    const has = (text: string) => lines.filter((line) => line.includes(text)).length;
    expect(lines).toContain('repository_images{repository="app",state="tagged"} 2');
    expect(has('image_size_bytes{repository="app",tag="odd"')).toBe(lost.includes('size') ? 0 : 1);
    expect(has('repository_size_bytes{repository="app"')).toBe(lost.includes('size') ? 0 : 1);
    expect(has('image_pushed_timestamp_seconds{repository="app",tag="odd"')).toBe(
      lost.includes('push') ? 0 : 1,
    );
    expect(lines).toContain(
      `image_pushed_timestamp_seconds{repository="app",tag="good",digest="${digest('good')}"} ${now - 2}`,
    );
    expect(lines).toContain('repository_size_bytes{repository="web"} 1000');
    expect(warnings(running)).toEqual([warning]);
  });

  test('times as text, as ISO 8601 has them, are times', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const { simulator, running } = await setup({ estate });
    simulator.overrides.set(digest('v1'), { imagePushedAt: new Date(now * 1000).toISOString() });
    await running.poll();
    expect(await running.lines('repository_last_push_timestamp_seconds')).toEqual([
      `repository_last_push_timestamp_seconds{repository="app"} ${now}`,
    ]);
    expect(warnings(running)).toEqual([]);
  });

  test('a tag that is its own digest names an image, as oc-mirror tags what it mirrors by digest', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const { simulator, running } = await setup({ estate });
    simulator.overrides.set(digest('v1'), { imageTags: [digest('v1').replace(':', '-')] });
    await running.poll();
    expect(await running.lines('repository_images', 'repository_tags')).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
      'repository_images{repository="app",state="untagged"} 0',
      'repository_tags{repository="app"} 1',
    ]);
  });

  test('null, numbers, nothing and what cannot be a tag are left out of tags', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'), image('v2'));
    const { simulator, running } = await setup({ estate });
    simulator.overrides.set(digest('v1'), { imageTags: [null, 'v1', 5, '', 'no tag!', {}] });
    await running.poll();
    expect(await running.lines('repository_images', 'repository_tags')).toEqual([
      'repository_images{repository="app",state="tagged"} 2',
      'repository_images{repository="app",state="untagged"} 0',
      'repository_tags{repository="app"} 2',
    ]);
    expect(warnings(running)).toEqual(['imageTags: something that is no tag']);
  });

  test.each([
    ['text', 'v1'],
    ['other things alone', [null, 5]],
  ])(
    '%s in the place of tags: how many images are tagged is unknown, and the others are shown',
    async (_title, imageTags) => {
      const estate = emptyEstate();
      put(estate, 'app', image('v1'), image('v2'));
      const { simulator, running } = await setup({ estate });
      simulator.overrides.set(digest('v1'), { imageTags });
      await running.poll();
      expect(await running.lines('repository_images', 'repository_tags', 'image_size_bytes')).toEqual([
        `image_size_bytes{repository="app",tag="v2",digest="${digest('v2')}"} 1000`,
      ]);
      expect(warnings(running)).toEqual(['imageTags: something that is no tag']);
    },
  );

  const listing = async (odd: unknown) => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const made = await setup({ estate });
    const good = { imageDigest: digest('v1'), imageTags: ['v1'], imageSizeInBytes: 7, imagePushedAt: now };
    const body = JSON.stringify({ imageDetails: [odd, good] });
    made.simulator.faults.push({ operation: 'DescribeImages', fault: { type: 'body', body } });
    await made.running.poll();
    return made.running;
  };

  test.each([
    ['null', null],
    ['a number', 5],
    ['text', 'image'],
  ])('%s in the list is left out', async (_title, odd) => {
    const running = await listing(odd);
    expect(await running.lines('repository_images', 'repository_size_bytes')).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
      'repository_images{repository="app",state="untagged"} 0',
      'repository_size_bytes{repository="app"} 7',
    ]);
    expect(warnings(running)).toEqual(['imageDetails: something that is no image']);
  });

  test.each([
    ['no digest', { imageTags: ['v9'] }],
    ['a digest that is none', { imageDigest: 'x'.repeat(10_000), imageTags: ['v9'] }],
  ])('an image with %s: how many there are is unknown, and the others are shown', async (_title, odd) => {
    const running = await listing(odd);
    expect(await running.lines('repository_images', 'repository_size_bytes', 'image_size_bytes')).toEqual([
      `image_size_bytes{repository="app",tag="v1",digest="${digest('v1')}"} 7`,
    ]);
    expect(warnings(running)).toEqual(['imageDigest: an image without a digest']);
  });

  test('a number of findings that is none makes its severity unknown', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const { simulator, running } = await setup({ estate });
    simulator.overrides.set(digest('v1'), {
      imageScanStatus: { status: 'COMPLETE' },
      imageScanFindingsSummary: { findingSeverityCounts: { CRITICAL: 1, HIGH: -1, MEDIUM: '3', LOW: 1e308 } },
    });
    await running.poll();
    expect(await running.lines('repository_findings')).toEqual([
      'repository_findings{repository="app",severity="CRITICAL"} 1',
      'repository_findings{repository="app",severity="NEGLIGIBLE"} 0',
      'repository_findings{repository="app",severity="UNKNOWN"} 0',
    ]);
    expect(warnings(running)).toEqual(['findingSeverityCounts: a number of findings that is none']);
  });

  test('a manifest that is none leaves what its index lists unknown, in its repository alone', async () => {
    const estate = emptyEstate();
    const platform = image('amd', { tags: [] });
    const index = image('v1', { kind: 'index', platforms: [platform.digest] });
    put(estate, 'app', platform, index);
    put(estate, 'web', image('v2'));
    const { simulator, running } = await setup({ estate });
    const images = [null, { imageId: { imageDigest: index.digest }, imageManifest: '<html>' }];
    simulator.faults.push({
      operation: 'BatchGetImage',
      fault: { type: 'body', body: JSON.stringify({ images }) },
    });
    await running.poll();
    expect(await running.lines('repository_images')).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
      'repository_images{repository="web",state="tagged"} 1',
      'repository_images{repository="web",state="untagged"} 0',
    ]);
    expect(running.log()).toContain('a manifest could not be understood');
  });
});

test('manifests that ECR does not give are told, with its reason, and are no untagged images', async () => {
  const estate = emptyEstate();
  const platform = image('amd', { tags: [] });
  const index = image('v1', { kind: 'index', platforms: [platform.digest] });
  put(estate, 'app', platform, index);
  const { simulator, running } = await setup({ estate });
  const failure = {
    imageId: { imageDigest: index.digest },
    failureCode: 'KmsError',
    failureReason: 'the key is disabled',
  };
  simulator.faults.push({
    operation: 'BatchGetImage',
    fault: { type: 'body', body: JSON.stringify({ images: [], failures: [failure] }) },
  });
  await running.poll();
  await running.poll();
  expect(await running.lines('repository_images')).toEqual([
    'repository_images{repository="app",state="tagged"} 1',
  ]);
  const told = running.log().match(/level=warn.*/g) ?? [];
  expect(told).toEqual([expect.stringMatching(/manifests could not be read.* repository=app .*KmsError/)]);
});

test('an empty token names no next page, as AWS does not send it and stand-ins do', async () => {
  const estate = emptyEstate();
  put(estate, 'app', image('v1'));
  const { simulator, running } = await setup({ estate });
  const imageDetails = [
    { imageDigest: digest('v1'), imageTags: ['v1'], imageSizeInBytes: 5, imagePushedAt: now - 5 },
  ];
  simulator.faults.push({
    operation: 'DescribeImages',
    fault: { type: 'body', body: JSON.stringify({ imageDetails, nextToken: '' }) },
  });
  await running.poll();
  expect(await running.lines('up', 'repository_tags')).toEqual([
    'up{} 1',
    'repository_tags{repository="app"} 1',
  ]);
});

describe('one odd repository', () => {
  test('without a name: the others are read, and those of before are not taken for deleted', async () => {
    const estate = emptyEstate();
    for (const name of ['app', 'web']) put(estate, name, image(name));
    const { simulator, running } = await setup({ estate });
    await running.poll();
    const body = JSON.stringify({
      repositories: [{ repositoryName: 'web' }, { repositoryName: null }, null],
    });
    simulator.faults.push({ operation: 'DescribeRepositories', fault: { type: 'body', body } });
    put(estate, 'web', image('second'));
    await running.poll();
    expect(await running.lines('up', 'repositories', 'repository_tags')).toEqual([
      'up{} 1',
      'repositories{} 2',
      'repository_tags{repository="app"} 1',
      'repository_tags{repository="web"} 2',
    ]);
    expect((await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'))).toEqual([
      'poll_failures_total{reason="partial"} 1',
    ]);
    expect(running.log()).toContain('DescribeRepositories listed 1 that could not be understood');
  });

  test('with settings of other types: its images are read, and the settings are unknown', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const { simulator, running } = await setup({ estate });
    const odd = {
      repositoryName: 'app',
      registryId: 5,
      repositoryUri: {},
      imageTagMutability: 7,
      imageScanningConfiguration: { scanOnPush: 'yes' },
      encryptionConfiguration: [],
    };
    const body = JSON.stringify({ repositories: [odd] });
    simulator.faults.push({ operation: 'DescribeRepositories', fault: { type: 'body', body } });
    await running.poll();
    expect(await running.lines('repository_tags', 'repository_practice', 'info')).toEqual([
      'info{host="",account="123456789012",region="us-east-1"} 1',
      'repository_tags{repository="app"} 1',
      'repository_practice{repository="app",practice="scan_on_push"} 0',
    ]);
    expect(warnings(running).length).toBeGreaterThan(0);
  });
});

describe('odd rows of Inspector', () => {
  const both = () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1', scanned({ HIGH: 3 })));
    put(estate, 'web', image('v2', scanned({ HIGH: 1 })));
    return estate;
  };
  const arn = (repository: string, seed: string) =>
    `arn:aws:ecr:us-east-1:123456789012:repository/${repository}/${digest(seed)}`;

  test('a row of findings that names no image: what has no row is not called clean', async () => {
    const { simulator, running } = await setup(
      { estate: both(), mode: 'enhanced' },
      { images: { perRepository: 0 } },
    );
    const row = (resourceId: unknown, high: unknown) => ({
      awsEcrContainerAggregation: { resourceId, severityCounts: { all: high, critical: 0, high, medium: 0 } },
    });
    const body = JSON.stringify({ responses: [row(arn('app', 'v1'), 3), row(null, 1)] });
    simulator.faults.push({ operation: 'ListFindingAggregations', fault: { type: 'body', body } });
    await running.poll();
    expect(
      (await running.lines('repository_vulnerable_images')).filter((line) => line.includes('HIGH')),
    ).toEqual(['repository_vulnerable_images{repository="app",severity="HIGH"} 1']);
    expect(warnings(running)).toEqual(['resourceId: findings that name no image']);
  });

  test('a row of coverage that names no image: what has no row is not called unscanned', async () => {
    const { simulator, running } = await setup({ estate: both(), mode: 'enhanced' });
    const row = (resourceId: unknown, name: string) => ({
      resourceId,
      scanStatus: { reason: 'SUCCESSFUL' },
      lastScannedAt: now,
      resourceMetadata: { ecrRepository: { name } },
    });
    const coveredResources = [row(arn('app', 'v1'), 'app'), row(7, 'web'), null];
    const body = JSON.stringify({ coveredResources });
    simulator.faults.push({ operation: 'ListCoverage', fault: { type: 'body', body } });
    await running.poll();
    expect((await running.lines('repository_image_scans')).filter((line) => !line.endsWith(' 0'))).toEqual([
      'repository_image_scans{repository="app",status="complete"} 1',
    ]);
    expect(warnings(running).filter((line) => line.startsWith('resourceId: '))).toHaveLength(1);
  });
});

test('how the registry scans in words that no version knows: findings and practices are unknown, and said', async () => {
  const estate = emptyEstate();
  put(estate, 'app', image('v1'));
  const { simulator, running } = await setup({ estate });
  const body = JSON.stringify({ scanningConfiguration: { scanType: 'PSYCHIC', rules: [] } });
  simulator.faults.push({ operation: 'GetRegistryScanningConfiguration', fault: { type: 'body', body } });
  await running.poll();
  expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([
    'capability_up{capability="findings"} 0',
    'capability_up{capability="practices"} 0',
  ]);
  expect(await running.lines('repository_tags')).toEqual(['repository_tags{repository="app"} 1']);
});

test('a registry without any repository is said to be so, once', async () => {
  const { running } = await setup({ estate: emptyEstate(), region: 'eu-west-9' });
  await running.poll();
  await running.poll();
  expect(await running.lines('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 0']);
  const told = running.log().match(/level=warn.*shows no repository at all.*/g);
  expect(told).toEqual([expect.stringMatching(/region=eu-west-9.* account=123456789012/)]);
});

describe('what repositories.include spells out and the registry does not have', () => {
  test('is said, and is no 0', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const { running } = await setup({ estate }, { repositories: { include: ['app', 'typo', 'team-*'] } });
    await running.poll();
    await running.poll();
    expect(await running.lines('repositories', 'repository_tags')).toEqual([
      'repositories{} 1',
      'repository_tags{repository="app"} 1',
    ]);
    const told = running.log().match(/level=warn.*`repositories.include` names.*/g);
    expect(told).toEqual([expect.stringContaining('repository=typo')]);
  });

  test('at all makes the number of repositories unknown', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const { running } = await setup({ estate }, { repositories: { include: ['typo'] } });
    await running.poll();
    await running.poll();
    expect(await running.lines('repositories')).toEqual([]);
    expect(await running.lines('capability_up')).toContain('capability_up{capability="repositories"} 0');
  });
});
