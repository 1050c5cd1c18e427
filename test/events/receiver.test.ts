import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEventReceiver } from '../../src/events.ts';
import { plainSecret } from '../../src/secret.ts';
import { loopOf, startApp, statusOf } from '../support/app.ts';
import { recordingLog } from '../support/web.ts';

const token = 'a-token-of-enough-length';
let seen: string[];
let app: Awaited<ReturnType<typeof startApp>>;
let logged: string[];

beforeEach(async () => {
  seen = [];
  const { log, lines } = recordingLog();
  logged = lines;
  const loop = {
    ...loopOf(statusOf('edge')),
    pushed: (repository: string, failure?: string) =>
      seen.push(`pushed ${repository} ${failure ?? ''}`.trim()),
    look: (repository: string) => seen.push(`look ${repository}`),
    countEvent: (source: string, outcome: string) => seen.push(`count ${source} ${outcome}`),
  };
  const targets = new Map([['edge', { loop: loop as never, token: plainSecret(token) }]]);
  app = await startApp({ events: createEventReceiver((name) => targets.get(name), log as never) });
});
afterEach(() => app.close());

const post = (body: unknown, options: { path?: string; headers?: Record<string, string> } = {}) =>
  fetch(`${app.url}/events/${options.path ?? 'edge'}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...options.headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

const manifest = 'application/vnd.oci.image.manifest.v1+json';
const event = (id: string, more: object = {}, target: object = {}) => ({
  id,
  action: 'push',
  ...more,
  target: { mediaType: manifest, repository: 'team/app', digest: 'sha256:1', tag: 'v1', ...target },
});
const zot = (id: string, type: string, data: object = { name: 'team/app' }) => ({
  specversion: '1.0',
  id,
  type: `zotregistry.${type}`,
  data,
});

describe('who may send', () => {
  test.each([
    ['no token', { authorization: '' }],
    ['a wrong token', { authorization: 'Bearer a-token-of-enough-lengtH' }],
    ['the beginning of the token', { authorization: `Bearer ${token.slice(0, -1)}` }],
    ['the token and more', { authorization: `Bearer ${token}x` }],
    ['a wrong password', { authorization: `Basic ${Buffer.from('zot:wrong').toString('base64')}` }],
    ['the token as a user', { authorization: `Basic ${Buffer.from(`${token}:x`).toString('base64')}` }],
  ])('%s: 401, counted, and the body is not looked at', async (_title, headers) => {
    const answer = await post('{ not even JSON', { headers });
    expect([answer.status, await answer.text()]).toEqual([401, 'unauthorized\n']);
    expect(seen).toEqual(['count unknown unauthorized']);
  });

  test.each([
    ['Bearer', `Bearer ${token}`],
    ['the header alone', token],
    ['the password of basic authentication', `Basic ${Buffer.from(`zot:${token}`).toString('base64')}`],
  ])('the token as %s is let in', async (_title, authorization) => {
    expect((await post({ events: [] }, { headers: { authorization } })).status).toBe(202);
  });

  test('the token in the address is let in, for those that can send no header', async () => {
    const send = async (query: string, headers?: Record<string, string>) => {
      const answer = await fetch(`${app.url}/events/edge${query}`, {
        method: 'POST',
        body: '{"events":[]}',
        ...(headers && { headers }),
      });
      return answer.status;
    };
    expect(await send(`?token=${token}`)).toBe(202);
    expect(await send('?token=wrong')).toBe(401);
    expect(await send('')).toBe(401);
    expect(await send(`?token=${token}&token=${token}`)).toBe(401);
    expect(await send(`?token=${token}`, { authorization: 'Bearer wrong' })).toBe(401);
    expect(logged.join()).not.toContain(token);
  });

  test('an unknown registry is answered as a wrong token is, so that names cannot be guessed', async () => {
    const [unknown, wrong] = await Promise.all([
      post({ events: [] }, { path: 'nowhere' }),
      post({ events: [] }, { headers: { authorization: 'Bearer wrong' } }),
    ]);
    expect([unknown.status, await unknown.text()]).toEqual([wrong.status, await wrong.text()]);
  });

  test('other paths and methods are not there', async () => {
    expect((await post({ events: [] }, { path: '' })).status).toBe(404);
    expect((await fetch(`${app.url}/events/edge`)).status).toBe(404);
  });
});

describe('what is no event', () => {
  test.each([
    ['no JSON', '{'],
    ['a text', '"hello"'],
    ['nothing', ''],
    ['JSON of something else', '{"hello": "world"}'],
    ['an event without an id', JSON.stringify({ events: [{ action: 'push', target: {} }] })],
    ['a CloudEvent of somebody else', JSON.stringify({ ...zot('1', ''), type: 'com.example.thing' })],
  ])('%s: 400, counted and logged', async (_title, body) => {
    expect((await post(body)).status).toBe(400);
    expect(seen).toEqual(['count unknown invalid']);
    expect(logged).toHaveLength(1);
  });

  test('more than a megabyte: 413, counted', async () => {
    expect((await post({ events: [event('1', { note: 'x'.repeat(2 ** 20) })] })).status).toBe(413);
    expect(seen).toEqual(['count unknown invalid']);
  });
});

describe('events of the distribution registry', () => {
  test.each([
    ['a push', event('1'), ['pushed team/app', 'count distribution accepted']],
    [
      'a push of an index',
      event('1', {}, { mediaType: 'application/vnd.oci.image.index.v1+json' }),
      ['pushed team/app', 'count distribution accepted'],
    ],
    ['a layer', event('1', {}, { mediaType: 'application/octet-stream' }), ['count distribution ignored']],
    ['a pull', event('1', { action: 'pull' }), ['count distribution ignored']],
    [
      'a deletion',
      event('1', { action: 'delete' }, { mediaType: undefined }),
      ['look team/app', 'count distribution accepted'],
    ],
    ['a mount', event('1', { action: 'mount' }), ['count distribution ignored']],
  ])('%s', async (_title, one, expected) => {
    expect((await post({ events: [one] })).status).toBe(202);
    expect(seen).toEqual(expected);
  });

  test('an event that is sent again counts once; the same tag pushed again counts again', async () => {
    for (const id of ['1', '1', '2', '1']) await post({ events: [event(id)] });
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(2);
    expect(seen.filter((line) => line === 'count distribution duplicate')).toHaveLength(2);
  });

  test('thousands of pulls between a push and its repetition do not make it new', async () => {
    await post({ events: [event('first')] });
    for (let batch = 0; batch < 4; batch += 1) {
      const pulls = Array.from({ length: 3000 }, (_, at) => event(`${batch}-${at}`, { action: 'pull' }));
      await post({ events: pulls });
    }
    await post({ events: [event('first')] });
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(1);
  });
});

describe('events of zot', () => {
  test.each([
    ['image.updated', ['pushed team/app', 'count zot accepted']],
    ['image.lint_failed', ['pushed team/app lint', 'count zot accepted']],
    ['image.deleted', ['look team/app', 'count zot accepted']],
    ['repository.created', ['look team/app', 'count zot accepted']],
    ['something.new', ['count zot ignored']],
  ])('%s', async (type, expected) => {
    const headers = { 'content-type': 'application/cloudevents+json' };
    expect((await post(zot('1', type), { headers })).status).toBe(202);
    expect(seen).toEqual(expected);
  });

  test('in binary mode, as zot sends them: the body is the data, all else are headers', async () => {
    const headers = {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-source': 'zotregistry.dev',
      'ce-id': '0b1f1f2c-6f3e-4f2e-9d0a-1c6b8f1f0a11',
      'ce-type': 'zotregistry.image.updated',
    };
    const data = { name: 'team/app', reference: 'v1', digest: 'sha256:1', mediaType: manifest };
    for (let turn = 0; turn < 2; turn += 1) expect((await post(data, { headers })).status).toBe(202);
    expect(seen).toEqual(['pushed team/app', 'count zot accepted', 'count zot duplicate']);
  });

  test('with another prefix of its types', async () => {
    await post({ ...zot('1', ''), type: 'com.example.registry.image.lint_failed' });
    expect(seen).toEqual(['pushed team/app lint', 'count zot accepted']);
  });

  test('a batch', async () => {
    await post([zot('1', 'image.updated'), zot('1', 'image.updated'), zot('2', 'image.deleted')]);
    expect(seen).toEqual([
      'pushed team/app',
      'count zot accepted',
      'count zot duplicate',
      'look team/app',
      'count zot accepted',
    ]);
  });
});

describe('webhooks of Docker Hub', () => {
  const webhook = (more: object = {}) => ({
    callback_url: 'https://registry.hub.docker.com/u/acme/app/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/',
    push_data: { pushed_at: 1_417_566_161, pusher: 'ci', tag: 'v1', ...more },
    repository: { name: 'app', namespace: 'acme', repo_name: 'acme/app', is_private: true, status: 'Active' },
  });

  test('a push', async () => {
    expect((await post(webhook())).status).toBe(202);
    expect(seen).toEqual(['pushed acme/app', 'count docker-hub accepted']);
  });

  test('one that is sent again counts once; another tag, and the same one later, count again', async () => {
    for (const more of [{}, {}, { tag: 'v2' }, { pushed_at: 1_417_566_162 }]) await post(webhook(more));
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(3);
    expect(seen.filter((line) => line.endsWith('duplicate'))).toHaveLength(1);
  });
});

describe("Harbor's webhooks", () => {
  const data = {
    resources: [{ digest: 'sha256:1', tag: 'v1', resource_url: 'harbor.dev/team/deep/app:v1' }],
    repository: {
      date_created: 1677053165,
      name: 'deep/app',
      namespace: 'team',
      repo_full_name: 'team/deep/app',
      repo_type: 'public',
    },
  };
  const own = (type: string, occur_at = 1678082303) => ({
    type,
    occur_at,
    operator: 'admin',
    event_data: data,
  });
  const cloud = (type: string, id = '4b2f89a6-548d-4c12-9993-a1f5790b97d2') => ({
    specversion: '1.0',
    requestid: '2eedfab8-61d3-4f3c-8ec3-8f82d1ec4c84',
    id,
    source: '/projects/1/webhook/policies/3',
    type,
    datacontenttype: 'application/json',
    time: '2023-03-06T06:08:43Z',
    data,
    operator: 'admin',
  });
  const pushed = ['pushed team/deep/app', 'count harbor accepted'];
  const looked = ['look team/deep/app', 'count harbor accepted'];
  const refused = ['pushed team/deep/app quota', 'count harbor accepted'];
  const ignored = ['count harbor ignored'];

  test.each([
    ['PUSH_ARTIFACT', 'harbor.artifact.pushed', pushed],
    ['DELETE_ARTIFACT', 'harbor.artifact.deleted', looked],
    ['SCANNING_COMPLETED', 'harbor.scan.completed', looked],
    ['SCANNING_FAILED', 'harbor.scan.failed', looked],
    ['SCANNING_STOPPED', 'harbor.scan.stopped', looked],
    ['QUOTA_EXCEED', 'harbor.quota.exceeded', refused],
    ['QUOTA_WARNING', 'harbor.quota.warned', ignored],
    ['PULL_ARTIFACT', 'harbor.artifact.pulled', ignored],
    ['REPLICATION', 'harbor.replication.status.changed', ignored],
    ['TAG_RETENTION', 'harbor.tag_retention.finished', ignored],
    ['SOMETHING_NEW', 'harbor.something.new', ignored],
  ])('%s, and %s as a CloudEvent', async (type, cloudType, expected) => {
    const headers = { 'content-type': 'application/cloudevents+json' };
    expect((await post(own(type))).status).toBe(202);
    expect((await post(cloud(cloudType), { headers })).status).toBe(202);
    expect(seen).toEqual([...expected, ...expected]);
  });

  test('sent again count once; the same pushed again a second later counts again', async () => {
    for (const at of [1, 1, 2]) await post(own('PUSH_ARTIFACT', at));
    for (const id of ['a', 'a', 'b']) await post(cloud('harbor.artifact.pushed', id));
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(4);
    expect(seen.filter((line) => line === 'count harbor duplicate')).toHaveLength(2);
  });

  test('without a repository say nothing of one', async () => {
    expect((await post({ type: 'PUSH_ARTIFACT', occur_at: 1, operator: 'admin' })).status).toBe(202);
    expect(seen).toEqual(ignored);
  });
});
