import { describe, expect, test } from 'vitest';
import { readPermissions } from '../simulators/harbor-world.ts';
import { admin, setupHarbor } from '../support/harbor.ts';
import { harborFamilies } from '../support/harbor-truth.ts';

/** What a missing permission takes away, and what it leaves. */
const cases: Readonly<Record<string, { capability: string; named: string; gone?: string }>> = {
  'quota:list': {
    capability: 'quotas',
    named: 'quota:list (system)',
    gone: 'quota_used{quota="storage",project="checkout"}',
  },
  'system-volumes:read': {
    capability: 'quotas',
    named: 'system-volumes:read (system)',
    gone: 'quota_limit{quota="volume",project=""}',
  },
  'scanner:list': {
    capability: 'health',
    named: 'scanner:list (system)',
    gone: 'component_up{component="scanner Trivy"}',
  },
  'registry:list': {
    capability: 'replication',
    named: 'registry:list (system)',
    gone: 'component_up{component="registry dr-site"}',
  },
  'replication-policy:list': {
    capability: 'replication',
    named: 'replication-policy:list (system)',
    gone: 'replication_up{destination="to-dr-site"}',
  },
  'replication:list': {
    capability: 'replication',
    named: 'replication:list (system)',
    gone: 'replication_up{destination="to-dr-site"}',
  },
  'garbage-collection:list': {
    capability: 'tasks',
    named: 'garbage-collection:list (system)',
    gone: 'task_up{task="garbage_collection"}',
  },
  'scan-all:read': {
    capability: 'tasks',
    named: 'scan-all:read (system)',
    gone: 'task_up{task="scan_all"}',
  },
  'jobservice-monitor:list': {
    capability: 'tasks',
    named: 'jobservice-monitor:list (system)',
    gone: 'job_queue_jobs{queue="REPLICATION"}',
  },
  'robot:list': {
    capability: 'credentials',
    named: 'robot:list (system)',
    gone: 'credential_expiry_timestamp_seconds{credential="robot$exporter"}',
  },
  'project/robot:list': {
    capability: 'credentials',
    named: 'robot:list (project)',
    gone: 'credential_expiry_timestamp_seconds{credential="robot$checkout+ci"}',
  },
  'project/member:list': {
    capability: 'projects',
    named: 'member:list (project)',
    gone: 'project_members{project="checkout"}',
  },
  'project/immutable-tag:list': {
    capability: 'practices',
    named: 'immutable-tag:list (project)',
    gone: 'repository_practice{repository="checkout/api",practice="immutable_tags"}',
  },
  'project/tag-retention:read': {
    capability: 'practices',
    named: 'tag-retention:read (project)',
    gone: 'repository_practice{repository="search/api",practice="retention_policy"}',
  },
};
const others = [...harborFamilies].filter((family) => !family.startsWith('quota'));
/** Whether an image without a report is one that no scanner supports is not known without the scanners. */
const unaffected = (permission: string, lines: readonly string[]) =>
  lines.filter((line) => permission !== 'scanner:list' || !line.startsWith('repository_image_scans'));
const seriesOf = (text: string) => new Set(text.split('\n').map((line) => line.replace(/ [^ ]*$/, '')));
const prefixed = (series: string) =>
  series.replace(/^(\w+)\{/, 'container_registry_$1{registry="edge",provider="harbor",');

describe('a robot account without', () => {
  test.each(Object.entries(cases))('%s', async (permission, { capability, named, gone }) => {
    const { world, running } = await setupHarbor(7, { registry: { settingsInterval: '1h' } });
    await running.poll();
    const [all, truth] = [await running.lines('capability_up'), await running.lines(...others)];
    expect(all.filter((line) => line.endsWith(' 0'))).toEqual([]);
    if (gone) expect(seriesOf(await running.text())).toContain(prefixed(gone));

    const without = await setupHarbor(world.estate, {
      change: ({ accounts }) => void accounts[1]?.permissions.delete(permission),
    });
    // What is asked for seldom is missed in between too.
    for (let poll = 0; poll < 2; poll += 1) {
      await without.running.poll();
      expect(await without.running.value('up')).toBe(1);
      expect(await without.running.lines('capability_up')).toEqual(
        all.map((line) => (line.includes(`"${capability}"`) ? line.replace(/ 1$/, ' 0') : line)),
      );
      if (gone) expect(seriesOf(await without.running.text())).not.toContain(prefixed(gone));
      const left = await without.running.lines(...others);
      expect(unaffected(permission, left)).toEqual(unaffected(permission, truth));
    }
    const told = without.running
      .log()
      .split('\n')
      .filter((line) => line.includes('level=warn'));
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(named);
    expect(told[0]).toContain(`capability=${capability}`);
  });

  test('project/artifact:list keeps what is known and says which permission it is', async () => {
    const { world, running } = await setupHarbor(7);
    await running.poll();
    const before = await running.lines('repository_images');
    world.accounts[1]?.permissions.delete('project/artifact:list');
    await running.poll();
    expect(await running.lines('repository_images')).toEqual(before);
    expect(running.log()).toContain('artifact:list (project)');
  });

  test('any of those leaves all that is not about it', () => {
    const needed = ['project:list', 'project/project:read', 'project/repository:list'];
    // Asked for while a scanner does not answer: see the tests of scanners.
    const ofScanners = ['scanner:read', 'project/scanner:read'];
    // A source of push events, which no poll asks: see its own tests.
    const ofEvents = ['audit-log:list'];
    const elsewhere = [...ofScanners, ...ofEvents];
    const covered = [...Object.keys(cases), 'project/artifact:list', ...elsewhere, ...needed];
    expect(readPermissions.filter((permission) => !covered.includes(permission))).toEqual([]);
  });
});

describe('total storage', () => {
  test('is what a system administrator is told; the built-in one is a practice not followed', async () => {
    const { world, running } = await setupHarbor(5, { registry: { auth: admin } });
    await running.poll();
    expect(await running.value('storage_bytes')).toBe(world.storageBytes);
    expect(await running.lines('capability_up')).toContain('capability_up{capability="storage"} 1');
    expect(await running.lines('repository_practice')).toContain(
      'repository_practice{repository="checkout/api",practice="no_admin_account"} 0',
    );
  });

  test('is unknown to a robot account and to other users, which is neither 0 nor a failure', async () => {
    const user = { username: 'reader', password: 'r3ader-S3cret' };
    for (const auth of [undefined, user]) {
      const { running } = await setupHarbor(5, {
        ...(auth && { registry: { auth } }),
        change: ({ accounts }) =>
          void accounts.push({ ...user, kind: 'user', userId: 9, permissions: new Set(readPermissions) }),
      });
      await running.poll();
      expect(await running.lines('storage_bytes')).toEqual([]);
      expect((await running.lines('capability_up')).join()).not.toContain('storage');
      expect((await running.lines('repository_practice')).join()).not.toContain('no_admin_account');
    }
  });
});

describe('a Harbor that is older', () => {
  test('lets no robot account list accounts: they are not asked for', async () => {
    const { running, cost } = await setupHarbor(7, {
      change: (world) => Object.assign(world, { version: 'v2.10.3-5ab3c2d1' }),
    });
    const asked = await cost();
    expect(asked['robots']).toBeUndefined();
    expect(asked['members']).toBeUndefined();
    expect((await running.lines('capability_up')).join()).not.toContain('credentials');
    expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
  });

  test.each([404, 412])('answers %i to what it does not have: that is no failure', async (status) => {
    const { simulator, running } = await setupHarbor(7);
    for (const operation of ['job_queues', 'scan_all', 'garbage_collections', 'volumes', 'members', 'robots'])
      simulator.faults.push({ fault: { type: 'status', status }, operation });
    await running.poll();
    expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([]);
    expect(await running.lines('task_up', 'job_queue_jobs', 'project_members')).toEqual([]);
  });
});

test('a detail that breaks for one poll is kept, and read again at the next', async () => {
  const { simulator, running } = await setupHarbor(7, { registry: { settingsInterval: '1ms' } });
  await running.poll();
  const before = await running.lines('repository_practice', 'project_members');
  simulator.faults.push({ fault: { type: 'status', status: 500 }, operation: 'members' });
  await running.poll();
  expect(await running.lines('repository_practice', 'project_members')).toEqual(before);
  expect(await running.lines('capability_up')).toContain('capability_up{capability="projects"} 0');
  simulator.faults.length = 0;
  await running.poll();
  expect(await running.lines('capability_up')).toContain('capability_up{capability="projects"} 1');
});
