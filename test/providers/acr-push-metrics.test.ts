import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { acr } from '../../src/providers/acr.ts';
import { azureFixture, told } from '../support/azure.ts';
import { eventually } from '../support/programs.ts';

/** Failed pushes that Azure Monitor counts for a registry as a whole. */

const { start } = azureFixture();
// The clock is set ahead: minutes are counted once they are some minutes old.
const clock = Date.now;
let aheadMs = 0;
beforeEach(() => {
  aheadMs = 0;
  vi.spyOn(Date, 'now').mockImplementation(() => clock() + aheadMs);
});
afterEach(() => void vi.restoreAllMocks());

const minute = () => Math.ceil(Date.now() / 60_000) * 60;
const later = (minutes: number) => {
  aheadMs += minutes * 60_000;
};
const pushEvents = { metrics: true, interval: '30ms' };
const failures = ['push_failures_total', 'events_source_up'];

async function asked(
  azure: { readonly arm: { readonly requests: ReadonlyMap<string, number> } },
  times: number,
) {
  const before = azure.arm.requests.get('metrics') ?? 0;
  await eventually(() => expect(azure.arm.requests.get('metrics') ?? 0).toBeGreaterThan(before + times));
}

test('are counted once for each minute, when its numbers are settled, under no repository', async () => {
  const { azure, running } = await start({ seed: 1, repositories: 1 }, { pushEvents });
  await asked(azure, 2);
  const first = minute();
  azure.resource.pushes = [
    // Before the exporter began to look.
    { minute: first - 600, total: 9, successful: 0 },
    { minute: first, total: 5, successful: 3 },
    { minute: first + 60, total: 4, successful: 4 },
    // The other number is late.
    { minute: first + 120, total: 4 },
  ];
  later(3);
  await asked(azure, 3);
  expect(await running.counted('push_failures_total')).toEqual([]);
  later(7);
  await eventually(async () =>
    expect(await running.counted(...failures)).toEqual([
      'events_source_up{source="azure-monitor"} 1',
      'push_failures_total{repository="",reason="other"} 2',
    ]),
  );
  azure.resource.pushes = [
    ...azure.resource.pushes.slice(0, 3),
    { minute: first + 120, total: 4, successful: 3 },
  ];
  await eventually(async () =>
    expect(await running.counted('push_failures_total')).toEqual([
      'push_failures_total{repository="",reason="other"} 3',
    ]),
  );
  await asked(azure, 3);
  expect(await running.counted('push_failures_total')).toEqual([
    'push_failures_total{repository="",reason="other"} 3',
  ]);
});

test('after an outage of hours those since then are counted, once', async () => {
  const { azure, running } = await start({ seed: 1, repositories: 1 }, { pushEvents });
  await asked(azure, 2);
  const first = minute();
  azure.resource.pushes = [
    { minute: first, total: 5, successful: 3 },
    { minute: first + 7200, total: 4, successful: 1 },
  ];
  azure.arm.actions.delete('metrics/read');
  await eventually(async () => expect(await running.value('events_source_up')).toBe(0));
  later(240);
  azure.arm.actions.add('metrics/read');
  await eventually(async () =>
    expect(await running.counted('push_failures_total')).toEqual([
      'push_failures_total{repository="",reason="other"} 5',
    ]),
  );
  await asked(azure, 8);
  expect(await running.counted('push_failures_total')).toEqual([
    'push_failures_total{repository="",reason="other"} 5',
  ]);
});

test('without the permission the source is down, and the log says which role is missing', async () => {
  const { azure, running } = await start(
    { seed: 1, repositories: 1, arm: { actions: ['read'] } },
    { pushEvents },
  );
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="azure-monitor"} 0']),
  );
  expect(told(running, 'push events could not be read')).toEqual([
    expect.stringContaining('Monitoring Reader'),
  ]);
  azure.arm.actions.add('metrics/read');
  await running.poll();
  expect(await running.value('up')).toBe(1);
});

test('credentials of the registry alone cannot ask Azure: refused', () => {
  const given = {
    loginServer: 'prod.azurecr.io',
    auth: { username: 'a', password: 'b' },
    pushEvents: { metrics: true },
  };
  expect(acr.check?.(given as never, false)).toEqual([
    { path: ['pushEvents'], message: expect.stringContaining('needs an identity of Azure') },
  ]);
});
