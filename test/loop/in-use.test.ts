import { expect, test } from 'vitest';
import type { JoinedRegistry, RegistryUse } from '../../src/in-use/feed.ts';
import { createRegistryInUse } from '../../src/loop/in-use.ts';
import type { PackedUse, ReferenceRule, RegistrySnapshot, RepositoryTotals } from '../../src/model.ts';
import type { Memory } from '../../src/provider.ts';
import { packTotals } from '../../src/totals.ts';

/** A registry that is told what runs by the test, with repositories that the test lists. */
function registry(
  options: {
    readonly references?: readonly ReferenceRule[];
    readonly hosts?: readonly ReferenceRule[];
    readonly host?: string;
    readonly isFed?: boolean;
  } = {},
) {
  const { references, hosts, isFed = true } = options;
  let joined: JoinedRegistry | undefined;
  let use: RegistryUse | undefined;
  let left = 0;
  let snapshot: RegistrySnapshot | undefined;
  const remembered = new Map<string, unknown>();
  const memory = {
    get: (key: string) => (remembered.has(key) ? { value: remembered.get(key), at: 0 } : undefined),
    set: (key: string, value: unknown) => void remembered.set(key, value),
  } as unknown as Memory;
  const inUse = createRegistryInUse({
    feed: isFed
      ? {
          join(given) {
            joined = given;
            return {
              current: () => use,
              leave() {
                left += 1;
              },
            };
          },
        }
      : undefined,
    settings: { name: 'edge', wants: (name) => name !== 'unwanted', hosts, options: {} },
    provider: {
      identity: () =>
        ('host' in options ? { host: options.host } : { host: 'Registry.example.com:443' }) as never,
      ...(references && { references: () => references }),
    },
    memory,
    snapshots: {
      current: () => snapshot,
      has: (name) => snapshot?.repositories.has(name) === true,
    },
  });
  const changed: string[] = [];
  const looked: string[] = [];
  return {
    inUse,
    feed: () => joined as JoinedRegistry,
    changed,
    looked,
    start: () =>
      inUse.start(
        () => void changed.push('changed'),
        (name) => void looked.push(name),
      ),
    left: () => left,
    list(repositories: Readonly<Record<string, Partial<RepositoryTotals>>>, host?: string) {
      const entries = Object.entries(repositories).map(([repository, more]) => {
        const totals = packTotals({ repository, artifacts: {}, practices: {}, images: [], ...more });
        return [repository, { totals, observedAt: 1 }] as const;
      });
      snapshot = { identity: host === undefined ? {} : { host }, facts: {}, repositories: new Map(entries) };
    },
    /** These digests run from now on. */
    run(repositories: Readonly<Record<string, readonly string[]>> | undefined) {
      use = repositories && {
        dropped: 0,
        repositories: new Map(
          Object.entries(repositories).map(([name, digests]) => [
            name,
            { packed: JSON.stringify(digests) as PackedUse, digests: new Set(digests) },
          ]),
        ),
      };
      joined?.changed();
    },
  };
}

test('where nothing tells what runs, nothing is known of it', () => {
  const { inUse } = registry({ isFed: false });
  inUse.start(
    () => {},
    () => {},
  );
  expect([inUse.current(), [...inUse.running('app')]]).toEqual([undefined, []]);
  inUse.stop();
});

test('what runs is known by repository, and its changes are told once each', () => {
  const { inUse, feed, start, run, changed, left } = registry();
  // Before the loop has started nobody has to know.
  run({ app: ['sha256:1'] });
  expect(changed).toEqual([]);
  start();
  feed().changed();
  feed().changed();
  expect(changed.length).toBe(1);
  expect([[...inUse.running('app')], [...inUse.running('web')]]).toEqual([['sha256:1'], []]);
  run(undefined);
  expect([changed.length, [...inUse.running('app')]]).toEqual([2, []]);
  inUse.stop();
  expect(left()).toBe(1);
});

test('the registry is known by its name, and by what it wants', () => {
  const { feed, list } = registry();
  expect(feed()).toMatchObject({ name: 'edge' });
  expect([feed().wants('app'), feed().wants('unwanted')]).toEqual([true, false]);
  expect(feed().listing()).toBeUndefined();
  list({});
  expect(feed().listing()).toBeDefined();
});

test('images are named by the host, without the usual port, as the last listing tells it', () => {
  const { feed, list } = registry();
  expect(feed().rules()).toEqual([{ from: 'registry.example.com', to: '' }]);
  list({}, 'other.example.com');
  expect(feed().rules()).toEqual([{ from: 'other.example.com', to: '' }]);
  expect(
    registry({ host: undefined as never })
      .feed()
      .rules(),
  ).toEqual([]);
});

test('or as the provider says; other hosts come on top', () => {
  const { feed } = registry({
    references: [{ from: 'index.docker.io/acme', to: 'acme' }],
    hosts: [{ from: 'Mirror.example.com:5000/Cache', to: 'cache' }],
  });
  expect(feed().rules()).toEqual([
    { from: 'docker.io/acme', to: 'acme' },
    { from: 'mirror.example.com:5000/Cache', to: 'cache' },
  ]);
});

test('a repository that was listed while its images ran counts as listed after it is gone', () => {
  const { feed, list } = registry();
  list({ app: {} });
  expect([feed().lists('app'), feed().lists('web')]).toEqual([true, false]);
  list({});
  expect([feed().lists('app'), feed().lists('web')]).toEqual([true, false]);
});

test('a repository is looked at when an image of it runs that was not looked for, and once for the same', () => {
  const { start, run, list, looked } = registry();
  list({
    app: {
      images: [
        { tag: 'v1', digest: 'sha256:index', runs: ['sha256:1'] },
        { tag: 'v0', digest: 'sha256:0' },
      ],
      running: { missing: ['sha256:2'], unclear: ['sha256:3'] },
    },
    web: {},
  });
  start();
  run({ app: ['sha256:1', 'sha256:2', 'sha256:3'], unlisted: ['sha256:9'] });
  expect(looked).toEqual([]);
  run({ app: ['sha256:1', 'sha256:4'] });
  run({ app: ['sha256:1', 'sha256:4'], web: ['sha256:5'] });
  expect(looked).toEqual(['app', 'web']);
  // Now it was looked for.
  list({ app: { running: { missing: ['sha256:1', 'sha256:4'], unclear: [] } }, web: {} });
  run({ app: ['sha256:4'], web: ['sha256:5'] });
  expect(looked).toEqual(['app', 'web']);
  // What no longer runs, and runs again, is looked for again.
  run({ app: ['sha256:4'] });
  run({ app: ['sha256:4'], web: ['sha256:5'] });
  expect(looked).toEqual(['app', 'web', 'web']);
});
