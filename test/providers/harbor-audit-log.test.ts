import { afterEach, expect, test, vi } from 'vitest';
import { harbor } from '../../src/providers/harbor.ts';
import type { HarborAuditEntry } from '../simulators/harbor-world.ts';
import { estateOf, robot, setupHarbor } from '../support/harbor.ts';
import { eventually } from '../support/programs.ts';

/** Pushes that are read from Harbor's audit log, where no webhook may be set. */

afterEach(() => void vi.restoreAllMocks());

const digest = `sha256:${'a'.repeat(64)}`;
const seconds = () => Date.now() / 1000;
let id = 1;
const logged = (operation: string, resource: string, more: Partial<HarborAuditEntry> = {}) => ({
  ...{ id: ++id, operation, resource_type: 'artifact', resource, at: seconds() },
  ...more,
});

async function start(change: (world: Awaited<ReturnType<typeof setupHarbor>>['world']) => void = () => {}) {
  const made = await setupHarbor(
    estateOf({ 'shop/app': [{ tags: ['v1'] }], 'shop/web/site': [{ tags: ['v1'] }] }),
    { registry: { pushEvents: { auditLog: true, interval: '50ms' } }, change },
  );
  await made.running.poll();
  const asked = async (times: number) => {
    const before = made.simulator.requests.get('audit_log') ?? 0;
    await eventually(() =>
      expect(made.simulator.requests.get('audit_log') ?? 0).toBeGreaterThan(before + times),
    );
  };
  return { ...made, asked };
}
const lines = ['pushes_total', 'events_source_up'];

test.each(['v2.13.1-abc', 'v2.11.0-abc'])(
  'Harbor %s: each push counts once, by its repository',
  async (version) => {
    const { world, running, asked } = await start((made) => {
      made.version = version;
    });
    await asked(2);
    world.auditLog.push(
      // Before the exporter began to look.
      logged('create', 'shop/app:v0', { at: seconds() - 3600 }),
      logged('create', 'shop/app:v2'),
      logged('create', `shop/app@${digest}`),
      logged('create', 'shop/web/site:v2'),
      logged('delete', 'shop/app:v0'),
      logged('create', 'shop', { resource_type: 'project' }),
      logged('pull', 'shop/app:v1'),
    );
    await eventually(async () =>
      expect(await running.counted(...lines)).toEqual([
        'events_source_up{source="audit-log"} 1',
        'pushes_total{repository="shop/app"} 2',
        'pushes_total{repository="shop/web/site"} 1',
      ]),
    );
    await asked(3);
    expect(await running.counted('pushes_total')).toEqual([
      'pushes_total{repository="shop/app"} 2',
      'pushes_total{repository="shop/web/site"} 1',
    ]);
  },
);

test('more than one page, names that are none, and hours without a reading', async () => {
  const { world, running, asked } = await start();
  await asked(2);
  const clock = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => clock() + 3 * 3_600_000);
  world.auditLog.push(
    ...Array.from({ length: 230 }, (_, at) => logged('create', `shop/app:v${at}`, { at: seconds() - 7000 })),
    logged('create', '../etc/passwd:v1'),
    logged('create', ''),
  );
  await eventually(async () => {
    await running.poll();
    expect(await running.counted('pushes_total')).toEqual(['pushes_total{repository="shop/app"} 230']);
  });
});

test('an account that is shown no entry is told, with what to do; polls go on', async () => {
  const { world, running } = await start((made) => {
    for (const account of made.accounts) account.permissions.delete('audit-log:list');
  });
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="audit-log"} 0']),
  );
  const told = running
    .log()
    .split('\n')
    .filter((line) => line.includes('push events could not be read'));
  expect(told).toEqual([expect.stringContaining('audit-log:list')]);
  for (const account of world.accounts) account.permissions.add('audit-log:list');
  await eventually(async () => expect(await running.value('events_source_up')).toBe(1));
  expect(await running.value('up')).toBe(1);
});

test.each([
  ['without an account', { auditLog: true }, undefined, false, /needs an account/],
  ['besides webhooks, which tell of the same pushes', { auditLog: true }, robot, true, /besides events/],
  ['nothing to read', { interval: 1000 }, robot, false, /nothing would be read/],
])('%s: refused', (_, pushEvents, auth, receives, message) => {
  const given = { endpoint: new URL('https://harbor.example.com'), pushEvents, auth };
  expect(harbor.check?.(given as never, receives)).toEqual([
    { path: expect.arrayContaining(['pushEvents']), message: expect.stringMatching(message) },
  ]);
});
