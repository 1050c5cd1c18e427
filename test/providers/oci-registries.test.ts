import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import type { Answer, Asked } from '../simulators/oci.ts';
import type { Store } from '../simulators/oci-store.ts';
import {
  artifact,
  attestationEntry,
  blob,
  type Content,
  descriptor,
  index,
  layer,
  manifestOf,
  mediaTypes,
} from '../support/oci-image.ts';
import { built, closeAfterEach, startRunning } from '../support/oci-running.ts';
import { runLoop } from '../support/running-loop.ts';

/** What registries answer that is not as the specification has it, and what they store that is no image. */
closeAfterEach();

const [one, two] = [built('one', 200), built('two', 100)];
const images = (store: Store) => {
  store.put('app', one, 'v1');
  store.put('app', two, 'v2');
};
const families = ['repository_images', 'repository_tags', 'repository_size_bytes', 'poll_failures_total'];
const whole = [
  'repository_images{repository="app",state="tagged"} 2',
  'repository_tags{repository="app"} 2',
  `repository_size_bytes{repository="app"} ${one.sizeBytes + two.sizeBytes}`,
];
const withoutZero = (lines: readonly string[]) => lines.filter((line) => !/poll_failures.* 0$/.test(line));
const json = { 'content-type': 'application/json' };

describe('what a tag names', () => {
  const headers = (content: Content, more: Record<string, string>) => ({
    'content-type': content.mediaType,
    ...more,
  });
  /** Answers to requests by tag that name the digest in such a header. */
  const naming =
    (digestOf: (content: Content) => string | undefined, more: Record<string, string> = {}) =>
    ({ operation, reference }: Asked): Answer | undefined => {
      const content = reference === 'v1' ? one : reference === 'v2' ? two : undefined;
      if (!content || !operation.startsWith('manifest_')) return undefined;
      const digest = digestOf(content);
      const named = { ...(digest !== undefined && { 'docker-content-digest': digest }), ...more };
      return { status: 200, headers: headers(content, named), body: content.bytes };
    };

  test.each<[string, (asked: Asked) => Answer | undefined]>([
    ['no digest', naming(() => undefined)],
    ['no digest, but a weak ETag', naming(() => undefined, { etag: 'W/"abc"' })],
    ['an empty digest', naming(() => '')],
    ['a digest of no form', naming(() => 'sha256:abc')],
    ['a tag in the place of a digest', naming(() => 'v1')],
    ['the digest of something else', naming((content) => (content === one ? built('x') : two).digest)],
    [
      'a type with a charset',
      naming(({ digest }) => digest, { 'content-type': `${mediaTypes.manifest}; charset=utf-8` }),
    ],
    ['another type', naming(({ digest }) => digest, { 'content-type': 'text/plain' })],
  ])('is found where the answer has %s', async (_title, intercept) => {
    const running = await startRunning(images, { intercept });
    expect(withoutZero(await running.poll(...families))).toEqual(whole);
    expect(withoutZero(await running.poll(...families))).toEqual(whole);
  });

  test.each([400, 401, 403, 404, 405, 406, 416, 500, 501])(
    'is found by GET where HEAD is answered with %i',
    async (status) => {
      const running = await startRunning(images, {
        intercept: ({ operation }) => (operation === 'manifest_head' ? { status } : undefined),
      });
      expect(withoutZero(await running.poll(...families))).toEqual(whole);
    },
  );

  test('is found by GET where a store behind a redirect refuses HEAD, and the store sees no credentials', async () => {
    const seen: (string | undefined)[] = [];
    const store = createServer((request, response) => {
      seen.push(request.headers.authorization);
      const content = request.url === `/${one.digest}` ? one : two;
      if (request.method === 'HEAD') response.writeHead(403).end();
      else response.writeHead(200, { 'content-type': 'binary/octet-stream' }).end(content.bytes);
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.2', resolve));
    stores.push(() => store.close());
    const base = `http://127.0.0.2:${(store.address() as AddressInfo).port}`;
    const running = await startRunning(
      images,
      {
        auth: 'basic',
        intercept: ({ operation, reference }) => {
          if (!operation.startsWith('manifest_')) return undefined;
          const { digest } =
            [one, two].find((content) => content.digest === reference) ?? (reference === 'v1' ? one : two);
          return { status: 307, headers: { location: `${base}/${digest}` } };
        },
      },
      { auth: { username: 'robot', password: 's3cret-Passw0rd' } },
    );
    expect(withoutZero(await running.poll(...families))).toEqual(whole);
    expect(seen.length).toBeGreaterThan(0);
    expect(new Set(seen)).toEqual(new Set([undefined]));
  });
  const stores: (() => void)[] = [];
  afterEach(() => {
    for (const close of stores.splice(0)) close();
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('is read from an answer in the encoding %s', async (encoding, compress) => {
    const running = await startRunning(images, {
      intercept: ({ operation, reference }) =>
        operation === 'manifest_get' && reference === one.digest
          ? {
              status: 200,
              headers: { 'content-type': one.mediaType, 'content-encoding': encoding },
              body: compress(one.bytes),
            }
          : undefined,
    });
    expect(withoutZero(await running.poll(...families))).toEqual(whole);
  });

  test.each(['zstd', 'gzip', 'br', 'deflate'])(
    'is unknown where the body is not %s, as it says',
    async (encoding) => {
      const running = await startRunning(images, {
        intercept: ({ operation, reference }) =>
          operation === 'manifest_get' && reference === one.digest
            ? { status: 200, headers: { 'content-encoding': encoding }, body: one.bytes }
            : undefined,
      });
      expect(await running.poll('repository_images', 'repository_tags')).toEqual([
        'repository_tags{repository="app"} 2',
      ]);
      expect(running.said('reason=invalid_response')).toBeGreaterThan(0);
    },
  );

  test('of schema 1 is no image that is known, whatever its type says', async () => {
    const document = {
      schemaVersion: 1,
      name: 'app',
      tag: 'old',
      fsLayers: [],
      history: [],
      signatures: [{}],
    };
    const old = manifestOf(document, 'application/json', []);
    const running = await startRunning(
      (store) => {
        images(store);
        store.put('app', old, 'old');
      },
      {
        // Its digest leaves out the signatures.
        intercept: ({ reference }) =>
          reference === 'old' || reference === `sha256:${'1'.repeat(64)}`
            ? {
                status: 200,
                headers: { ...json, 'docker-content-digest': `sha256:${'1'.repeat(64)}` },
                body: old.bytes,
              }
            : undefined,
      },
    );
    expect(await running.poll('repository_images', 'repository_tags', 'repository_artifacts')).toEqual([
      'repository_images{repository="app",state="tagged"} 2',
      'repository_tags{repository="app"} 3',
      'repository_artifacts{repository="app",kind="other"} 1',
    ]);
  });
});

describe('an index that is no image', () => {
  test('of layers, as BuildKit caches: it is something else, and its layers are not asked for', async () => {
    const layers = ['a', 'b'].map((name) => blob(layer(name, 500)));
    const config = blob('{}');
    const cache = manifestOf(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.index,
        manifests: [
          ...layers.map((content) => descriptor(mediaTypes.layer, content)),
          descriptor('application/vnd.buildkit.cacheconfig.v0', config),
        ],
      },
      mediaTypes.index,
      [],
    );
    const running = await startRunning((store) => {
      images(store);
      store.put('app', cache, 'buildcache');
    });
    const lines = await running.poll(
      'repository_images',
      'repository_size_bytes',
      'repository_artifacts',
      'storage_bytes',
    );
    const stored = new Map(
      [one, two].flatMap((content) =>
        [content, ...content.blobs].map((part) => [part.digest, part.bytes.length]),
      ),
    );
    for (const part of [cache, ...layers, config]) stored.set(part.digest, part.bytes.length);
    expect(lines).toEqual([
      `storage_bytes{} ${[...stored.values()].reduce((sum, size) => sum + size, 0)}`,
      'repository_images{repository="app",state="tagged"} 2',
      'repository_artifacts{repository="app",kind="other"} 1',
      `repository_size_bytes{repository="app"} ${one.sizeBytes + two.sizeBytes}`,
    ]);
    expect(running.simulator.requests.get('manifest_get')).toBe(3);
  });

  const chart = (name: string) =>
    manifestOf(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        config: descriptor('application/vnd.cncf.helm.config.v1+json', blob(name)),
        layers: [],
      },
      mediaTypes.manifest,
      [blob(name)],
    );
  test.each<[string, Content, string]>([
    ['of charts', index([{ content: chart('a') }, { content: chart('b') }]), 'chart'],
    [
      'of a type of its own',
      manifestOf(
        {
          schemaVersion: 2,
          mediaType: mediaTypes.index,
          artifactType: 'application/vnd.example.set',
          manifests: [],
        },
        mediaTypes.index,
        [],
      ),
      'other',
    ],
    [
      'of artifacts of several kinds',
      index([
        { content: chart('a') },
        { content: artifact({ artifactType: 'application/spdx+json', layers: [] }) },
      ]),
      'other',
    ],
  ])('%s', async (_title, content, kind) => {
    const running = await startRunning((store) => {
      images(store);
      store.put('app', content, 'set');
    });
    const lines = await running.poll('repository_images', 'repository_artifacts', 'image_signed');
    expect(lines).toContain('repository_images{repository="app",state="tagged"} 2');
    expect(lines.some((line) => line.includes(`kind="${kind}"`))).toBe(true);
    expect(lines.some((line) => line.includes('tag="set"'))).toBe(false);
  });

  test('but one of a platform and an attestation is', async () => {
    const running = await startRunning((store) =>
      store.put('app', index([{ content: one }, attestationEntry(one)]), 'v1'),
    );
    expect(await running.poll('repository_images', 'repository_artifacts', 'repository_size_bytes')).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
      'repository_artifacts{repository="app",kind="platform"} 1',
      'repository_artifacts{repository="app",kind="attestation"} 1',
      `repository_size_bytes{repository="app"} ${one.sizeBytes}`,
    ]);
  });
});

describe('lists', () => {
  const many = (count: number) => (store: Store) => {
    for (let tag = 0; tag < count; tag += 1) store.put('app', one, `v${String(tag).padStart(5, '0')}`);
    for (let name = 0; name < 250; name += 1) store.put(`z/${String(name).padStart(4, '0')}`, one, 'v1');
  };
  test.each<[string, object]>([
    ['full pages without a link', { link: 'none' }],
    ['links with an address that is not known outside', { link: 'inner' }],
    ['a path of which the registry knows nothing', { prefix: '/artifactory/api/docker/local' }],
  ])(
    'are read whole: %s',
    async (_title, options) => {
      const running = await startRunning(many(1250), { pageSize: 100, ...options });
      const lines = await running.poll('repositories', 'repository_tags', 'poll_failures_total');
      expect(lines).toContain('repositories{} 251');
      expect(lines).toContain('repository_tags{repository="app"} 1250');
      expect(withoutZero(lines).filter((line) => line.startsWith('poll_failures'))).toEqual([]);
    },
    60_000,
  );

  test('are found where the endpoint ends with the version of the protocol', async () => {
    const simulator = await startRunning(images);
    for (const end of ['/v2', '/v2/']) {
      const running = await runLoop(oci, { endpoint: `${simulator.simulator.url}${end}` });
      stop.push(() => running.stop());
      await running.poll();
      expect(await running.value('up')).toBe(1);
    }
  });
  const stop: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of stop.splice(0)) await end();
  });

  test.each([400, 416, 422])(
    'are read with smaller pages where the size is refused with %i',
    async (status) => {
      const running = await startRunning(images, {
        intercept: ({ operation, url }) =>
          operation === 'catalog' && Number(url.searchParams.get('n')) > 100 ? { status } : undefined,
      });
      expect(withoutZero(await running.poll(...families))).toEqual(whole);
    },
  );

  test('that answer the same full page whatever is asked are not known to be whole', async () => {
    const names = Array.from({ length: 1000 }, (_, number) => `t${number}`);
    const running = await startRunning(images, {
      intercept: ({ operation }) =>
        operation === 'tags'
          ? { status: 200, headers: json, body: JSON.stringify({ name: 'app', tags: names }) }
          : undefined,
    });
    expect(withoutZero(await running.poll('repository_tags', 'poll_failures_total'))).toEqual([
      'poll_failures_total{reason="pagination"} 1',
    ]);
  });

  test('that repeat a name show it once', async () => {
    const tags = Array.from({ length: 5000 }, () => 'v1');
    const running = await startRunning(images, {
      intercept: ({ operation }) =>
        operation === 'tags' ? { status: 200, headers: json, body: JSON.stringify({ tags }) } : undefined,
    });
    expect(await running.poll('repository_tags')).toEqual(['repository_tags{repository="app"} 1']);
    expect(running.simulator.requests.get('manifest_head')).toBe(1);
  });

  test('whose Link header holds no link are not known to be whole', async () => {
    const running = await startRunning(images, {
      intercept: ({ operation }) =>
        operation === 'tags'
          ? { status: 200, headers: { ...json, link: 'something else' }, body: '{"tags":["v1"]}' }
          : undefined,
    });
    expect(withoutZero(await running.poll('repository_tags', 'poll_failures_total'))).toEqual([
      'poll_failures_total{reason="pagination"} 1',
    ]);
  });

  test('that end with what is no text end there', async () => {
    const running = await startRunning(many(30), {
      pageSize: 1,
      link: 'none',
      intercept: ({ operation, url }) =>
        operation === 'catalog' && url.searchParams.get('last') === null
          ? { status: 200, headers: json, body: '{"repositories":["app",7]}' }
          : undefined,
    });
    expect(await running.poll('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 1']);
  });

  test('that are mostly no text are no lists of names', async () => {
    const running = await startRunning(images, {
      intercept: ({ operation }) =>
        operation === 'tags'
          ? {
              status: 200,
              headers: json,
              body: JSON.stringify({ tags: Array.from({ length: 5000 }, (_, at) => at) }),
            }
          : undefined,
    });
    expect(withoutZero(await running.poll('repository_tags', 'poll_failures_total'))).toEqual([
      'poll_failures_total{reason="invalid_response"} 1',
    ]);
  });

  test.each<[string, string, string[]]>([
    [
      'null',
      '{"name":"app","tags":null}',
      ['repository_images{repository="app",state="tagged"} 0', 'repository_tags{repository="app"} 0'],
    ],
    [
      'empty',
      '{"name":"app","tags":[]}',
      ['repository_images{repository="app",state="tagged"} 0', 'repository_tags{repository="app"} 0'],
    ],
    ['absent', '{"name":"app"}', ['poll_failures_total{reason="invalid_response"} 1']],
    ['a page for people', '<html></html>', ['poll_failures_total{reason="invalid_response"} 1']],
  ])('of tags that are %s', async (_title, body, expected) => {
    const running = await startRunning(images, {
      intercept: ({ operation }) => (operation === 'tags' ? { status: 200, headers: json, body } : undefined),
    });
    const lines = await running.poll('repository_images', 'repository_tags', 'poll_failures_total');
    expect(withoutZero(lines)).toEqual(expected);
  });

  test('a repository that the catalog goes on to name after it was deleted is no trouble, and no 0', async () => {
    const running = await startRunning(images, {
      intercept: ({ operation }) =>
        operation === 'catalog'
          ? { status: 200, headers: json, body: '{"repositories":["app","deleted"]}' }
          : undefined,
    });
    const lines = await running.poll('repositories', ...families);
    expect(withoutZero(lines)).toEqual(['repositories{} 1', ...whole]);
    expect(running.said('level=warn')).toBe(0);
  });
});

test('a repository that answers last holds up none of the others', async () => {
  const others = Array.from({ length: 40 }, (_, number) => `b${number}`);
  let left = others.length;
  let release = () => {};
  const othersAsked = new Promise<void>((resolve) => {
    release = resolve;
  });
  const running = await startRunning(
    (store) => {
      for (const name of ['a', ...others]) store.put(name, one, 'v1');
    },
    {
      async intercept({ operation, repository }) {
        if (operation !== 'tags') return undefined;
        if (repository === 'a') await othersAsked;
        else if (--left === 0) release();
        return undefined;
      },
    },
    { http: { retries: 0, maxConcurrent: 2 } },
  );
  expect(withoutZero(await running.poll('repositories', 'poll_failures_total'))).toEqual([
    'repositories{} 41',
  ]);
});

describe('what the configuration names', () => {
  test('and is not there is said, and is no 0', async () => {
    const running = await startRunning(images, {}, { names: ['app', 'typo'] });
    const lines = await running.poll('repositories', 'repository_tags', 'up');
    expect(lines).toEqual(['up{} 1', 'repositories{} 1', 'repository_tags{repository="app"} 2']);
    await running.loop.poll();
    expect(running.said('level=warn msg="the registry does not have a repository that `names` names')).toBe(
      1,
    );
    expect(running.said('repository=typo')).toBeGreaterThan(0);
  });

  test('and is not there at all makes the number of repositories unknown', async () => {
    const running = await startRunning(images, {}, { names: ['typo'] });
    const lines = await running.poll('repositories', 'capability_up');
    expect(lines).not.toContainEqual(expect.stringContaining('repositories{}'));
    expect(lines).toContain('capability_up{capability="repositories"} 0');
  });

  test('and the catalog does not show is said, and is no 0', async () => {
    const repositories = { include: ['app', 'typo', 'team/*'] };
    const running = await startRunning(images, {}, { repositories });
    expect(await running.poll('repositories', 'up')).toEqual(['up{} 1', 'repositories{} 1']);
    await running.loop.poll();
    expect(
      running.said(
        'level=warn msg="the registry does not have a repository that `repositories.include` names',
      ),
    ).toBe(1);
    expect(running.loop.log()).toMatch(/level=warn.*repository=typo/);
  });

  test('and of which the catalog shows nothing makes the number of repositories unknown', async () => {
    const running = await startRunning(images, {}, { repositories: { include: ['typo'] } });
    await running.loop.poll();
    const lines = await running.poll('repositories', 'capability_up');
    expect(lines).not.toContainEqual(expect.stringContaining('repositories{}'));
    expect(lines).toContain('capability_up{capability="repositories"} 0');
  });

  test('an empty catalog is said, and believed at the second poll', async () => {
    const running = await startRunning(() => {});
    expect(await running.poll('repositories', 'up')).toEqual(['up{} 1']);
    expect(await running.poll('repositories', 'up')).toEqual(['up{} 1', 'repositories{} 0']);
    expect(running.said('level=warn msg="the registry shows no repository at all')).toBe(1);
    running.store.put('app', one, 'v1');
    expect(await running.poll('repositories')).toEqual(['repositories{} 1']);
  });

  test('a catalog that was not empty before is doubted as ever: its repositories stay for one poll', async () => {
    const running = await startRunning(images);
    const before = await running.poll('repositories', 'repository_tags');
    running.store.deleteRepository('app');
    expect(await running.poll('repositories', 'repository_tags')).toEqual(before);
    expect(await running.poll('repositories', 'repository_tags')).toEqual(['repositories{} 0']);
  });
});

test('a token server that a gateway names in the place of the registry is forgotten with it', async () => {
  let gateway = true;
  const auth = { username: 'robot', password: 's3cret-Passw0rd' };
  const intercept = ({ operation }: Asked): Answer | undefined =>
    gateway && operation === 'base'
      ? { status: 401, headers: { 'www-authenticate': 'Bearer realm="https://example.invalid/token"' } }
      : undefined;
  const running = await startRunning(images, { auth: 'bearer', intercept }, { auth });
  expect(await running.poll('up')).toEqual(['up{} 0']);
  gateway = false;
  expect(await running.poll('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 1']);
});

describe('a pull-through cache', () => {
  test('is asked for its catalog and for nothing else', async () => {
    const running = await startRunning(images, {}, { cache: true });
    const lines = await running.poll(
      'up',
      'repositories',
      'repository_.*',
      'image_.*',
      'storage_bytes',
      'capability_up',
    );
    expect(lines).toEqual(['up{} 1', 'capability_up{capability="repositories"} 1', 'repositories{} 1']);
    expect([...running.simulator.requests.keys()]).toEqual(['base', 'catalog']);
    await running.loop.poll();
    expect(running.said('level=warn msg="the registry is configured as a pull-through cache')).toBe(1);
  });
});
