import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEventIds } from '../../src/loop/event-ids.ts';
import { createIncoming } from '../../src/loop/incoming.ts';
import { fileSecret, plainSecret } from '../../src/secret.ts';
import { createEventReceiver } from '../../src/server/events.ts';
import { startApp } from '../support/app.ts';
import { recordingLog } from '../support/web.ts';

const token = 'a-token-of-enough-length';
let seen: string[];
let app: Awaited<ReturnType<typeof startApp>>;
let logged: string[];
let starting: boolean;
/** Fails the saving of what was counted while it is set. */
let broken: boolean;
/** What saving waits for. */
let disk: Promise<void>;

/** What a loop does with events, with the counters replaced by a record of what was counted. */
function recordingLoop() {
  let pushed = false;
  const event = (source: string, outcome: string, count = 1) =>
    seen.push(`count ${source} ${outcome}${count > 1 ? ` ${count}` : ''}`);
  return {
    refused: (outcome: string) => event('unknown', outcome),
    receive: createIncoming({
      ids: createEventIds(),
      pushes: {
        add(repository, { failures }) {
          pushed = true;
          seen.push(['pushed', repository, ...Object.keys(failures)].join(' '));
        },
      },
      counting: { event },
      journal: {
        restore: async () => {},
        push() {},
        event() {},
        identity() {},
        seal: () => 0,
        flush: async () => {
          await disk;
          if (broken) throw new Error('no space left on device');
        },
        close: async () => {},
      },
      works() {},
      wants: (repository) => !repository.startsWith('cache/'),
      look(repository) {
        // Each push is looked at; only looks without one are recorded.
        if (!pushed) seen.push(`look ${repository}`);
        pushed = false;
      },
    }).receive,
  };
}

beforeEach(async () => {
  seen = [];
  starting = false;
  broken = false;
  disk = Promise.resolve();
  const { log, lines } = recordingLog();
  logged = lines;
  const targets = new Map([['edge', { loop: recordingLoop(), token: plainSecret(token) }]]);
  app = await startApp({
    events: createEventReceiver({
      log: log as never,
      target: (name) => targets.get(name),
      forward: () => expect.unreachable(),
      starting: () => starting,
    }),
  });
});
afterEach(() => app.close());

const post = (body: unknown, options: { path?: string; headers?: Record<string, string> } = {}) =>
  fetch(`${app.url}/events/${options.path ?? 'edge'}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...options.headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
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
    const shown = async (answer: Response) => [
      answer.status,
      [...answer.headers].filter(([name]) => name !== 'date'),
      await answer.text(),
    ];
    expect(await shown(unknown)).toEqual(await shown(wrong));
  });

  test('a token file that is empty, or too short, lets nobody in', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'events-'));
    const file = join(folder, 'token');
    const tokens = { setting: 'events.tokenFile', minLength: 16 };
    const loop = { receive: () => expect.unreachable(), refused: (outcome: string) => seen.push(outcome) };
    const guarded = await startApp({
      events: createEventReceiver({
        log: { debug() {}, info() {}, warn() {}, error() {} },
        target: () => ({ loop, token: fileSecret(file, tokens) }),
        forward: () => expect.unreachable(),
        starting: () => false,
      }),
    });
    for (const content of ['', '\n', ' \n', 'short', undefined]) {
      await (content === undefined ? rm(file) : writeFile(file, content));
      for (const headers of [
        {},
        { authorization: '' },
        { authorization: 'Bearer ' },
        { authorization: `Bearer ${content?.trim()}` },
      ]) {
        const answer = await fetch(`${guarded.url}/events/edge`, {
          method: 'POST',
          body: '{"events":[]}',
          headers,
        });
        expect(answer.status).toBe(401);
      }
      const query = await fetch(`${guarded.url}/events/edge?token=`, {
        method: 'POST',
        body: '{"events":[]}',
      });
      expect(query.status).toBe(401);
    }
    expect(new Set(seen)).toEqual(new Set(['unauthorized']));
    await guarded.close();
    await rm(folder, { recursive: true });
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

  test('the same complaint is logged once, and counted each time', async () => {
    for (let turn = 0; turn < 3; turn += 1) await post('{');
    expect(seen).toEqual(Array(3).fill('count unknown invalid'));
    expect(logged.filter((line) => line.startsWith('warn'))).toHaveLength(1);
  });
});

describe('what is odd or too much', () => {
  const zipped = (body: string) => ({
    body: gzipSync(body),
    headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
  });

  test.each([
    [
      'a body of more than a megabyte',
      413,
      JSON.stringify({ events: [event('1', { note: 'x'.repeat(2 ** 20) })] }),
      {},
    ],
    [
      'a small body that unfolds to more',
      413,
      zipped(JSON.stringify({ note: ' '.repeat(2 ** 24) })).body,
      zipped('').headers,
    ],
    ['a body that is said to be compressed and is not', 400, '{"events":[]}', zipped('').headers],
    ['another compression', 415, '{"events":[]}', { 'content-encoding': 'lzma' }],
    ['deep JSON', 400, '['.repeat(2 ** 19), {}],
    [
      'deep JSON inside an event',
      400,
      `{"type":"PUSH_ARTIFACT","occur_at":1,"x":${'['.repeat(1000)}${']'.repeat(1000)}}`,
      {},
    ],
    [
      'more than 5,000 events',
      413,
      JSON.stringify({
        events: Array.from({ length: 5001 }, () => ({ id: '1', action: 'push', target: {} })),
      }),
      {},
    ],
  ])('%s is refused and counted: %i', async (_title, status, body, headers) => {
    expect((await post(body, { headers: headers as Record<string, string> })).status).toBe(status);
    expect(seen).toEqual(['count unknown invalid']);
    // Nothing of the body is repeated.
    expect(logged.join('').length).toBeLessThan(200);
  });

  test('a compressed body is read, and one in chunks of unknown length', async () => {
    const { body, headers } = zipped(JSON.stringify({ events: [event('1')] }));
    expect((await post(body, { headers })).status).toBe(202);
    const chunks = new ReadableStream({
      start(controller) {
        for (const chunk of ['{"events":[', JSON.stringify(event('2')), ']}'])
          controller.enqueue(new TextEncoder().encode(chunk));
        controller.close();
      },
    });
    const answer = await fetch(`${app.url}/events/edge`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: chunks,
      duplex: 'half',
    } as RequestInit);
    expect(answer.status).toBe(202);
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(2);
  });

  test.each([
    ['no content type', undefined],
    ['the media type of notifications', 'application/vnd.docker.distribution.events.v1+json'],
    ['a form', 'application/x-www-form-urlencoded'],
    ['UTF-8 said twice', 'application/json; charset=utf-8; charset=utf-8'],
  ])('the content type does not matter: %s', async (_title, type) => {
    const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type };
    expect((await post({ events: [event('1')] }, { headers })).status).toBe(202);
  });

  const long = 'x'.repeat(2000);
  test.each([
    ['null', null],
    ['a number', 7],
    ['a list', []],
    ['without an id', { ...event('1'), id: undefined }],
    ['with an empty id', event('')],
    ['with an id of 2,000 characters', event(long)],
    ['with a name of 2,000 characters', event('1', {}, { repository: long })],
    ['with a tag of 2,000 characters', event('1', {}, { tag: long })],
    ['with a digest of 2,000 characters', event('1', {}, { digest: long })],
    ['with a number for its name', event('1', {}, { repository: 7 })],
    ['with an empty name', event('1', {}, { repository: '' })],
    ['with a name that leads elsewhere', event('1', {}, { repository: 'team/../../admin' })],
    ['with a name that has a query', event('1', {}, { repository: 'team/app?n=1' })],
    ['with a name that is escaped', event('1', {}, { repository: 'team%2Fapp' })],
    ['with a name of two lines', event('1', {}, { repository: 'team/app\nx' })],
  ])('one odd event in a body hides no other: %s', async (_title, odd) => {
    expect((await post({ events: [odd, event('good')] })).status).toBe(202);
    expect(seen).toEqual(['pushed team/app', 'count distribution invalid', 'count distribution accepted']);
  });

  test('an id that is a number is one', async () => {
    for (const id of [1, 1, 2]) await post({ events: [{ ...event(''), id }] });
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(2);
  });

  test('keys that are given twice, and keys of prototypes, change nothing else', async () => {
    const twice = JSON.stringify(event('1')).replace(
      '"id":"1"',
      '"id":"0","id":"1","__proto__":{"id":"2"},"constructor":1',
    );
    expect((await post(`{"events":[],"events":[${twice}]}`)).status).toBe(202);
    expect((await post({ events: [event('1')] })).status).toBe(202);
    expect(seen.slice(2)).toEqual(['count distribution duplicate']);
    expect(({} as { id?: unknown }).id).toBeUndefined();
  });

  test('times say nothing: an event of the year 9999 counts as any other', async () => {
    await post({ events: [event('1', { timestamp: '9999-12-31T23:59:59Z' })] });
    expect(seen[0]).toBe('pushed team/app');
  });

  test('repositories that the configuration leaves out, and pulls of the exporter itself, are ignored', async () => {
    const mine = { action: 'pull', request: { useragent: 'container-registry-exporter/1.2.3' } };
    await post({ events: [event('1', {}, { repository: 'cache/alpine' }), event('2', mine)] });
    expect(seen).toEqual(['count distribution ignored 2']);
  });
});

describe('when the answer is not 202', () => {
  // The server gives a request ten seconds.
  test.skipIf(process.env['LONG'] !== '1')(
    'a body that drips is cut, and holds nobody else',
    { timeout: 120_000 },
    async () => {
      const { port } = new URL(app.url);
      const slow = Array.from({ length: 20 }, () => {
        const socket = connect(Number(port), '127.0.0.1');
        socket.write(
          `POST /events/edge HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1000\r\n\r\n`,
        );
        const drip = setInterval(() => socket.write(' '), 500);
        return new Promise<string>((resolve) => {
          let answer = '';
          socket.on('data', (data) => {
            answer += String(data);
          });
          socket.on('error', () => {});
          socket.on('close', () => {
            clearInterval(drip);
            resolve(answer);
          });
        });
      });
      expect((await post({ events: [event('1')] })).status).toBe(202);
      for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^HTTP\/1.1 408 /);
      expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(1);
    },
  );

  test('before the registries are known nobody is refused for good', async () => {
    starting = true;
    const answers = await Promise.all([
      post({ events: [] }, { path: 'not-yet-there' }),
      post({ events: [] }, { headers: { authorization: 'Bearer wrong' } }),
    ]);
    for (const answer of answers)
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    expect(seen).toEqual(['count unknown unauthorized']);
    // One that is known already takes its events.
    expect((await post({ events: [event('1')] })).status).toBe(202);
  });

  test('what cannot be saved is answered with 503, and counts once when it comes again', async () => {
    broken = true;
    const answer = await post({ events: [event('1')] });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    broken = false;
    expect((await post({ events: [event('1')] })).status).toBe(202);
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(1);
  });

  test('of many at once 128 are counted, and the others told to come again', async () => {
    const gate = Promise.withResolvers<void>();
    disk = gate.promise;
    let refused = 0;
    const answers = Array.from({ length: 200 }, async (_, at) => {
      const { status } = await post({ events: [event(String(at))] });
      if (status === 503) refused += 1;
      return status;
    });
    while (refused < 72) await new Promise((resolve) => setTimeout(resolve, 20));
    gate.resolve();
    const statuses = await Promise.all(answers);
    expect(statuses.filter((status) => status === 202)).toHaveLength(128);
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(128);
    // The room is free again.
    expect((await post({ events: [event('later')] })).status).toBe(202);
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
    expect(seen).toEqual(['pushed team/app', 'look team/app', 'count zot accepted 2', 'count zot duplicate']);
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

  test('a push whose answer was lost counts once; another tag, and the same one later, count again', async () => {
    broken = true;
    await post(webhook());
    broken = false;
    for (const more of [{}, { tag: 'v2' }, { pushed_at: 1_417_566_162 }]) await post(webhook(more));
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

  test('CloudEvents that are sent again count once', async () => {
    for (const id of ['a', 'a', 'b']) await post(cloud('harbor.artifact.pushed', id));
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(2);
    expect(seen.filter((line) => line === 'count harbor duplicate')).toHaveLength(1);
  });

  // Harbor sends again what was not answered with 2xx, and nothing else:
  // https://github.com/goharbor/harbor/blob/v2.14.0/src/jobservice/job/impl/notification/webhook_job.go
  test('equal pushes within a second are equal to the letter, and each counts when it was answered', async () => {
    await post(own('PUSH_ARTIFACT'));
    await Promise.all([post(own('PUSH_ARTIFACT')), post(own('PUSH_ARTIFACT'))]);
    expect(seen.filter((line) => line.startsWith('pushed'))).toHaveLength(3);
    expect(seen).not.toContain('count harbor duplicate');
  });

  test('a push whose answer said that it was not saved counts once when it is sent again', async () => {
    broken = true;
    expect((await post(own('PUSH_ARTIFACT'))).status).toBe(503);
    broken = false;
    for (let turn = 0; turn < 2; turn += 1) expect((await post(own('PUSH_ARTIFACT'))).status).toBe(202);
    expect(seen).toEqual([...pushed, 'count harbor duplicate', ...pushed]);
  });

  test('a push of no repository is refused; what is about none says nothing of one', async () => {
    for (const event_data of [undefined, null, {}, { repository: null }])
      expect((await post({ type: 'PUSH_ARTIFACT', occur_at: 1, event_data })).status).toBe(400);
    expect(seen).toEqual(Array.from({ length: 4 }, () => 'count unknown invalid'));
    seen.length = 0;
    expect((await post({ type: 'REPLICATION', occur_at: 1, operator: 'admin' })).status).toBe(202);
    expect(seen).toEqual(ignored);
  });
});
