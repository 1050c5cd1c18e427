import { describe, expect, test } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { startEcrSimulator } from '../simulators/ecr.ts';
import type { Estate, EstateImage } from '../simulators/estate.ts';
import { useAwsFiles } from '../support/aws.ts';
import { closing, cost, type Setup, setup } from '../support/ecr-setup.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';
import { emptyEstate, image, now, put, scanned, uniformEstate } from '../support/uniform-estate.ts';

/** What is remembered of scans belongs to one push to one repository of one registry. */

/** Counts of high findings by repository. */
async function high({ running }: Pick<Setup, 'running'>): Promise<Record<string, number>> {
  await running.poll();
  const lines = (await running.lines('repository_findings')).filter((line) => line.includes('"HIGH"'));
  return Object.fromEntries(
    lines.map((line) => [/repository="([^"]+)"/.exec(line)?.[1], Number(line.split(' ').at(-1))]),
  );
}

const scans = async ({ running }: Setup, repository: string) =>
  (await running.lines('repository_image_scans')).filter(
    (line) => line.includes(`"${repository}"`) && !line.endsWith(' 0'),
  );

/** The same image in two repositories, each scanned by itself. */
function promoted(dev: Partial<EstateImage>, prod: Partial<EstateImage>): Estate {
  const estate = emptyEstate();
  put(estate, 'dev/app', image('v1', dev));
  put(estate, 'prod/app', image('v1', prod));
  return estate;
}

describe('an image that is promoted from one repository to another', () => {
  test('has the findings of each repository by itself', async () => {
    const all = await setup({
      estate: promoted(scanned({ HIGH: 3 }), scanned({ HIGH: 1 })),
      mode: 'native',
    });
    expect(await high(all)).toEqual({ 'dev/app': 3, 'prod/app': 1 });
    expect(await high(all)).toEqual({ 'dev/app': 3, 'prod/app': 1 });
  });

  test('has none where it was not scanned', async () => {
    const all = await setup({ estate: promoted(scanned({ HIGH: 3 }), {}), mode: 'native' });
    expect(await high(all)).toEqual({ 'dev/app': 3 });
    expect(await scans(all, 'prod/app')).toEqual([
      'repository_image_scans{repository="prod/app",status="none"} 1',
    ]);
  });

  test('has those of each repository with Inspector too, for scans of the same moment', async () => {
    const all = await setup({
      estate: promoted(scanned({ HIGH: 3, LOW: 7 }), scanned({ HIGH: 1, LOW: 2 })),
      mode: 'enhanced',
    });
    expect(await high(all)).toEqual({ 'dev/app': 3, 'prod/app': 1 });
    expect(await high(all)).toEqual({ 'dev/app': 3, 'prod/app': 1 });
  });

  test('has one manifest in both: an index is read once', async () => {
    const platform = image('amd', { tags: [] });
    const index = image('v1', { kind: 'index', platforms: [platform.digest] });
    const estate = emptyEstate();
    put(estate, 'dev/app', platform, index);
    const all = await setup({ estate });
    expect(await cost(all)).toMatchObject({ BatchGetImage: 1 });
    put(estate, 'prod/app', platform, index);
    expect(await cost(all)).not.toHaveProperty('BatchGetImage');
  });
});

test('an image that is deleted and pushed again has the findings of its new push', async () => {
  const estate = emptyEstate();
  put(estate, 'app', image('v1', scanned({ HIGH: 3 })));
  const all = await setup({ estate, mode: 'native' });
  expect(await high(all)).toEqual({ app: 3 });
  put(estate, 'app', image('v1', { ...scanned({ HIGH: 1 }), pushedAt: now + 100 }));
  expect(await high(all)).toEqual({ app: 1 });
});

test('after a restart at another registry nothing of the first one is left', async () => {
  const folder = tempDir();
  closing(() => folder.remove());
  const estates = [5, 2].map((HIGH) => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1', scanned({ HIGH })));
    return estate;
  });
  const [first, second] = await Promise.all(
    estates.map((estate, at) => startEcrSimulator({ estate, mode: 'native', account: `${at}`.repeat(12) })),
  );
  const seen: object[] = [];
  for (const simulator of [first, second, first]) {
    if (!simulator) continue;
    const { accessKeyId: id, secretAccessKey: secret } = simulator.key;
    useAwsFiles(folder.path, { default: { id, secret } });
    const running = await runLoop(
      ecr,
      { endpoint: simulator.url, region: simulator.region },
      { storagePath: folder.path },
    );
    simulator.requests.clear();
    seen.push({ ...(await high({ running })), asked: simulator.requests.has('DescribeImageScanFindings') });
    await running.stop();
  }
  await Promise.all([first?.close(), second?.close()]);
  expect(seen).toEqual([
    { app: 5, asked: true },
    { app: 2, asked: true },
    { app: 5, asked: false },
  ]);
});

describe('images that were not scanned', () => {
  test('are asked for once in findingsInterval, not at every poll', async () => {
    const all = await setup({ estate: uniformEstate(5, 9), mode: 'native' });
    expect(await cost(all)).toMatchObject({ DescribeImageScanFindings: 15 });
    expect(await cost(all)).not.toHaveProperty('DescribeImageScanFindings');
    expect(await scans(all, 'team/service-0')).toEqual([
      'repository_image_scans{repository="team/service-0",status="none"} 3',
    ]);
  });

  test('are asked for again at once while a scan on push may still begin, or is at work', async () => {
    const estate = emptyEstate();
    const seconds = Math.floor(Date.now() / 1000);
    put(estate, 'pushed/now', image('v1', { pushedAt: seconds - 60 }));
    put(estate, 'pushed/early', image('v2', { pushedAt: seconds - 7200 }));
    put(estate, 'scanning', image('v3', { scan: { status: 'pending' }, pushedAt: seconds - 7200 }));
    const all = await setup({ estate, mode: 'native', scanRules: ['pushed'] });
    expect(await cost(all)).toMatchObject({ DescribeImageScanFindings: 3 });
    expect(await cost(all)).toMatchObject({ DescribeImageScanFindings: 2 });
    Object.assign(
      estate.repositories.get('pushed/now')?.images.values().next().value ?? {},
      scanned({ HIGH: 4 }),
    );
    expect(await high(all)).toEqual({ 'pushed/now': 4 });
  });
});

test('a platform that the repository does not hold is no row, and is not asked for', async () => {
  const estate = emptyEstate();
  const here = image('amd', { tags: [], ...scanned({ HIGH: 2 }) });
  const elsewhere = image('arm', { tags: [], ...scanned({ HIGH: 9 }) });
  const index = image('v1', { kind: 'index', platforms: [here.digest, elsewhere.digest] });
  put(estate, 'prod/app', here, index);
  put(estate, 'dev/app', here, elsewhere, index);
  const all = await setup({ estate, mode: 'native' });
  expect(await high(all)).toEqual({ 'dev/app': 9, 'prod/app': 2 });
  expect(await all.running.lines('repository_images', 'repository_artifacts')).toEqual([
    'repository_images{repository="dev/app",state="tagged"} 1',
    'repository_images{repository="dev/app",state="untagged"} 0',
    'repository_images{repository="prod/app",state="tagged"} 1',
    'repository_images{repository="prod/app",state="untagged"} 0',
    'repository_artifacts{repository="dev/app",kind="platform"} 2',
    'repository_artifacts{repository="prod/app",kind="platform"} 1',
  ]);
  const asked = all.simulator.inputs.filter(({ operation }) => operation === 'DescribeImageScanFindings');
  expect(asked.map(({ input }) => input['repositoryName']).toSorted()).toEqual([
    'dev/app',
    'dev/app',
    'prod/app',
  ]);
});
