import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import { type RequestCount, startCloudMonitoring } from '../simulators/cloud-monitoring.ts';
import { startProject } from '../support/artifact-registry.ts';
import { eventually, tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';

/** Failed pushes of Artifact Registry that Cloud Monitoring counts for a project and location as a whole. */

const open: (() => unknown)[] = [];
// The clock is set ahead: a minute is there some minutes after it.
const clock = Date.now;
let aheadMs = 0;
beforeEach(() => {
  aheadMs = 0;
  vi.spyOn(Date, 'now').mockImplementation(() => clock() + aheadMs);
});
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
  vi.restoreAllMocks();
});
const later = (minutes: number) => {
  aheadMs += minutes * 60_000;
};

async function setup(storagePath?: string) {
  const project = await startProject({ transport: 'rest' });
  const { project: name, location } = project.simulator;
  const monitoring = await startCloudMonitoring(name);
  open.push(project.close, monitoring.close);
  const { state } = monitoring;
  const start = async () => {
    const running = await runLoop(
      artifactRegistry,
      {
        ...project.registry,
        monitoringEndpoint: monitoring.url,
        http: { retries: 0, timeout: '2s' },
        pushEvents: { metrics: true, interval: '30ms' },
      },
      { ...(storagePath !== undefined && { storagePath }) },
    );
    open.push(() => running.stop());
    await running.poll();
    return running;
  };
  const more = async (times: number) => {
    const before = state.asked;
    await eventually(() => expect(state.asked).toBeGreaterThan(before + times));
  };
  const counted = (one: Partial<RequestCount> = {}): RequestCount => ({
    end: Math.ceil(Date.now() / 60_000) * 60 + 60,
    count: 1,
    method: 'Docker-PutManifest',
    code: '403',
    location,
    repository: 'prod',
    ...one,
  });
  return { state, start, more, counted };
}
const failures = ['push_failures_total', 'events_source_up'];
const failed = (reason: string, count: number) =>
  `push_failures_total{repository="",reason="${reason}"} ${count}`;
const isUp = 'events_source_up{source="cloud-monitoring"} 1';
const isDown = 'events_source_up{source="cloud-monitoring"} 0';

test('count once, by the status, over pages; reads, other locations and what was before do not', async () => {
  const { state, start, more, counted } = await setup();
  const running = await start();
  await more(2);
  state.pageSize = 2;
  const { end } = counted();
  state.counts = [
    counted({ count: 2 }),
    counted({ code: '404', repository: 'other' }),
    counted({ code: '429', method: 'Docker-StartUpload' }),
    counted({ code: '503', method: 'Docker-FinishUpload', end: end + 60 }),
    // They worked, or asked for a token.
    counted({ code: '201', count: 50 }),
    counted({ code: '401', count: 7 }),
    counted({ method: 'Docker-GetManifest', count: 90 }),
    counted({ location: 'us', count: 5 }),
    // Before the exporter looked.
    counted({ end: end - 600, count: 9 }),
  ];
  later(10);
  await eventually(async () =>
    expect((await running.counted(...failures)).sort()).toEqual([
      isUp,
      failed('denied', 2),
      failed('not_found', 1),
      failed('server_error', 1),
      failed('throttled', 1),
    ]),
  );
  await more(2);
  expect(await running.counted('push_failures_total')).toHaveLength(4);
  expect(await running.value('events_source_lag_seconds')).toBeDefined();
});

test.each([
  ['PERMISSION_DENIED', 'denied'],
  ['ALREADY_EXISTS', 'immutable_tag'],
  ['7', 'denied'],
  ['FAILED_PRECONDITION', 'other'],
])('a status may be one of gRPC, by name or number: %s', async (code, reason) => {
  const { state, start, more, counted } = await setup();
  const running = await start();
  await more(1);
  state.counts = [
    counted({ code }),
    ...['OK', 'UNAUTHENTICATED', '0', '16'].map((own) => counted({ code: own })),
  ];
  later(10);
  await eventually(async () => expect(await running.counted(...failures)).toEqual([isUp, failed(reason, 1)]));
});

test.each([
  [{ code: undefined }, 'without the label response_code'],
  [{ code: 'WORD' }, 'the response_code \\"WORD\\", which is no status of HTTP or gRPC'],
])('labels that cannot be understood are a source that is down: %o', async (odd, said) => {
  const { state, start, more, counted } = await setup();
  const running = await start();
  await more(1);
  state.counts = [counted({ count: 3 }), counted(odd as never)];
  later(10);
  await eventually(async () =>
    expect(await running.counted(...failures)).toEqual([isDown, failed('denied', 3)]),
  );
  expect(running.log()).toContain(said);
  state.counts = [counted({ code: '500' })];
  later(60);
  await eventually(async () =>
    expect(await running.counted(...failures)).toEqual([
      isUp,
      failed('denied', 3),
      failed('server_error', 1),
    ]),
  );
});

test('after an outage, and a restart within it, those since then are counted, once', async () => {
  const dir = tempDir();
  open.push(dir.remove);
  const { state, start, more, counted } = await setup(dir.path);
  const first = await start();
  await more(2);
  state.counts = [counted(), counted({ end: counted().end + 7200, count: 4 })];
  state.permitted = false;
  await eventually(async () => expect(await first.value('events_source_up')).toBe(0));
  expect(first.log()).toContain('which roles/monitoring.viewer gives');
  await first.stop();
  const second = await start();
  later(240);
  state.permitted = true;
  await eventually(async () =>
    expect(await second.counted('push_failures_total')).toEqual([failed('denied', 5)]),
  );
  await more(2);
  expect(await second.counted('push_failures_total')).toEqual([failed('denied', 5)]);
});

test('a number that is too large, or grows, does no harm', async () => {
  const { state, start, more, counted } = await setup();
  const running = await start();
  await more(1);
  state.counts = [counted({ count: 2 }), counted({ code: '500', count: 999_999_999_999_999 })];
  later(10);
  const shown = async (denied: number) =>
    expect(await running.counted(...failures)).toEqual([
      isUp,
      failed('denied', denied),
      failed('server_error', 10_000),
    ]);
  await eventually(() => shown(2));
  state.counts = state.counts.map((one) => ({ ...one, count: one.count + 3 }));
  await eventually(() => shown(5));
  await more(2);
  await shown(5);
});

test('an answer in part counts for what it tells, and is told', async () => {
  const { state, start, more, counted } = await setup();
  const running = await start();
  await more(1);
  state.counts = [counted()];
  state.executionErrors = [{ code: 14, message: 'a cell cannot be reached' }];
  later(10);
  await eventually(async () =>
    expect(await running.counted(...failures)).toEqual([isDown, failed('denied', 1)]),
  );
  expect(running.log()).toContain('a cell cannot be reached');
  state.executionErrors = undefined;
  await eventually(async () =>
    expect(await running.counted(...failures)).toEqual([isUp, failed('denied', 1)]),
  );
});

test('push events that read nothing are refused; several places may be counted', () => {
  const parsed = (more: object) => () =>
    parseConfig(
      JSON.stringify({
        registries: [{ name: 'google', type: 'artifact-registry', projects: ['a-project'], ...more }],
      }),
      { file: 'test.yaml', providers: { 'artifact-registry': artifactRegistry } },
    );
  expect(parsed({ pushEvents: {} })).toThrow(/reads nothing: give `subscription`, `metrics: true` or both/);
  expect(parsed({ pushEvents: { metrics: true } })).not.toThrow();
});
