import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Image, Observation, RepositoryFacts } from '../../src/model.ts';
import { type Script, scripted } from '../loop/scripted.ts';
import { eventually } from '../support/programs.ts';
import { type RunningDaemon, startDaemon } from '../support/running-daemon.ts';

/** What runs, joined with what a registry lists: whole input → everything that is exposed of it. */

const hex = (letter: string) => `sha256:${letter.repeat(64)}`;
const march = Date.UTC(2026, 2, 1) / 1000;
const may = Date.UTC(2026, 4, 1) / 1000;
const folder = mkdtempSync(join(tmpdir(), 'joined-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'running');
const open: RunningDaemon[] = [];
afterEach(async () => {
  for (const daemon of open.splice(0)) await daemon.stop();
});
beforeEach(() => writeFileSync(file, ''));

/** What runs: `REPOSITORY@LETTER` or an object with places. */
const runs = (...images: (string | { readonly image: string; readonly [more: string]: unknown })[]): void =>
  writeFileSync(
    file,
    JSON.stringify(
      images.map((given) => {
        const { image, ...more } = typeof given === 'string' ? { image: given } : given;
        const [name = '', letter = ''] = image.split('@');
        const host = name.includes('.') ? '' : 'registry.example.com/';
        return { image: `${host}${name}:v1@${hex(letter)}`, ...more };
      }),
    ),
  );

const app = (images: readonly Image[], facts: RepositoryFacts = { listsUntagged: true }): Observation[] => [
  { type: 'repository', repository: 'app', facts },
  { type: 'images', repository: 'app', images },
  { type: 'repository-complete', repository: 'app' },
];
const image = (letter: string, more: Partial<Image> = {}): Image => ({
  digest: hex(letter),
  kind: 'image',
  tags: [letter],
  pushedAt: march,
  ...more,
});

interface Setup {
  readonly registry?: object;
  readonly inUse?: object;
  readonly source?: object;
}

function configOf({ registry = {}, inUse = {}, source = {} }: Setup): string {
  return JSON.stringify({
    registries: [
      { name: 'edge', type: 'scripted', schedule: '24h', images: { perRepository: 1 }, ...registry },
    ],
    inUse: { sources: [{ name: 'hosts', type: 'file', path: file, interval: '1s', ...source }], ...inUse },
  });
}

/** A daemon that has polled its registry once, knowing what runs. */
async function started(script: Script, setup: Setup = {}) {
  const { provider, say } = scripted(script);
  const daemon = await startDaemon({ scripted: provider }, configOf(setup));
  open.push(daemon);
  const lines = async (...families: string[]) =>
    (await daemon.text())
      .split('\n')
      .filter((line) => families.some((family) => new RegExp(`^container_registry_${family}[{ ]`).test(line)))
      .map((line) =>
        line.replace(/^container_registry_/, '').replace('registry="edge",provider="scripted"', ''),
      );
  const own = async (family: string) =>
    (await daemon.own()).split('\n').filter((line) => line.startsWith(`container_registry_${family}{`));
  const poll = async () => {
    for (const loop of daemon.daemon.loops()) await loop.poll();
  };
  await poll();
  return { logged: () => daemon.lines.join('\n'), say, lines, own, poll };
}
const settled = 20_000;

test('everything that is exposed of what runs of one repository', async () => {
  runs(
    { image: 'app@a', cluster: 'p1', namespace: 'shop', containers: 3 },
    { image: 'app@2', cluster: 'p2', namespace: 'shop' },
    { image: 'app@c', cluster: 'p1', namespace: 'batch', workload: 'nightly', containers: 2 },
    'app@d',
    'app@e',
  );
  const { lines } = await started(() =>
    app([
      image('f', {
        pushedAt: may,
        tags: ['newest'],
        scanStatus: 'complete',
        findings: { counts: { CRITICAL: 9 } },
      }),
      {
        ...image('a', { tags: ['v1', 'stable'], signed: true }),
        kind: 'index',
        platforms: [hex('1'), hex('2')],
      },
      image('1', {
        tags: [],
        findings: { counts: { CRITICAL: 2, HIGH: 0 }, fixable: { CRITICAL: 1, HIGH: 0 } },
        scanStatus: 'complete',
      }),
      image('2', {
        tags: [],
        findings: { counts: { CRITICAL: 1, HIGH: 1 }, fixable: { CRITICAL: 1, HIGH: 0 } },
        scanStatus: 'complete',
      }),
      image('c', { tags: [], scanStatus: 'none', signed: false, pushedAt: march - 86_400 }),
      image('d', { scanStatus: 'failed', signed: false, archived: true }),
    ]),
  );
  const [app1, c] = [`digest="${hex('a')}"`, `digest="${hex('c')}"`];
  await eventually(
    async () =>
      expect(await lines('repository_in_use_\\w+', 'image_in_use', 'in_use_dropped_images')).toEqual([
        'in_use_dropped_images{} 0',
        // The index and its platform are one image; the archived one and the one that is not listed cannot be pulled.
        'repository_in_use_images{,repository="app",source="hosts",state="present"} 2',
        'repository_in_use_images{,repository="app",source="hosts",state="missing"} 2',
        'repository_in_use_images{,repository="app",source="hosts",state="unknown"} 0',
        'repository_in_use_vulnerable_images{,repository="app",source="hosts",severity="CRITICAL"} 1',
        'repository_in_use_vulnerable_images{,repository="app",source="hosts",severity="HIGH"} 1',
        'repository_in_use_fixable_images{,repository="app",source="hosts",severity="CRITICAL"} 1',
        'repository_in_use_fixable_images{,repository="app",source="hosts",severity="HIGH"} 0',
        'repository_in_use_unscanned_images{,repository="app",source="hosts"} 1',
        'repository_in_use_unsigned_images{,repository="app",source="hosts"} 1',
        'repository_in_use_latest_tag_images{,repository="app",source="hosts"} 0',
        `repository_in_use_oldest_push_timestamp_seconds{,repository="app",source="hosts"} ${march - 86_400}`,
        'repository_in_use_containers{,repository="app",source="hosts",workload_cluster="p1",workload_namespace="shop",workload=""} 3',
        'repository_in_use_containers{,repository="app",source="hosts",workload_cluster="",workload_namespace="",workload=""} 2',
        'repository_in_use_containers{,repository="app",source="hosts",workload_cluster="p1",workload_namespace="batch",workload="nightly"} 2',
        'repository_in_use_containers{,repository="app",source="hosts",workload_cluster="p2",workload_namespace="shop",workload=""} 1',
        `image_in_use{,repository="app",tag="stable",${app1},source="hosts"} 4`,
        `image_in_use{,repository="app",tag="v1",${app1},source="hosts"} 4`,
        `image_in_use{,repository="app",tag="",${c},source="hosts"} 2`,
      ]),
    settled,
  );
  expect(await lines('image_pushed_timestamp_seconds')).toEqual([
    `image_pushed_timestamp_seconds{,repository="app",tag="newest",digest="${hex('f')}"} ${may}`,
    `image_pushed_timestamp_seconds{,repository="app",tag="stable",${app1}} ${march}`,
    `image_pushed_timestamp_seconds{,repository="app",tag="v1",${app1}} ${march}`,
    `image_pushed_timestamp_seconds{,repository="app",tag="",${c}} ${march - 86_400}`,
  ]);
});

const states = async (lines: (...families: string[]) => Promise<string[]>) =>
  (await lines('repository_in_use_images')).flatMap((line) => {
    const [, repository, state, count] = /repository="(\w+)".*state="(\w+)"} (\d+)/.exec(line) ?? [];
    return count === '0' ? [] : [`${repository} ${state} ${count}`];
  });

describe('an image that runs and is not listed', () => {
  test.each<[string, RepositoryFacts, string]>([
    ['is missing where the listing is complete', { listsUntagged: true }, 'app missing 1'],
    ['may be there where untagged images are not listed', { listsUntagged: false }, 'app unknown 1'],
    ['is missing where it was asked for', { listsUntagged: false, absent: [hex('b')] }, 'app missing 1'],
    ['may be there where tags could not be read', { listsUntagged: true, unreadTags: 1 }, 'app unknown 1'],
    [
      'may be a platform that was not read',
      { listsUntagged: true, unknownKinds: ['platform'] },
      'app unknown 1',
    ],
    ['is fetched again by a cache', { listsUntagged: true, fetchesMissing: true }, 'app unknown 1'],
  ])('%s', async (_, facts, expected) => {
    runs('app@a', 'app@b');
    const { lines } = await started(() => app([image('a')], facts));
    await eventually(async () => expect(await states(lines)).toEqual(['app present 1', expected]), settled);
  });

  test('is missing with its repository, when that is deleted', async () => {
    runs('app@a');
    const other: Observation[] = [
      { type: 'repository', repository: 'other' },
      { type: 'repository-complete', repository: 'other' },
    ];
    const { lines, say, poll } = await started(() => [...app([image('a')]), ...other]);
    await eventually(async () => expect(await states(lines)).toEqual(['app present 1']), settled);
    say(() => [...other]);
    await poll();
    await eventually(async () => expect(await states(lines)).toEqual(['app missing 1']), settled);
  });

  test('is unknown while its repository cannot be read, once the data is too old', async () => {
    runs('app@a');
    const { lines, say, poll } = await started(() => app([image('a')]), { registry: { staleAfter: '3s' } });
    await eventually(async () => expect(await states(lines)).toEqual(['app present 1']), settled);
    say(() => [
      { type: 'repository', repository: 'app' },
      { type: 'repository-failed', repository: 'app', error: new Error('broken') },
    ]);
    await poll();
    await eventually(async () => expect(await states(lines)).toEqual(['app unknown 1']), settled);
  });
});

test('an image that begins to run between two polls is looked at, and shown', async () => {
  runs('app@a');
  const asked: (readonly string[] | undefined)[] = [];
  const { lines } = await started((context) => {
    asked.push(context.only);
    return app([image('f', { pushedAt: may }), image('a'), image('b')]);
  });
  await eventually(async () => expect(await states(lines)).toEqual(['app present 1']), settled);
  runs('app@a', 'app@b');
  await eventually(async () => expect(await states(lines)).toEqual(['app present 2']), settled);
  expect(asked.at(-1)).toEqual(['app']);
  const count = asked.length;
  runs('app@b');
  await eventually(async () => expect(await states(lines)).toEqual(['app present 1']), settled);
  expect(asked.length).toBe(count);
});

describe('a source', () => {
  test('that can no longer be read counts until it is too old; then its numbers have no samples', async () => {
    runs('app@a');
    const { lines, own } = await started(() => app([image('a')]), { source: { staleAfter: '3s' } });
    await eventually(async () => expect(await states(lines)).toEqual(['app present 1']), settled);
    writeFileSync(file, '["half');
    await eventually(
      async () =>
        expect(await own('in_use_source_up')).toEqual([
          'container_registry_in_use_source_up{source="hosts"} 0',
        ]),
      settled,
    );
    await eventually(async () => {
      expect(await lines('repository_in_use_\\w+', 'in_use_dropped_images')).toEqual([]);
      expect(await own('in_use_source_containers')).toEqual([]);
    }, settled);
    runs('app@a');
    await eventually(async () => expect(await states(lines)).toEqual(['app present 1']), settled);
  });

  test('that is empty all of a sudden is believed when it says so twice', async () => {
    runs('app@a');
    const { lines, logged } = await started(() => app([image('a')]));
    await eventually(async () => expect(await states(lines)).toEqual(['app present 1']), settled);
    writeFileSync(file, '[]');
    await eventually(() => expect(logged()).toContain('nothing at all, all of a sudden'), settled);
    await eventually(async () => expect(await lines('repository_in_use_images')).toEqual([]), settled);
  });

  test('of two, each has numbers of its own', async () => {
    runs('app@a', 'app@b');
    const second = join(folder, 'second');
    writeFileSync(second, `registry.example.com/app@${hex('a')} 5`);
    const { lines } = await started(() => app([image('a')]), {
      inUse: {
        sources: [
          { name: 'hosts', type: 'file', path: file, interval: '1s' },
          { name: 'nomad', type: 'file', path: second, interval: '1s' },
        ],
      },
    });
    await eventually(
      async () =>
        expect(await lines('image_in_use')).toEqual([
          `image_in_use{,repository="app",tag="a",digest="${hex('a')}",source="hosts"} 1`,
          `image_in_use{,repository="app",tag="a",digest="${hex('a')}",source="nomad"} 5`,
        ]),
      settled,
    );
  });
});

test('more images than maxImages: those of the most containers stay, the others are counted', async () => {
  runs({ image: 'app@a', containers: 2 }, { image: 'app@b', containers: 9 }, 'app@c');
  const { lines } = await started(() => app([image('a'), image('b'), image('c')]), {
    inUse: { maxImages: 2 },
  });
  await eventually(async () => {
    expect(await states(lines)).toEqual(['app present 2']);
    expect(await lines('in_use_dropped_images')).toEqual(['in_use_dropped_images{} 1']);
  }, settled);
});

test('mirrors and aliases lead to the registry; what it does not list is counted by host', async () => {
  runs('mirror.corp/hub/app@a', 'alias.corp/app@a', 'other@a', 'quay.io/x@a', 'quay.io/y@a', 'excluded@a');
  const { lines, own } = await started(() => app([image('a')]), {
    registry: {
      hosts: ['alias.corp', { from: 'mirror.corp/hub', to: '' }],
      repositories: { exclude: ['excluded'] },
    },
  });
  await eventually(async () => {
    expect(await lines('image_in_use')).toEqual([
      `image_in_use{,repository="app",tag="a",digest="${hex('a')}",source="hosts"} 2`,
    ]);
    expect(await own('in_use_unmatched_images')).toEqual([
      'container_registry_in_use_unmatched_images{host="quay.io"} 2',
      'container_registry_in_use_unmatched_images{host="registry.example.com"} 2',
    ]);
  }, settled);
});

test('names of one host lead to one registry', async () => {
  runs('alias.corp/app@a', 'docker.io/app@a', 'index.docker.io/app@a');
  const { lines, own } = await started(() => app([image('a')]), {
    registry: { hosts: ['alias.corp:443', { from: 'registry-1.docker.io/library', to: '' }] },
  });
  await eventually(async () => {
    expect(await states(lines)).toEqual(['app present 1']);
    expect(await lines('image_in_use')).toEqual([
      `image_in_use{,repository="app",tag="a",digest="${hex('a')}",source="hosts"} 3`,
    ]);
    expect(await own('in_use_unmatched_images')).toEqual([]);
  }, settled);
});

test('before a registry was listed no image of its host counts as one that no registry lists', async () => {
  runs('other@a', 'quay.io/x@a');
  const { poll, say, own } = await started(() => {
    throw new Error('no answer');
  });
  const unmatched = (...hosts: string[]) =>
    eventually(
      async () =>
        expect(await own('in_use_unmatched_images')).toEqual(
          hosts.map((host) => `container_registry_in_use_unmatched_images{host="${host}"} 1`),
        ),
      settled,
    );
  await unmatched('quay.io');
  say(() => app([image('a')]));
  await poll();
  await unmatched('quay.io', 'registry.example.com');
});

test('places beyond the 20 largest are counted together', async () => {
  runs(
    ...Array.from({ length: 25 }, (_, at) => ({
      image: 'app@a',
      namespace: `n${at + 10}`,
      containers: 100 - at,
    })),
  );
  const { lines } = await started(() => app([image('a')]));
  await eventually(async () => {
    const places = await lines('repository_in_use_containers');
    expect(places.length).toBe(21);
    expect(places.at(-1)).toBe(
      `repository_in_use_containers{,repository="app",source="hosts",workload_cluster="",workload_namespace="",workload=""} ${80 + 79 + 78 + 77 + 76}`,
    );
  }, settled);
});
