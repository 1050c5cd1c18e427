import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ReadEvents } from '../../src/events/push-event.ts';
import { plainSecret } from '../../src/secret.ts';
import { createEventReceiver } from '../../src/server/events.ts';
import { startApp } from '../support/app.ts';
import { recordingLog } from '../support/web.ts';

/** The sample payloads of the vendors' documentation, over real sockets, and what becomes of them. */

const secret = 'a-token-of-enough-length';
let seen: string[] = [];
let app: Awaited<ReturnType<typeof startApp>>;

const shown = (events: ReadEvents): string[] =>
  events.map((event) => {
    if (!event) return 'invalid';
    if (event.type === 'other') return 'other';
    return `${event.type} ${event.repository}${event.type === 'failed' ? ` ${event.reason}` : ''}`;
  });

beforeAll(async () => {
  const { log } = recordingLog();
  const loop = {
    receive(source: string, events: ReadEvents) {
      seen.push(...shown(events).map((line) => `${source}: ${line}`));
      return { saved: Promise.resolve(), lost() {} };
    },
    refused: (outcome: string) => void seen.push(`refused: ${outcome}`),
  };
  app = await startApp({
    events: createEventReceiver({
      log: log as never,
      target: (name) => (name === 'edge' ? { loop, token: plainSecret(secret) } : undefined),
      forward: () => expect.unreachable(),
      starting: () => false,
    }),
  });
});
afterAll(() => app.close());
beforeEach(() => {
  seen = [];
});

const send = (
  body: unknown,
  init: { path?: string; headers?: Record<string, string>; method?: string } = {},
) =>
  fetch(`${app.url}/events/${init.path ?? 'edge'}`, {
    method: init.method ?? 'POST',
    headers: { authorization: `Bearer ${secret}`, ...init.headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });

/** https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference */
const acrPush = {
  id: 'cb8c3971-9adc-488b-xxxx-43cbb4974ff5',
  timestamp: '2017-11-17T16:52:01.343145347Z',
  action: 'push',
  target: {
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    size: 524,
    digest: 'sha256:xxxxd5c8786bb9e621a45ece0dbxxxx1cdc624ad20da9fe62e9d25490f33xxxx',
    length: 524,
    repository: 'hello-world',
    tag: 'v1',
  },
  request: {
    id: '3cbb6949-7549-4fa1-xxxx-a6d5451dffc7',
    host: 'myregistry.azurecr.io',
    method: 'PUT',
    useragent: 'docker/17.09.0-ce',
  },
};
const acrDelete = {
  ...acrPush,
  action: 'delete',
  target: { mediaType: 'x', digest: 'sha256:x', repository: 'hello-world' },
};
/** https://learn.microsoft.com/azure/event-grid/event-schema-container-registry */
const grid = (eventType: string, data: object) => ({
  id: '831e1650-001e-001b-66ab-eeb76e069631',
  topic: '/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/myregistry',
  subject: 'aci-helloworld:v1',
  eventType,
  eventTime: '2018-04-25T21:39:47.6549614Z',
  data,
  dataVersion: '1.0',
  metadataVersion: '1',
});
const cloud = (type: string, data: object) => ({
  source: '/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/myregistry',
  subject: 'aci-helloworld:v1',
  type,
  time: '2018-04-25T21:39:47.6549614Z',
  data,
  id: '831e1650-001e-001b-66ab-eeb76e069631',
  specversion: '1.0',
});
/** https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhook-event-types */
const artifactory = (event_type: string, domain = 'docker') => ({
  domain,
  event_type,
  data: {
    repo_key: 'docker-local',
    path: 'library/ubuntu/latest/list.manifest.json',
    name: 'list.manifest.json',
    sha256: '35c4a2c15539c6c1e4e5fa4e554dac323ad0107d8eb5c582d6ff386b383b7dce',
    size: 1206,
    image_name: 'library/ubuntu',
    tag: 'latest',
    platforms: [{ architecture: 'amd64', os: 'linux' }],
  },
  subscription_key: 'test',
  jpd_origin: 'http://localhost:8081',
  source: 'jfrog/user@localhost',
});
/** https://cloud.google.com/artifact-registry/docs/configure-notifications */
const pubsub = (notice: object | string) => ({
  message: {
    data: Buffer.from(typeof notice === 'string' ? notice : JSON.stringify(notice)).toString('base64'),
    messageId: '2070443601311540',
    message_id: '2070443601311540',
    publishTime: '2021-02-26T19:13:55.749Z',
  },
  subscription: 'projects/myproject/subscriptions/mysubscription',
});
/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html */
const ecr = (kind: string, detail: object) => ({
  version: '0',
  id: '13cde686-328b-6117-af20-0e5566167482',
  'detail-type': kind,
  source: 'aws.ecr',
  account: '123456789012',
  time: '2019-11-16T01:54:34Z',
  region: 'us-west-2',
  resources: [],
  detail,
});
const image = {
  result: 'SUCCESS',
  'repository-name': 'my-repository-name',
  'image-digest': 'sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd1234',
  'action-type': 'PUSH',
  'image-tag': 'latest',
};
/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/logging-using-cloudtrail.html */
const call = (eventName: string, errorCode?: string) =>
  ecr('AWS API Call via CloudTrail', {
    eventVersion: '1.04',
    eventTime: '2019-04-15T16:45:00Z',
    eventSource: 'ecr.amazonaws.com',
    eventName,
    requestParameters: { repositoryName: 'testrepo', imageTag: 'latest', registryId: '123456789012' },
    eventID: '6b06f8dd-0d6b-4f6f-9e4e-1c7b1c3d4e5f',
    ...(errorCode && { errorCode, errorMessage: 'The image tag is immutable' }),
  });

const samples: readonly (readonly [string, unknown, readonly string[]])[] = [
  ['a push by ACR’s webhook', acrPush, ['acr: pushed hello-world']],
  ['a deletion by it', acrDelete, ['acr: changed hello-world']],
  ['a chart by it', { ...acrPush, action: 'chart_push' }, ['acr: pushed hello-world']],
  ['its ping', { id: 'p', timestamp: '2017-11-17T16:52:01Z', action: 'ping', target: {} }, ['acr: other']],
  ['its ping about nothing', { id: 'p', timestamp: '2017-11-17T16:52:01Z', action: 'ping' }, ['acr: other']],
  [
    'its ping about null',
    { id: 'p', timestamp: '2017-11-17T16:52:01Z', action: 'ping', target: null, request: null },
    ['acr: other'],
  ],
  [
    'ACR through Event Grid',
    [
      grid('Microsoft.ContainerRegistry.ImagePushed', acrPush),
      grid('Microsoft.ContainerRegistry.ImageDeleted', acrDelete),
      grid('Microsoft.Storage.BlobCreated', {}),
    ],
    ['acr: pushed hello-world', 'acr: changed hello-world', 'acr: invalid'],
  ],
  [
    'ACR as CloudEvents',
    cloud('Microsoft.ContainerRegistry.ImagePushed', acrPush),
    ['acr: pushed hello-world'],
  ],
  ['a push to Artifactory', artifactory('pushed'), ['artifactory: pushed docker-local/library/ubuntu']],
  ['a promotion', artifactory('promoted'), ['artifactory: pushed docker-local/library/ubuntu']],
  ['a deletion from it', artifactory('deleted'), ['artifactory: changed docker-local/library/ubuntu']],
  ['a file of another kind', artifactory('deployed', 'artifact'), ['artifactory: other']],
  [
    'a push to Artifact Registry',
    pubsub({
      action: 'INSERT',
      digest: 'us-east1-docker.pkg.dev/my-project/my-repo/hello-world@sha256:6ec128e26cd5',
      tag: 'us-east1-docker.pkg.dev/my-project/my-repo/hello-world:1.1',
    }),
    ['artifact-registry: pushed my-repo/hello-world'],
  ],
  [
    'a tag that is deleted, in the domain of Container Registry, of a project with a domain',
    pubsub({ action: 'DELETE', tag: 'gcr.io/example.com/my-project/a/b:latest' }),
    ['artifact-registry: changed gcr.io/a/b'],
  ],
  ['a message of another topic', pubsub('hello'), ['artifact-registry: other']],
  ['a push to ECR', ecr('ECR Image Action', image), ['ecr: pushed my-repository-name']],
  [
    'a deletion from it',
    ecr('ECR Image Action', { ...image, 'action-type': 'DELETE' }),
    ['ecr: changed my-repository-name'],
  ],
  [
    'a scan',
    ecr('ECR Image Scan', {
      'scan-status': 'COMPLETE',
      'repository-name': 'my-repository-name',
      'finding-severity-counts': { CRITICAL: 10, MEDIUM: 9 },
      'image-digest': 'sha256:7f5b',
      'image-tags': [],
    }),
    ['ecr: changed my-repository-name'],
  ],
  [
    'an image that the cache could not pull',
    ecr('ECR Pull Through Cache Action', {
      'rule-version': '1',
      'sync-status': 'FAILED',
      'ecr-repository-prefix': 'docker-hub',
      'repository-name': 'docker-hub/library/nginx',
      'upstream-registry-url': 'registry-1.docker.io',
      'image-tag': 'latest',
      'failure-code': 'ThrottlingException',
      'failure-reason': 'too many',
    }),
    ['ecr: failed docker-hub/library/nginx throttled'],
  ],
  ['a call that worked', call('PutImage'), ['ecr: other']],
  ['an image that is there already', call('PutImage', 'ImageAlreadyExistsException'), ['ecr: other']],
  [
    'a tag that is immutable',
    call('PutImage', 'ImageTagAlreadyExistsException'),
    ['ecr: failed testrepo immutable_tag'],
  ],
  ['no permission', call('InitiateLayerUpload', 'AccessDenied'), ['ecr: failed testrepo denied']],
  [
    'no such repository',
    call('InitiateLayerUpload', 'RepositoryNotFoundException'),
    ['ecr: failed testrepo not_found'],
  ],
  ['too many images', call('PutImage', 'LimitExceededException'), ['ecr: failed testrepo quota']],
  ['too fast', call('UploadLayerPart', 'ThrottlingException'), ['ecr: failed testrepo throttled']],
  [
    'a layer that is broken',
    call('CompleteLayerUpload', 'InvalidLayerException'),
    ['ecr: failed testrepo invalid'],
  ],
  [
    'a key that cannot be used',
    call('CompleteLayerUpload', 'KmsException'),
    ['ecr: failed testrepo server_error'],
  ],
  ['a word that is new', call('PutImage', 'SomethingNew'), ['ecr: failed testrepo other']],
  ['a call that reads', call('BatchGetImage', 'AccessDenied'), ['ecr: other']],
];

test.each(samples)('%s', async (_title, body, expected) => {
  expect((await send(body)).status).toBe(202);
  expect(seen).toEqual(expected);
});

test('whatever is missing, added, or cut off does no harm, and names nothing that was not told', async () => {
  const bodies = samples.map(([, body]) => JSON.stringify(body));
  const names = new Set(samples.flatMap(([, , lines]) => lines));
  const repositories = new Set([...names].map((line) => line.split(' ')[2]).filter(Boolean));
  const change = fc.record({
    body: fc.nat(bodies.length - 1),
    at: fc.nat(3_000),
    kind: fc.nat(3),
    text: fc.string(),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ body, at, kind, text }) => {
      seen = [];
      const whole = bodies[body] ?? '';
      const keys = [...whole.matchAll(/"([\w-]+)":/g)].map(([, key]) => key ?? '');
      const key = keys[at % keys.length] ?? '';
      const without = (value: unknown): unknown =>
        Array.isArray(value)
          ? value.map(without)
          : value !== null && typeof value === 'object'
            ? Object.fromEntries(
                Object.entries(value).flatMap(([name, inner]) =>
                  name === key ? [] : [[name, without(inner)]],
                ),
              )
            : value;
      const changed = [
        whole.slice(0, at % whole.length),
        JSON.stringify(without(JSON.parse(whole))),
        whole.replace(`"${key}":`, `${JSON.stringify(`new-${text}`)}:{"x":[1]},"${key}":`),
        whole.replace(new RegExp(`"${key}":("[^"]*"|\\d+)`), `"${key}":${JSON.stringify(text)}`),
      ][kind];
      const { status } = await send(changed ?? '');
      expect([202, 400]).toContain(status);
      for (const line of seen) {
        const repository = line.split(' ')[2];
        if (repository && kind < 3) expect([...repositories]).toContain(repository);
      }
    }),
    { numRuns: 300 },
  );
});

describe('Event Grid asks before it sends', () => {
  const question = [
    {
      id: '2d1781af-3a4c-4d7c-bd0c-e34b19da4e66',
      topic: '/subscriptions/s',
      subject: '',
      data: {
        validationCode: '512d38b6-c7b8-40c8-89fe-f46f9e9622b6',
        validationUrl: 'https://example.com/x',
      },
      eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent',
      eventTime: '2018-01-25T22:12:19.4556811Z',
      metadataVersion: '1',
      dataVersion: '1',
    },
  ];

  test('with a code, which is given back to those who have the token', async () => {
    const answer = await send(question, { headers: { 'aeg-event-type': 'SubscriptionValidation' } });
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { validationResponse: '512d38b6-c7b8-40c8-89fe-f46f9e9622b6' },
    ]);
    expect(seen).toEqual([]);
    expect((await send(question, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
  });

  test('with OPTIONS, for CloudEvents', async () => {
    const headers = { 'webhook-request-origin': 'eventgrid.azure.net' };
    const answer = await send(undefined, { method: 'OPTIONS', headers });
    expect([answer.status, answer.headers.get('webhook-allowed-origin')]).toEqual([
      200,
      'eventgrid.azure.net',
    ]);
    expect((await send(undefined, { method: 'OPTIONS' })).status).toBe(400);
    const wrong = { ...headers, authorization: 'Bearer wrong' };
    expect((await send(undefined, { method: 'OPTIONS', headers: wrong })).status).toBe(401);
  });
});

describe('Artifactory shows its secret in a header of its own', () => {
  const body = JSON.stringify(artifactory('pushed'));
  const signature = createHmac('sha256', secret).update(body).digest('hex');
  const post = (header: string, text = body, path = 'edge') =>
    fetch(`${app.url}/events/${path}`, {
      method: 'POST',
      headers: { 'x-jfrog-event-auth': header },
      body: text,
    });

  test.each([
    ['as it is', secret],
    ['by signing the body', signature],
    ['by signing the body, with the name of the hash', `sha256=${signature}`],
  ])('%s', async (_title, header) => {
    expect((await post(header)).status).toBe(202);
    expect(seen).toEqual(['artifactory: pushed docker-local/library/ubuntu']);
  });

  test('another body, another secret, another registry, and a body that is too large for a stranger are refused', async () => {
    const other = createHmac('sha256', 'another-secret-of-16').update(body).digest('hex');
    const large = ' '.repeat(70_000) + body;
    const statuses = await Promise.all([
      post(signature, `${body} `),
      post(other),
      post(signature, body, 'nowhere'),
      post(createHmac('sha256', secret).update(large).digest('hex'), large),
    ]);
    expect(statuses.map(({ status }) => status)).toEqual([401, 401, 401, 413]);
    expect(seen).toEqual(['refused: unauthorized', 'refused: unauthorized']);
  });
});
