import { describe, expect, test } from 'vitest';
import { digestNumber, estateOf, setupHarbor } from '../support/harbor.ts';

/** Lists of several pages, and lists that do not hold what they say. */

const image = (number: number) => ({ digest: digestNumber(number), tags: [`v${number}`] });
const projectsOf = (count: number) =>
  estateOf(Object.fromEntries(Array.from({ length: count }, (_, number) => [`p${number}/app`, [image(1)]])));
const capability = async (
  running: { lines(...families: string[]): Promise<string[]> },
  name: string,
): Promise<string | undefined> =>
  (await running.lines('capability_up')).find((line) => line.includes(`"${name}"`))?.at(-1);

describe('quotas', () => {
  test('that pages repeat are asked for one by one: none is missing', async () => {
    const { world, simulator, running } = await setupHarbor(projectsOf(30), {
      registry: { pageSize: 10 },
      // All made at one time: each page is in an order of its own.
      change: ({ projects }) => {
        for (const one of projects) Object.assign(one, { createdAt: 5 });
      },
    });
    await running.poll();
    const used = world.projects.map(
      ({ name, used }) => `quota_used{quota="storage",project="${name}"} ${used}`,
    );
    const lines = (await running.lines('quota_used')).filter((line) => line.includes('"storage"'));
    expect(lines.toSorted()).toEqual(used.toSorted());
    expect(simulator.requests.get('quotas')).toBeGreaterThan(3);
    expect(await capability(running, 'quotas')).toBe('1');
  });

  test('of which some cannot be found are a failing capability, and the others are there', async () => {
    const { simulator, running } = await setupHarbor(projectsOf(2));
    const row = (name: string) => ({
      id: 1,
      ref: { id: 1, name },
      hard: { storage: -1 },
      used: { storage: 7 },
    });
    const body = JSON.stringify([row('p0'), null, 'p1']);
    simulator.faults.push({ fault: { type: 'body', body }, operation: 'quotas' });
    await running.poll();
    expect(await running.lines('quota_used')).toContain('quota_used{quota="storage",project="p0"} 7');
    expect(await capability(running, 'quotas')).toBe('0');
    expect(running.log()).toContain("2 of Harbor's quotas are missing");
  });
});

describe('repositories', () => {
  const listed = (names: readonly unknown[]) =>
    JSON.stringify(names.map((name) => ({ name, artifact_count: 1, pull_count: 0 })));

  test('that cannot be understood are neither gone nor counted', async () => {
    const { simulator, running } = await setupHarbor(projectsOf(3));
    await running.poll();
    const body = listed(['p0/app', 17, 'p2/app']);
    simulator.faults.push({ fault: { type: 'body', body }, operation: 'repositories' });
    await running.poll();
    expect(await running.lines('repository_tags')).toHaveLength(3);
    expect(await running.value('repositories')).toBe(3);
    expect(running.log()).toContain("1 of Harbor's repositories are missing");
  });

  test('of which none can be understood fail the poll', async () => {
    const { simulator, running } = await setupHarbor(projectsOf(2));
    simulator.faults.push({ fault: { type: 'body', body: listed([1, 2]) }, operation: 'repositories' });
    await running.poll();
    expect(await running.lines('poll_failures_total')).toContain(
      'poll_failures_total{reason="invalid_response"} 1',
    );
  });
});

test('a page that holds more than was asked for is no page', async () => {
  const { simulator, running } = await setupHarbor(projectsOf(2), { registry: { pageSize: 3 } });
  const body = JSON.stringify(Array.from({ length: 50_000 }, (_, id) => ({ id, name: `r${id}` })));
  simulator.faults.push({ fault: { type: 'body', body }, operation: 'registries' });
  await running.poll();
  expect(await capability(running, 'replication')).toBe('0');
  expect(running.log()).toContain('50000 entries where 3 were asked for');
});

test.each([
  ['X-Total-Count', { withoutHeaders: ['link'] as const }],
  ['Link', { withoutHeaders: ['x-total-count'] as const }],
  ['full pages', { withoutHeaders: ['link', 'x-total-count'] as const }],
])('every page is found by %s', async (_title, simulator) => {
  for (const count of [9, 10, 11, 20]) {
    const { running } = await setupHarbor(projectsOf(count), { simulator, registry: { pageSize: 10 } });
    await running.poll();
    expect(await running.value('repositories')).toBe(count);
    expect(await running.lines('repository_tags')).toHaveLength(count);
  }
});

test.each<readonly ('link' | 'x-total-count')[]>([
  [],
  ['link'],
  ['x-total-count'],
  ['link', 'x-total-count'],
])('pages that are shorter than was asked for end no list, without %s %s', async (...withoutHeaders) => {
  for (const count of [10, 11, 25]) {
    const { running } = await setupHarbor(projectsOf(count), {
      simulator: { largestPage: 10, withoutHeaders },
    });
    await running.poll();
    expect(await running.value('repositories'), running.log()).toBe(count);
    expect(await running.lines('repository_tags')).toHaveLength(count);
  }
});

test('something that takes no notice of pages has shown all that it has', async () => {
  const { simulator, running } = await setupHarbor(projectsOf(20));
  const rows = Array.from({ length: 20 }, (_, n) => ({
    name: `p${n}/app`,
    artifact_count: 1,
    pull_count: 0,
  }));
  simulator.faults.push({
    fault: { type: 'body', body: JSON.stringify(rows) },
    operation: 'repositories',
  });
  await running.poll();
  expect(await running.value('repositories'), running.log()).toBe(20);
});

test('a project that one page shows twice hides no other', async () => {
  const { world, running } = await setupHarbor(projectsOf(2));
  world.projects.push(...world.projects.slice(0, 1));
  await running.poll();
  expect(await capability(running, 'projects'), running.log()).toBe('1');
  expect((await running.lines('project_repositories')).length).toBe(2);
});

test('a list that is null and counted as empty is empty', async () => {
  const { running } = await setupHarbor(projectsOf(2), {
    simulator: { nullLists: true },
    change: (world) => {
      Object.assign(world, { policies: [], robots: [], registries: [] });
      for (const project of world.projects) Object.assign(project, { immutable: [], robots: [] });
    },
  });
  await running.poll();
  expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
  expect(
    (await running.lines('repository_practice')).filter((line) => line.includes('immutable_tags')),
  ).toHaveLength(2);
});

describe('an odd element hides nothing else', () => {
  const answer = async (operation: string, value: unknown) => {
    const made = await setupHarbor(projectsOf(1), { registry: { settingsInterval: '1ms' } });
    const body = JSON.stringify(value);
    made.simulator.faults.push({ fault: { type: 'body', body }, operation });
    await made.running.poll();
    return made.running;
  };
  const run = (status: string, failed: number) => ({
    status,
    end_time: '2026-11-01T00:00:00.000Z',
    failed,
    succeed: 4,
    in_progress: 0,
    stopped: 0,
  });
  const collection = (job_status: string) => ({ job_status, update_time: '2026-11-01T00:00:00.000Z' });

  test('among the runs of a replication: the newer ones tell', async () => {
    const running = await answer('replication_executions', [run('Failed', 2), null, run('Succeed', 0)]);
    expect(await running.lines('replication_up', 'replication_failed_images')).toEqual([
      'replication_up{destination="to-dr-site"} 0',
      'replication_failed_images{destination="to-dr-site"} 2',
    ]);
    expect(running.log()).toContain('at="replication_executions[1]"');
  });

  test('as the newest run: which one was the last is unknown, and said', async () => {
    const running = await answer('replication_executions', [null, run('Failed', 2)]);
    expect(await running.lines('replication_up')).toEqual([]);
    expect(running.log()).toContain('at="replication_executions[0]"');
  });

  test('among garbage collections: the newer ones tell', async () => {
    const running = await answer('garbage_collections', [collection('Error'), 5, collection('Success')]);
    expect((await running.lines('task_up')).filter((line) => line.includes('garbage'))).toEqual([
      'task_up{task="garbage_collection"} 0',
    ]);
    expect(running.log()).toContain('at="garbage_collections[1]"');
  });

  test('among workers: what the queues work on is unknown, and how long they are is not', async () => {
    const running = await answer('workers', [{ job_name: 'REPLICATION' }, 'REPLICATION']);
    expect(await running.lines('job_queue_jobs', 'job_queue_running_jobs')).toEqual([
      'job_queue_jobs{queue="REPLICATION"} 2',
    ]);
    expect(running.log()).toContain('operation=workers');
  });

  test('as a robot account without a time: the others are told, and the settings are read again soon', async () => {
    const running = await answer('robots', [
      { name: 'robot$a', expires_at: 1_800_000_000, disable: false },
      { name: 'robot$b', disable: false },
      { name: 'robot$c', expires_at: -1, disable: false },
    ]);
    expect(await running.lines('credential_expiry_timestamp_seconds')).toContain(
      'credential_expiry_timestamp_seconds{credential="robot$a"} 1800000000',
    );
    expect(await capability(running, 'credentials')).toBe('0');
    expect(running.log()).toContain("1 of Harbor's robot accounts are missing");
  });
});
