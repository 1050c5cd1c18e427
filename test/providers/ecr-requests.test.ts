import { describe, expect, test } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { cost, setup } from '../support/ecr-setup.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';
import { emptyEstate, image, now, put, scanned, uniformEstate } from '../support/uniform-estate.ts';

/** What a poll asks of AWS. */
const settings = { DescribeRepositories: 1, GetRegistryScanningConfiguration: 1 };

describe('the cost of a poll', () => {
  test('the list of repositories, a call each, the settings; limits once an hour', async () => {
    const all = await setup({ estate: uniformEstate(12, 5), mode: 'clair' });
    expect(await cost(all)).toEqual({
      ...settings,
      GetAccountSetting: 1,
      DescribeImages: 12,
      ListServiceQuotas: 2,
    });
    expect(await cost(all)).toEqual({ ...settings, GetAccountSetting: 1, DescribeImages: 12 });
  });

  test('pages of a thousand, archived images among them', async () => {
    const estate = uniformEstate(1, 2500);
    const all = await setup({ estate });
    expect(await cost(all)).toMatchObject({ DescribeImages: 3 });
    expect(all.simulator.inputs.find(({ operation }) => operation === 'DescribeImages')?.input).toMatchObject(
      {
        maxResults: 1000,
        filter: { imageStatus: 'ANY' },
      },
    );
  });

  test('an index is read once, a hundred at a time', async () => {
    const estate = emptyEstate();
    for (let at = 0; at < 130; at += 1) {
      const platforms = [image(`amd ${at}`, { tags: [] }), image(`arm ${at}`, { tags: [] })];
      const digests = platforms.map(({ digest }) => digest);
      put(estate, 'app', ...platforms, image(`index-${at}`, { kind: 'index', platforms: digests }));
    }
    const all = await setup({ estate });
    expect(await cost(all)).toMatchObject({ BatchGetImage: 2 });
    expect(await cost(all)).not.toHaveProperty('BatchGetImage');
    expect(await all.running.lines('repository_images', 'repository_artifacts')).toEqual([
      'repository_images{repository="app",state="tagged"} 130',
      'repository_images{repository="app",state="untagged"} 0',
      'repository_artifacts{repository="app",kind="platform"} 260',
    ]);
  });

  test("AWS's own basic scanner: a call for each image of the bounded set, remembered", async () => {
    const estate = uniformEstate(4, 9);
    for (const { images } of estate.repositories.values())
      for (const one of images.values()) Object.assign(one, scanned({ HIGH: 2 }));
    const all = await setup({ estate, mode: 'native' });
    expect(await cost(all)).toMatchObject({ DescribeImages: 4, DescribeImageScanFindings: 12 });
    expect(await cost(all)).not.toHaveProperty('DescribeImageScanFindings');
    const eager = await setup({ estate, mode: 'native' }, { findingsInterval: '1ms' });
    await eager.running.poll();
    expect(await cost(eager)).toMatchObject({ DescribeImageScanFindings: 12 });
  });

  test('Inspector: in bulk, by the page and not by the image', async () => {
    const estate = uniformEstate(1000, 100);
    for (const [at, { images }] of [...estate.repositories.values()].entries())
      for (const [place, one] of [...images.values()].entries())
        Object.assign(one, scanned((at + place) % 2 === 0 ? { HIGH: 1 } : {}));
    const all = await setup({ estate, mode: 'enhanced' }, { images: { perRepository: 0 } });
    // 100,000 images, 200 a page; half of them have findings, 100 a page.
    expect(await cost(all)).toEqual({
      ...settings,
      DescribeImages: 1000,
      ListCoverage: 500,
      ListFindingAggregations: 500,
      ListServiceQuotas: 2,
    });
  }, 300_000);

  test('Inspector: details of the bounded set, remembered as of the last scan; none of what is clean', async () => {
    const estate = uniformEstate(3, 5);
    for (const { images } of estate.repositories.values())
      for (const [place, one] of [...images.values()].entries())
        Object.assign(one, scanned(place === 0 ? { LOW: 3 } : {}));
    const all = await setup({ estate, mode: 'enhanced' });
    expect(await cost(all)).toMatchObject({ ListCoverage: 1, DescribeImageScanFindings: 3 });
    expect(await cost(all)).not.toHaveProperty('DescribeImageScanFindings');
    const [newest] = [...estate.repositories.values()][0]?.images.values() ?? [];
    if (newest) newest.scan = { ...newest.scan, at: (newest.scan.at ?? 0) + 1 };
    expect(await cost(all)).toMatchObject({ DescribeImageScanFindings: 1 });
  });

  test('a restart with --storage.path reads no index and no findings again', async () => {
    const folder = tempDir();
    const estate = emptyEstate();
    const platform = image('amd', { tags: [], ...scanned({ HIGH: 1 }) });
    put(estate, 'app', platform, image('v1', { kind: 'index', platforms: [platform.digest] }));
    const { simulator, registry } = await setup({ estate, mode: 'native' });
    const before = await runLoop(ecr, registry, { storagePath: folder.path });
    await before.poll();
    await before.stop();
    simulator.requests.clear();
    const after = await runLoop(ecr, registry, { storagePath: folder.path });
    await after.poll();
    expect([...simulator.requests.keys()].toSorted()).toEqual([
      'DescribeImages',
      'DescribeRepositories',
      'GetAccountSetting',
      'GetRegistryScanningConfiguration',
    ]);
    await after.stop();
    folder.remove();
  });
});

describe('a look at pushed repositories', () => {
  test('asks for these alone; one that is gone vanishes', async () => {
    const estate = uniformEstate(6, 2);
    const all = await setup({ estate, mode: 'enhanced' });
    await all.running.poll();
    estate.repositories.delete('team/service-1');
    put(estate, 'team/service-2', image('new', { pushedAt: now + 100 }));
    all.simulator.inputs.length = 0;
    for (const name of ['team/service-1', 'team/service-2']) all.running.loop.look(name);
    // Looks happen by themselves, some seconds after the push.
    await expect
      .poll(() => all.running.lines('repository_images'), { timeout: 120_000 })
      .toContain('repository_images{repository="team/service-2",state="tagged"} 3');
    const asked = (operation: string) =>
      all.simulator.inputs.filter((one) => one.operation === operation).map(({ input }) => input);
    expect(asked('DescribeImages').map(({ repositoryName }) => repositoryName)).toEqual(['team/service-2']);
    expect(asked('ListCoverage')[0]).toMatchObject({
      filterCriteria: { ecrRepositoryName: [{ value: 'team/service-1' }, { value: 'team/service-2' }] },
    });
    expect((await all.running.lines('repository_images')).join()).not.toContain('service-1');
  });
});
