import { afterEach, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import { startPubSub } from '../simulators/pubsub.ts';
import { startProject } from '../support/artifact-registry.ts';
import { eventually, tempDir } from '../support/programs.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/** Push events of Artifact Registry that the exporter pulls from Pub/Sub. */

const subscription = 'projects/tests/subscriptions/exporter';
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function setup(storagePath?: string) {
  const project = await startProject({ transport: 'rest' });
  const pubsub = await startPubSub(subscription);
  open.push(project.close, pubsub.close);
  const start = async (): Promise<RunningLoop> => {
    const running = await runLoop(
      artifactRegistry,
      {
        ...project.registry,
        pubsubEndpoint: pubsub.url,
        http: { retries: 0, timeout: '2s' },
        pushEvents: { subscription, interval: '50ms' },
      },
      { ...(storagePath !== undefined && { storagePath }) },
    );
    await running.poll();
    return running;
  };
  const [{ name } = { name: '' }] = [...project.estate.repositories.values()].filter(
    ({ images }) => images.size > 0,
  );
  const at = `${project.simulator.location}-docker.pkg.dev/${project.simulator.project}`;
  return { project, pubsub, start, name, at };
}
const digest = `sha256:${'a'.repeat(64)}`;
const counted = (running: RunningLoop) => running.counted('pushes_total', 'push_failures_total');

/** An entry of the audit log, as a sink sends it. */
const audit = (at: { project: string; location: string }, code: number, more: object = {}) => ({
  insertId: `entry-${code}-${JSON.stringify(more)}`,
  logName: `projects/${at.project}/logs/cloudaudit.googleapis.com%2Fdata_access`,
  timestamp: '2026-11-26T10:00:00Z',
  protoPayload: {
    '@type': 'type.googleapis.com/google.cloud.audit.AuditLog',
    serviceName: 'artifactregistry.googleapis.com',
    methodName: 'Docker-PutManifest',
    resourceName: `projects/${at.project}/locations/${at.location}/repositories/prod/dockerImages/api@${digest}`,
    ...(code !== 0 && { status: { code, message: 'refused' } }),
    ...more,
  },
});

test('pushes count, failed ones by the code of the audit log; other places and other methods do not', async () => {
  const { project, pubsub, start, name, at } = await setup();
  const running = await start();
  open.push(() => running.stop());
  const { simulator } = project;
  pubsub.publish({ action: 'INSERT', digest: `${at}/${name}@${digest}`, tag: `${at}/${name}:v1` });
  pubsub.publish({ action: 'DELETE', tag: `${at}/${name}:v0` });
  // Another location and another project of the same topic.
  pubsub.publish({ action: 'INSERT', tag: `us-docker.pkg.dev/${simulator.project}/${name}:v1` });
  pubsub.publish({ action: 'INSERT', tag: `${simulator.location}-docker.pkg.dev/other/${name}:v1` });
  const resourceName = `projects/${simulator.project}/locations/${simulator.location}/repositories/prod`;
  for (const code of [7, 6, 8, 0, 16]) pubsub.publish(audit(simulator, code, { resourceName }));
  pubsub.publish(audit(simulator, 5, { methodName: 'Docker-GetManifest', resourceName }));
  pubsub.publish(audit({ ...simulator, location: 'us' }, 7));
  pubsub.publish('no json at all');
  pubsub.publish({ action: 5 });
  await eventually(async () => {
    expect(await running.counted('pushes_total', 'push_failures_total', 'events_source_up')).toEqual([
      'events_source_up{source="pubsub"} 1',
      'pushes_total{repository=""} 3',
      `pushes_total{repository="${name}"} 1`,
      'push_failures_total{repository="",reason="denied"} 1',
      'push_failures_total{repository="",reason="immutable_tag"} 1',
      'push_failures_total{repository="",reason="throttled"} 1',
    ]);
    expect(pubsub.waiting()).toBe(0);
  });
});

test('odd messages are acknowledged with the others: without an id, of another form, or too long', async () => {
  const { pubsub, start, name, at } = await setup();
  pubsub.odd([
    { messageId: 5, data: 7 },
    { data: 'eA==' },
    null,
    { messageId: 'long', data: Buffer.from('x'.repeat(2 ** 21)).toString('base64') },
  ]);
  pubsub.publish({ action: 'INSERT', tag: `${at}/${name}:v1` });
  const running = await start();
  open.push(() => running.stop());
  await eventually(async () => {
    expect(pubsub.waiting()).toBe(0);
    expect(await counted(running)).toEqual([`pushes_total{repository="${name}"} 1`]);
  });
});

test('a network that swallows packets is a source that is down', async () => {
  const { pubsub, start } = await setup();
  pubsub.state.silent = true;
  const running = await start();
  open.push(() => running.stop());
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="pubsub"} 0']),
  );
});

test('a message that comes again counts once: the acknowledgement failed, or the exporter was restarted', async () => {
  const dir = tempDir();
  open.push(dir.remove);
  const { pubsub, start, name, at } = await setup(dir.path);
  pubsub.state.ackDeadlineMs = 100;
  pubsub.state.failingAcks = 2;
  const first = await start();
  pubsub.publish({ action: 'INSERT', tag: `${at}/${name}:v1` }, 'one');
  await eventually(async () =>
    expect(await counted(first)).toEqual([`pushes_total{repository="${name}"} 1`]),
  );
  await first.stop();
  pubsub.publish({ action: 'INSERT', tag: `${at}/${name}:v1` }, 'one');
  pubsub.publish({ action: 'INSERT', tag: `${at}/${name}:v2` }, 'two');
  const second = await start();
  open.push(() => second.stop());
  await eventually(async () => {
    expect(await counted(second)).toEqual([`pushes_total{repository="${name}"} 2`]);
    expect(pubsub.waiting()).toBe(0);
  });
});

test.each([
  [
    'no such subscription',
    404,
    '{"error":{"code":404,"status":"NOT_FOUND","message":"Resource not found"}}',
    'mend its name in pushEvents',
  ],
  [
    'no permission',
    403,
    '{"error":{"code":403,"status":"PERMISSION_DENIED","message":"denied"}}',
    'roles/pubsub.subscriber',
  ],
  ['a page of HTML', 200, '<html></html>', 'no JSON'],
  ['a list of something else', 200, '{"receivedMessages":[{"ackId":1}]}', 'receivedMessages'],
])('%s: the source is down, and the log says what to do', async (_, status, body, advice) => {
  const { pubsub, start } = await setup();
  pubsub.state.answer = { status, body };
  const running = await start();
  open.push(() => running.stop());
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="pubsub"} 0']),
  );
  expect(running.log()).toContain(advice);
  pubsub.state.answer = undefined;
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="pubsub"} 1']),
  );
});

test('an entry of several places is refused: they would take each other’s messages', () => {
  const entry = { name: 'google', type: 'artifact-registry', pushEvents: { subscription } };
  const refused = (more: object) => () =>
    parseConfig(JSON.stringify({ registries: [{ ...entry, ...more }] }), {
      file: 'test.yaml',
      providers: { 'artifact-registry': artifactRegistry },
    });
  expect(refused({ projects: ['a-project'], locations: ['us', 'europe'] })).toThrow(
    /one project and one location/,
  );
  expect(refused({ projects: ['a-project'] })).toThrow(/one project and one location/);
  expect(refused({ projects: ['a-project'], locations: ['us'] })).not.toThrow();
});
