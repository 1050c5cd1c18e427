import { afterEach, describe, expect, test } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import {
  type Asked,
  type OciSimulator,
  type OciSimulatorOptions,
  referrersTag,
  startOciSimulator,
} from '../simulators/oci.ts';
import { populate } from '../simulators/oci-population.ts';
import { createStore, type Store } from '../simulators/oci-store.ts';
import {
  type Content,
  cosignSignature,
  image,
  index,
  layer,
  notationSignature,
  sarif,
  sbom,
} from '../support/oci-image.ts';
import { ociTruth, truthFamilies } from '../support/oci-truth.ts';
import { tempDir } from '../support/programs.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/** What the provider asks of a registry, and what it makes of registries that differ. */
const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const now = 1_795_000_000;

async function setup(
  fill: (store: Store) => void,
  options: OciSimulatorOptions = {},
  registry: Record<string, unknown> = {},
): Promise<{ store: Store; simulator: OciSimulator; running: RunningLoop }> {
  const store = createStore();
  fill(store);
  const simulator = await startOciSimulator({ store, referrers: true, ...options });
  open.push(simulator.close);
  const running = await runLoop(oci, { endpoint: simulator.url, ...registry });
  open.push(() => running.stop());
  return { store, simulator, running };
}

/** What one more poll asks for. */
async function cost({ simulator, running }: { simulator: OciSimulator; running: RunningLoop }) {
  simulator.requests.clear();
  await running.poll();
  return Object.fromEntries([...simulator.requests].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const built = (name: string, age: number): Content =>
  image({ layers: [layer('base', 1000), layer(name)], created: now - age });

/** Two repositories, five images with six tags. */
function small(store: Store): void {
  for (const [number, tag] of ['v1', 'v2', 'v3', 'v4'].entries())
    store.put('app', built(tag, 100 - number), tag);
  store.put('app', built('v4', 97), 'latest');
  store.put('web', built('web', 50), 'v1');
}

describe('the cost of a poll', () => {
  test('of an unchanged registry: catalog, a list of tags each, a HEAD per tag, referrers of the newest', async () => {
    const all = await setup(small, {}, { images: { perRepository: 2 } });
    await all.running.poll();
    expect(await cost(all)).toEqual({ catalog: 1, tags: 2, manifest_head: 6, referrers: 3 });
  });

  test('by pages: each page once', async () => {
    const all = await setup(small, { pageSize: 2 });
    await all.running.poll();
    expect(await cost(all)).toMatchObject({ catalog: 1, tags: 4, manifest_head: 6 });
  });

  test('a new tag costs its manifest and config, once', async () => {
    const all = await setup(small);
    await all.running.poll();
    all.store.put('web', built('new', 1), 'v2');
    expect(await cost(all)).toMatchObject({ manifest_head: 7, manifest_get: 1, blob_get: 1 });
    const { manifest_get, blob_get } = await cost(all);
    expect([manifest_get, blob_get]).toEqual([undefined, undefined]);
  });

  test('stable tags are not looked at again, but one that is deleted is gone', async () => {
    const all = await setup(small, {}, { stableTags: ['v*'] });
    await all.running.poll();
    expect(await cost(all)).toMatchObject({ tags: 2, manifest_head: 1 });
    all.store.deleteTag('app', 'v1');
    await all.running.poll();
    expect(await all.running.lines('repository_tags')).toContain('repository_tags{repository="app"} 4');
  });

  test('stable tags are looked at all the same after their interval', async () => {
    const all = await setup(small, {}, { stableTags: ['v*'], stableTagsInterval: '1ms' });
    await all.running.poll();
    expect(await cost(all)).toMatchObject({ manifest_head: 6 });
  });

  test('without HEAD: a GET with If-None-Match, answered without a body', async () => {
    const all = await setup(small, { head: 'refuse' });
    await all.running.poll();
    const again = await cost(all);
    expect(again).toMatchObject({ catalog: 1, tags: 2, manifest_get: 6 });
    expect(again['manifest_head']).toBeUndefined();
    expect(await all.running.requests()).toMatchObject({ 'manifest_by_tag 304': 6 });
  });

  test('a restart with --storage.path reads no body again either', async () => {
    const folder = tempDir();
    const storagePath = folder.path;
    const { simulator } = await setup(small);
    const registry = { endpoint: simulator.url };
    const before = await runLoop(oci, registry, { storagePath });
    await before.poll();
    await before.stop();
    const after = await runLoop(oci, registry, { storagePath });
    simulator.requests.clear();
    await after.poll();
    expect([...simulator.requests.keys()].toSorted()).toEqual([
      'base',
      'catalog',
      'manifest_head',
      'referrers',
      'tags',
    ]);
    await after.stop();
    folder.remove();
  });
});

describe('registries that differ', () => {
  const population = (store: Store) => void populate(store, { seed: 8, repositories: 6, now });
  const withoutApi = (store: Store) => void populate(store, { seed: 8, repositories: 6, now, api: false });

  test.each<[string, OciSimulatorOptions]>([
    ['no digest in the answer to HEAD', { head: 'omit-digest' }],
    ['HEAD refused', { head: 'refuse' }],
    ['all tags on one page whatever is asked', { unpagedTags: true }],
    ['Basic authentication', { auth: 'basic' }],
  ])('%s', async (_title, options) => {
    const { store, running } = await setup(population, options, {
      auth: { username: 'robot', password: 's3cret-Passw0rd' },
    });
    await running.poll();
    await running.poll();
    expect((await running.lines(...truthFamilies)).toSorted()).toEqual(ociTruth(store).toSorted());
  });

  test.each(['forbidden', 'missing'] as const)(
    'a catalog that is %s: names from the configuration',
    async (catalog) => {
      const { running } = await setup(small, { catalog }, { names: ['app', 'web', 'gone'] });
      await running.poll();
      expect(await running.lines('up', 'repositories')).toEqual(['up{} 1', 'repositories{} 2']);
      const { running: without } = await setup(small, { catalog });
      await without.poll();
      expect(await without.value('up')).toBe(0);
      expect(without.log()).toContain('name the repositories under `names`');
    },
  );

  test("no referrers API: cosign's tags, and the specification's fallback tag", async () => {
    const { store, running } = await setup(withoutApi, { referrers: false });
    const subject = built('attached', 1);
    store.put('attached', subject, 'v1');
    store.put('attached', notationSignature(subject));
    store.put('attached', sbom(subject));
    store.put('attached', sarif(subject, { CRITICAL: 1, LOW: 2 }, now));
    referrersTag(store, 'attached', subject);
    await running.poll();
    const families = truthFamilies.filter((family) => family !== 'repositories');
    const truth = ociTruth(store).filter((line) => !line.startsWith('repositories{}'));
    expect((await running.lines(...families)).toSorted()).toEqual(truth.toSorted());
  });

  test.each(['tags', 'manifest_head', 'referrers'])(
    'throttling without end of %s is the reason of the failed poll, and not the deadline that it ran into',
    async (operation) => {
      const fill = (store: Store) => void populate(store, { seed: 8, repositories: 12, now });
      const { simulator, running } = await setup(fill, {}, { timeout: '4s', http: { maxConcurrent: 4 } });
      simulator.faults.push({ fault: { type: 'throttle' }, operation });
      await running.poll();
      const failed = (await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'));
      expect(failed).toEqual(['poll_failures_total{reason="throttled"} 1']);
    },
  );

  test('names that no address can hold hurt nobody else: not the other tags, not the other repositories', async () => {
    const { simulator, running } = await setup(small);
    const bad = ['\ud800', '..', '', 'a/../b'];
    const answer = (value: object) => ({ type: 'body', body: JSON.stringify(value) }) as const;
    simulator.faults.push(
      { operation: 'catalog', fault: answer({ repositories: ['app', ...bad, 'web'] }) },
      { operation: 'tags', repository: 'web', fault: answer({ name: 'web', tags: [...bad, 'v1'] }) },
    );
    await running.poll();
    expect(await running.lines('up', 'repository_tags')).toEqual([
      'up{} 1',
      'repository_tags{repository="app"} 5',
      'repository_tags{repository="web"} 1',
    ]);
    expect(running.loop.status().errors).toEqual([]);
    expect(running.log()).toContain('the catalog holds what can be no name of a repository: left out');
    expect(running.log()).toContain('the list of tags holds what can be no tag: left out');
  });

  describe('a 404 that is not the registry’s own says nothing', () => {
    const gateway = { type: 'status', status: 404, body: 'not found\n', contentType: 'text/plain' } as const;

    test('of a tag: the repository keeps what it had', async () => {
      const { simulator, running } = await setup(small);
      await running.poll();
      for (const operation of ['manifest_head', 'manifest_get'])
        simulator.faults.push({ fault: gateway, operation, repository: 'app' });
      await running.poll();
      expect(await running.lines('repository_tags')).toEqual([
        'repository_tags{repository="app"} 5',
        'repository_tags{repository="web"} 1',
      ]);
      expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="partial"} 1');
    });

    test('of the referrers API that was there: signatures are unknown, and known again at the next poll', async () => {
      const { store, simulator, running } = await setup(small);
      store.put('web', notationSignature(built('web', 50)));
      await running.poll();
      const signed = 'repository_signed_images{repository="web"} 1';
      expect(await running.lines('repository_signed_images')).toContain(signed);
      simulator.faults.push({ fault: gateway, operation: 'referrers', repository: 'web' });
      await running.poll();
      expect(await running.lines('repository_signed_images', 'image_signed')).not.toContainEqual(
        expect.stringContaining('"web"'),
      );
      expect(await running.lines('capability_up')).toContain('capability_up{capability="signatures"} 0');
      simulator.faults.length = 0;
      await running.poll();
      expect(await running.lines('repository_signed_images')).toContain(signed);
    });
  });

  test('the same blobs count once for the registry', async () => {
    const { running } = await setup(small);
    await running.poll();
    const images = ['v1', 'v2', 'v3', 'v4']
      .map((tag, number) => built(tag, 100 - number))
      .concat(built('web', 50));
    const blobs = new Map(
      images.flatMap((one) => [one, ...one.blobs]).map((one) => [one.digest, one.bytes.length]),
    );
    expect(await running.value('storage_bytes')).toBe(
      [...blobs.values()].reduce((sum, size) => sum + size, 0),
    );
  });

  test('an index whose platform is not there has no size, and neither has its repository', async () => {
    const [one, two] = [built('one', 1), built('two', 2)];
    const { store, running } = await setup((all) =>
      all.put('app', index([{ content: one }, { content: two }]), 'v1'),
    );
    store.repositories.get('app')?.manifests.delete(two.digest);
    await running.poll();
    expect(await running.lines('repository_images')).toEqual([
      'repository_images{repository="app",state="tagged"} 1',
    ]);
    expect(await running.lines('repository_size_bytes', 'image_size_bytes')).toEqual([]);
  });

  test('an old image is asked for signatures at the slower pace only', async () => {
    const all = await setup(small, {}, { images: { perRepository: 1 } });
    await all.running.poll();
    all.store.put('app', notationSignature(built('v1', 100)));
    all.store.put('app', notationSignature(built('v4', 97)));
    await all.running.poll();
    expect(await all.running.lines('repository_signed_images')).toContain(
      'repository_signed_images{repository="app"} 1',
    );
    const eager = await setup(() => {}, { store: all.store }, { referrersInterval: '1ms' });
    await eager.running.poll();
    expect(await eager.running.lines('repository_signed_images')).toContain(
      'repository_signed_images{repository="app"} 2',
    );
  });

  test("cosign's signature tag makes an image signed, and is no image of its own", async () => {
    const { store, running } = await setup(small);
    const signed = built('web', 50);
    store.put('web', cosignSignature(signed), `${signed.digest.replace(':', '-')}.sig`);
    await running.poll();
    expect(await running.lines('repository_signed_images', 'repository_tags')).toEqual([
      'repository_tags{repository="app"} 5',
      'repository_tags{repository="web"} 1',
      'repository_signed_images{repository="app"} 0',
      'repository_signed_images{repository="web"} 1',
    ]);
  });
});

describe.each([400, 404, 405])('a token server that answers %d', (status) => {
  const auth = { username: 'robot', password: 's3cret-Passw0rd' };
  const answer = { status, body: '{"errors":[{"code":"UNSUPPORTED","message":"no"}]}' };

  test.each([{ auth }, {}])('for the catalog alone: the repositories have to be named, %j', async (more) => {
    const intercept = ({ operation, url }: Asked) =>
      operation === 'token' && url.search.includes('catalog') ? answer : undefined;
    const { running } = await setup(small, { auth: 'bearer', intercept }, { ...more, http: { retries: 0 } });
    await running.poll();
    expect(running.log()).toMatch(
      new RegExp(`answered ${status} for registry:catalog:\\*.*name the repositories under \`names\``),
    );
  });

  test('whatever it is asked: it is none', async () => {
    const intercept = ({ operation }: Asked) => (operation === 'token' ? answer : undefined);
    const { running } = await setup(small, { auth: 'bearer', intercept }, { auth, http: { retries: 0 } });
    await running.poll();
    expect(running.log()).toMatch(new RegExp(`reason=auth.*answered ${status}.*whatever it is asked for`));
    expect(running.log()).not.toContain('`names`');
  });
});
