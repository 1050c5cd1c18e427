import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { harbor } from '../../src/providers/harbor.ts';
import { createEstate } from '../simulators/estate.ts';
import { digestNumber, estateOf, now, robot, setupHarbor } from '../support/harbor.ts';
import { harborFamilies, harborTruth } from '../support/harbor-truth.ts';
import { tempDir } from '../support/programs.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/** How repositories and artifacts are found, what that costs, and what is made of a Harbor that changes meanwhile. */
const exposed = async (running: RunningLoop) => (await running.lines(...harborFamilies)).toSorted();
const images = (count: number, tag = true) =>
  Array.from({ length: count }, (_, number) => ({
    digest: digestNumber(number + 1),
    tags: tag ? [`v${number}`] : [],
  }));
const older = { version: 'v2.11.2-1a2b3c4d' };

describe('one list for a project', () => {
  test('of many repositories, in pages of any size, gives every number', async () => {
    for (const [seed, pageSize] of [
      [31, 1],
      [32, 2],
      [33, 7],
      [34, 100],
      [35, 3],
    ] as const) {
      const estate = createEstate({ seed, repositories: 30, now });
      const { world, running } = await setupHarbor(estate, { registry: { pageSize } });
      await running.poll();
      expect(await exposed(running), running.log()).toEqual(harborTruth(world).toSorted());
      for (let step = 0; step < 20; step += 1) estate.step();
      await running.poll();
      expect(await exposed(running)).toEqual(harborTruth(world).toSorted());
    }
  }, 300_000);

  test('costs a request per 100 artifacts, whatever the number of repositories', async () => {
    const repositories = Object.fromEntries(
      Array.from({ length: 120 }, (_, number) => [`team/app-${number}`, images(5)]),
    );
    const { cost } = await setupHarbor(estateOf(repositories));
    const first = await cost();
    expect(first).toMatchObject({ projects: 1, repositories: 2, artifacts: 6, quotas: 1 });
    expect(first).toMatchObject({ immutable_rules: 1, members: 1, robots: 2 });
    // Rules, members and the project's robot accounts are not asked for again within `settingsInterval`.
    expect(await cost()).toEqual({
      artifacts: 6,
      current_user: 2,
      garbage_collections: 1,
      health: 1,
      job_queues: 1,
      projects: 1,
      quotas: 1,
      registries: 1,
      replication_executions: 1,
      replication_policies: 1,
      repositories: 2,
      robots: 1,
      scan_all: 1,
      scanners: 1,
      systeminfo: 1,
      volumes: 1,
      workers: 1,
    });
  });

  test('before 2.12 costs a request per repository', async () => {
    const repositories = Object.fromEntries(
      Array.from({ length: 12 }, (_, number) => [`team/app-${number}`, images(5)]),
    );
    const { cost } = await setupHarbor(estateOf(repositories), {
      change: (world) => Object.assign(world, older),
    });
    expect(await cost()).toMatchObject({ artifacts: 12 });
  });

  test('is not read where few repositories of many are wanted', async () => {
    const estate = estateOf({ 'team/big': images(450), 'team/small': images(3), 'team/other': images(3) });
    const all = await setupHarbor(estate);
    expect(await all.cost()).toMatchObject({ artifacts: 5 });
    const few = await setupHarbor(estate, { registry: { repositories: { include: ['team/small'] } } });
    expect(await few.cost()).toMatchObject({ artifacts: 1 });
    expect(await few.running.lines('repositories', 'repository_tags')).toEqual([
      'repositories{} 1',
      'repository_tags{repository="team/small"} 3',
    ]);
  });

  test('is tried where Harbor does not tell its version', async () => {
    for (const version of ['v2.13.0-1', 'v2.8.0-1']) {
      const { world, running } = await setupHarbor(20, {
        change: (one) => Object.assign(one, { version }),
        simulator: { hidesVersion: true },
      });
      await running.poll();
      expect(await exposed(running), running.log()).toEqual(harborTruth(world).toSorted());
    }
  });

  test('that breaks is left for one list per repository: one that breaks hides no other', async () => {
    const { world, simulator, running } = await setupHarbor(25);
    await running.poll();
    const before = await exposed(running);
    simulator.faults.push({
      fault: { type: 'status', status: 500 },
      operation: 'artifacts',
      repository: 'checkout/api',
    });
    for (let step = 0; step < 40; step += 1) world.estate.step();
    await running.poll();
    const own = (lines: readonly string[]) => lines.filter((line) => line.includes('"checkout/api"'));
    const rest = (lines: readonly string[]) => lines.filter((line) => !line.includes('"checkout/api"'));
    expect(await running.value('up')).toBe(1);
    expect(own(await exposed(running))).toEqual(own(before));
    expect(rest(await exposed(running))).toEqual(rest(harborTruth(world)).toSorted());
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="partial"} 1');
    expect(running.log()).toMatch(/repository=checkout\/api/);
    simulator.faults.length = 0;
    await running.poll();
    expect(await exposed(running)).toEqual(harborTruth(world).toSorted());
  });

  test('whose repositories fail one after the other is not asked for all of them', async () => {
    const repositories = Object.fromEntries(
      Array.from({ length: 40 }, (_, number) => [`team/app-${number}`, images(2)]),
    );
    const { simulator, running } = await setupHarbor(estateOf({ ...repositories, 'other/app': images(1) }), {
      registry: { http: { retries: 0, maxConcurrent: 2 } },
    });
    simulator.faults.push({
      fault: { type: 'status', status: 500 },
      operation: 'artifacts',
      repository: 'team/app-0',
    });
    for (let number = 0; number < 40; number += 1)
      simulator.faults.push({
        fault: { type: 'status', status: 500 },
        operation: 'artifacts',
        repository: `team/app-${number}`,
      });
    await running.poll();
    expect(await running.lines('repositories', 'repository_tags')).toEqual([
      'repositories{} 41',
      'repository_tags{repository="other/app"} 1',
    ]);
    expect(simulator.requests.get('artifacts')).toBeLessThan(15);
  });

  test('in another order than was asked for is left for one list per repository', async () => {
    const { world, running } = await setupHarbor(createEstate({ seed: 41, repositories: 30, now }), {
      simulator: { ignoresQuery: true },
      registry: { pageSize: 5 },
    });
    await running.poll();
    const families = ['repositories', 'repository_tags', 'repository_images', 'repository_pulls_total'];
    const wanted = harborTruth(world).filter((line) =>
      families.some((family) => line.startsWith(`${family}{`)),
    );
    expect((await running.lines(...families)).toSorted(), running.log()).toEqual(wanted.toSorted());
  });
});

describe('while a list is read', () => {
  test('what is deleted makes the exporter go back: nothing is missed', async () => {
    for (const version of ['v2.13.0-1', 'v2.8.0-1']) {
      const estate = estateOf({ 'team/app': images(60), 'team/web': images(60), 'team/zoo': images(7) });
      const { world, simulator, running } = await setupHarbor(estate, {
        registry: { pageSize: 10 },
        change: (one) => Object.assign(one, { version }),
      });
      simulator.faults.push({ fault: { type: 'slow', ms: 25 }, operation: 'artifacts' });
      const polled = running.poll();
      // A retention run takes the oldest, page after page.
      for (let number = 1; number <= 40; number += 1) {
        await sleep(5);
        world.estate.repositories.get('team/app')?.images.delete(digestNumber(number));
      }
      await polled;
      const [app = '', web, zoo] = await running.lines('repository_tags');
      // Those that were deleted may have been seen before; of those that are left none is missing.
      expect(Number(app.split(' ').at(-1))).toBeGreaterThanOrEqual(20);
      expect([web, zoo]).toEqual([
        'repository_tags{repository="team/web"} 60',
        'repository_tags{repository="team/zoo"} 7',
      ]);
      simulator.faults.length = 0;
      await running.poll();
      expect(await running.lines('repository_tags')).toContain('repository_tags{repository="team/app"} 20');
    }
  });

  test('what is pushed is there now or at the next poll, and counts once', async () => {
    const { world, simulator, running } = await setupHarbor(
      createEstate({ seed: 8, repositories: 20, now }),
      {
        registry: { pageSize: 3 },
      },
    );
    simulator.faults.push({ fault: { type: 'slow', ms: 10 }, operation: 'artifacts' });
    const polled = running.poll();
    for (let step = 0; step < 30; step += 1) {
      await sleep(5);
      world.estate.step();
    }
    await polled;
    expect(await running.value('up')).toBe(1);
    await running.poll();
    expect(await exposed(running)).toEqual(harborTruth(world).toSorted());
  });

  test('a project that is deleted takes its repositories with it, though a robot account is told 403', async () => {
    for (const version of ['v2.13.0-1', 'v2.8.0-1']) {
      const { world, simulator, running } = await setupHarbor(8, {
        change: (one) => Object.assign(one, { version }),
      });
      await running.poll();
      simulator.faults.push({ fault: { type: 'slow', ms: 200 }, operation: 'artifacts' });
      const polled = running.poll();
      await sleep(120);
      for (const name of world.estate.repositories.keys())
        if (name.startsWith('search/')) simulator.deleteRepository(name);
      world.projects.splice(
        world.projects.findIndex(({ name }) => name === 'search'),
        1,
      );
      await polled;
      expect(await running.lines('poll_failures_total')).not.toContain(
        'poll_failures_total{reason="partial"} 1',
      );
      expect((await running.lines('repository_tags')).filter((line) => line.includes('search/'))).toEqual([]);
    }
  });
});

test('rules, members and robot accounts of projects that are not wanted are not asked for', async () => {
  const { cost } = await setupHarbor(
    estateOf({ 'team/app': images(1), 'other/app': images(1), 'third/app': images(1) }),
    { registry: { repositories: { include: ['team/**'] } } },
  );
  expect(await cost()).toMatchObject({ immutable_rules: 1, members: 1, robots: 2, artifacts: 1 });
});

describe('a Harbor behind something', () => {
  test.each([
    ['under a path that Link does not know of', { pathPrefix: '/tools/harbor' }],
    ['a proxy that drops Link', { withoutHeaders: ['link'] as const }],
    ['a proxy that drops X-Total-Count', { withoutHeaders: ['x-total-count'] as const }],
    ['a proxy that drops both', { withoutHeaders: ['link', 'x-total-count'] as const }],
  ])('%s', async (_title, simulator) => {
    const { world, running } = await setupHarbor(12, { simulator, registry: { pageSize: 2 } });
    await running.poll();
    expect(await exposed(running), running.log()).toEqual(harborTruth(world).toSorted());
  });

  test('the address may end with /api/v2.0', async () => {
    const { simulator } = await setupHarbor(3);
    const running = await runLoop(harbor, { endpoint: `${simulator.url}/api/v2.0/`, auth: robot });
    await running.poll();
    expect(await running.value('up')).toBe(1);
    await running.stop();
  });
});

describe('names', () => {
  test('with slashes, and projects that are named like a number', async () => {
    const estate = estateOf({ '42/deep/er/app': images(2), 'team/a b+c%2F': images(1) });
    for (const version of ['v2.13.0-1', 'v2.8.0-1']) {
      const { running } = await setupHarbor(estate, { change: (one) => Object.assign(one, { version }) });
      await running.poll();
      expect(await running.lines('repository_tags'), running.log()).toEqual([
        'repository_tags{repository="42/deep/er/app"} 2',
        'repository_tags{repository="team/a b+c%2F"} 1',
      ]);
    }
  });
});

describe('who reads', () => {
  test('nobody: what is public, one list per repository, and nothing of the system', async () => {
    const { world, running, cost } = await setupHarbor(12, { registry: { auth: undefined } });
    expect(Object.keys(await cost())).toEqual([
      'artifacts',
      'health',
      'project_repositories',
      'projects',
      'repositories',
      'systeminfo',
    ]);
    const open = new Set(world.projects.filter((one) => one.public).map(({ name }) => name));
    const names = [...world.estate.repositories.keys()].filter((name) => open.has(name.split('/')[0] ?? ''));
    const tags = await running.lines('repository_tags');
    expect(tags.map((line) => /repository="([^"]+)"/.exec(line)?.[1])).toEqual(names.toSorted());
    expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
    expect(await running.lines('capability_up')).not.toContain('capability_up{capability="quotas"} 1');
  });

  test('credentials that Harbor does not take fail the poll: what is public is not all there is', async () => {
    const { world, running } = await setupHarbor(12);
    await running.poll();
    const before = await exposed(running);
    for (const account of world.accounts) account.password = 'another-one-now';
    await running.poll();
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
    expect(await exposed(running)).toEqual(before);
  });

  test('credentials that expire in the middle of a poll fail it', async () => {
    const { world, simulator, running } = await setupHarbor(12, {
      change: (one) => Object.assign(one, older),
    });
    await running.poll();
    const before = await exposed(running);
    simulator.faults.push({ fault: { type: 'slow', ms: 150 }, operation: 'repositories' });
    const polled = running.poll();
    await sleep(100);
    for (const account of world.accounts) account.password = 'another-one-now';
    await polled;
    expect(await running.value('up')).toBe(0);
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
    expect(await exposed(running)).toEqual(before);
  });

  test('an account that Harbor takes for nobody for a moment does not empty its projects', async () => {
    const { simulator, world, running } = await setupHarbor(12, { registry: { settingsInterval: '1h' } });
    await running.poll();
    const before = await exposed(running);
    const open = [...world.estate.repositories.keys()].filter((name) => name.startsWith('checkout/'));
    const body = JSON.stringify(open.map((name) => ({ name, artifact_count: 1, pull_count: 0 })));
    simulator.faults.push({ fault: { type: 'body', body }, operation: 'repositories', times: 1 });
    await running.poll();
    expect((await exposed(running)).filter((line) => !line.includes('checkout/'))).toEqual(
      before.filter((line) => !line.includes('checkout/')),
    );
    expect(running.log()).toContain('of which the list of all repositories has none');
  });

  test('a robot account of one project sees that and the public ones', async () => {
    const { world, running } = await setupHarbor(12, {
      change({ accounts }) {
        const [, exporter] = accounts;
        if (exporter) accounts[1] = { ...exporter, projects: ['search'] };
      },
    });
    await running.poll();
    const seen = new Set(['search', ...world.projects.filter((one) => one.public).map(({ name }) => name)]);
    const names = [...world.estate.repositories.keys()].filter((name) => seen.has(name.split('/')[0] ?? ''));
    expect((await running.lines('repository_tags')).length).toBe(names.length);
    expect(await running.value('up')).toBe(1);
  });
});

describe('after a push event', () => {
  test('only that repository is looked at; one that is not there is gone', async () => {
    const { world, simulator, running } = await setupHarbor(
      estateOf({ 'team/app': images(1), 'team/web': images(1), 'team/old': images(1) }),
    );
    await running.poll();
    world.estate.repositories.get('team/app')?.images.set(digestNumber(9), {
      digest: digestNumber(9),
      kind: 'image',
      tags: ['v9'],
      sizeBytes: 1,
      pushedAt: now,
      scan: { status: 'none' },
      archived: false,
      inUse: 0,
    });
    simulator.deleteRepository('team/old');
    simulator.requests.clear();
    running.loop.look('team/app');
    running.loop.look('team/old');
    await sleep(2500);
    expect(await running.lines('repositories', 'repository_tags')).toEqual([
      'repositories{} 2',
      'repository_tags{repository="team/app"} 2',
      'repository_tags{repository="team/web"} 1',
    ]);
    expect(simulator.requests.get('artifacts')).toBe(1);
    for (const operation of ['repositories', 'replication_executions', 'quotas', 'members'])
      expect(simulator.requests.get(operation)).toBeUndefined();
  });
});

test('what a project is set to comes from the memory after a restart', async () => {
  const folder = tempDir();
  const { simulator } = await setupHarbor(12);
  const registry = { endpoint: simulator.url, auth: robot };
  const options = { storagePath: folder.path };
  const before = await runLoop(harbor, registry, options);
  await before.poll();
  const practices = await before.lines('repository_practice', 'project_members');
  await before.stop();
  const after = await runLoop(harbor, registry, options);
  simulator.requests.clear();
  await after.poll();
  expect(simulator.requests.get('immutable_rules')).toBeUndefined();
  expect(await after.lines('repository_practice', 'project_members')).toEqual(practices);
  await after.stop();
  folder.remove();
});
