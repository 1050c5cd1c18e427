import { describe, expect, test } from 'vitest';
import { harbor } from '../../src/providers/harbor.ts';
import { createEstate } from '../simulators/estate.ts';
import { readPermissions } from '../simulators/harbor-world.ts';
import { admin, digestNumber, estateOf, now, setupHarbor } from '../support/harbor.ts';
import { site } from '../support/registry-site.ts';
import { runLoop } from '../support/running-loop.ts';

/** What is said of projects that are not there, not wanted, or lost; and what reading costs Harbor besides requests. */

const image = (number: number) => ({ digest: digestNumber(number), tags: [`v${number}`] });
const two = () => estateOf({ 'team/app': [image(1)], 'other/app': [image(2)] });
const failing = (lines: readonly string[]) => lines.filter((line) => line.endsWith(' 0'));
/** Without that of the loop, which doubts a registry that shows nothing. */
const warnings = (log: string) =>
  log
    .split('\n')
    .filter((line) => line.includes('level=warn') && !line.includes('shows no repository at all'));

test('what answers 404 to everything, as a Harbor of version 1 does, is doubted, and nothing is said of who reads', async () => {
  const { url: endpoint } = await site((_request, response) =>
    response.writeHead(404).end('404 page not found'),
  );
  const auth = { username: 'robot$exporter', password: 'a-secret' };
  const running = await runLoop(harbor, { endpoint, auth, http: { retries: 0 } });
  try {
    await running.poll();
    expect(running.loop.status().errors[0]?.message).toBe(
      `GET ${endpoint}/api/v2.0/projects answered 404 (404 page not found): is it a Harbor of version 2 or later that answers at \`endpoint\`?`,
    );
    expect(running.log()).not.toContain('Harbor is read as a user');
  } finally {
    await running.stop();
  }
});

describe('a project that repositories.include names and Harbor does not show', () => {
  test('alone fails the poll at once', async () => {
    const { running } = await setupHarbor(two(), { registry: { repositories: { include: ['taem/**'] } } });
    await running.poll();
    expect(await running.lines('up', 'repositories')).toEqual(['up{} 0']);
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="not_found"} 1');
    expect(running.loop.status().errors[0]?.message).toContain('Harbor shows no project taem');
  });

  test('beside others is said once, and how many repositories there are is unknown', async () => {
    const include = ['team/**', 'taem/app', 'te?m-*/**', '**/web'];
    const { running } = await setupHarbor(two(), { registry: { repositories: { include } } });
    await running.poll();
    await running.poll();
    expect(await running.lines('up', 'repositories', 'repository_tags')).toEqual([
      'up{} 1',
      'repository_tags{repository="team/app"} 1',
    ]);
    expect(warnings(running.log())).toEqual([expect.stringContaining('prefix=taem/')]);
  });

  test('since the account lost it keeps what is known of it', async () => {
    const { world, running } = await setupHarbor(two(), {
      registry: { repositories: { include: ['team/**', 'other/**'] } },
    });
    await running.poll();
    Object.assign(world.accounts[1] ?? {}, { projects: ['team'] });
    Object.assign(world.projects[0] ?? {}, { public: false });
    await running.poll();
    expect(await running.lines('repository_tags')).toHaveLength(2);
    expect(running.log()).toContain('Harbor shows no project other');
  });
});

test('a project that is not there any more is believed at the second poll', async () => {
  const { world, running } = await setupHarbor(two());
  await running.poll();
  world.projects.splice(1, 1);
  world.estate.repositories.delete('other/app');
  await running.poll();
  expect(await running.lines('repository_tags')).toHaveLength(2);
  expect(running.log()).toMatch(/everything below .*other.* came back empty/);
  await running.poll();
  expect(await running.lines('repositories', 'repository_tags')).toEqual([
    'repositories{} 1',
    'repository_tags{repository="team/app"} 1',
  ]);
});

test('an account that is shown no project is told which permission it may lack', async () => {
  const { running } = await setupHarbor(two(), {
    change: ({ accounts, projects }) => {
      Object.assign(accounts[1] ?? {}, { projects: [] });
      for (const one of projects) Object.assign(one, { public: false });
    },
  });
  await running.poll();
  await running.poll();
  expect(warnings(running.log())).toEqual([expect.stringContaining('project:list')]);
});

test('patterns that take nothing of what there is are told', async () => {
  const { running } = await setupHarbor(two(), { registry: { repositories: { exclude: ['**'] } } });
  await running.poll();
  await running.poll();
  expect(warnings(running.log())).toEqual([expect.stringContaining('take none of the repositories')]);
});

test('a robot account of one project is not asked for the rules of projects that nobody wants', async () => {
  const estate = estateOf({ 'team/app': [image(1)] });
  const { world, simulator, running } = await setupHarbor(estate, {
    registry: { repositories: { include: ['team/**'] } },
    change: ({ accounts, projects }) => {
      Object.assign(accounts[1] ?? {}, { projects: ['team'] });
      const empty = {
        project_id: 9,
        name: 'open',
        public: true,
        members: 1,
        hard: -1,
        used: 0,
        immutable: [],
      };
      projects.push(empty);
    },
  });
  await running.poll();
  expect(world.projects).toHaveLength(2);
  expect(simulator.requests.get('immutable_rules')).toBe(1);
  expect(failing(await running.lines('capability_up'))).toEqual([]);
});

test('to nobody an empty repository of a public project is empty, and no failure', async () => {
  const { running } = await setupHarbor(estateOf({ 'team/app': [image(1)], 'team/empty': [] }), {
    registry: { auth: undefined },
  });
  await running.poll();
  expect(await running.lines('up', 'repositories', 'repository_images')).toEqual([
    'up{} 1',
    'repositories{} 2',
    'repository_images{repository="team/app",state="tagged"} 1',
    'repository_images{repository="team/app",state="untagged"} 0',
    'repository_images{repository="team/empty",state="tagged"} 0',
    'repository_images{repository="team/empty",state="untagged"} 0',
  ]);
  expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="partial"} 0');
});

test('a user who is no member of a public project reads what it shows', async () => {
  const user = { username: 'reader', password: 'r3ader-S3cret' };
  const { running } = await setupHarbor(estateOf({ 'team/app': [image(1)], 'team/empty': [] }), {
    registry: { auth: user },
    change: ({ accounts }) =>
      void accounts.push({
        ...user,
        kind: 'user',
        userId: 9,
        projects: [],
        permissions: new Set(readPermissions),
      }),
  });
  await running.poll();
  expect(await running.lines('up', 'repositories', 'repository_tags')).toEqual([
    'up{} 1',
    'repositories{} 2',
    'repository_tags{repository="team/app"} 1',
    'repository_tags{repository="team/empty"} 0',
  ]);
});

describe('what reading costs Harbor', () => {
  test('one session for all polls, and not one for each request', async () => {
    const { simulator, running } = await setupHarbor(createEstate({ seed: 3, repositories: 20, now }), {
      registry: { http: { maxConcurrent: 1 } },
    });
    await running.poll();
    await running.poll();
    expect([...simulator.requests.values()].reduce((sum, one) => sum + one, 0)).toBeGreaterThan(30);
    expect(simulator.sessions()).toBe(1);
  });

  test("a user's password costs CPU in each request: that is told once, and not of a robot account", async () => {
    for (const [auth, told] of [
      [admin, 1],
      [undefined, 0],
    ] as const) {
      const { running } = await setupHarbor(two(), auth && { registry: { auth } });
      await running.poll();
      await running.poll();
      expect(warnings(running.log()).filter((line) => line.includes('robot account'))).toHaveLength(told);
    }
  });
});
