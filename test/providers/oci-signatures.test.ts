import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Answer, type Asked, referrersTag } from '../simulators/oci.ts';
import type { Store } from '../simulators/oci-store.ts';
import {
  artifact,
  attestationEntry,
  type Content,
  cosignSignature,
  index,
  notationSignature,
  sarif,
  sbom,
} from '../support/oci-image.ts';
import { built, closeAfterEach, startRunning } from '../support/oci-running.ts';

/** Signatures, SBOMs and reports by the referrers API, by its tag schema and by cosign's tags. */
closeAfterEach();

const [one, two] = [built('one', 200), built('two', 100)];
const json = { 'content-type': 'application/json' };
const cosignTag = ({ digest }: Content, suffix = '.sig') => `${digest.replace(':', '-')}${suffix}`;
/** Two images, of which one is signed by a tag of cosign's. */
const signedByTag = (store: Store) => {
  store.put('app', one, 'v1');
  store.put('app', two, 'v2');
  store.put('app', cosignSignature(one), cosignTag(one));
};
const families = ['repository_signed_images', 'image_signed', 'capability_up'];
const signed = (lines: readonly string[]) =>
  lines.filter((line) => /signed/.test(line)).map((line) => line.replace(/digest="[^"]*"/, '…'));
const capability = 'capability_up{capability="signatures"}';

describe('a referrers API that is not offered', () => {
  const answers: readonly (readonly [string, Answer])[] = [
    [
      '404 in plain text',
      { status: 404, headers: { 'content-type': 'text/plain' }, body: '404 page not found' },
    ],
    ['404 of a registry', { status: 404, headers: json, body: '{"errors":[{"code":"UNSUPPORTED"}]}' }],
    ['400, as of Quay', { status: 400, headers: json, body: '{"errors":[{"code":"UNSUPPORTED"}]}' }],
    [
      '401 without a challenge, as of Harbor’s proxies',
      { status: 401, headers: json, body: '{"errors":[{"code":"UNAUTHORIZED"}]}' },
    ],
    ['403', { status: 403, headers: json, body: '{"errors":[{"code":"DENIED"}]}' }],
    ['405', { status: 405 }],
    [
      '406, as of Artifactory',
      { status: 406, headers: { 'content-type': 'text/html' }, body: 'Not Acceptable' },
    ],
    ['501', { status: 501 }],
    ['a web page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<html></html>' }],
    ['an empty document', { status: 200, headers: json, body: '{}' }],
    ['an empty body', { status: 200, headers: json, body: '' }],
    ['a list', { status: 200, headers: json, body: '[]' }],
    [
      'a redirect to a web site that cannot be reached, as of GitHub',
      { status: 303, headers: { location: 'http://127.0.0.1:9/packages' } },
    ],
    ['a redirect without a place', { status: 302 }],
  ];
  test.each(answers)('%s: the tags tell, and it is not asked again', async (_title, answer) => {
    const running = await startRunning(signedByTag, {
      referrers: true,
      intercept: ({ operation }) => (operation === 'referrers' ? answer : undefined),
    });
    const lines = await running.poll(...families, 'poll_failures_total');
    expect(signed(lines)).toEqual([
      'repository_signed_images{repository="app"} 1',
      'image_signed{repository="app",tag="v2",…} 0',
      'image_signed{repository="app",tag="v1",…} 1',
    ]);
    expect(lines).toContain(`${capability} 1`);
    // Of two images: a gateway may refuse one.
    expect(running.simulator.requests.get('referrers')).toBe(2);
    expect((await running.cost())['referrers']).toBeUndefined();
    expect(running.said('level=warn')).toBe(0);
  });

  test('where the registry wants other credentials for it, it is said', async () => {
    const running = await startRunning(signedByTag, {
      referrers: true,
      intercept: ({ operation }) =>
        operation === 'referrers'
          ? { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }
          : undefined,
    });
    for (let poll = 0; poll < 3; poll += 1) {
      const lines = await running.poll(...families, 'repository_images', 'up');
      expect(lines).toContain(`${capability} 0`);
      expect(lines).toContain('repository_images{repository="app",state="tagged"} 2');
      expect(signed(lines)).toEqual(['image_signed{repository="app",tag="v1",…} 1']);
    }
  });

  test('by some repositories: the others are asked', async () => {
    const running = await startRunning(
      (store) => {
        signedByTag(store);
        store.put('web', two, 'v1');
        store.put('web', notationSignature(two));
      },
      {
        referrers: true,
        intercept: ({ operation, repository }) =>
          operation === 'referrers' && repository === 'app' ? { status: 406 } : undefined,
      },
    );
    const lines = await running.poll(...families);
    expect(lines).toContain('repository_signed_images{repository="app"} 1');
    expect(lines).toContain('repository_signed_images{repository="web"} 1');
    expect(lines).toContain(`${capability} 1`);
  });
});

/** What `cosign sign -r` writes for an index: a bundle for the index, each platform and each attestation. */
const bundle = (subject: Content) =>
  artifact({
    subject,
    artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    layers: [{ mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json', bytes: subject.digest }],
    annotations: { 'dev.sigstore.bundle.predicateType': 'https://sigstore.dev/cosign/sign/v1' },
  });
const attestations = [attestationEntry(one), attestationEntry(two)];
const multi = index([{ content: one }, { content: two }, ...attestations]);
const signedRecursively = [multi, one, two, ...attestations.map(({ content }) => content)];

test('one refusal among answers is no word about the API: that image is unknown alone', async () => {
  const running = await startRunning(signedByTag, {
    referrers: true,
    intercept: ({ operation, reference }) =>
      operation === 'referrers' && reference === two.digest ? { status: 400 } : undefined,
  });
  expect(signed(await running.poll(...families))).toEqual(['image_signed{repository="app",tag="v1",…} 1']);
});

describe('signatures of all that an image consists of', () => {
  const expected = [
    'repository_artifacts{repository="app",kind="platform"} 2',
    'repository_artifacts{repository="app",kind="signature"} 6',
    'repository_artifacts{repository="app",kind="sbom"} 1',
    'repository_artifacts{repository="app",kind="attestation"} 2',
    'repository_signed_images{repository="app"} 1',
  ];
  const fill = (store: Store) => {
    store.put('app', multi, 'v1');
    for (const subject of signedRecursively) store.put('app', bundle(subject));
    // notation signs SBOMs that are referrers themselves.
    store.put('app', sbom(multi));
    store.put('app', notationSignature(sbom(multi)));
  };

  test('of which the list never ends: nothing else is unknown', async () => {
    let page = 0;
    const running = await startRunning(fill, {
      referrers: true,
      intercept: ({ operation, url }) => {
        if (operation !== 'referrers') return undefined;
        page += 1;
        const link = `<${url.pathname}?page=${page}>; rel="next"`;
        return { status: 200, headers: { link }, body: '{"manifests":[]}' };
      },
    });
    const lines = await running.poll('up', 'repository_images', 'repository_signed_images', 'capability_up');
    expect(lines).toContain('up{} 1');
    expect(lines).toContain('repository_images{repository="app",state="tagged"} 1');
    expect(lines).toContain('capability_up{capability="signatures"} 0');
    expect(lines.filter((line) => line.startsWith('repository_signed_images'))).toEqual([]);
  });

  test('count with the referrers API', async () => {
    const running = await startRunning(fill, { referrers: true });
    expect(await running.poll('repository_artifacts', 'repository_signed_images')).toEqual(expected);
    // Of an image that did not change, only the image itself is asked about.
    expect((await running.cost())['referrers']).toBe(1);
  });

  test('count the same with the tag schema', async () => {
    const running = await startRunning((store) => {
      fill(store);
      for (const subject of [...signedRecursively, sbom(multi)]) referrersTag(store, 'app', subject);
    });
    expect(await running.poll('repository_artifacts', 'repository_signed_images')).toEqual(expected);
  });

  test('are found with those of the image when they come later', async () => {
    const running = await startRunning((store) => store.put('app', multi, 'v1'), { referrers: true });
    expect(await running.poll('repository_signed_images')).toEqual([
      'repository_signed_images{repository="app"} 0',
    ]);
    fill(running.store);
    expect(await running.poll('repository_artifacts', 'repository_signed_images')).toEqual(expected);
  });

  test('a report that is attached to a platform is the finding of its image', async () => {
    const running = await startRunning(
      (store) => {
        store.put('app', multi, 'v1');
        store.put('app', sarif(one, { CRITICAL: 2 }, 1_795_000_000));
      },
      { referrers: true },
    );
    expect(await running.poll('repository_findings')).toContain(
      'repository_findings{repository="app",severity="CRITICAL"} 2',
    );
  });
});

describe('a tag that is made of a digest', () => {
  const ownTag = (content: Content) => cosignTag(content, '');
  const counts = ['repository_images', 'repository_tags', 'repository_size_bytes', ...families];
  const put = (store: Store) => {
    store.put('app', one, ownTag(one));
    store.put('app', two, ownTag(two));
    store.put('app', two, 'v2');
    store.put('app', cosignSignature(one), cosignTag(one));
  };

  test('of its own names an image, as oc-mirror tags what it mirrors by digest', async () => {
    const lines = await (await startRunning(put)).poll(...counts);
    expect(lines).toContain('repository_images{repository="app",state="tagged"} 2');
    expect(lines).toContain('repository_tags{repository="app"} 3');
    expect(lines).toContain(`repository_size_bytes{repository="app"} ${one.sizeBytes + two.sizeBytes}`);
    expect(signed(lines)).toContain(`image_signed{repository="app",tag="${ownTag(one)}",…} 1`);
  });

  test('of SHA-512 holds the beginning of it: what it lists is attached, and its own names an image', async () => {
    const bytes = createHash('sha512').update(one.bytes).digest('hex');
    const long: Content = { ...one, digest: `sha512:${bytes}` };
    const tag = `sha512-${bytes.slice(0, 64)}`;
    const signature = notationSignature(long);
    const attached = await startRunning((store) => {
      store.put('app', long, 'v1');
      store.put('app', index([{ content: signature }]), tag);
    });
    const lines = await attached.poll(...counts, 'repository_artifacts');
    expect(lines).toContain('repository_tags{repository="app"} 1');
    expect(lines).toContain('repository_artifacts{repository="app",kind="signature"} 1');
    expect(lines).toContain('repository_signed_images{repository="app"} 1');
    const own = await startRunning((store) => store.put('app', long, tag));
    expect(await own.poll(...counts)).toContain('repository_images{repository="app",state="tagged"} 1');
  });

  test('and cannot be read may name an image, where nothing else names that digest', async () => {
    const failing = (tag: string) => (asked: Asked) =>
      asked.reference === tag ? { status: 500, headers: json, body: '{}' } : undefined;
    const image = await startRunning(put, { intercept: failing(ownTag(one)) });
    const lines = await image.poll(...counts);
    expect(lines.filter((line) => /^repository_(images|size)/.test(line))).toEqual([]);
    const attached = await startRunning(put, { intercept: failing(ownTag(two)) });
    expect(await attached.poll(...counts)).toContain('repository_images{repository="app",state="tagged"} 2');
  });
});

describe('a signature that cannot be read', () => {
  const tag = cosignTag(one);
  const signature = cosignSignature(one);
  const refusal = (status: number, code: string): Answer => ({
    status,
    headers: json,
    body: JSON.stringify({ errors: [{ code }] }),
  });
  const cases: readonly (readonly [string, (asked: Asked) => Answer | undefined])[] = [
    ['whose tag answers 500', ({ reference }) => (reference === tag ? refusal(500, 'UNKNOWN') : undefined)],
    [
      'whose tag has nothing under it',
      ({ reference }) => (reference === tag ? refusal(404, 'MANIFEST_UNKNOWN') : undefined),
    ],
    [
      'whose digest answers 404, and its tag too',
      ({ reference, operation }) =>
        operation === 'manifest_get' && [tag, signature.digest].includes(reference)
          ? refusal(404, 'MANIFEST_UNKNOWN')
          : undefined,
    ],
    [
      'whose digest answers 500',
      ({ reference }) => (reference === signature.digest ? refusal(500, 'UNKNOWN') : undefined),
    ],
  ];
  test.each(cases)('%s: its image is not called unsigned', async (_title, intercept) => {
    const running = await startRunning(signedByTag, { intercept });
    for (let poll = 0; poll < 2; poll += 1) {
      const lines = await running.poll(...families, 'repository_images');
      expect(signed(lines)).toEqual(['image_signed{repository="app",tag="v2",…} 0']);
      expect(lines).toContain('repository_images{repository="app",state="tagged"} 2');
      // One thing that is broken is no capability of the registry that fails.
      expect(lines).toContain(`${capability} 1`);
    }
    expect(running.said('level=warn')).toBe(1);
  });

  test('that another one is beside: the image is signed', async () => {
    const running = await startRunning(
      (store) => {
        signedByTag(store);
        store.put('app', notationSignature(one));
      },
      {
        referrers: true,
        intercept: ({ reference }) => (reference === tag ? refusal(500, 'UNKNOWN') : undefined),
      },
    );
    expect(signed(await running.poll(...families))).toContain('image_signed{repository="app",tag="v1",…} 1');
  });

  test('an image for which the referrers API fails is neither signed nor unsigned', async () => {
    const running = await startRunning(signedByTag, {
      referrers: true,
      intercept: ({ operation, reference }) =>
        operation === 'referrers' && reference === two.digest ? refusal(500, 'UNKNOWN') : undefined,
    });
    const first = await running.poll(...families);
    expect(signed(first)).toEqual(['image_signed{repository="app",tag="v1",…} 1']);
    expect(first).toContain(`${capability} 0`);
  });
});

describe('a report that is odd', () => {
  const broken = artifact({
    subject: one,
    artifactType: 'application/sarif+json',
    layers: [{ mediaType: 'application/sarif+json', bytes: '{"runs":"none"}' }],
  });

  test('gives its image no findings, fails nothing, and is read once', async () => {
    const running = await startRunning(
      (store) => {
        store.put('app', one, 'v1');
        store.put('app', sarif(one, { HIGH: 1 }, 1_700_000_000));
        store.put('app', broken);
      },
      { referrers: true },
    );
    const lines = await running.poll(
      'repository_findings',
      'image_findings',
      'capability_up',
      'repository_images',
    );
    expect(lines.filter((line) => line.includes('findings{'))).toEqual([]);
    expect(lines).toContain('capability_up{capability="findings"} 1');
    expect(lines).toContain('repository_images{repository="app",state="tagged"} 1');
    expect((await running.cost())['blob_get']).toBeUndefined();
    expect(running.said('level=warn msg="the report is odd')).toBe(1);
  });
});
