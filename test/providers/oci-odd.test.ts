import { describe, expect, test } from 'vitest';
import type { Answer, Asked } from '../simulators/oci.ts';
import type { Store } from '../simulators/oci-store.ts';
import { blob, type Content, descriptor, index, manifestOf, mediaTypes } from '../support/oci-image.ts';
import { built, closeAfterEach, startRunning, withConfig } from '../support/oci-running.ts';

/** One thing of a repository that cannot be read hides nothing else, and is said. */
closeAfterEach();

const old = built('old', 200);
const newer = built('newer', 100);
/** Two good images, and a third. */
const with3 = (third: Content) => (store: Store) => {
  store.put('app', old, 'v1');
  store.put('app', newer, 'v2');
  store.put('app', third, 'v3');
  store.put('web', built('web'), 'v1');
};
const web = ['repository_images{repository="web",state="tagged"} 1', 'repository_tags{repository="web"} 1'];
const ofApp = (lines: readonly string[]) => lines.filter((line) => line.includes('"app"'));

const refusal = (status: number, code = 'UNKNOWN'): Answer => ({
  status,
  body: JSON.stringify({ errors: [{ code, message: 'simulated' }] }),
  headers: { 'content-type': 'application/json' },
});

test.each(['NAME_UNKNOWN', 'NOT_FOUND', 'MANIFEST_UNKNOWN'])(
  'a repository in the catalog whose tags answer 404 %s is not there: nothing fails',
  async (code) => {
    const running = await startRunning(with3(built('third', 50)), {
      intercept: ({ operation, repository }) =>
        operation === 'tags' && repository === 'app' ? refusal(404, code) : undefined,
    });
    const lines = await running.poll('repositories', 'repository_.*', 'poll_failures_total');
    expect(lines).toEqual(
      expect.arrayContaining(['repositories{} 1', ...web, 'poll_failures_total{reason="partial"} 0']),
    );
    expect(ofApp(lines)).toEqual([]);
  },
);

describe('a configuration that is none', () => {
  test.each<[string, string]>([
    ['a WebAssembly module', '\u0000asm\u0001'],
    ['a label that is a number', '{"config":{"Labels":{"build":42}}}'],
    ['a variable that is null', '{"config":{"Env":[null]}}'],
    ['a time in the future', '{"created":"2099-06-01T00:00:00Z"}'],
    ['a list', '[]'],
    ['null', 'null'],
    ['nested deeply', `${'['.repeat(5000)}${']'.repeat(5000)}`],
  ])('%s: the image has no time, and counts', async (_title, config) => {
    const odd = withConfig(config);
    const running = await startRunning(with3(odd));
    const lines = await running.poll(
      'repository_images',
      'repository_tags',
      'repository_size_bytes',
      'image_pushed_timestamp_seconds',
      'repository_last_push_timestamp_seconds',
      'capability_up',
      'poll_failures_total',
    );
    expect(lines).toEqual(expect.arrayContaining(web));
    const size = old.sizeBytes + newer.sizeBytes + odd.sizeBytes;
    expect(ofApp(lines)).toEqual([
      'repository_images{repository="app",state="tagged"} 3',
      'repository_tags{repository="app"} 3',
      `repository_size_bytes{repository="app"} ${size}`,
      'repository_last_push_timestamp_seconds{repository="app"} 1794999900',
      `image_pushed_timestamp_seconds{repository="app",tag="v2",digest="${newer.digest}"} 1794999900`,
      `image_pushed_timestamp_seconds{repository="app",tag="v1",digest="${old.digest}"} 1794999800`,
    ]);
    expect(lines).toContain('capability_up{capability="push_times"} 1');
    expect(lines).toContain('poll_failures_total{reason="partial"} 0');
    // It never changes: it is not asked for again, and said once.
    const again = await running.cost();
    expect([again['manifest_get'], again['blob_get']]).toEqual([undefined, undefined]);
    expect(running.said('level=warn msg="the config is odd')).toBe(1);
  });

  test.each(['{"created":1795000000}', '{"created":["x"]}', '{"created":"yesterday"}'])(
    'with a time that cannot be understood, as in %s: whether the image is the newest is unknown',
    async (config) => {
      const running = await startRunning(with3(withConfig(config)));
      const lines = await running.poll(
        'repository_images',
        'repository_last_push_timestamp_seconds',
        'repository_practice',
      );
      expect(ofApp(lines)).toEqual([
        'repository_images{repository="app",state="tagged"} 3',
        'repository_practice{repository="app",practice="no_latest_tag"} 1',
      ]);
      expect(running.said('level=warn msg="the config is odd')).toBe(1);
    },
  );

  test('that the registry has lost: the image has no time; it is asked for ever more rarely', async () => {
    const third = built('third', 50);
    const config = third.blobs[0]?.digest;
    const running = await startRunning(with3(third), {
      intercept: ({ reference }) => (reference === config ? refusal(404, 'BLOB_UNKNOWN') : undefined),
    });
    const families = ['repository_images', 'repository_last_push_timestamp_seconds'];
    expect(ofApp(await running.poll(...families))).toEqual([
      'repository_images{repository="app",state="tagged"} 3',
      'repository_last_push_timestamp_seconds{repository="app"} 1794999900',
    ]);
    const costs = [];
    for (let poll = 0; poll < 8; poll += 1) costs.push((await running.cost())['blob_get'] ?? 0);
    expect(costs).toEqual([1, 0, 1, 0, 0, 0, 1, 0]);
    expect(running.said('level=warn msg="the config could not be read')).toBe(1);
  });

  test('that could not be fetched: whether the image is the newest is unknown', async () => {
    const third = built('third', 50);
    const config = third.blobs[0]?.digest;
    const running = await startRunning(with3(third), {
      intercept: ({ reference }) => (reference === config ? refusal(500) : undefined),
    });
    const lines = await running.poll(
      'repository_images',
      'repository_last_push_timestamp_seconds',
      'repository_practice',
    );
    expect(ofApp(lines)).toEqual([
      'repository_images{repository="app",state="tagged"} 3',
      'repository_practice{repository="app",practice="no_latest_tag"} 1',
    ]);
  });

  test('on a store that cannot be reached from here: all that manifests tell is there', async () => {
    const running = await startRunning(with3(built('third', 50)), {
      intercept: ({ operation }) =>
        operation.startsWith('blob')
          ? { status: 307, headers: { location: 'http://storage.invalid/blob' } }
          : undefined,
    });
    const lines = await running.poll('up', 'repository_images', 'poll_failures_total');
    expect(ofApp(lines)).toEqual(['repository_images{repository="app",state="tagged"} 3']);
    expect(lines).toContain('up{} 1');
    // Once for each repository.
    expect(running.said('level=warn msg="the config could not be read')).toBe(2);
  });

  test('of platforms whose manifests are refused: their repository is read, at each poll', async () => {
    const platforms = Array.from({ length: 36 }, (_, at) => built(`platform ${at}`, at));
    const refused = new Set(platforms.map(({ digest }) => digest));
    const running = await startRunning(
      (store) => {
        for (let tag = 0; tag < 12; tag += 1) {
          const some = platforms.slice(tag * 3, tag * 3 + 3).map((content) => ({ content }));
          store.put('app', index(some), `v${tag}`);
        }
      },
      { intercept: ({ reference = '' }) => (refused.has(reference) ? refusal(403, 'DENIED') : undefined) },
    );
    for (let poll = 0; poll < 3; poll += 1)
      expect(await running.poll('up', 'repository_images', 'repository_size_bytes')).toEqual([
        'up{} 1',
        'repository_images{repository="app",state="tagged"} 12',
      ]);
    expect(running.said('level=warn')).toBe(1);
  });

  test.each<[string, Answer]>([
    ['on a store that cannot be reached', { status: 307, headers: { location: 'http://127.0.0.1:9/blob' } }],
    ['that the registry has lost', refusal(404, 'BLOB_UNKNOWN')],
  ])('of many platforms, %s: their repository is read, at each poll', async (_title, answer) => {
    const running = await startRunning(
      (store) => {
        for (let tag = 0; tag < 12; tag += 1) {
          const platforms = [1, 2, 3].map((platform) => built(`${tag} ${platform}`, tag));
          const multi = index(platforms.map((content) => ({ content })));
          store.put('app', multi, `v${tag}`);
        }
      },
      { intercept: ({ operation }) => (operation.startsWith('blob') ? answer : undefined) },
    );
    for (let poll = 0; poll < 4; poll += 1) {
      const lines = await running.poll('up', 'repository_images', 'repository_size_bytes');
      expect(lines).toContain('up{} 1');
      expect(lines).toContain('repository_images{repository="app",state="tagged"} 12');
      expect(lines.some((line) => line.startsWith('repository_size_bytes'))).toBe(true);
    }
    expect(running.said('level=warn')).toBe(1);
    expect(running.loop.log()).toContain('more=35');
  });
});

describe('a manifest', () => {
  const layerOf = (content: Content) => content.blobs[1] as Content['blobs'][number];
  const oddSize = (size: unknown) =>
    withConfig('{}', {
      layers: [{ ...descriptor(mediaTypes.layer, layerOf(newer)), size }],
    });

  test.each([-1, 1e308, 2 ** 53, 1.5, '12x', null, {}])(
    'with a layer of %j bytes: the size is unknown, and nothing else',
    async (size) => {
      const running = await startRunning(with3(oddSize(size)));
      const lines = await running.poll('repository_images', 'repository_tags', 'repository_size_bytes');
      expect(ofApp(lines)).toEqual([
        'repository_images{repository="app",state="tagged"} 3',
        'repository_tags{repository="app"} 3',
      ]);
    },
  );

  test.each<[string, Content]>([
    ['layers that are no list', withConfig('{}', { layers: 'x' })],
    ['more layers than any image has', withConfig('{}', { layers: Array.from({ length: 20_000 }, () => 1) })],
    ['layers that are null', withConfig('{}', { layers: [null] })],
    ['a config that is text, and layers of a file system', withConfig('{}', { config: 'x' })],
    [
      'platforms that are no list',
      manifestOf({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: 'x' }, mediaTypes.index, []),
    ],
    [
      'a platform without a digest',
      manifestOf(
        { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [{ mediaType: mediaTypes.manifest }] },
        mediaTypes.index,
        [],
      ),
    ],
  ])('with %s is an image without a size, and said', async (_title, odd) => {
    const running = await startRunning(with3(odd));
    const lines = await running.poll('repository_images', 'repository_tags', 'repository_size_bytes');
    expect(ofApp(lines)).toEqual([
      'repository_images{repository="app",state="tagged"} 3',
      'repository_tags{repository="app"} 3',
    ]);
    expect(running.said('level=warn msg="the manifest is odd')).toBe(1);
  });

  test('with annotations that are no text loses those', async () => {
    const odd = withConfig('{"created":"2026-11-01T00:00:00Z"}', { annotations: { a: null, b: 7, c: 'x' } });
    const running = await startRunning(with3(odd));
    const lines = await running.poll('repository_images', 'repository_size_bytes');
    expect(ofApp(lines)).toEqual([
      'repository_images{repository="app",state="tagged"} 3',
      `repository_size_bytes{repository="app"} ${old.sizeBytes + newer.sizeBytes + odd.sizeBytes}`,
    ]);
  });

  test('that is none of the documents that a registry may hold is something else', async () => {
    const odd = manifestOf({ hello: 'world' }, mediaTypes.manifest, []);
    const running = await startRunning(with3(odd));
    const lines = await running.poll('repository_images', 'repository_tags', 'repository_artifacts');
    expect(ofApp(lines)).toEqual([
      'repository_images{repository="app",state="tagged"} 2',
      'repository_tags{repository="app"} 3',
      'repository_artifacts{repository="app",kind="other"} 1',
    ]);
    expect(running.said('level=warn msg="the manifest is odd')).toBe(1);
  });

  const third = built('third', 50);
  const ofManifest = (answer: Answer) => (asked: Asked) =>
    asked.reference === third.digest && asked.operation === 'manifest_get' ? answer : undefined;
  const unread: readonly (readonly [string, Answer])[] = [
    ['500', refusal(500)],
    ['403', refusal(403, 'DENIED')],
    ['another document', { status: 200, body: '{}' }],
    ['a web page', { status: 200, body: '<html></html>', headers: { 'content-type': 'text/html' } }],
    ['a 404 of a proxy', { status: 404, body: 'not found', headers: { 'content-type': 'text/plain' } }],
    ['more than 4 MiB', { status: 200, body: ' '.repeat(5 * 2 ** 20) }],
  ];
  test.each(unread)(
    'whose digest answers %s: what counts all images is unknown, the rest stays',
    async (_title, answer) => {
      const running = await startRunning(with3(third), { intercept: ofManifest(answer) });
      const lines = await running.poll('repository_.*', 'image_size_bytes', 'up', 'poll_failures_total');
      expect(lines).toEqual(expect.arrayContaining([...web, 'up{} 1']));
      expect(ofApp(lines).toSorted()).toEqual([
        `image_size_bytes{repository="app",tag="v1",digest="${old.digest}"} ${old.sizeBytes}`,
        `image_size_bytes{repository="app",tag="v2",digest="${newer.digest}"} ${newer.sizeBytes}`,
        'repository_practice{repository="app",practice="no_latest_tag"} 1',
        'repository_tags{repository="app"} 3',
      ]);
      for (let poll = 0; poll < 3; poll += 1) await running.loop.poll();
      expect(running.said('level=warn msg="the manifest could not be read')).toBe(1);
      // At each other poll, and then at every fourth.
      expect((await running.cost())['manifest_get']).toBeUndefined();
    },
  );

  test('that suddenly cannot be read: its repository keeps its last numbers until the next poll', async () => {
    const running = await startRunning(with3(newer), { intercept: ofManifest(refusal(500)) });
    const before = ofApp(await running.poll('repository_images', 'repository_tags'));
    expect(before).toEqual([
      'repository_images{repository="app",state="tagged"} 2',
      'repository_tags{repository="app"} 3',
    ]);
    running.store.put('app', third, 'v4');
    expect(ofApp(await running.poll('repository_images', 'repository_tags'))).toEqual(before);
    expect(await running.loop.lines('poll_failures_total')).toContain(
      'poll_failures_total{reason="partial"} 1',
    );
    expect(ofApp(await running.poll('repository_images', 'repository_tags'))).toEqual([
      'repository_tags{repository="app"} 4',
    ]);
    expect(await running.loop.lines('poll_failures_total')).toContain(
      'poll_failures_total{reason="partial"} 1',
    );
  });

  test('that is known by its tag only is read by that', async () => {
    const running = await startRunning(with3(third), {
      intercept: ({ operation, reference }) =>
        operation === 'manifest_get' && reference.startsWith('sha256:')
          ? refusal(404, 'MANIFEST_UNKNOWN')
          : undefined,
    });
    const lines = await running.poll('repository_images', 'repository_tags', 'repository_size_bytes');
    expect(ofApp(lines)).toEqual([
      'repository_images{repository="app",state="tagged"} 3',
      'repository_tags{repository="app"} 3',
      `repository_size_bytes{repository="app"} ${old.sizeBytes + newer.sizeBytes + third.sizeBytes}`,
    ]);
    expect((await running.cost())['manifest_get']).toBeUndefined();
  });
});

describe('a tag', () => {
  const families = ['repository_images', 'repository_tags', 'up'];
  const third = built('third', 50);
  const ofTag = (answer: Answer) => (asked: Asked) =>
    asked.operation.startsWith('manifest_') && asked.reference === 'v3' ? answer : undefined;

  test('of which it cannot be read what it names: what counts all images is unknown', async () => {
    const running = await startRunning(with3(third), { intercept: ofTag(refusal(500)) });
    const lines = await running.poll(...families);
    expect(lines).toEqual(expect.arrayContaining([...web, 'up{} 1']));
    expect(ofApp(lines)).toEqual(['repository_tags{repository="app"} 3']);
    await running.loop.poll();
    expect(running.said('level=warn msg="the tag could not be read')).toBe(1);
  });

  test('under which there is nothing, though it is listed, is left out and said', async () => {
    const running = await startRunning(with3(third), {
      intercept: ofTag(refusal(404, 'MANIFEST_UNKNOWN')),
    });
    expect(ofApp(await running.poll(...families))).toEqual([
      'repository_images{repository="app",state="tagged"} 2',
      'repository_tags{repository="app"} 2',
    ]);
    const cost = await running.cost();
    expect(cost).toMatchObject({ manifest_head: 4, manifest_get: 1 });
    // The tags of each repository: a second list tells that a tag is there still, and once is enough.
    expect(cost['tags']).toBe(2);
    expect(running.said('level=warn msg="the registry lists tags, but there is nothing under them')).toBe(1);
  });

  test('is one of many without anything under them: the others are read, and one line tells', async () => {
    const left = Array.from({ length: 30 }, (_, at) => `left${at}`);
    let tags: readonly string[] = [];
    const running = await startRunning(with3(third), {
      intercept: ({ operation, repository }) =>
        operation === 'tags' && repository === 'app'
          ? { status: 200, body: JSON.stringify({ name: 'app', tags }) }
          : undefined,
    });
    tags = ['v1', 'v2', ...left];
    for (let poll = 0; poll < 3; poll += 1)
      expect(await running.poll(...families)).toEqual([
        'up{} 1',
        'repository_images{repository="app",state="tagged"} 2',
        ...web.slice(0, 1),
        'repository_tags{repository="app"} 2',
        ...web.slice(1),
      ]);
    expect(running.said('level=warn')).toBe(1);
    // What is pushed under one of them is seen at the next poll.
    running.store.put('app', third, 'left7');
    expect(ofApp(await running.poll('repository_images'))).toEqual([
      'repository_images{repository="app",state="tagged"} 3',
    ]);
    tags = left.slice(0, 7);
    await running.poll();
    expect(ofApp(await running.poll(...families))).toEqual([
      'repository_images{repository="app",state="tagged"} 0',
      'repository_tags{repository="app"} 0',
    ]);
  });

  test.each([
    ['of one of the images', old.digest],
    ['of nothing', `sha256:${'0'.repeat(64)}`],
  ])(
    'for which HEAD names the digest %s, whatever is asked: what the tag names is read',
    async (_title, digest) => {
      const headers = { 'docker-content-digest': digest, 'content-type': mediaTypes.manifest };
      const running = await startRunning(
        (store) => {
          with3(third)(store);
          store.put('copy', old, 'v1');
          store.put('web', built('web'), 'v2');
        },
        {
          intercept: ({ operation }) =>
            operation === 'manifest_head' ? { status: 200, headers } : undefined,
        },
      );
      const expected = [
        'repository_images{repository="app",state="tagged"} 3',
        'repository_images{repository="copy",state="tagged"} 1',
        'repository_images{repository="web",state="tagged"} 1',
      ];
      for (let poll = 0; poll < 3; poll += 1) {
        const lines = await running.poll('repository_images', 'repository_size_bytes');
        expect(lines).toEqual(expect.arrayContaining(expected));
        expect(lines).toContain(`repository_size_bytes{repository="web"} ${built('web').sizeBytes}`);
      }
      if (digest === old.digest)
        expect(running.said('level=warn msg="the registry, or a proxy before it, answers HEAD with')).toBe(1);
    },
  );

  test('of which all name one image costs a look at two of them, once', async () => {
    const running = await startRunning((store) => {
      for (const tag of ['1', '1.0', '1.0.0', 'latest']) store.put('app', old, tag);
    });
    await running.poll();
    // By its digest, and by two of its tags.
    expect(running.simulator.requests.get('manifest_get')).toBe(3);
    expect((await running.cost())['manifest_get']).toBeUndefined();
  });

  test('that is deleted after it was listed is no trouble', async () => {
    let deleted: (() => void) | undefined;
    const running = await startRunning(with3(third), {
      intercept: ({ operation, reference }) => {
        if (operation === 'manifest_head' && reference === 'v3') deleted?.();
        return undefined;
      },
    });
    deleted = () => running.store.deleteTag('app', 'v3');
    expect(ofApp(await running.poll(...families))).toEqual([
      'repository_images{repository="app",state="tagged"} 2',
      'repository_tags{repository="app"} 2',
    ]);
    expect(running.said('could not be read')).toBe(0);
  });

  test('that can be none is left out: digests, null, nothing, other signs', async () => {
    const tags = ['v1', old.digest, null, '', '-ot-beta', 7, 'a b', 'x'.repeat(200), 'v2'];
    const running = await startRunning(with3(third), {
      intercept: ({ operation, repository }) =>
        operation === 'tags' && repository === 'app'
          ? { status: 200, body: JSON.stringify({ name: 'app', tags }) }
          : undefined,
    });
    expect(ofApp(await running.poll(...families))).toEqual([
      'repository_images{repository="app",state="tagged"} 2',
      'repository_tags{repository="app"} 2',
    ]);
    await running.loop.poll();
    expect(running.said('level=warn msg="the list of tags holds what can be no tag')).toBe(1);
  });

  test('is one of many that fail: then the repository fails, and keeps its last numbers', async () => {
    let broken = false;
    const many = (store: Store) => {
      for (let tag = 0; tag < 30; tag += 1) store.put('app', built(`${tag}`, tag), `v${tag}`);
      store.put('web', built('web'), 'v1');
    };
    const running = await startRunning(many, {
      intercept: ({ operation, repository }) =>
        broken && operation.startsWith('manifest_') && repository === 'app' ? refusal(503) : undefined,
    });
    const before = await running.poll(...families);
    broken = true;
    expect(await running.poll(...families)).toEqual(before);
    expect(await running.poll(...families)).toEqual(before);
    expect(await running.loop.lines('poll_failures_total')).toContain(
      'poll_failures_total{reason="partial"} 2',
    );
  });
});

describe('a manifest of many parts', () => {
  const artifact = (files: number) => {
    const config = blob('{}');
    const file = blob('file');
    const layers = Array.from({ length: files }, (_, at) => ({
      mediaType: 'application/octet-stream',
      digest: `sha256:${String(at).padStart(64, '0')}`,
      size: file.bytes.length,
    }));
    const artifactType = 'application/vnd.example.files';
    return manifestOf(
      { schemaVersion: 2, artifactType, config: descriptor(mediaTypes.empty, config), layers },
      mediaTypes.manifest,
      [config],
    );
  };

  test.each([
    [9_999, undefined],
    [10_001, 'layers: more than 10000 parts, which are not read'],
  ])('%d files of an artifact: %s', async (files, problem) => {
    const running = await startRunning((store) => store.put('files', artifact(files), 'v1'));
    const lines = await running.poll('repository_artifacts', 'repository_tags', 'up', 'storage_bytes');
    expect(lines).toEqual(expect.arrayContaining(['up{} 1', 'repository_tags{repository="files"} 1']));
    expect(lines.some((line) => line.startsWith('storage_bytes'))).toBe(problem === undefined);
    expect(running.said('level=warn msg="the manifest is odd')).toBe(problem ? 1 : 0);
    if (problem) expect(running.loop.log()).toContain(problem);
  });

  test('an index of more platforms than are read is said: its size is unknown', async () => {
    const children = Array.from({ length: 501 }, (_, at) => ({ content: built(`platform ${at}`) }));
    const running = await startRunning((store) => store.put('app', index(children), 'v1'));
    expect(ofApp(await running.poll('repository_images', 'repository_size_bytes'))).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
    ]);
    await running.poll();
    expect(running.said('level=warn msg="an index lists more than 500 manifests')).toBe(1);
  });
});
