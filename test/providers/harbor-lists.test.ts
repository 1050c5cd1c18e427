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
