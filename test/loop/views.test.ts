import { describe, expect, test } from 'vitest';
import { createPushZeros, createZeroShares } from '../../src/loop/push-zeros.ts';
import { createViews, type ViewSources } from '../../src/loop/views.ts';
import type { EventSourceView, PushCounts } from '../../src/metrics.ts';
import type { PackedUse, RegistryFacts, RegistrySnapshot, RepositoryTotals } from '../../src/model.ts';
import { packTotals } from '../../src/totals.ts';

/** What of a registry may be shown at a time; data is too old after 100 seconds. */

const totals = (repository: string, more: Partial<RepositoryTotals> = {}) =>
  packTotals({ repository, tagged: 1, artifacts: {}, practices: {}, images: [], ...more });

function registry(maxSeries = 10_000) {
  let snapshot: RegistrySnapshot | undefined;
  const counts = new Map<string, PushCounts>();
  const running = new Map<string, { packed: PackedUse; digests: ReadonlySet<string> }>();
  const eventSources = new Map<string, EventSourceView>();
  const state = { saved: undefined as boolean | undefined, isRunning: false };
  const sources: ViewSources = {
    provider: 'test',
    settings: { name: 'edge', intervalMs: 60_000, staleAfterMs: 100_000, maxSeries },
    identity: { host: 'registry.example.com', region: 'here' },
    snapshot: () => snapshot,
    outcome: () => ({
      up: true,
      polls: 7,
      failures: new Map(),
      capabilities: new Map(),
      failing: new Map(),
      failedRepositories: new Set(),
    }),
    saved: () => state.saved,
    seriesDropped: () => new Map([['image_cap', 3]]),
    pushes: { counts: () => counts, all: () => undefined },
    pushZeros: createPushZeros([], false, createZeroShares()),
    eventSources,
    missedEvents: () => 2,
    inUse: { current: () => (state.isRunning ? { repositories: running, dropped: 4 } : undefined) },
  };
  const views = createViews(sources);
  return {
    ...views,
    state,
    eventSources,
    push: (name: string) => void counts.set(name, { pushes: 1, failures: {} }),
    run(name: string) {
      state.isRunning = true;
      running.set(name, { packed: '[]' as PackedUse, digests: new Set() });
    },
    list(
      repositories: Readonly<Record<string, readonly [observedAt: number, more?: Partial<RepositoryTotals>]>>,
      more: Partial<RegistrySnapshot> = {},
    ) {
      snapshot = {
        identity: { host: 'other.example.com' },
        facts: {},
        observedAt: 1000,
        repositoryCount: Object.keys(repositories).length,
        ...more,
        repositories: new Map(
          Object.entries(repositories).map(([name, [observedAt, facts]]) => [
            name,
            { totals: totals(name, facts), observedAt },
          ]),
        ),
      };
    },
    async names(now: number) {
      const { repositories } = await views.chooseRepositories(now);
      return [...repositories.keys()];
    },
  };
}

describe('the rows of the registry itself', () => {
  test('are there before anything was read', () => {
    expect(registry().ofRegistry(0)).toMatchObject({
      registry: 'edge',
      provider: 'test',
      identity: { host: 'registry.example.com', region: 'here' },
      pollIntervalSeconds: 60,
      staleAfterSeconds: 100,
      up: true,
      polls: 7,
      facts: undefined,
      repositoryCount: undefined,
      seriesDropped: new Map([['image_cap', 3]]),
      saved: undefined,
      missedEvents: 2,
      inUseDropped: undefined,
    });
  });

  test('tell what was read while it is fresh, and what other parts tell at any time', () => {
    const { ofRegistry, list, state, run, eventSources } = registry();
    list({ app: [1000] }, { facts: { version: '1.2' } });
    state.saved = false;
    run('app');
    eventSources.set('sqs', { up: true });
    expect(ofRegistry(1099)).toMatchObject({
      identity: { host: 'other.example.com', region: 'here' },
      facts: { version: '1.2' },
      repositoryCount: 1,
      saved: false,
      inUseDropped: 4,
      eventSources,
    });
    expect(ofRegistry(1100)).toMatchObject({ facts: undefined, repositoryCount: undefined });
  });

  test('tell facts by their own age, where they were read at another time', () => {
    const { ofRegistry, list } = registry();
    list({}, { facts: { version: '1.2' }, factsAt: 950 });
    expect(ofRegistry(1049)).toMatchObject({ facts: { version: '1.2' }, repositoryCount: 0 });
    expect(ofRegistry(1050)).toMatchObject({ facts: undefined, repositoryCount: 0 });
  });

  test('hold the sums of scans of what is shown, and none where nothing tells of scans', async () => {
    const { ofRegistry, chooseRepositories, list } = registry();
    list({
      app: [1000, { scans: { complete: 2, none: 0 } }],
      web: [1000, { scans: { complete: 1 } }],
      old: [1],
    });
    await chooseRepositories(1000);
    expect(ofRegistry(1000).scans).toEqual({ complete: 3, none: 0 });
    list({ app: [1000] });
    await chooseRepositories(1000);
    expect(ofRegistry(1000).scans).toBeUndefined();
  });

  test('hold their lists as bounded when the repositories were chosen last', async () => {
    const projects = Array.from({ length: 50 }, (_, index) => ({
      project: `p${index}`,
      repositories: index,
    }));
    const facts: RegistryFacts = { projects };
    const { ofRegistry, chooseRepositories, list } = registry(40);
    list({}, { facts });
    expect(ofRegistry(1000).lists?.projects?.length).toBe(50);
    const { dropped } = await chooseRepositories(1000);
    const shown = ofRegistry(1000).lists?.projects?.length ?? 0;
    expect(shown).toBeGreaterThan(0);
    expect(shown).toBeLessThan(50);
    expect(dropped.registry_cap).toBeGreaterThan(0);
    // Without fresh facts there are no lists either.
    expect(ofRegistry(2000).lists).toBeUndefined();
  });
});

describe('the repositories', () => {
  test('are those that are fresh; the oldest of all that is shown is known', async () => {
    const { chooseRepositories, hasData, list } = registry();
    expect(await chooseRepositories(0)).toMatchObject({ repositories: new Map(), oldest: undefined });
    list({ app: [950], web: [900], old: [899] }, { factsAt: 980 });
    const { repositories, oldest } = await chooseRepositories(999);
    expect([[...repositories.keys()], oldest]).toEqual([['app', 'web'], 900]);
    expect(['app', 'old', 'none'].map(hasData)).toEqual([true, false, false]);
    expect((await chooseRepositories(1040)).oldest).toBe(950);
    // Facts may be older than all repositories.
    expect((await chooseRepositories(1060)).oldest).toBe(980);
    expect((await chooseRepositories(5000)).oldest).toBeUndefined();
  });

  test('have the pushes that were counted; those do not age with the data', async () => {
    const { chooseRepositories, names, hasData, list, push } = registry();
    list({ app: [1000] });
    for (const name of ['app', 'gone', '']) push(name);
    const { repositories } = await chooseRepositories(1000);
    expect(repositories.get('app')).toMatchObject({ totals: totals('app'), pushCounts: { pushes: 1 } });
    expect(await names(5000)).toEqual(['app', 'gone', '']);
    expect(hasData('app')).toBe(false);
  });

  test('have what runs of them, also where they are too old, or are no more', async () => {
    const { chooseRepositories, list, push, run } = registry();
    list({ app: [1000], old: [800] });
    for (const name of ['app', 'old', 'gone']) run(name);
    push('gone');
    const { repositories } = await chooseRepositories(1000);
    expect(Object.fromEntries(repositories)).toEqual({
      app: { totals: totals('app'), inUse: '[]' },
      old: { inUse: '[]' },
      gone: { inUse: '[]', gone: true, pushCounts: { pushes: 1, failures: {} } },
    });
  });

  test('are not said to be gone before a listing was read', async () => {
    const { chooseRepositories, run } = registry();
    run('app');
    const { repositories } = await chooseRepositories(1000);
    expect(repositories.get('app')).toEqual({ inUse: '[]' });
  });

  test('get their single images after all repositories that fit, as the cap grows', async () => {
    const images = [{ tag: 'v1', digest: 'sha256:1', sizeBytes: 5 }];
    const shown: string[] = [];
    for (let max = 0; max < 200; max += 1) {
      const { chooseRepositories, list } = registry(max);
      list({ web: [1000, { images, lastPushAt: 1 }], app: [1000, { images, lastPushAt: 2 }] });
      const { repositories } = await chooseRepositories(1000);
      const names = [...repositories].map(
        ([name, { withoutImages }]) => `${name}${withoutImages ? '-' : ''}`,
      );
      if (names.join() !== shown.at(-1)) shown.push(names.join());
    }
    expect(shown).toEqual(['', 'app-', 'app', 'web-,app-', 'web-,app', 'web,app']);
  });

  test('are counted anew when what is shown of them changes', async () => {
    const images = Array.from({ length: 40 }, (_, at) => ({
      tag: `v${at}`,
      digest: `sha256:${at}`,
      sizeBytes: 5,
    }));
    const { chooseRepositories, list, push, run } = registry(60);
    list({ app: [1000] });
    expect((await chooseRepositories(1000)).dropped.image_cap).toBe(0);
    list({ app: [1000, { images }] });
    const { dropped } = await chooseRepositories(1000);
    expect(dropped.image_cap).toBeGreaterThan(0);
    const series = async () => {
      const chosen = await chooseRepositories(1000);
      return chosen.dropped.image_cap;
    };
    push('app');
    run('app');
    expect(await series()).toBe(dropped.image_cap);
  });
});
