import { expect, test } from 'vitest';
import { setup } from '../support/ecr-setup.ts';
import { emptyEstate, image, now, put, scanned } from '../support/uniform-estate.ts';

/** A permission that is missing takes one capability away, and the log says once which one and for whom. */

function estate() {
  const all = emptyEstate();
  const platform = image('amd', { tags: [], ...scanned({ HIGH: 2 }) });
  put(
    all,
    'app',
    image('v1', { ...scanned({ CRITICAL: 1, LOW: 4 }, { LOW: 1 }), pushedAt: now - 10 }),
    image('loose', { tags: [], ...scanned({ HIGH: 1 }) }),
    platform,
    image('v2', { kind: 'index', platforms: [platform.digest], pushedAt: now }),
  );
  put(all, 'web', image('web-v1', scanned()));
  return all;
}

const always = [
  'repository_images{repository="app",state="tagged"} 2',
  'repository_images{repository="web",state="tagged"} 1',
  'repository_images{repository="web",state="untagged"} 0',
];

interface Case {
  readonly denied: string;
  readonly mode: 'clair' | 'native' | 'enhanced';
  readonly capabilities: readonly string[];
  /** What is there all the same, and what is not. */
  readonly has: readonly string[];
  readonly lacks: readonly RegExp[];
}

const cases: readonly Case[] = [
  {
    denied: 'inspector2:ListCoverage',
    mode: 'enhanced',
    capabilities: ['findings'],
    has: ['repository_findings{repository="app",severity="HIGH"} 2'],
    // Whether an image without findings was scanned at all is unknown: it is not called clean.
    lacks: [/^repository_image_scans/m, /^repository_findings\{repository="web"/m],
  },
  {
    denied: 'inspector2:ListFindingAggregations',
    mode: 'enhanced',
    capabilities: ['findings'],
    has: [
      'repository_image_scans{repository="web",status="complete"} 1',
      // The bounded set is asked for one by one.
      'repository_findings{repository="app",severity="HIGH"} 2',
    ],
    lacks: [],
  },
  {
    denied: 'ecr:DescribeImageScanFindings',
    mode: 'enhanced',
    capabilities: ['findings'],
    has: [
      'repository_findings{repository="app",severity="HIGH"} 2',
      'repository_vulnerable_images{repository="app",severity="CRITICAL"} 1',
    ],
    lacks: [/^repository_fixable_findings\{repository="app"/m],
  },
  {
    denied: 'ecr:DescribeImageScanFindings',
    mode: 'native',
    capabilities: ['findings'],
    has: [],
    lacks: [/_findings\{/, /^repository_image_scans/m],
  },
  {
    denied: 'ecr:GetRegistryScanningConfiguration',
    mode: 'native',
    capabilities: ['findings', 'practices'],
    has: ['repository_findings{repository="app",severity="HIGH"} 2'],
    lacks: [],
  },
  {
    denied: 'ecr:BatchGetImage',
    mode: 'clair',
    capabilities: ['images'],
    has: ['repository_findings{repository="web",severity="HIGH"} 0'],
    // The platform and the loose image cannot be told apart.
    lacks: [/repository="app",state="untagged"/, /^repository_size_bytes\{repository="app"/m],
  },
  {
    denied: 'servicequotas:ListServiceQuotas',
    mode: 'clair',
    capabilities: ['quotas'],
    has: ['quota_used{quota="repositories",project=""} 2'],
    lacks: [/^quota_limit/m],
  },
];

test.each(cases)('$denied missing ($mode)', async ({ denied, mode, capabilities, has, lacks }) => {
  const { simulator, running } = await setup({ estate: estate(), mode });
  simulator.denied.add(denied);
  await running.poll();
  const lines = (await running.lines('.*')).join('\n');
  for (const line of [...always, ...has, 'up{} 1']) expect(lines.split('\n')).toContain(line);
  for (const lack of lacks) expect(lines).not.toMatch(lack);
  const failing = (await running.lines('capability_up')).filter((line) => line.endsWith(' 0'));
  expect(failing).toEqual(capabilities.map((capability) => `capability_up{capability="${capability}"} 0`));
  const warnings = () =>
    running
      .log()
      .split('\n')
      .filter((line) => line.includes('level=warn'));
  expect(warnings()).toHaveLength(capabilities.length);
  expect(warnings()[0]).toContain(`allow ${denied} for ${simulator.key.principal}`);

  await running.poll();
  expect(warnings()).toHaveLength(capabilities.length);
  simulator.denied.clear();
  await running.poll();
  expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
});

test('what the role may not do at all is not asked a thousand times', async () => {
  const all = emptyEstate();
  for (let at = 0; at < 200; at += 1)
    put(all, `app-${at}`, image(`v${at}`, { kind: 'index', platforms: [] }));
  const { simulator, running } = await setup({ estate: all, mode: 'native' });
  simulator.denied.add('ecr:BatchGetImage');
  await running.poll();
  expect(simulator.requests.get('BatchGetImage')).toBeLessThan(50);
});

test('without the permission to list repositories the poll fails, and says what is missing', async () => {
  const { simulator, running } = await setup({ estate: estate() });
  simulator.denied.add('ecr:DescribeRepositories');
  await running.poll();
  expect(await running.lines('up')).toEqual(['up{} 0']);
  expect(running.log()).toContain(`allow ecr:DescribeRepositories for ${simulator.key.principal}`);
});
