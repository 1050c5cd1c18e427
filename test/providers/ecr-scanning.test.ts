import { describe, expect, test } from 'vitest';
import { fits } from '../../src/providers/ecr/scanning.ts';
import { setup } from '../support/ecr-setup.ts';
import type { RunningLoop } from '../support/running-loop.ts';
import { emptyEstate, image, now, put, scanned } from '../support/uniform-estate.ts';

/** Scan states, severities and other words of AWS. */

const detailed = async (rows: Record<string, Record<string, unknown>>) => {
  const estate = emptyEstate();
  for (const tag of Object.keys(rows)) put(estate, 'app', image(tag));
  const all = await setup({ estate, mode: 'clair' });
  for (const [tag, row] of Object.entries(rows)) all.simulator.overrides.set(image(tag).digest, row);
  await all.running.poll();
  return all;
};
/** Warnings in the log. */
const warnings = (running: RunningLoop): string[] =>
  running
    .log()
    .split('\n')
    .filter((line) => line.includes('level=warn'));
const status = (word: string) => ({ imageScanStatus: { status: word } });

describe('basic scanning', () => {
  test.each([
    ['ACTIVE', 'complete'],
    ['COMPLETE', 'complete'],
    ['FAILED', 'failed'],
    ['FINDINGS_UNAVAILABLE', 'none'],
    ['IMAGE_ARCHIVED', 'none'],
    ['IN_PROGRESS', 'pending'],
    ['LIMIT_EXCEEDED', 'failed'],
    ['PENDING', 'pending'],
    ['SCAN_ELIGIBILITY_EXPIRED', 'none'],
    ['UNSUPPORTED_IMAGE', 'unsupported'],
  ])('%s is %s', async (word, expected) => {
    const { running } = await detailed({ v1: status(word) });
    const scans = await running.lines('repository_image_scans');
    expect(scans.filter((line) => !line.endsWith(' 0'))).toEqual([
      `repository_image_scans{repository="app",status="${expected}"} 1`,
    ]);
    // No state, not even a complete one, makes an image clean without its findings.
    expect(await running.lines('repository_findings', 'repository_vulnerable_images')).toEqual([]);
  });

  test('a state that is not known yet counts nowhere, with one warning', async () => {
    const { running } = await detailed({ v1: status('QUANTUM_SCANNED'), v2: status('QUANTUM_SCANNED') });
    await running.poll();
    expect(warnings(running)).toEqual([expect.stringContaining('QUANTUM_SCANNED')]);
    expect(await running.lines('repository_findings')).toEqual([]);
  });

  test('severities: those without findings are left out by AWS; unknown ones are UNKNOWN, with one warning', async () => {
    const findingSeverityCounts = { HIGH: 3, INFORMATIONAL: 2, UNDEFINED: 1, APOCALYPTIC: 4 };
    const { running } = await detailed({
      v1: { ...status('COMPLETE'), imageScanFindingsSummary: { findingSeverityCounts } },
    });
    expect(await running.lines('repository_findings')).toEqual([
      'repository_findings{repository="app",severity="CRITICAL"} 0',
      'repository_findings{repository="app",severity="HIGH"} 3',
      'repository_findings{repository="app",severity="MEDIUM"} 0',
      'repository_findings{repository="app",severity="LOW"} 0',
      'repository_findings{repository="app",severity="NEGLIGIBLE"} 2',
      'repository_findings{repository="app",severity="UNKNOWN"} 5',
    ]);
    expect(running.log().match(/APOCALYPTIC/g)).toHaveLength(1);
  });

  test('a scan without findings: AWS leaves the counts empty', async () => {
    const summary = { imageScanCompletedAt: now, findingSeverityCounts: {} };
    const { running } = await detailed({ v1: { ...status('COMPLETE'), imageScanFindingsSummary: summary } });
    expect(await running.lines('repository_vulnerable_images')).toContain(
      'repository_vulnerable_images{repository="app",severity="CRITICAL"} 0',
    );
  });

  test("AWS's own scanner: beyond the bounded set nothing is known, and nothing is made up", async () => {
    const estate = emptyEstate();
    for (let at = 0; at < 6; at += 1)
      put(estate, 'app', image(`v${at}`, { ...scanned({ HIGH: at }), pushedAt: now + at }));
    const { running } = await setup(
      { estate, mode: 'native' },
      { images: { perRepository: 2, tags: ['v0'] } },
    );
    await running.poll();
    const lines = await running.lines(
      'repository_image_scans',
      'repository_vulnerable_images',
      'image_findings',
    );
    expect(lines).toContain('repository_image_scans{repository="app",status="complete"} 3');
    expect(lines).toContain('repository_vulnerable_images{repository="app",severity="HIGH"} 2');
    expect(lines.filter((line) => /^image_findings.*HIGH/.test(line)).map((line) => line.at(-1))).toEqual([
      '5',
      '4',
      '0',
    ]);
  });

  test('one that was never scanned has none; one that is deleted meanwhile says nothing, and nothing is amiss', async () => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1', { scan: { status: 'none' } }));
    const { simulator, running } = await setup({ estate, mode: 'native' }, { findingsInterval: '1ms' });
    await running.poll();
    expect(await running.lines('repository_image_scans')).toContain(
      'repository_image_scans{repository="app",status="none"} 1',
    );
    simulator.faults.push({
      operation: 'DescribeImageScanFindings',
      fault: { type: 'status', status: 400, body: '{"__type":"ImageNotFoundException","message":"gone"}' },
    });
    await running.poll();
    expect(await running.lines('repository_image_scans')).toEqual([]);
    expect(await running.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
  });
});

describe('enhanced scanning', () => {
  const lowAndCritical = () => {
    const estate = emptyEstate();
    for (let at = 0; at < 4; at += 1)
      put(estate, 'app', image(`v${at}`, { ...scanned({ CRITICAL: 1, LOW: 2 }), pushedAt: now - at }));
    return estate;
  };

  test('findings of all severities are counted in bulk', async () => {
    const { running } = await setup(
      { estate: lowAndCritical(), mode: 'enhanced' },
      { images: { perRepository: 1 } },
    );
    await running.poll();
    expect(await running.lines('repository_vulnerable_images')).toEqual([
      'repository_vulnerable_images{repository="app",severity="CRITICAL"} 4',
      'repository_vulnerable_images{repository="app",severity="HIGH"} 0',
      'repository_vulnerable_images{repository="app",severity="MEDIUM"} 0',
      'repository_vulnerable_images{repository="app",severity="LOW"} 4',
      'repository_vulnerable_images{repository="app",severity="NEGLIGIBLE"} 0',
      'repository_vulnerable_images{repository="app",severity="UNKNOWN"} 0',
    ]);
  });

  test('a severity that Inspector does not count by itself has no sample where it is not known', async () => {
    const { running } = await setup(
      { estate: lowAndCritical(), mode: 'enhanced', threeSeverities: true },
      { images: { perRepository: 1 } },
    );
    await running.poll();
    expect(await running.lines('repository_vulnerable_images')).toEqual([
      'repository_vulnerable_images{repository="app",severity="CRITICAL"} 4',
      'repository_vulnerable_images{repository="app",severity="HIGH"} 0',
      'repository_vulnerable_images{repository="app",severity="MEDIUM"} 0',
    ]);
    // Of the newest one everything is known.
    expect(await running.lines('repository_findings')).toContain(
      'repository_findings{repository="app",severity="LOW"} 2',
    );
  });

  test('how many tasks and pods run an image; those of its platforms for an index', async () => {
    const estate = emptyEstate();
    const platform = image('arm', { tags: [], ...scanned(), inUse: 0 });
    put(estate, 'app', image('v1', { ...scanned(), inUse: 7, pushedAt: now + 1 }), platform);
    put(estate, 'app', image('v2', { kind: 'index', platforms: [platform.digest], inUse: 4 }));
    const { running } = await setup({ estate, mode: 'enhanced' });
    await running.poll();
    const inUse = await running.lines('image_in_use');
    expect(inUse.map((line) => line.replace(/digest="[^"]+"/, ''))).toEqual([
      'image_in_use{repository="app",tag="v1",,source="scanner"} 7',
      'image_in_use{repository="app",tag="v2",,source="scanner"} 4',
    ]);
  });

  test("an administrator's account asks for its own images only", async () => {
    const { simulator, running } = await setup({ mode: 'enhanced' });
    await running.poll();
    const account = [{ comparison: 'EQUALS', value: simulator.account }];
    const inputs = new Map(simulator.inputs.map(({ operation, input }) => [operation, input]));
    expect(inputs.get('ListFindingAggregations')).toMatchObject({ accountIds: account });
    expect(inputs.get('ListCoverage')).toMatchObject({ filterCriteria: { accountId: account } });
  });
});

/** The table of https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-filters.html */
test.each<[string, boolean[]]>([
  ['prod', [true, true, true, true, true]],
  ['*prod', [true, true, false, false, false]],
  ['prod*', [true, false, true, false, true]],
  ['*prod*', [true, true, true, true, true]],
  ['prod*repo', [false, false, true, false, true]],
])('the filter %s of a scanning rule', (filter, expected) => {
  const names = ['prod', 'repo-prod', 'prod-repo', 'repo-prod-repo', 'prodrepo'];
  expect(names.map((name) => fits(filter, name))).toEqual(expected);
});

test('settings in words that are not known yet are left out, with one warning each', async () => {
  const estate = emptyEstate();
  put(estate, 'app', image('v1'));
  const { simulator, running } = await setup({ estate });
  const repository = {
    repositoryName: 'app',
    imageTagMutability: 'WOBBLY',
    encryptionConfiguration: { encryptionType: 'ROT13' },
  };
  simulator.faults.push({
    operation: 'DescribeRepositories',
    fault: { type: 'body', body: JSON.stringify({ repositories: [repository] }) },
  });
  simulator.overrides.set(image('v1').digest, { imageStatus: 'FROZEN' });
  await running.poll();
  await running.poll();
  expect(await running.lines('repository_practice')).toEqual([
    'repository_practice{repository="app",practice="scan_on_push"} 0',
  ]);
  for (const word of ['WOBBLY', 'ROT13', 'FROZEN'])
    expect(warnings(running).filter((line) => line.includes(word))).toHaveLength(1);
  expect(await running.lines('repository_images')).toContain(
    'repository_images{repository="app",state="tagged"} 1',
  );
});

test('what buildx attests beside the platforms is neither untagged nor a platform', async () => {
  const estate = emptyEstate();
  const platform = image('amd', { tags: [], sizeBytes: 500 });
  const proof = image('proof', { tags: [], sizeBytes: 1 });
  const index = image('v1', { kind: 'index', platforms: [platform.digest] });
  put(estate, 'app', platform, proof, index);
  const { simulator, running } = await setup({ estate });
  const manifests = [
    { digest: platform.digest, platform: { os: 'linux' } },
    { digest: proof.digest, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } },
    // A cache fetches the platforms that are pulled: this one is not here.
    { digest: image('arm').digest },
  ];
  const imageManifest = JSON.stringify({ schemaVersion: 2, manifests });
  simulator.faults.push({
    operation: 'BatchGetImage',
    fault: {
      type: 'body',
      body: JSON.stringify({
        images: [{ imageId: { imageDigest: index.digest }, imageManifest }],
        failures: [],
      }),
    },
  });
  await running.poll();
  expect(await running.lines('repository_images', 'repository_artifacts', 'repository_size_bytes')).toEqual([
    'repository_images{repository="app",state="tagged"} 1',
    'repository_images{repository="app",state="untagged"} 0',
    'repository_artifacts{repository="app",kind="platform"} 1',
    'repository_artifacts{repository="app",kind="attestation"} 1',
    'repository_size_bytes{repository="app"} 500',
  ]);
});

test('without reading indexes, platforms and untagged images cannot be told apart', async () => {
  const estate = emptyEstate();
  const platform = image('amd', { tags: [] });
  put(estate, 'app', platform, image('v1', { kind: 'index', platforms: [platform.digest] }));
  const { simulator, running } = await setup({ estate }, { readIndexes: false });
  await running.poll();
  expect(simulator.requests.has('BatchGetImage')).toBe(false);
  expect(await running.lines('repository_images')).toEqual([
    'repository_images{repository="app",state="tagged"} 1',
  ]);
  expect(await running.lines('capability_up')).toContain('capability_up{capability="images"} 1');
});
