import { afterEach, describe, expect, test, vi } from 'vitest';
import { createExposition } from '../../src/exposition.ts';
import { createPublisher } from '../../src/loop/publish.ts';
import { createTroubles } from '../../src/loop/troubles.ts';
import type { Views } from '../../src/loop/views.ts';
import type { PackedView, RegistryView } from '../../src/metrics.ts';
import { packTotals } from '../../src/totals.ts';
import { recordingLog } from '../support/web.ts';
import { untilByTurns } from './scripted.ts';

const view = (polls: number): RegistryView => ({
  registry: 'edge',
  provider: 'test',
  identity: {},
  polls,
  failures: new Map(),
  capabilities: new Map(),
  seriesDropped: new Map(),
});

test('publishes that overlap keep their order: the state of the later one is shown, however long the first took', async () => {
  const exposition = createExposition();
  const { log } = recordingLog();
  const begun: number[] = [];
  let letFirstGoOn = () => {};
  const first = new Promise<void>((resolve) => {
    letFirstGoOn = resolve;
  });
  let polls = 0;
  const views: Views = {
    ofRegistry: () => view(polls),
    async chooseRepositories() {
      const now = polls;
      begun.push(now);
      if (now === 1) await first;
      const repositories = new Map([[`of-poll-${now}`, { pushCounts: { pushes: now, failures: {} } }]]);
      return {
        repositories,
        dropped: { image_cap: 0, repository_cap: 0, registry_cap: 0 },
        oldest: undefined,
      };
    },
    hasData: () => false,
  };
  const publisher = createPublisher({
    registry: 'edge',
    staleAfterMs: 60_000,
    views,
    exposition,
    troubles: createTroubles(log),
    log,
    now: () => 0,
  });
  polls = 1;
  const slow = publisher.publish();
  await Promise.resolve();
  polls = 2;
  const quick = publisher.publish();
  expect(begun).toEqual([1]);
  letFirstGoOn();
  await Promise.all([slow, quick]);
  expect(begun).toEqual([1, 2]);
  let text = '';
  for await (const piece of exposition.body('text', 'identity', '').buffers()) text += piece.toString();
  expect(text).toContain(
    'container_registry_pushes_total{registry="edge",provider="test",repository="of-poll-2"} 2',
  );
  expect(text).not.toContain('of-poll-1');
});

afterEach(() => vi.useRealTimers());

/** A publisher of a registry that the test changes; data is too old after 100 seconds. */
function published(staleAfterMs = 100_000) {
  vi.useFakeTimers({ now: 1_000_000, toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  const exposition = createExposition();
  const { lines, log } = recordingLog();
  const state = {
    polls: 0,
    repositories: new Map<string, PackedView>(),
    dropped: { image_cap: 0, repository_cap: 0, registry_cap: 0 },
    oldest: undefined as number | undefined,
    broken: undefined as Error | undefined,
  };
  /** When the repositories were chosen, Unix seconds. */
  const chosenAt: number[] = [];
  const views: Views = {
    ofRegistry: () => view(state.polls),
    async chooseRepositories(now) {
      chosenAt.push(now);
      if (state.broken) throw state.broken;
      return state;
    },
    hasData: () => false,
  };
  const publisher = createPublisher({
    ...{ registry: 'edge', staleAfterMs, views, exposition, log: log as never },
    troubles: createTroubles(log as never),
    now: () => Date.now() / 1000,
  });
  return {
    publisher,
    state,
    lines,
    chosenAt,
    pass: (ms: number) => vi.advanceTimersByTimeAsync(ms),
    async text() {
      let text = '';
      for await (const piece of exposition.body('text', 'identity', '').buffers()) text += piece.toString();
      return text;
    },
  };
}
const polls = (count: number) => `container_registry_polls_total{registry="edge",provider="test"} ${count}\n`;

describe('data that becomes too old', () => {
  test('is published again as soon as it is, and only then', async () => {
    const { publisher, state, chosenAt, pass } = published();
    state.oldest = 950;
    await publisher.publish();
    expect([chosenAt, publisher.hasFreshData()]).toEqual([[1000], true]);
    state.oldest = undefined;
    await pass(50_049);
    expect(chosenAt).toEqual([1000]);
    await pass(1);
    expect(chosenAt).toEqual([1000, 1050.05]);
    await untilByTurns(() => !publisher.hasFreshData());
    // Where there is no data nothing becomes too old.
    await pass(1_000_000);
    expect(chosenAt.length).toBe(2);
  });

  test('that was published anew is waited for anew', async () => {
    const { publisher, state, chosenAt, pass } = published();
    state.oldest = 950;
    await publisher.publish();
    await pass(40_000);
    state.oldest = 1040;
    await publisher.publish();
    await pass(99_000);
    expect(chosenAt.length).toBe(2);
    state.oldest = undefined;
    await pass(2000);
    expect(chosenAt.length).toBe(3);
  });

  test('may be that old already, or live longer than the longest timer', async () => {
    const old = published();
    old.state.oldest = 1;
    await old.publisher.publish();
    old.state.oldest = undefined;
    await old.pass(50);
    expect(old.chosenAt.length).toBe(2);
    const young = published(2 ** 40);
    young.state.oldest = 1000;
    await young.publisher.publish();
    await young.pass(1_000_000);
    expect(young.chosenAt.length).toBe(1);
    await young.publisher.stop();
  });

  test('is published no more once the loop has stopped', async () => {
    const { publisher, state, chosenAt, pass } = published();
    state.oldest = 950;
    await publisher.publish();
    await publisher.stop();
    await pass(1_000_000);
    expect(chosenAt.length).toBe(1);
    // Nor by a publish that was begun before.
    const late = publisher.publish();
    await publisher.stop();
    await late;
    await pass(1_000_000);
    expect(chosenAt.length).toBe(2);
  });
});

test('the rows of the registry itself are rendered again at once, without its repositories', async () => {
  const { publisher, state, text, chosenAt } = published();
  await publisher.publish();
  state.polls = 5;
  publisher.refresh();
  expect(await text()).toContain(polls(5));
  expect(chosenAt.length).toBe(1);
});

test('a publish that breaks outside of a cycle is a fault of ours, and said so', async () => {
  const { publisher, state, lines } = published();
  state.broken = new Error('a fault');
  publisher.publishAside();
  await untilByTurns(() => lines.length > 0);
  expect(lines).toEqual(['error publishing broke: this is a fault of the exporter a fault']);
  await expect(publisher.publish()).rejects.toThrow('a fault');
});

describe('series that are left out', () => {
  test('are counted by their reason, from the start on', async () => {
    const { publisher } = published();
    const none = { image_cap: 0, repository_cap: 0, registry_cap: 0, invalid_value: 0, duplicate: 0 };
    expect(Object.fromEntries(publisher.seriesDropped())).toEqual(none);
    expect(publisher.series()).toBe(0);
    await publisher.publish();
    expect(Object.fromEntries(publisher.seriesDropped())).toEqual(none);
    expect(publisher.series()).toBeGreaterThan(0);
  });

  test('are told once with what to do, and when they are there again', async () => {
    const { publisher, state, lines } = published();
    state.dropped = { image_cap: 7, repository_cap: 8, registry_cap: 9 };
    await publisher.publish();
    await publisher.publish();
    expect(Object.fromEntries(publisher.seriesDropped())).toMatchObject(state.dropped);
    expect(lines.map((line) => line.split(' ')[0])).toEqual([
      ...['warn', 'warn', 'warn'],
      ...['debug', 'debug', 'debug'],
    ]);
    expect(lines.slice(0, 3)).toEqual([
      expect.stringContaining('single images are left out: raise maxSeries, or lower images.perRepository'),
      expect.stringContaining('repositories are left out: raise maxSeries, or use repositories.exclude'),
      expect.stringContaining('rows of projects, quotas, jobs and the like are left out: raise maxSeries'),
    ]);
    expect(lines[0]).toContain('more series than maxSeries');
    state.dropped = { image_cap: 7, repository_cap: 0, registry_cap: 0 };
    await publisher.publish();
    expect(lines.slice(7)).toEqual([
      'info the exposition of all series (repository_cap) works again',
      'info the exposition of all series (registry_cap) works again',
    ]);
  });

  test('since their value is none are named', async () => {
    const { publisher, state, lines } = published();
    const totals = packTotals({
      ...{ repository: 'app', artifacts: {}, practices: {}, images: [] },
      tags: 'many' as never,
    });
    state.repositories.set('app', { totals });
    await publisher.publish();
    expect(publisher.seriesDropped().get('invalid_value')).toBeGreaterThan(0);
    expect(lines[0]).toMatch(/^warn samples whose value is no number are left out: .*app/);
  });
});
