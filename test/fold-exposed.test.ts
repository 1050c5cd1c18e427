import { afterEach, describe, expect, test } from 'vitest';
import type { Image, Observation, RegistryFacts, RepositoryFacts } from '../src/model.ts';
import { imageOf, scripted } from './loop/scripted.ts';
import { parseExposition } from './support/exposition-text.ts';
import { type RunningLoop, runLoop } from './support/running-loop.ts';

/** What a provider says, and everything that is then exposed of it: nothing more, nothing less. */

const open: RunningLoop[] = [];
afterEach(async () => {
  for (const loop of open.splice(0)) await loop.stop();
});

async function polled(registry: object, ...observations: Observation[]): Promise<RunningLoop> {
  const loop = await runLoop(scripted(() => observations).provider, { ...registry });
  open.push(loop);
  await loop.poll();
  parseExposition(await loop.text());
  return loop;
}
const ofRepository = (loop: RunningLoop) => loop.lines('repository_\\w+', 'image_\\w+');

const app = (images: readonly Image[], facts: RepositoryFacts = { listsUntagged: true }): Observation[] => [
  { type: 'repository', repository: 'app', facts },
  { type: 'images', repository: 'app', images },
  { type: 'repository-complete', repository: 'app' },
];

const march = Date.UTC(2026, 2, 1) / 1000;
const april = Date.UTC(2026, 3, 1) / 1000;
const may = Date.UTC(2026, 4, 1) / 1000;
const tomorrow = () => Math.floor(Date.now() / 1000) + 2 * 86_400;

describe('a repository', () => {
  const amd: Image = { digest: 'sha256:amd', kind: 'image', sizeBytes: 100, pushedAt: march };
  const index: Image = {
    digest: 'sha256:index',
    kind: 'index',
    tags: ['v1'],
    platforms: ['sha256:amd'],
    pushedAt: march,
  };

  test('with an index, its platform, what is attached to it, a chart and an untagged image', async () => {
    const loop = await polled(
      {},
      ...app(
        [
          { ...index, attestations: ['sha256:provenance'] },
          { ...amd, scanStatus: 'complete', findings: { counts: { CRITICAL: 1, HIGH: 0 }, fixableTotal: 1 } },
          // Pushed and pulled long after the image, by those who sign and verify.
          { digest: 'sha256:provenance', kind: 'image', sizeBytes: 9, pushedAt: may, pulledAt: may },
          { digest: 'sha256:sig', kind: 'signature', subject: 'sha256:index', pushedAt: may, pulledAt: may },
          { digest: 'sha256:sbom', kind: 'sbom', pushedAt: may, pulledAt: may },
          { digest: 'sha256:report', kind: 'other', subject: 'sha256:index', pushedAt: may, pulledAt: may },
          { digest: 'sha256:chart', kind: 'chart', tags: ['1.0.0'], pushedAt: april },
          { digest: 'sha256:loose', kind: 'image', sizeBytes: 7, pulledAt: march },
        ],
        {
          listsUntagged: true,
          listsSignatures: true,
          pulls: 12,
          stars: 3,
          practices: { immutable_tags: true },
        },
      ),
    );
    expect(await ofRepository(loop)).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
      'repository_images{repository="app",state="untagged"} 1',
      'repository_tags{repository="app"} 2',
      'repository_artifacts{repository="app",kind="platform"} 1',
      'repository_artifacts{repository="app",kind="signature"} 1',
      'repository_artifacts{repository="app",kind="sbom"} 1',
      'repository_artifacts{repository="app",kind="attestation"} 1',
      'repository_artifacts{repository="app",kind="chart"} 1',
      'repository_artifacts{repository="app",kind="other"} 1',
      'repository_size_bytes{repository="app"} 107',
      `repository_last_push_timestamp_seconds{repository="app"} ${april}`,
      `repository_last_pull_timestamp_seconds{repository="app"} ${march}`,
      'repository_pulls_total{repository="app"} 12',
      'repository_stars{repository="app"} 3',
      'repository_findings{repository="app",severity="CRITICAL"} 1',
      'repository_findings{repository="app",severity="HIGH"} 0',
      'repository_fixable_findings{repository="app",severity=""} 1',
      'repository_vulnerable_images{repository="app",severity="CRITICAL"} 1',
      'repository_vulnerable_images{repository="app",severity="HIGH"} 0',
      'repository_image_scans{repository="app",status="complete"} 1',
      'repository_image_scans{repository="app",status="pending"} 0',
      'repository_image_scans{repository="app",status="failed"} 0',
      'repository_image_scans{repository="app",status="unsupported"} 0',
      'repository_image_scans{repository="app",status="none"} 0',
      'repository_signed_images{repository="app"} 1',
      'repository_practice{repository="app",practice="immutable_tags"} 1',
      'image_findings{repository="app",tag="v1",digest="sha256:index",severity="CRITICAL"} 1',
      'image_findings{repository="app",tag="v1",digest="sha256:index",severity="HIGH"} 0',
      'image_fixable_findings{repository="app",tag="v1",digest="sha256:index",severity=""} 1',
      'image_size_bytes{repository="app",tag="v1",digest="sha256:index"} 100',
      `image_pushed_timestamp_seconds{repository="app",tag="v1",digest="sha256:index"} ${march}`,
      'image_signed{repository="app",tag="v1",digest="sha256:index"} 1',
    ]);
  });

  test('an index without a time has the newest of its platforms', async () => {
    const { pushedAt: _, ...undated } = index;
    const loop = await polled({}, ...app([undated, amd]));
    expect(await loop.lines('image_pushed_timestamp_seconds')).toEqual([
      `image_pushed_timestamp_seconds{repository="app",tag="v1",digest="sha256:index"} ${march}`,
    ]);
  });

  test('an archived signature signs nothing that can be pulled', async () => {
    const signature: Image = {
      digest: 'sha256:sig',
      kind: 'signature',
      subject: 'sha256:index',
      archived: true,
    };
    const loop = await polled(
      {},
      ...app([index, amd, signature], { listsUntagged: true, listsSignatures: true }),
    );
    expect(await loop.lines('repository_signed_images', 'image_signed')).toEqual([
      'repository_signed_images{repository="app"} 0',
      'image_signed{repository="app",tag="v1",digest="sha256:index"} 0',
    ]);
  });

  test('of kinds that could not be told apart there is no number, and none in their place', async () => {
    const { platforms: _, ...unread } = index;
    const facts = { listsUntagged: true, unknownKinds: ['platform', 'attestation'] } as const;
    const loop = await polled(
      {},
      ...app(
        [unread, amd, { digest: 'sha256:c', kind: 'chart' }, { digest: 'sha256:p', kind: 'attestation' }],
        facts,
      ),
    );
    expect(await ofRepository(loop)).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
      'repository_tags{repository="app"} 1',
      'repository_artifacts{repository="app",kind="chart"} 1',
      `repository_last_push_timestamp_seconds{repository="app"} ${march}`,
      `image_pushed_timestamp_seconds{repository="app",tag="v1",digest="sha256:index"} ${march}`,
    ]);
  });
});

describe('values that cannot be', () => {
  test.each([1e308, 2 ** 53, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'a size of %s makes what it is part of unknown, and says so once; the rest stays',
    async (sizeBytes) => {
      const odd = imageOf('odd', { sizeBytes });
      const loop = await polled({}, ...app([imageOf('fine'), odd]));
      expect(await ofRepository(loop)).toEqual([
        'repository_images{repository="app",state="tagged"} 2',
        'repository_images{repository="app",state="untagged"} 0',
        'repository_tags{repository="app"} 2',
        'image_size_bytes{repository="app",tag="fine",digest="sha256:fine"} 100',
      ]);
      await loop.poll();
      expect(loop.log().match(/level=warn msg="the registry sent a value that cannot be/g)).toHaveLength(1);
      expect(loop.log()).toMatch(/repository=app digest=sha256:odd field=sizeBytes/);
    },
  );

  test('sizes that are possible, but not their sum', async () => {
    const half = Number.MAX_SAFE_INTEGER;
    const loop = await polled(
      {},
      ...app([imageOf('a', { sizeBytes: half }), imageOf('b', { sizeBytes: half })]),
    );
    expect(await loop.lines('repository_size_bytes')).toEqual([]);
    expect(await loop.lines('image_size_bytes')).toHaveLength(2);
  });

  test('a count of findings is left out alone', async () => {
    const findings = { counts: { CRITICAL: -1, HIGH: 2 }, fixable: { CRITICAL: 1, HIGH: 1e300 } };
    const loop = await polled({}, ...app([imageOf('v1', { findings })]));
    expect(await loop.lines('repository_findings', 'repository_fixable_findings')).toEqual([
      'repository_findings{repository="app",severity="HIGH"} 2',
      'repository_fixable_findings{repository="app",severity="CRITICAL"} 1',
    ]);
  });

  test('a time in the future is none: not the newest, not the last push, pull or scan', async () => {
    const future = tomorrow();
    const loop = await polled(
      { images: { perRepository: 1 } },
      ...app([
        imageOf('odd', {
          pushedAt: future,
          pulledAt: future,
          scannedAt: future,
          findings: { counts: { HIGH: 9 } },
        }),
        imageOf('old', { pushedAt: march, pulledAt: march }),
        imageOf('new', { pushedAt: april, scannedAt: april, findings: { counts: { HIGH: 1 } } }),
      ]),
    );
    const times = ['repository_last_push_timestamp_seconds', 'repository_last_pull_timestamp_seconds'];
    expect(await loop.lines(...times, 'repository_findings', 'image_\\w+_timestamp_seconds')).toEqual([
      `repository_last_push_timestamp_seconds{repository="app"} ${april}`,
      `repository_last_pull_timestamp_seconds{repository="app"} ${march}`,
      'repository_findings{repository="app",severity="HIGH"} 1',
      `image_pushed_timestamp_seconds{repository="app",tag="new",digest="sha256:new"} ${april}`,
      `image_scanned_timestamp_seconds{repository="app",tag="new",digest="sha256:new"} ${april}`,
    ]);
    expect(loop.log()).toMatch(/field=pushedAt/);
  });

  test('a clock that is some hours ahead is believed, and a time of zero is no word worth', async () => {
    const ahead = Math.floor(Date.now() / 1000) + 7200;
    const loop = await polled(
      {},
      ...app([imageOf('v1', { pushedAt: ahead, scannedAt: 0, pulledAt: -62135596800 })]),
    );
    expect(await loop.value('repository_last_push_timestamp_seconds')).toBe(ahead);
    expect(
      await loop.lines('image_scanned_timestamp_seconds', 'repository_last_pull_timestamp_seconds'),
    ).toEqual([]);
    expect(loop.log()).not.toContain('cannot be');
  });

  test('times and counts of the repository', async () => {
    const facts: RepositoryFacts = { pulls: -3, stars: 0.5, pushedAt: tomorrow(), pulledAt: Number.NaN };
    const loop = await polled({}, ...app([], facts));
    expect(await ofRepository(loop)).toEqual([
      'repository_images{repository="app",state="tagged"} 0',
      'repository_tags{repository="app"} 0',
      'repository_size_bytes{repository="app"} 0',
      'repository_signed_images{repository="app"} 0',
    ]);
  });

  test('facts of the registry, item by item', async () => {
    const facts: RegistryFacts = {
      storageBytes: 1e300,
      pullRemaining: -1,
      pullLimit: 100,
      quotas: [{ quota: 'storage', used: Number.NaN, limit: 10 }],
      credentials: [
        { credential: 'never', expiresAt: Number.POSITIVE_INFINITY },
        { credential: 'later', expiresAt: tomorrow() },
      ],
      replications: [
        { destination: 'eu', up: true, failedImages: -1, pendingImages: 2, lastSuccessAt: tomorrow() },
      ],
      projects: [{ project: 'p', repositories: 2 ** 60, members: 3 }],
      tasks: [{ task: 'gc', up: true, lastSuccessAt: tomorrow(), items: { failed: -1, succeeded: 4 } }],
      jobQueues: [{ queue: 'scan', size: 1e20, latencySeconds: 1.5 }],
      violations: [
        { watch: 'w', severity: 'HIGH', count: -1 },
        { watch: 'w', severity: 'LOW', count: 1 },
      ],
    };
    const loop = await polled({}, { type: 'registry', facts }, ...app([]));
    const families =
      'storage_bytes|pull_\\w+|quota_\\w+|credential_\\w+|replication_\\w+|project_\\w+|task_\\w+|job_\\w+|policy_\\w+';
    expect(await loop.lines(`(?:${families})`)).toEqual([
      'quota_limit{quota="storage",project=""} 10',
      'pull_limit{source=""} 100',
      `credential_expiry_timestamp_seconds{credential="later"} ${facts.credentials?.[1]?.expiresAt}`,
      'replication_up{destination="eu"} 1',
      'replication_pending_images{destination="eu"} 2',
      'project_members{project="p"} 3',
      'task_up{task="gc"} 1',
      'task_items{task="gc",result="succeeded"} 4',
      'job_queue_latency_seconds{queue="scan"} 1.5',
      'policy_violations{watch="w",severity="LOW"} 1',
    ]);
    expect(await loop.value('up')).toBe(1);
  });

  test('names of half a megabyte are cut before anything repeats them', async () => {
    const long = 'n'.repeat(500_000);
    const image: Image = { digest: long, kind: 'image', tags: [long, long], sizeBytes: -1 };
    const loop = await polled(
      {},
      { type: 'identity', identity: { host: long } },
      { type: 'registry', facts: { version: long, components: [{ component: long, up: true }] } },
      { type: 'repository', repository: long },
      { type: 'images', repository: long, images: [image] },
      { type: 'repository-complete', repository: long },
      { type: 'repository', repository: `${long}2` },
      { type: 'repository-failed', repository: `${long}2`, error: new Error(long) },
    );
    expect((await loop.text()).length).toBeLessThan(40_000);
    expect(JSON.stringify(loop.loop.status()).length).toBeLessThan(5_000);
    expect(await loop.value('repository_tags')).toBe(1);
  });
});

describe('retention', () => {
  const aged = (digest: string, days: number, tags = [digest]): Image =>
    imageOf(digest, { tags, pushedAt: Math.floor(Date.now() / 1000) - days * 86_400 });
  const stale = (loop: RunningLoop) => loop.lines('repository_stale_images', 'repository_reclaimable_bytes');

  test('keepLast without an age takes everything beyond, also what was pushed a moment ago by a clock ahead', async () => {
    const loop = await polled(
      { retention: { keepLast: 1 } },
      ...app([aged('a', 9), aged('b', -0.25), aged('c', -0.5)]),
    );
    expect(await stale(loop)).toEqual([
      'repository_reclaimable_bytes{repository="app"} 200',
      'repository_stale_images{repository="app"} 2',
    ]);
  });

  test('where untagged images are not listed, an age for them gives no number that pretends', async () => {
    const retention = { untaggedMaxAge: '7d', maxAge: '30d' };
    const images = [aged('old', 40), aged('new', 1)];
    expect(await stale(await polled({ retention }, ...app(images, {})))).toEqual([]);
    expect(await stale(await polled({ retention: { maxAge: '30d' } }, ...app(images, {})))).toEqual([
      'repository_reclaimable_bytes{repository="app"} 100',
      'repository_stale_images{repository="app"} 1',
    ]);
    expect(await stale(await polled({ retention }, ...app([...images, aged('loose', 8, [])])))).toEqual([
      'repository_reclaimable_bytes{repository="app"} 200',
      'repository_stale_images{repository="app"} 2',
    ]);
  });

  test('an image from the future makes what is stale unknown', async () => {
    const loop = await polled({ retention: { maxAge: '30d' } }, ...app([aged('old', 40), aged('odd', -400)]));
    expect(await stale(loop)).toEqual([]);
  });
});

describe('tags of one image', () => {
  const shown = async (tags: string[], images: object = {}) =>
    (await (await polled({ images }, ...app([imageOf('x', { tags })]))).lines('image_size_bytes')).map(
      (line) => /tag="([^"]+)"/.exec(line)?.[1],
    );

  test('300 of them are five series; the newest in natural order', async () => {
    const tags = Array.from({ length: 300 }, (_, at) => `nightly-${at}`);
    expect(await shown(tags)).toEqual([
      'nightly-295',
      'nightly-296',
      'nightly-297',
      'nightly-298',
      'nightly-299',
    ]);
  });

  test('the most precise versions before others, names of commits last', async () => {
    const commit = '3f18d86c0ffee';
    expect(await shown([commit, 'latest', 'v1', 'v1.2', 'v1.2.3', 'main', '1.2.3-alpine'])).toEqual([
      '1.2.3-alpine',
      'main',
      'v1',
      'v1.2',
      'v1.2.3',
    ]);
    expect(await shown(['fffffff1', 'a', 'b', 'c', 'd', 'e'])).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(await shown([commit, 'sha-3f18d86', 'a', 'b', 'c', 'd'])).toEqual([
      'a',
      'b',
      'c',
      'd',
      'sha-3f18d86',
    ]);
  });

  test('all that are asked for are shown, however many, of old images too', async () => {
    const tags = [...Array.from({ length: 9 }, (_, at) => `keep-${at}`), 'other'];
    expect(await shown(tags, { tags: ['keep-*'] })).toHaveLength(9);
    expect(await shown(['keep-1', 'a', 'b', 'c', 'd', 'e'], { tags: ['keep-*'] })).toEqual([
      'b',
      'c',
      'd',
      'e',
      'keep-1',
    ]);
    expect(await shown(tags, { perRepository: 0, tags: ['keep-3'] })).toEqual(['keep-3']);
  });

  test('a tag that a page repeats is one', async () => {
    const loop = await polled({}, ...app([imageOf('x', { tags: ['v1', 'v1'] })]));
    expect(await loop.value('repository_tags')).toBe(1);
    expect(await loop.lines('image_size_bytes')).toHaveLength(1);
  });
});

test('scans of all repositories together, and the newest of each, for rules over large fleets', async () => {
  const scanned = (repository: string, ...images: Image[]): Observation[] => [
    { type: 'repository', repository, facts: { listsUntagged: true } },
    { type: 'images', repository, images },
    { type: 'repository-complete', repository },
  ];
  const loop = await polled(
    {},
    ...scanned(
      'app',
      imageOf('a', { scanStatus: 'complete', scannedAt: march }),
      imageOf('b', { scanStatus: 'complete', scannedAt: april }),
    ),
    ...scanned('web', imageOf('c', { scanStatus: 'none' }), imageOf('d', { scanStatus: 'complete' })),
    ...scanned('untold', imageOf('e')),
  );
  expect(await loop.lines('scans', 'repository_last_scan_timestamp_seconds')).toEqual([
    'scans{status="complete"} 3',
    'scans{status="pending"} 0',
    'scans{status="failed"} 0',
    'scans{status="unsupported"} 0',
    'scans{status="none"} 1',
    `repository_last_scan_timestamp_seconds{repository="app"} ${april}`,
  ]);
});
