import { describe, expect, test } from 'vitest';
import { parseLimit, type Remembered, settle } from '../../src/providers/docker-hub/pull-limit.ts';
import type { DockerHubOptions } from '../simulators/docker-hub.ts';
import { hubs } from '../support/docker-hub-running.ts';
import { tempDir } from '../support/programs.ts';

/** The pull rate limit, which most people watch Docker Hub for. */
const { start } = hubs();

/** As those run who want nothing but the limit: without namespaces. */
const limitOnly = (options: DockerHubOptions = {}, more: object = {}, storagePath?: string) =>
  start(options, { namespaces: undefined, ...more }, storagePath);
const families = ['pull_limit', 'pull_remaining', 'pull_limit_window_seconds'];
type Hub = Awaited<ReturnType<typeof start>>;
const read = async ({ running }: Hub) => {
  await running.poll();
  return running.lines(...families);
};
const remaining = async ({ running }: Hub) => {
  await running.poll();
  return running.value('pull_remaining');
};

test('limit, rest and window, and whom they are counted for, by two requests of which none is a pull', async () => {
  const hub = await limitOnly();
  const source = 'source="b30a2d2f-5b45-4d2c-8ea7-4c0b1fb1c1d5"';
  expect(await read(hub)).toEqual([
    `pull_limit{${source}} 200`,
    `pull_remaining{${source}} 176`,
    `pull_limit_window_seconds{${source}} 21600`,
  ]);
  expect(await hub.cost()).toEqual({ manifest_head: 1, registry_token: 1 });
  expect(hub.simulator.pulls.remaining).toBe(176);
});

test('without namespaces there are no repositories, which is neither an error nor a 0', async () => {
  const hub = await limitOnly();
  await hub.running.poll();
  expect(await hub.running.lines('up', 'repositories', 'storage_bytes', 'projects', 'capability_up')).toEqual(
    ['up{} 1', 'capability_up{capability="pull_limit"} 1'],
  );
  expect(hub.warnings()).toEqual([]);
});

test('without credentials the limit of the address is read', async () => {
  const hub = await limitOnly({}, { auth: undefined });
  hub.simulator.pulls.limit = 100;
  hub.simulator.pulls.source = '192.0.2.1';
  expect(await read(hub)).toContain('pull_limit{source="192.0.2.1"} 100');
});

test('paid plans send no limit: there is no sample, and nothing is wrong', async () => {
  const hub = await limitOnly();
  hub.simulator.pulls.headers = 'absent';
  expect(await read(hub)).toEqual([]);
  expect(await hub.running.lines('up', 'capability_up')).toEqual([
    'up{} 1',
    'capability_up{capability="pull_limit"} 1',
  ]);
  expect(hub.warnings()).toEqual([]);
});

test('who has no pulls left is told so by the registry, refused or not', async () => {
  const hub = await limitOnly();
  hub.simulator.pulls.remaining = 0;
  expect(await remaining(hub)).toBe(0);
  hub.simulator.pulls.remaining = -1;
  expect(await remaining(hub)).toBe(0);
  expect(hub.warnings()).toEqual([]);
});

test('headers without numbers give no sample and one warning', async () => {
  const hub = await limitOnly();
  await read(hub);
  hub.simulator.pulls.headers = 'malformed';
  expect(await read(hub)).toEqual([]);
  await read(hub);
  expect(hub.warnings()).toHaveLength(1);
  expect(hub.warnings().join()).toContain('ratelimit-limit \\";w=21600\\"');
  expect(await hub.running.lines('up', 'capability_up')).toEqual([
    'up{} 1',
    'capability_up{capability="pull_limit"} 0',
  ]);
  hub.simulator.pulls.headers = 'sent';
  expect(await read(hub)).toHaveLength(3);
});

test.each([
  ['100;w=21600', { amount: 100, windowSeconds: 21_600 }],
  ['100; w=21600', { amount: 100, windowSeconds: 21_600 }],
  ['100', { amount: 100 }],
  ['0;w=3600', { amount: 0, windowSeconds: 3600 }],
  ['100, 100;w=21600', { amount: 100 }],
  ['100;comment="x";w=60', { amount: 100, windowSeconds: 60 }],
  [';w=21600', undefined],
  ['', undefined],
  ['-1;w=21600', undefined],
  ['unlimited', undefined],
  ['1e3;w=1', undefined],
])('%j', (text, expected) => {
  expect(parseLimit(text)).toEqual(expected);
});

describe('a jump to the maximum', () => {
  test('is not believed until it is read twice', async () => {
    const hub = await limitOnly();
    const readings: (number | undefined)[] = [];
    for (const said of [176, 170, 200, 165, 200, 200, 199]) {
      hub.simulator.pulls.remaining = said;
      readings.push(await remaining(hub));
    }
    expect(readings).toEqual([176, 170, 170, 165, 165, 200, 199]);
  });

  test('is not believed after a restart either', async () => {
    const storage = tempDir();
    try {
      const before = await limitOnly({}, {}, storage.path);
      expect(await remaining(before)).toBe(176);
      await before.running.stop();
      const after = await limitOnly({}, {}, storage.path);
      after.simulator.pulls.remaining = 200;
      expect(await remaining(after)).toBe(176);
      expect(await remaining(after)).toBe(200);
    } finally {
      storage.remove();
    }
  });

  const seen = (more: Partial<Remembered['reading']> = {}): Remembered['reading'] => ({
    limit: 100,
    remaining: 40,
    windowSeconds: 3600,
    source: '192.0.2.1',
    ...more,
  });
  const full = seen({ remaining: 100 });
  test.each([
    ['within the window', full, 60, 40],
    ['after the window', full, 3600, 100],
    ['of another address', { ...full, source: '192.0.2.2' }, 60, 100],
    ['with another limit', { ...full, limit: 200, remaining: 200 }, 60, 200],
    ['that is none', seen({ remaining: 99 }), 60, 99],
  ])('%s', (_title, reading, later, expected) => {
    const settled = settle({ reading: seen(), at: 1000 }, reading, 1000 + later);
    expect(settled.reading.remaining).toBe(expected);
  });
});

describe('a failure', () => {
  const fault = { fault: { type: 'status', status: 500 }, operation: 'registry_token' } as const;

  test('degrades the pull limit alone where repositories are read', async () => {
    const hub = await start();
    await hub.running.poll();
    hub.simulator.faults.push(fault);
    await hub.running.poll();
    expect(await hub.running.lines(...families)).toEqual([]);
    expect(await hub.running.value('up')).toBe(1);
    expect(await hub.running.lines('capability_up')).toContain('capability_up{capability="pull_limit"} 0');
    expect(await hub.running.value('repositories')).toBe(5);
    expect(hub.warnings()).toHaveLength(1);
  });

  test.each(['manifest_head', 'registry_token'])(
    'a %s without an answer holds up nothing',
    async (operation) => {
      const hub = await start(
        {},
        { timeout: '60s', http: { timeout: '2s', retries: 9, requestsPerSecond: 1000 } },
      );
      hub.simulator.faults.push({ fault: { type: 'stall', at: 'before-headers' }, operation });
      await hub.running.poll();
      expect(await hub.running.value('up')).toBe(1);
      expect(hub.warnings()).toHaveLength(1);
    },
  );

  test.each([
    ['auth', { auth: { username: 'ci-reader', password: 'wrong' } }, []],
    ['throttled', { timeout: '800ms' }, [{ ...fault, fault: { type: 'throttle' } as const }]],
    ['server_error', {}, [fault]],
  ])('is the failure of the poll where nothing else is asked for: %s', async (reason, more, faults) => {
    const hub = await limitOnly({}, more);
    hub.simulator.faults.push(...faults);
    await hub.running.poll();
    expect(await hub.running.value('up')).toBe(0);
    const failures = await hub.running.lines('poll_failures_total');
    expect(failures.filter((line) => !line.endsWith(' 0'))).toEqual([
      `poll_failures_total{reason="${reason}"} 1`,
    ]);
  });
});

test('it may be left out', async () => {
  const hub = await start({}, { pullLimit: false });
  const { manifest_head, registry_token } = await hub.cost();
  expect([manifest_head, registry_token]).toEqual([undefined, undefined]);
  expect((await hub.running.lines('capability_up')).join()).not.toContain('pull_limit');
});
