import { describe, expect, test } from 'vitest';
import { countOwnSeries } from '../../src/exposition.ts';
import { boundSeries, type CountedRepository } from '../../src/loop/bounds.ts';
import type { RegistryLists, RegistryView } from '../../src/metrics.ts';

/** What of a registry is exposed when there is more than `maxSeries` allows. */

const view = (lists: RegistryLists = {}): RegistryView => ({
  registry: 'edge',
  provider: 'test',
  identity: { host: 'registry.example.com' },
  up: true,
  polls: 1,
  failures: new Map(),
  capabilities: new Map(),
  seriesDropped: new Map(),
  facts: lists,
  lists,
});
/** Series that are always there. */
const own = countOwnSeries(view());

const repository = (name: string, more: Partial<CountedRepository> = {}): CountedRepository => ({
  name,
  listed: true,
  lastPushAt: undefined,
  series: 10,
  imageSeries: 0,
  ...more,
});

/** What fits besides the series that are always there. */
const within = (max: number, repositories: readonly CountedRepository[], lists?: RegistryLists) => {
  const { repositories: kept, withImages, ...rest } = boundSeries(view(lists), repositories, own + max);
  return { kept: [...kept], withImages: [...withImages], ...rest };
};
const nothing = { image_cap: 0, repository_cap: 0, registry_cap: 0 };

describe('repositories', () => {
  const two = [repository('a', { imageSeries: 5 }), repository('b', { imageSeries: 7 })];

  test('are all there where they just fit', () => {
    expect(within(32, two)).toEqual({
      kept: ['a', 'b'],
      withImages: ['a', 'b'],
      lists: {},
      free: 0,
      dropped: nothing,
    });
    expect(within(40, two).free).toBe(8);
  });

  test('lose single images first', () => {
    expect(within(31, two)).toMatchObject({
      kept: ['a', 'b'],
      withImages: ['a'],
      dropped: { ...nothing, image_cap: 7 },
    });
    // Those of the first do not fit, but those of the second may.
    const large = [repository('a', { imageSeries: 50 }), repository('b', { imageSeries: 7 })];
    expect(within(27, large)).toMatchObject({ withImages: ['b'], dropped: { ...nothing, image_cap: 50 } });
  });

  test('are left out from the first on that does not fit: what is shown is the top of one order', () => {
    const all = [
      repository('a', { series: 10 }),
      repository('b', { series: 20 }),
      repository('c', { series: 1 }),
    ];
    expect(within(15, all)).toMatchObject({ kept: ['a'], dropped: { ...nothing, repository_cap: 21 } });
    expect(within(30, all)).toMatchObject({ kept: ['a', 'b'], dropped: { ...nothing, repository_cap: 1 } });
    expect(within(9, all).kept).toEqual([]);
  });

  test('that were pushed to last come first, then by name; what no listing showed comes last', () => {
    const all = [
      repository('e', { listed: false, lastPushAt: 9 }),
      repository('d'),
      repository('c'),
      repository('b', { lastPushAt: 1 }),
      repository('a', { lastPushAt: 2 }),
      repository('f', { listed: false }),
    ];
    const order = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (let fitting = 0; fitting < all.length; fitting += 1)
      expect(within(10 * fitting, all).kept).toEqual(order.slice(0, fitting));
    expect(within(10 * all.length, all).kept.toSorted()).toEqual(order);
  });

  test('leave what is always there alone, however low the cap', () => {
    expect(boundSeries(view(), two, 0)).toMatchObject({ repositories: new Set(), lists: {} });
  });
});

describe('the lists of the registry', () => {
  const projects = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ project: `p${index}`, repositories: index }));
  /** Series of lists. */
  const seriesOf = (lists: RegistryLists) => countOwnSeries(view(lists)) - own;
  const names = (lists: RegistryLists) => lists.projects?.map(({ project }) => project);

  test('are whole where they fit beside the repositories', () => {
    const lists = { projects: projects(20) };
    expect(within(seriesOf(lists) + 10, [repository('a')], lists)).toMatchObject({ lists, dropped: nothing });
    // Images give way to them.
    const withImages = [repository('a', { imageSeries: 5 })];
    expect(within(seriesOf(lists) + 14, withImages, lists)).toMatchObject({
      lists,
      dropped: { ...nothing, image_cap: 5 },
    });
  });

  test('get what the repositories leave, or a quarter, and the rest of the repositories goes', () => {
    const lists = { projects: projects(100) };
    const each = seriesOf(lists) / 100;
    const many = Array.from({ length: 100 }, (_, index) => repository(`r${index}`));
    const { lists: kept, dropped, kept: shown } = within(400, many, lists);
    expect(kept.projects?.length).toBe(Math.floor(100 / each));
    expect(dropped.registry_cap).toBe(seriesOf(lists) - seriesOf(kept));
    expect(shown.length).toBe(Math.floor((400 - seriesOf(kept)) / 10));
    const few = within(400, many.slice(0, 10), lists);
    expect(few.lists.projects?.length).toBe(Math.min(100, Math.floor(300 / each)));
    expect(few.kept.length).toBe(10);
  });

  test('share what there is: small ones stay whole, and what they leave goes to large ones', () => {
    const lists = {
      components: [
        { component: 'database', up: true },
        { component: 'scanner', up: true },
      ],
      projects: projects(100),
    };
    const small = seriesOf({ components: lists.components });
    const each = seriesOf({ projects: lists.projects }) / 100;
    const { lists: kept } = within(50, [], lists);
    expect(kept.components?.length).toBe(2);
    expect(kept.projects?.length).toBe(Math.floor((50 - small) / each));
    // The projects with the most repositories.
    expect(names(kept)?.slice(0, 2)).toEqual(['p99', 'p98']);
  });

  /** Of each list, what a cap that fits one row leaves. */
  const first = (lists: RegistryLists) => {
    const [[list, items] = ['', []]] = Object.entries(lists) as [string, readonly object[]][];
    const kept = boundSeries(view(lists), [], own + seriesOf({ [list]: items.slice(0, 1) })).lists;
    return (kept[list as keyof RegistryLists] as readonly object[])[0];
  };

  test.each<[string, RegistryLists]>([
    [
      'a credential that expires soonest',
      {
        credentials: [
          { credential: 'b', expiresAt: 2 },
          { credential: 'a', expiresAt: 1 },
        ],
      },
    ],
    [
      'a component that is down',
      {
        components: [
          { component: 'b', up: true },
          { component: 'a', up: false },
        ],
      },
    ],
    [
      'a replication that is broken',
      {
        replications: [
          { destination: 'b', up: true },
          { destination: 'a', up: false },
        ],
      },
    ],
    [
      'a replication that fails most',
      {
        replications: [
          { destination: 'b', failedImages: 1 },
          { destination: 'a', failedImages: 2 },
        ],
      },
    ],
    [
      'a task that failed',
      {
        tasks: [
          { task: 'b', up: true },
          { task: 'a', up: false },
        ],
      },
    ],
    [
      'a setting that is on',
      {
        settings: [
          { setting: 'b', on: false },
          { setting: 'a', on: true },
        ],
      },
    ],
    [
      'a quota of the whole registry',
      {
        quotas: [
          { quota: 'b', project: 'p', used: 99, limit: 100 },
          { quota: 'a', used: 1, limit: 100 },
        ],
      },
    ],
    [
      'a quota that is used up most',
      {
        quotas: [
          { quota: 'b', project: 'p', used: 99, limit: 1000 },
          { quota: 'a', project: 'q', used: 50, limit: 100 },
        ],
      },
    ],
    [
      'a severe violation',
      {
        violations: [
          { watch: 'b', severity: 'LOW', count: 9 },
          { watch: 'a', severity: 'CRITICAL', count: 1 },
        ],
      },
    ],
    [
      'a violation that there is',
      {
        violations: [
          { watch: 'b', severity: 'CRITICAL', count: 0 },
          { watch: 'a', severity: 'LOW', count: 1 },
        ],
      },
    ],
    [
      'a long queue',
      {
        jobQueues: [
          { queue: 'b', size: 1 },
          { queue: 'a', size: 2 },
        ],
      },
    ],
    [
      'a full project',
      {
        projects: [
          { project: 'b', repositories: 1 },
          { project: 'a', repositories: 2 },
        ],
      },
    ],
  ])('show %s first', (_title, lists) => {
    expect(Object.values(first(lists) ?? {})).toContain('a');
  });

  test('keep the order of what is equally useful, unknown numbers included', () => {
    for (const lists of [
      { replications: ['a', 'b', 'c'].map((destination) => ({ destination, up: false })) },
      { quotas: ['a', 'b', 'c'].map((quota) => ({ quota, project: 'p', used: 5 })) },
    ] as RegistryLists[])
      expect(Object.values(first(lists) ?? {})).toContain('a');
  });
});
