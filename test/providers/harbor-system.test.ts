import { describe, expect, test } from 'vitest';
import type { HarborPolicy, HarborWorld } from '../simulators/harbor-world.ts';
import { digestNumber, estateOf, now, setupHarbor } from '../support/harbor.ts';

/** What Harbor tells of itself: replication, jobs, parts, rules, accounts. */
async function exposed(change: (world: HarborWorld) => void, ...families: string[]): Promise<string[]> {
  const estate = estateOf({
    'checkout/api': [{ tags: ['v1'] }],
    'checkout/web': [{ tags: ['latest'] }],
    'search/api': [],
  });
  const { running } = await setupHarbor(estate, { change });
  await running.poll();
  expect(await running.value('up'), running.log()).toBe(1);
  return running.lines(...families);
}
const at = (ago: number) => new Date((now - ago) * 1000).toISOString();

describe('replication', () => {
  const run = (status: string, ago: number, counts: Partial<HarborPolicy['executions'][number]> = {}) => ({
    status,
    start_time: at(ago),
    end_time: at(ago - 10),
    failed: 0,
    succeed: 0,
    in_progress: 0,
    stopped: 0,
    ...counts,
  });
  const policy = (executions: HarborPolicy['executions'], more: Partial<HarborPolicy> = {}) => ({
    id: 3,
    name: 'to-dr',
    enabled: true,
    push: true,
    ...more,
    executions,
  });
  const families = ['replication_\\w+'];
  const of = (executions: HarborPolicy['executions']) =>
    exposed((world) => Object.assign(world, { policies: [policy(executions)] }), ...families);
  const counts = (pending: number, failed: number, succeeded: number, stopped: number) => [
    `replication_pending_images{destination="to-dr"} ${pending}`,
    `replication_failed_images{destination="to-dr"} ${failed}`,
    `replication_succeeded_images{destination="to-dr"} ${succeeded}`,
    `replication_stopped_images{destination="to-dr"} ${stopped}`,
  ];
  const success = (ago: number) =>
    `replication_last_success_timestamp_seconds{destination="to-dr"} ${now - ago + 10}`;

  test('that worked', async () => {
    expect(await of([run('Succeed', 100, { succeed: 3 }), run('Failed', 200)])).toEqual([
      'replication_up{destination="to-dr"} 1',
      ...counts(0, 0, 3, 0),
      success(100),
    ]);
  });
  test('that failed: the last that worked is told all the same, however long ago', async () => {
    const failures = Array.from({ length: 30 }, (_, number) => run('Failed', 100 + number, { failed: 2 }));
    expect(await of([...failures, run('Succeed', 9000)])).toEqual([
      'replication_up{destination="to-dr"} 0',
      ...counts(0, 2, 0, 0),
      success(9000),
    ]);
  });
  test('that goes on: how the one before it ended, and what is left to do', async () => {
    const going = run('InProgress', 20, { in_progress: 5, failed: 1 });
    expect(await of([going, run('Succeed', 300, { succeed: 4 })])).toEqual([
      'replication_up{destination="to-dr"} 1',
      ...counts(5, 0, 4, 0),
      success(300),
    ]);
  });
  test('that somebody stopped did not work', async () => {
    expect(await of([run('Stopped', 20, { stopped: 2 })])).toEqual([
      'replication_up{destination="to-dr"} 0',
      ...counts(0, 0, 0, 2),
    ]);
  });
  test('that never ran is neither', async () => {
    expect(await of([])).toEqual([]);
  });
  test('of a policy that is disabled copies nothing, and did not fail', async () => {
    const { world, running } = await setupHarbor(3);
    Object.assign(world, { policies: [policy([run('Failed', 60)], { pattern: '**' })] });
    const told = () => running.lines('replication_up', 'repository_practice');
    await running.poll();
    expect((await told()).join()).toMatch(/replication_up\{destination="to-dr"\} 0.*"replicated"\} 1/);
    Object.assign(world.policies[0] ?? {}, { enabled: false });
    await running.poll();
    expect((await told()).join()).not.toMatch(/replication_up|"replicated"\} 1/);
  });

  test('of a disabled policy is not there', async () => {
    const disabled = policy([run('Failed', 10)], { enabled: false });
    expect(await exposed((world) => Object.assign(world, { policies: [disabled] }), ...families)).toEqual([]);
  });

  test.each<[string, Partial<HarborPolicy>, string]>([
    ['everything', {}, '11'],
    ['a project', { pattern: 'checkout/**' }, '11'],
    ['some of a project', { pattern: 'checkout/{api,cron}' }, '10'],
    ['other names', { pattern: 'library/**' }, '00'],
    ['pulls from elsewhere', { push: false }, '00'],
    ['nothing: it is disabled', { enabled: false }, '00'],
  ])('as a practice: a policy for %s', async (_title, more, wanted) => {
    const lines = await exposed(
      (world) => Object.assign(world, { policies: [policy([], more)] }),
      'repository_practice',
    );
    const replicated = lines.filter((line) => line.includes('"replicated"') && line.includes('checkout/'));
    expect(replicated.map((line) => line.at(-1)).join('')).toBe(wanted);
  });

  test('the ends of replication are parts of the registry', async () => {
    const lines = await exposed((world) => {
      world.registries = [
        { id: 7, name: 'dr-site', status: 'unhealthy' },
        { id: 8, name: 'hub', status: 'healthy' },
        { id: 9, name: 'odd', status: 'unknown' },
      ];
    }, 'component_up');
    expect(lines.filter((line) => line.includes('registry '))).toEqual([
      'component_up{component="registry dr-site"} 0',
      'component_up{component="registry hub"} 1',
    ]);
  });

  test.each(['unknown', '', undefined])('an end whose health is %j is told', async (status) => {
    const { running } = await setupHarbor(estateOf({ 'team/app': [] }), {
      change: (world) => Object.assign(world, { registries: [{ id: 9, name: 'odd', status }] }),
    });
    await running.poll();
    expect((await running.lines('component_up')).filter((line) => line.includes('registry odd'))).toEqual([]);
    expect(running.log()).toContain('the health of registry odd that is not known here');
  });
});

describe('jobs', () => {
  const collection = (job_status: string, ago: number) => ({
    job_status,
    creation_time: at(ago),
    update_time: at(ago - 60),
  });
  const collected = (collections: HarborWorld['collections']) =>
    exposed((world) => Object.assign(world, { collections, scanAll: undefined }), 'task_\\w+');

  test('garbage collection that worked', async () => {
    expect(await collected([collection('Success', 500)])).toEqual([
      'task_up{task="garbage_collection"} 1',
      `task_last_success_timestamp_seconds{task="garbage_collection"} ${now - 440}`,
    ]);
  });
  test.each(['Error', 'Stopped'])('one that ended with %s', async (word) => {
    expect(await collected([collection('Success', 9000), collection(word, 500)])).toEqual([
      'task_up{task="garbage_collection"} 0',
      `task_last_success_timestamp_seconds{task="garbage_collection"} ${now - 8940}`,
    ]);
  });
  test.each(['Running', 'Pending', 'Scheduled'])(
    'one that is %s: how the one before it ended',
    async (word) => {
      expect(await collected([collection(word, 10), collection('Error', 500)])).toEqual([
        'task_up{task="garbage_collection"} 0',
      ]);
    },
  );
  test('none ever ran', async () => {
    expect(await collected([])).toEqual([]);
  });

  test.each([
    ['that worked', { total: 4, ongoing: false, metrics: { Success: 4 } }, '1'],
    ['with a scan that broke', { total: 4, ongoing: false, metrics: { Success: 3, Error: 1 } }, '0'],
    // Seen on a real Harbor.
    ['that is called ongoing when all is done', { total: 4, ongoing: true, metrics: { Success: 4 } }, '1'],
    ['of which some wait to begin', { total: 4, ongoing: true, metrics: { Success: 2 } }, undefined],
    ['that goes on', { total: 4, ongoing: true, metrics: { Success: 1, Running: 3 } }, undefined],
    [
      'that goes on with a scan that broke',
      { total: 4, ongoing: true, metrics: { Error: 1, Pending: 3 } },
      '0',
    ],
  ])('a scan of everything %s', async (_title, scanAll, up) => {
    const lines = await exposed((world) => Object.assign(world, { scanAll }), 'task_up', 'task_items');
    const own = lines.filter((line) => line.includes('"scan_all"'));
    expect(own.find((line) => line.startsWith('task_up'))?.at(-1)).toBe(up);
    const sum = own.filter((line) => line.startsWith('task_items')).map((line) => Number(line.at(-1)));
    expect(sum.reduce((total, one) => total + one, 0)).toBe(4);
  });

  test('queues: waiting, for how long, being worked on, paused', async () => {
    const lines = await exposed((world) => {
      world.queues = [
        { job_type: 'REPLICATION', count: 2, latency: 30, paused: true },
        { job_type: 'GARBAGE_COLLECTION', count: 0, latency: 0, paused: false },
      ];
      world.workers = ['REPLICATION', 'REPLICATION', null];
    }, 'job_queue_\\w+');
    expect(lines).toEqual([
      'job_queue_jobs{queue="REPLICATION"} 2',
      'job_queue_jobs{queue="GARBAGE_COLLECTION"} 0',
      'job_queue_latency_seconds{queue="REPLICATION"} 30',
      'job_queue_latency_seconds{queue="GARBAGE_COLLECTION"} 0',
      'job_queue_running_jobs{queue="REPLICATION"} 2',
      'job_queue_running_jobs{queue="GARBAGE_COLLECTION"} 0',
      'job_queue_paused{queue="REPLICATION"} 1',
      'job_queue_paused{queue="GARBAGE_COLLECTION"} 0',
    ]);
  });
});

describe('of the installation', () => {
  test('parts, version and settings', async () => {
    const lines = await exposed(
      (world) => {
        world.health = { core: 'healthy', database: 'unhealthy' };
        world.settings = { read_only: true, self_registration: false };
      },
      'component_up',
      'version_info',
      'setting',
    );
    expect(lines.toSorted()).toEqual([
      'component_up{component="core"} 1',
      'component_up{component="database"} 0',
      'component_up{component="overall"} 0',
      'component_up{component="registry dr-site"} 1',
      'component_up{component="scanner Trivy"} 1',
      'setting{setting="read_only"} 1',
      'setting{setting="self_registration"} 0',
      'version_info{version="v2.13.1-3e3b4f3d"} 1',
    ]);
  });

  test('quotas: -1 is no limit, and no volume is told for an object store', async () => {
    const lines = await exposed((world) => {
      world.volume = { total: 0, free: 0 };
    }, 'quota_\\w+');
    expect(lines).toEqual([
      'quota_used{quota="storage",project="checkout"} 1000',
      'quota_used{quota="storage",project="search"} 2000',
      'quota_limit{quota="storage",project="search"} 1099511627776',
    ]);
  });

  test('robot accounts that expire: not those that never do or are disabled', async () => {
    const lines = await exposed((world) => {
      world.robots = [
        { project: '', name: 'robot$ci', expires_at: now + 60 },
        { project: '', name: 'robot$past', expires_at: now - 60 },
        { project: '', name: 'robot$never', expires_at: -1 },
        { project: '', name: 'robot$off', expires_at: now + 60, disable: true },
        { project: 'search', name: 'robot$search+ci', expires_at: now + 90 },
      ];
    }, 'credential_expiry_timestamp_seconds');
    expect(lines).toEqual([
      `credential_expiry_timestamp_seconds{credential="robot$ci"} ${now + 60}`,
      `credential_expiry_timestamp_seconds{credential="robot$past"} ${now - 60}`,
      `credential_expiry_timestamp_seconds{credential="robot$search+ci"} ${now + 90}`,
    ]);
  });

  test('robot accounts of one name in two projects are told apart', async () => {
    const lines = await exposed((world) => {
      world.robots = [
        { project: 'checkout', name: 'robot$ci', expires_at: now + 60 },
        { project: 'search', name: 'robot$ci', expires_at: now + 90 },
        { project: '', name: 'robot$ci', expires_at: now + 120 },
      ];
    }, 'credential_expiry_timestamp_seconds');
    expect(lines).toEqual([
      `credential_expiry_timestamp_seconds{credential="robot$ci"} ${now + 120}`,
      `credential_expiry_timestamp_seconds{credential="checkout/robot$ci"} ${now + 60}`,
      `credential_expiry_timestamp_seconds{credential="search/robot$ci"} ${now + 90}`,
    ]);
  });

  test('a volume that is full', async () => {
    const lines = await exposed((world) => {
      world.volume = { total: 1_048_576, free: 0 };
    }, 'quota_\\w+');
    expect(lines.filter((line) => line.includes('"volume"'))).toEqual([
      'quota_used{quota="volume",project=""} 1048576',
      'quota_limit{quota="volume",project=""} 1048576',
    ]);
  });

  test('projects: visibility, repositories, members', async () => {
    const lines = await exposed(() => {}, 'projects', 'project_\\w+');
    expect(lines).toEqual([
      'projects{visibility="public"} 1',
      'projects{visibility="private"} 1',
      'project_info{project="checkout",visibility="public"} 1',
      'project_info{project="search",visibility="private"} 1',
      'project_repositories{project="checkout"} 2',
      'project_repositories{project="search"} 1',
      'project_members{project="checkout"} 1',
      'project_members{project="search"} 2',
    ]);
  });
});

describe('practices', () => {
  let ids = 0;
  const rule = (decoration: string, pattern: string, disabled = false) => ({
    id: ++ids,
    disabled,
    action: 'immutable',
    template: 'immutable_template',
    tag_selectors: [{ kind: 'doublestar', decoration: 'matches', pattern: 'v*' }],
    scope_selectors: { repository: [{ kind: 'doublestar', decoration, pattern }] },
  });
  /** Of `checkout/api`, then `checkout/web`: 1 followed, 0 not, - unknown. */
  async function practice(name: string, change: (project: HarborWorld['projects'][number]) => void) {
    const lines = await exposed((world) => change(world.projects[0] as never), 'repository_practice');
    return ['checkout/api', 'checkout/web']
      .map(
        (repository) =>
          lines.find((line) => line.includes(`"${repository}",practice="${name}"`))?.at(-1) ?? '-',
      )
      .join('');
  }

  test.each([
    ['for all repositories', [rule('repoMatches', '**')], '11'],
    ['for some', [rule('repoMatches', 'a*')], '10'],
    ['for all but some', [rule('repoExcludes', '{api,cron}')], '01'],
    ['for one of several', [rule('repoMatches', 'nothing'), rule('repoMatches', 'web')], '01'],
    ['that is disabled', [rule('repoMatches', '**', true)], '00'],
    ['of which there is none', [], '00'],
  ])('immutable_tags by a rule %s', async (_title, rules, wanted) => {
    expect(await practice('immutable_tags', (project) => Object.assign(project, { immutable: rules }))).toBe(
      wanted,
    );
  });

  test.each([
    ['on a schedule', { cron: '0 0 0 * * *', rules: [rule('repoMatches', '**')] }, '11'],
    ['for some repositories', { cron: '0 0 0 * * *', rules: [rule('repoMatches', 'web')] }, '01'],
    ['that nothing starts', { cron: '', rules: [rule('repoMatches', '**')] }, '00'],
    ['without a rule', { cron: '0 0 0 * * *', rules: [] }, '00'],
    ['of which there is none', undefined, '00'],
  ])('retention_policy by a policy %s', async (_title, retention, wanted) => {
    expect(await practice('retention_policy', (project) => Object.assign(project, { retention }))).toBe(
      wanted,
    );
  });

  test.each([
    [true, '00'],
    [false, '11'],
  ])('private and no_anonymous_pull of a project that is public: %s', async (isPublic, wanted) => {
    for (const name of ['private', 'no_anonymous_pull'])
      expect(await practice(name, (project) => Object.assign(project, { public: isPublic }))).toBe(wanted);
  });

  test.each([
    [true, '11'],
    [false, '00'],
    [undefined, '00'],
  ])('scan_on_push where auto_scan is %s', async (auto_scan, wanted) => {
    expect(await practice('scan_on_push', (project) => Object.assign(project, { auto_scan }))).toBe(wanted);
  });

  test('no_latest_tag', async () => {
    expect(await practice('no_latest_tag', () => {})).toBe('10');
  });

  test('a cache of another registry may hold a part of an index', async () => {
    const amd = { digest: digestNumber(1), kind: 'platform', sizeBytes: 60 } as const;
    const platforms = [amd.digest, digestNumber(3)];
    const index = { digest: digestNumber(2), kind: 'index', platforms } as const;
    for (const [proxy, size] of [
      [true, 60],
      [false, undefined],
    ] as const) {
      const { running } = await setupHarbor(estateOf({ 'hub/app': [amd, { ...index, tags: ['v1'] }] }), {
        change: ({ projects }) => void Object.assign(projects[0] ?? {}, { proxy }),
      });
      await running.poll();
      expect(await running.value('repository_size_bytes')).toBe(size);
    }
  });
});
