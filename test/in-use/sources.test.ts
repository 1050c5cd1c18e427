import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { createHttpClient } from '../../src/http.ts';
import { sourceKinds } from '../../src/in-use/sources/index.ts';
import { Counting } from '../../src/in-use/tally.ts';
import { type Pod, startKubernetes } from '../simulators/kubernetes.ts';
import { recordingLog } from '../support/web.ts';

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
const folder = mkdtempSync(join(tmpdir(), 'in-use-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What one reading of a source tells: `NAME@DIGEST` with the containers in each place, in order. */
async function read(type: string, given: object) {
  const kind = sourceKinds[type];
  if (!kind) throw new Error(`no kind ${type}`);
  const source = kind.open(kind.options.parse(given) as never);
  const { signal } = new AbortController();
  const { log } = recordingLog();
  const client = createHttpClient({
    ...{
      maxConcurrent: 2,
      retries: 0,
      timeoutMs: 20_000,
      maxBytes: 128 * 2 ** 20,
      userAgent: 'test',
      signal,
    },
    observe() {},
  });
  try {
    const count = () => new Counting();
    const { counted, at } = await source.read({ signal, http: () => client, count, log });
    const tally = counted.tally();
    const images = [...tally.images].flatMap(([name, digests]) =>
      [...digests].map(([image, { containers: count, latest, places }]) => ({
        image: `${name}@${image.slice(7, 8)}`,
        count,
        latest,
        places: [...places].map(
          ([{ cluster, namespace, workload }, n]) =>
            `${[cluster, namespace, ...(workload === '' ? [] : [workload])].join('/')} ${n}`,
        ),
      })),
    );
    return { images, containers: tally.containers, unidentified: tally.unidentified, at };
  } finally {
    await client.close();
  }
}

describe('kubernetes', () => {
  const running = (namespace: string, letter: string, more: Partial<Pod> = {}): Pod => ({
    namespace,
    containers: [{ image: 'ghcr.io/acme/api:v1', imageID: `ghcr.io/acme/api@${digest(letter)}` }],
    ...more,
  });
  async function cluster(pods: Pod[]) {
    const simulator = await startKubernetes(pods);
    closing.push(simulator.close);
    const options = { address: simulator.address, auth: { token: 'service-account-token' }, cluster: 'prod' };
    return { ...simulator, read: (more: object = {}) => read('kubernetes', { ...options, ...more }) };
  }

  test('containers, init and ephemeral containers of pods that have not ended count', async () => {
    const { read: readPods } = await cluster([
      running('shop', 'a', {
        init: [{ image: 'ghcr.io/acme/init', imageID: `ghcr.io/acme/init@${digest('b')}` }],
        ephemeral: [{ image: 'busybox', imageID: `docker.io/library/busybox@${digest('c')}` }],
      }),
      running('web', 'a'),
      running('web', 'a', { phase: 'Succeeded' }),
      running('web', 'a', { phase: 'Failed' }),
      running('web', 'd', { phase: 'Pending', containers: [{ image: 'ghcr.io/acme/api:v2', imageID: '' }] }),
      running('web', 'e', { containers: [{ image: 'local:dev', imageID: digest('e') }] }),
    ]);
    expect(await readPods()).toEqual({
      images: [
        { image: 'ghcr.io/acme/api@a', count: 2, latest: 0, places: ['prod/shop 1', 'prod/web 1'] },
        { image: 'ghcr.io/acme/init@b', count: 1, latest: 1, places: ['prod/shop 1'] },
        { image: 'docker.io/library/busybox@c', count: 1, latest: 1, places: ['prod/shop 1'] },
      ],
      containers: 5,
      unidentified: 1,
    });
  });

  test('a container is that of what people made: a Deployment, a CronJob, else what owns the pod', async () => {
    const owned = (kind: string, name: string, hash?: string) =>
      running('shop', 'a', { owner: { kind, name }, ...(hash !== undefined && { hash }) });
    const { read: readPods } = await cluster([
      owned('ReplicaSet', 'api-6d4cf56db6', '6d4cf56db6'),
      owned('ReplicaSet', 'api-7f9c8b', '7f9c8b'),
      owned('ReplicaSet', 'bare'),
      owned('Job', 'report-29403360'),
      owned('Job', 'migrate-v2'),
      owned('StatefulSet', 'db'),
      running('shop', 'a'),
    ]);
    expect((await readPods()).images).toMatchObject([
      {
        places: [
          'prod/shop/api 2',
          'prod/shop/bare 1',
          'prod/shop/report 1',
          'prod/shop/migrate-v2 1',
          'prod/shop/db 1',
          'prod/shop 1',
        ],
      },
    ]);
  });

  const many = () => Array.from({ length: 1201 }, () => running('shop', 'a'));

  test('pods come in pages of 500', async () => {
    const { read: readPods, requests } = await cluster(many());
    expect((await readPods()).containers).toBe(1201);
    expect(requests).toEqual([
      'GET /api/v1/pods?limit=500',
      'GET /api/v1/pods?limit=500&continue=page-500',
      'GET /api/v1/pods?limit=500&continue=page-1000',
    ]);
  });

  test('a continue token that expires begins the listing anew, and no pod counts twice', async () => {
    const { read: readPods, state } = await cluster(many());
    state.expired = 2;
    expect((await readPods()).containers).toBe(1201);
    state.expired = 3;
    await expect(readPods()).rejects.toThrow(/expired the listing of pods 3 times/);
  });

  test('a token that is revoked between two pages is an error, not half a cluster', async () => {
    const { read: readPods, state } = await cluster(many());
    state.before = (page) => {
      if (page === 1) state.tokens.clear();
    };
    await expect(readPods()).rejects.toMatchObject({ reason: 'auth' });
  });

  test('a token in a file is read anew for each page', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'service-account-token');
    const { read: readPods, state } = await cluster(many());
    state.before = (page) => {
      if (page !== 1) return;
      state.tokens = new Set(['the-next-token']);
      writeFileSync(tokenFile, 'the-next-token\n');
    };
    await expect(readPods({ auth: { tokenFile } })).rejects.toMatchObject({ reason: 'auth' });
    expect((await readPods({ auth: { tokenFile } })).containers).toBe(1201);
  });

  test('only some namespaces, with a Role in each', async () => {
    const { read: readPods, requests } = await cluster([
      running('a', 'a'),
      running('b', 'a'),
      running('c', 'a'),
    ]);
    expect((await readPods({ namespaces: ['a', 'c'] })).containers).toBe(2);
    expect(requests).toEqual([
      'GET /api/v1/namespaces/a/pods?limit=500',
      'GET /api/v1/namespaces/c/pods?limit=500',
    ]);
  });

  test.each([
    ['another kind', '{"kind":"NodeList","items":[]}', /no list of pods/],
    ['no items', '{"kind":"Status","status":"Success"}', /no list of pods/],
    ['half a document', '{"kind":"PodList","items":[{"metadata":{"name', /no JSON/],
    ['a page of HTML', '<html>login</html>', /no JSON/],
    ['a pod without a name', '{"kind":"PodList","items":[{"spec":{}}]}', /a pod that cannot be understood/],
    [
      'containers that are none',
      '{"kind":"PodList","items":[{"metadata":{},"status":{"containerStatuses":"x"}}]}',
      /cannot be understood/,
    ],
    [
      'the same page for ever',
      '{"kind":"PodList","metadata":{"continue":"x"},"items":[]}',
      /the same page again/,
    ],
    ['too deep', `{"kind":${'['.repeat(200)}`, /levels deep/],
  ])('%s is a named error', async (_, body, message) => {
    const { read: readPods, state } = await cluster([]);
    state.answer = { status: 200, body };
    await expect(readPods()).rejects.toThrow(message);
  });

  test('without a cluster around it and without an address, it says so', async () => {
    await expect(read('kubernetes', {})).rejects.toThrow(/does not run in a cluster/);
  });
});

describe('prometheus', () => {
  /** Answers queries as it is told. https://prometheus.io/docs/prometheus/latest/querying/api/ */
  async function api(body: string | (() => string), status = 200) {
    const asked: { path: string; query: string; headers: NodeJS.Dict<string | string[]> }[] = [];
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (data: Buffer) => (text += data.toString()));
      request.on('end', () => {
        const query = new URLSearchParams(text).get('query') ?? '';
        asked.push({ path: request.url ?? '', query, headers: request.headers });
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(typeof body === 'string' ? body : body());
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise((resolve) => server.close(resolve)));
    return { asked, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }
  const vector = (rows: readonly object[], more: object = {}) =>
    JSON.stringify({ status: 'success', data: { resultType: 'vector', result: rows }, ...more });
  const row = (metric: object, value = '1') => ({ metric, value: [1_790_000_000.1, value] });

  test('rows by image and place; what was asked for goes before what the runtime calls it', async () => {
    const { address, asked } = await api(
      vector([
        row(
          {
            cluster: 'p1',
            namespace: 'shop',
            image_id: `ghcr.io/a/b@${digest('a')}`,
            image: digest('f'),
            image_spec: 'ghcr.io/a/b',
          },
          '3',
        ),
        row(
          {
            cluster: 'p2',
            namespace: 'shop',
            workload: 'api',
            image_id: `ghcr.io/a/b@${digest('a')}`,
            image: 'ghcr.io/a/b:v1',
          },
          '2',
        ),
        row({ namespace: 'x', image_id: '', image: 'local:dev' }, '4'),
      ]),
    );
    expect(
      await read('prometheus', { address: `${address}/prometheus/`, headers: { 'X-Scope-OrgID': 'team' } }),
    ).toEqual({
      images: [{ image: 'ghcr.io/a/b@a', count: 5, latest: 3, places: ['p1/shop 3', 'p2/shop/api 2'] }],
      containers: 9,
      unidentified: 4,
    });
    expect(asked).toEqual([
      {
        path: '/prometheus/api/v1/query',
        query:
          'count by (cluster, namespace, image, image_spec, image_id) (max by (cluster, namespace, image, image_spec, image_id, pod, container) ({__name__=~"kube_pod_(init_)?container_info"}) unless on (cluster, namespace, pod) (kube_pod_status_phase{phase=~"Succeeded|Failed"} == 1))',
        headers: expect.objectContaining({ 'x-scope-orgid': 'team' }),
      },
    ]);
    const page = readFileSync(join(import.meta.dirname, '../../docs/in-use.md'), 'utf8').replace(/\s+/g, '');
    expect(page).toContain(asked[0]?.query.replace(/\s+/g, ''));
  });

  test('another label for clusters, another query, and who asks', async () => {
    const { address, asked } = await api(vector([row({ site: 'x', image_id: `r.io/a@${digest('a')}` })]));
    const auth = { username: 'u', password: 'p' };
    expect(
      (await read('prometheus', { address, clusterLabel: 'site', query: 'my_images', auth })).images,
    ).toMatchObject([{ places: ['x/ 1'] }]);
    expect(asked).toMatchObject([{ query: 'my_images', headers: { authorization: 'Basic dTpw' } }]);
  });

  test.each([
    [
      'a part only',
      vector([], { warnings: ['store gateway unavailable'] }),
      200,
      /a part only: store gateway unavailable/,
    ],
    ['a part of VictoriaMetrics', vector([row({})], { isPartial: true }), 200, /a part only: isPartial/],
    [
      'an error',
      '{"status":"error","errorType":"bad_data","error":"parse error"}',
      400,
      /refused the query: parse error/,
    ],
    [
      'an error of a server that is busy',
      '{"status":"error","errorType":"timeout","error":"query timed out"}',
      503,
      /answered 503 \(query timed out\)$/,
    ],
    [
      'a scalar',
      '{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}',
      200,
      /no list of series/,
    ],
    ['a matrix', '{"status":"success","data":{"resultType":"matrix","result":[]}}', 200, /no list of series/],
    ['nothing', '{}', 200, /no list of series/],
    ['a page of HTML', '<html></html>', 200, /no JSON/],
    ['half an answer', vector([row({ image: 'x' })]).slice(0, -9), 200, /no JSON/],
    ['a number that is none', vector([row({ image: 'x' }, 'NaN')]), 200, /no number of containers/],
    ['a part of a container', vector([row({ image: 'x' }, '0.5')]), 200, /no number of containers/],
    ['fewer than no containers', vector([row({ image: 'x' }, '-1')]), 200, /no number of containers/],
    [
      'labels that are none',
      vector([{ metric: { image: 5 }, value: [1, '1'] }]),
      200,
      /no number of containers/,
    ],
    ['an element of 3 MB', vector([row({ image: 'x'.repeat(3 * 2 ** 20) })]), 200, /more than 2097152 bytes/],
  ])('%s is a named error', async (_, body, status, message) => {
    const { address } = await api(body, status);
    await expect(read('prometheus', { address })).rejects.toThrow(message);
  });

  test('null in the place of what is not set is no error and no warning', async () => {
    const rows = [row({ namespace: 'x', image_id: `r.io/a@${digest('a')}` })];
    const unset = { error: null, errorType: null, warnings: null, infos: null, isPartial: null };
    const { address } = await api(vector(rows, unset));
    expect((await read('prometheus', { address })).containers).toBe(1);
  });

  test('an answer without rows is a fleet without containers', async () => {
    const { address } = await api(vector([]));
    expect(await read('prometheus', { address })).toMatchObject({ images: [], containers: 0 });
  });

  test('500,000 rows are read, and quotes and brackets in names lead nobody astray', async () => {
    const some = JSON.stringify(
      row({ image_id: `ghcr.io/a/b@${digest('a')}`, image: 'x"]},{[\\\\"', namespace: '\\"' }),
    );
    const { address } = await api(
      () =>
        `{"data":{"result":[${Array.from({ length: 500_000 }, () => some).join(',')}],"resultType":"vector"},"status":"success"}`,
    );
    expect((await read('prometheus', { address })).containers).toBe(500_000);
  });
});

describe('file', () => {
  const file = join(folder, 'images');
  const write = (text: string, at = 1_790_000_000) => {
    writeFileSync(file, text);
    utimesSync(file, at, at);
  };

  test('a reference in each line, with a number of containers where there are several', async () => {
    write(
      `# written by cron\nghcr.io/a/b@${digest('a')} 3\n\r\n nginx:1@${digest('b')}   # edge\nlocal:dev\n`,
    );
    expect(await read('file', { path: file })).toEqual({
      images: [
        { image: 'ghcr.io/a/b@a', count: 3, latest: 0, places: ['/ 3'] },
        { image: 'docker.io/library/nginx@b', count: 1, latest: 0, places: ['/ 1'] },
      ],
      containers: 5,
      unidentified: 1,
      at: 1_790_000_000,
    });
  });

  test('the same as JSON, with where they run', async () => {
    write(
      JSON.stringify([
        `ghcr.io/a/b@${digest('a')}`,
        {
          image: 'ghcr.io/a/b',
          imageId: `ghcr.io/a/b@${digest('a')}`,
          cluster: 'nomad',
          namespace: 'shop',
          workload: 'api',
          containers: 2,
        },
      ]),
    );
    expect(await read('file', { path: file })).toMatchObject({
      images: [{ image: 'ghcr.io/a/b@a', count: 3, latest: 2, places: ['/ 1', 'nomad/shop/api 2'] }],
    });
  });

  test.each([
    ['a line with more words', 'ghcr.io/a/b two three', /:1 is no reference/],
    ['a number that is none', 'ghcr.io/a/b two', /:1 is no reference/],
    ['half a file', '["ghcr.io/a', /it may be being written/],
    ['a list of something else', '[1]', /holds no list of references/],
    ['an object', '{"images":[]}', /holds no list of references/],
  ])('%s is a named error', async (_, text, message) => {
    write(text);
    await expect(read('file', { path: file })).rejects.toThrow(message);
  });

  test('a file that was written in the future: its age is not known', async () => {
    const ahead = Date.now() / 1000 + 3600;
    write(`ghcr.io/acme/api@${digest('a')}`, ahead);
    await expect(read('file', { path: file })).rejects.toThrow(/was written in the future: check the clocks/);
    write(`ghcr.io/acme/api@${digest('a')}`, Date.now() / 1000 + 60);
    expect((await read('file', { path: file })).containers).toBe(1);
  });

  test('a file that is not there, and a folder', async () => {
    await expect(read('file', { path: join(folder, 'none') })).rejects.toThrow(/cannot be read/);
    await expect(read('file', { path: folder })).rejects.toThrow(/is no regular file/);
  });
});
