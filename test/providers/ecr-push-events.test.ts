import { expect, test, vi } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { type AwsEventsOptions, startAwsEvents } from '../simulators/aws-events.ts';
import { closing, setup } from '../support/ecr-setup.ts';
import { eventually, tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';
import { emptyEstate, image, put } from '../support/uniform-estate.ts';

/** Push events of ECR that are read by asking: a queue that EventBridge fills, and calls that CloudTrail recorded. */

let number = 0;
const event = (kind: string, detail: object) => {
  number += 1;
  return {
    version: '0',
    id: `13cde686-328b-6117-af20-${String(number).padStart(12, '0')}`,
    'detail-type': kind,
    source: 'aws.ecr',
    account: '123456789012',
    time: new Date().toISOString(),
    region: 'us-east-1',
    resources: [],
    detail,
  };
};
const pushed = (repository: string) =>
  event('ECR Image Action', {
    result: 'SUCCESS',
    'repository-name': repository,
    'image-digest': 'sha256:7f5b',
    'action-type': 'PUSH',
    'image-tag': 'latest',
  });
const failed = (repository: string, errorCode: string, eventID: string) =>
  event('AWS API Call via CloudTrail', {
    eventID,
    eventName: 'PutImage',
    errorCode,
    requestParameters: { repositoryName: repository },
  });

function estate() {
  const made = emptyEstate();
  for (const name of ['app', 'web']) put(made, name, image(name, { tags: ['v1'] }));
  return made;
}

async function start(options: AwsEventsOptions = {}, pushEvents: object = {}, storagePath?: string) {
  const events = await startAwsEvents(options);
  closing(events.close);
  const { running, registry } = await setup(
    { estate: estate() },
    {
      endpoints: { cloudTrail: events.url },
      pushEvents: { queue: events.queue, ...pushEvents },
      http: { retries: 1 },
      ...(storagePath && {}),
    },
  );
  await running.poll();
  return { events, running, registry };
}

const counts = ['pushes_total', 'push_failures_total', 'events_source_up'];

test('messages of the queue are counted once each, with their reason, and deleted', async () => {
  const { events, running } = await start();
  events.send(pushed('app'));
  events.send(pushed('web'));
  // In a notification of SNS between EventBridge and the queue.
  events.send({
    Type: 'Notification',
    MessageId: 'm',
    Message: JSON.stringify(failed('app', 'ImageTagAlreadyExistsException', 'c1')),
  });
  events.send(failed('web', 'AccessDenied', 'c2'));
  // Sent again, as SQS may.
  events.send(failed('web', 'AccessDenied', 'c2'));
  events.send('not JSON');
  await eventually(async () => {
    expect(events.waiting()).toBe(0);
    expect(await running.counted(...counts)).toEqual([
      'events_source_up{source="sqs"} 1',
      'pushes_total{repository="app"} 2',
      'pushes_total{repository="web"} 2',
      'push_failures_total{repository="app",reason="immutable_tag"} 1',
      'push_failures_total{repository="web",reason="denied"} 1',
    ]);
  });
  expect(await running.value('events_source_lag_seconds')).toBeLessThan(60);
  expect(await running.lines('events_total')).toEqual([]);
});

test('a message that could not be deleted comes again, and counts once', async () => {
  const { events, running } = await start({ visibilityMs: 50 });
  events.keepsMessages = true;
  events.send(pushed('app'));
  await eventually(() => expect(events.requests.get('DeleteMessageBatch') ?? 0).toBeGreaterThan(2));
  events.keepsMessages = false;
  await eventually(async () => {
    expect(events.waiting()).toBe(0);
    expect(await running.counted('pushes_total')).toEqual(['pushes_total{repository="app"} 1']);
  });
});

test('a queue that may not be read is said, once, with what to do; polls go on; it works again by itself', async () => {
  const events = await startAwsEvents();
  closing(events.close);
  for (let times = 0; times < 2; times += 1)
    events.refusals.push({ operation: 'ReceiveMessage', status: 403, type: 'AccessDeniedException' });
  const { running } = await setup({ estate: estate() }, { pushEvents: { queue: events.queue } });
  await running.poll();
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="sqs"} 0']),
  );
  expect(await running.lines('up')).toEqual(['up{} 1']);
  events.send(pushed('app'));
  await eventually(async () =>
    expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="sqs"} 1']),
  );
  await eventually(() => expect(events.waiting()).toBe(0));
  const told = running
    .log()
    .split('\n')
    .filter((line) => line.includes('push events could not be read') && line.includes('level=warn'));
  expect(told).toHaveLength(1);
  expect(told[0]).toContain('allow sqs:receivemessage');
});

test('calls of CloudTrail: those that failed count once, whenever and however often they are there', async () => {
  const { events, running } = await start(
    { pageSize: 2, lookupsPerSecond: 20 },
    { queue: undefined, cloudTrail: true, interval: '50ms' },
  );
  await eventually(() => expect(events.requests.get('LookupEvents') ?? 0).toBeGreaterThan(2));
  // Before the exporter began to look.
  events.record({ id: 'old', name: 'PutImage', error: 'AccessDenied', secondsAgo: 600 });
  for (let at = 0; at < 5; at += 1)
    events.record({ id: `put-${at}`, name: 'PutImage', error: 'ImageTagAlreadyExistsException' });
  events.record({ id: 'fine', name: 'PutImage' });
  events.record({ id: 'again', name: 'PutImage', error: 'ImageAlreadyExistsException' });
  events.record({
    id: 'init',
    name: 'InitiateLayerUpload',
    error: 'RepositoryNotFoundException',
    repository: 'nowhere',
  });
  events.record({
    id: 'late',
    name: 'CompleteLayerUpload',
    error: 'KmsException',
    repository: 'web',
    lateMs: 1500,
  });
  await eventually(async () => {
    await running.poll();
    expect(await running.counted('push_failures_total')).toEqual([
      'push_failures_total{repository="",reason="not_found"} 1',
      'push_failures_total{repository="app",reason="immutable_tag"} 5',
      'push_failures_total{repository="web",reason="server_error"} 1',
    ]);
  });
  const before = events.requests.get('LookupEvents') ?? 0;
  await eventually(() => expect(events.requests.get('LookupEvents') ?? 0).toBeGreaterThan(before + 12));
  expect(await running.counted('push_failures_total')).toHaveLength(3);
  expect(await running.value('events_source_up')).toBe(1);
});

test('calls of CloudTrail from hours without a reading are caught up', async () => {
  const { events, running } = await start(
    { lookupsPerSecond: 20 },
    {
      ...{ queue: undefined, cloudTrail: true, interval: '50ms' },
    },
  );
  await eventually(() => expect(events.requests.get('LookupEvents') ?? 0).toBeGreaterThan(2));
  const clock = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => clock() + 4 * 3_600_000);
  closing(() => void vi.restoreAllMocks());
  events.record({ id: 'two-hours', name: 'PutImage', error: 'AccessDenied', secondsAgo: 7200 });
  events.record({ id: 'now', name: 'PutImage', error: 'AccessDenied' });
  await eventually(async () => {
    await running.poll();
    expect(await running.counted('push_failures_total')).toEqual([
      'push_failures_total{repository="app",reason="denied"} 2',
    ]);
  });
});

test('the same call by the queue and by a lookup counts once', async () => {
  const { events, running } = await start({}, { cloudTrail: true, interval: '50ms' });
  events.record({ id: 'c9', name: 'PutImage', error: 'AccessDenied' });
  events.send(failed('app', 'AccessDenied', 'c9'));
  await eventually(async () => {
    expect(events.waiting()).toBe(0);
    expect(await running.counted('push_failures_total')).toEqual([
      'push_failures_total{repository="app",reason="denied"} 1',
    ]);
  });
  const before = events.requests.get('LookupEvents') ?? 0;
  await eventually(() => expect(events.requests.get('LookupEvents') ?? 0).toBeGreaterThan(before + 6));
  expect(await running.counted('push_failures_total')).toEqual([
    'push_failures_total{repository="app",reason="denied"} 1',
  ]);
});

test('a restart counts nothing twice and loses nothing', async () => {
  const folder = tempDir();
  closing(() => folder.remove());
  const events = await startAwsEvents({ visibilityMs: 50 });
  closing(events.close);
  const { registry, running: unused } = await setup(
    { estate: estate() },
    {
      endpoints: { cloudTrail: events.url },
      pushEvents: { queue: events.queue, cloudTrail: true, interval: '50ms' },
    },
  );
  await unused.stop();
  const first = await runLoop(ecr, registry, { storagePath: folder.path });
  await first.poll();
  events.record({ id: 'c1', name: 'PutImage', error: 'AccessDenied' });
  events.keepsMessages = true;
  events.send(pushed('web'));
  await eventually(async () => expect(await first.counted('pushes_total')).toHaveLength(2));
  await first.stop();
  events.record({ id: 'c2', name: 'PutImage', error: 'AccessDenied' });
  events.keepsMessages = false;
  const second = await runLoop(ecr, registry, { storagePath: folder.path });
  closing(() => second.stop());
  await eventually(async () => {
    expect(events.waiting()).toBe(0);
    expect(await second.counted('pushes_total', 'push_failures_total')).toEqual([
      'pushes_total{repository="app"} 2',
      'pushes_total{repository="web"} 1',
      'push_failures_total{repository="app",reason="denied"} 2',
    ]);
  });
});

test('a queue that does not wait is not asked without a pause; odd parts of an answer are told', async () => {
  const { events, running } = await start({ neverWaits: true });
  const before = events.requests.get('ReceiveMessage') ?? 0;
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect((events.requests.get('ReceiveMessage') ?? 0) - before).toBeLessThan(5);
  events.odd = {
    Messages: [
      { MessageId: 'odd', ReceiptHandle: 'r1', Body: 7, MD5OfBody: 'x' },
      { MessageId: 'good', ReceiptHandle: 'r2', Body: JSON.stringify(pushed('web')), MD5OfBody: 'y' },
    ],
  };
  await eventually(async () =>
    expect(await running.counted('pushes_total')).toContain('pushes_total{repository="web"} 1'),
  );
  expect(running.log()).toContain('a part of an answer could not be understood and was left out');
});

test('a queue is that of one region: with several it is refused', () => {
  const config = {
    regions: ['eu-west-1', 'eu-west-2'],
    pushEvents: { queue: 'https://sqs.eu-west-1.amazonaws.com/1/q' },
  };
  expect(ecr.check?.(config as never, false)).toEqual([
    {
      path: ['pushEvents', 'queue'],
      message: 'is the queue of one region and account: each that has one is an entry of its own',
    },
  ]);
});
