import { describe, expect, test } from 'vitest';
import type { PushEvent } from '../../src/events/push-event.ts';
import { createCounting } from '../../src/loop/counting.ts';
import { createEventIds } from '../../src/loop/event-ids.ts';
import { createIncoming } from '../../src/loop/incoming.ts';
import { createPushes } from '../../src/loop/pushes.ts';
import { createSelfMetrics } from '../../src/self-metrics.ts';

/** Events of one registry whose repositories are all listed; `cache/` is left out by the configuration. */
function incoming(options: { readonly journal?: boolean } = {}) {
  const { journal = true } = options;
  const self = createSelfMetrics({ version: '0.0.0', revision: 'test' });
  const counting = createCounting(self, { registry: 'edge', provider: 'test' });
  const pushes = createPushes(() => true);
  const looked: string[] = [];
  const written: string[] = [];
  const worked = new Set<string>();
  let saveAll = () => {};
  const disk = new Promise<void>((resolve) => {
    saveAll = resolve;
  });
  const parts = createIncoming({
    ids: createEventIds(),
    pushes,
    counting,
    journal: journal
      ? {
          restore: async () => {},
          push: (repository, { pushes, failures }) =>
            void written.push(`push ${repository} ${pushes} ${JSON.stringify(failures)}`),
          event: (source, outcome, count) => void written.push(`event ${source} ${outcome} ${count}`),
          identity: (hash) => void written.push(`id of ${hash.length}`),
          seal: () => 0,
          flush: () => disk,
          close: async () => {},
        }
      : undefined,
    wants: (repository) => !repository.startsWith('cache/'),
    works: (source) => void worked.add(source),
    look: (repository) => void looked.push(repository),
  });
  return {
    ...parts,
    looked,
    worked,
    written,
    saveAll,
    counts: () => Object.fromEntries(pushes.counts()),
    events: () => counting.saved().events,
    async metrics() {
      const { values } = await self.events.get();
      return values.map(({ labels, value }) => ({ ...labels, value }));
    },
  };
}

const pushed = (id: string, more: object = {}): PushEvent =>
  ({ id, type: 'pushed', repository: 'app', ...more }) as PushEvent;
const one = { pushes: 1, failures: {} };

/** Whether a promise is kept by now. */
const isSettled = (promise: Promise<unknown>) =>
  Promise.race([promise.then(() => true), new Promise((resolve) => setImmediate(resolve, false))]);

test('a source works once anything that it told is understood', () => {
  const { receive, worked } = incoming();
  receive('harbor', [undefined]);
  receive('zot', [undefined, { id: '1', type: 'other' }]);
  expect([...worked]).toEqual(['zot']);
});

describe('a push', () => {
  test('is counted, written down and looked at', async () => {
    const { receive, counts, looked, written, events, metrics } = incoming();
    receive('harbor', [pushed('1')]);
    expect([counts(), looked]).toEqual([{ app: one }, ['app']]);
    expect(written).toEqual(['id of 22', 'push app 1 {}', 'event harbor accepted 1']);
    expect(events()).toEqual([['harbor', 'accepted', 1]]);
    expect(await metrics()).toEqual([
      { registry: 'edge', provider: 'test', source: 'harbor', outcome: 'accepted', value: 1 },
    ]);
  });

  test('that failed is counted by its reason too', () => {
    const { receive, counts, written } = incoming();
    receive('harbor', [pushed('1', { type: 'failed', reason: 'quota' })]);
    expect(counts()).toEqual({ app: { pushes: 1, failures: { quota: 1 } } });
    expect(written).toContain('push app 1 {"quota":1}');
  });

  test('that comes again, from the same sender, is counted once', () => {
    const { receive, counts, looked, events } = incoming();
    receive('harbor', [pushed('1'), pushed('1')]);
    receive('harbor', [pushed('1')]);
    receive('gitlab', [pushed('1')]);
    expect([counts(), looked.length]).toEqual([{ app: { pushes: 2, failures: {} } }, 2]);
    expect(events()).toEqual([
      ['harbor', 'accepted', 1],
      ['harbor', 'duplicate', 2],
      ['gitlab', 'accepted', 1],
    ]);
  });

  test('of the same origin is the same, whoever passes it on', () => {
    const { receive, counts } = incoming();
    receive('harbor', [pushed('1', { origin: 'node-1' })]);
    receive('proxy', [pushed('1', { origin: 'node-1' })]);
    receive('harbor', [pushed('1', { origin: 'node-2' })]);
    expect(counts()).toEqual({ app: { pushes: 2, failures: {} } });
  });

  test('of the registry as a whole is counted, and nothing is looked at', () => {
    const { receive, counts, looked } = incoming();
    receive('harbor', [pushed('1', { repository: '' })]);
    expect([counts(), looked]).toEqual([{ '': one }, []]);
  });
});

describe('an event that is no push', () => {
  test('such as a deletion, is looked at and not counted as one', () => {
    const { receive, counts, looked, events } = incoming();
    receive('harbor', [pushed('1', { type: 'changed' })]);
    expect([counts(), looked, events()]).toEqual([{}, ['app'], [['harbor', 'accepted', 1]]]);
  });

  test('such as a pull, or of a repository that nobody wants, is ignored and not remembered', async () => {
    const { receive, counts, looked, written, events } = incoming();
    const { saved } = receive('harbor', [
      pushed('1', { type: 'other' }),
      pushed('2', { repository: 'cache/app' }),
    ]);
    expect([counts(), looked, events()]).toEqual([{}, [], [['harbor', 'ignored', 2]]]);
    expect(written).toEqual(['event harbor ignored 2']);
    // There is nothing to wait for.
    expect(await isSettled(saved)).toBe(true);
  });

  test('or that nobody can read, is invalid', () => {
    const { receive, counts, events } = incoming();
    receive('harbor', [undefined, pushed('1')]);
    expect(counts()).toEqual({ app: one });
    expect(events()).toEqual([
      ['harbor', 'invalid', 1],
      ['harbor', 'accepted', 1],
    ]);
  });
});

/** Some senders write no ids: equal events within a second may be different pushes. */
describe('an event that is known by its content only', () => {
  const byContent = () => pushed('same', { byContent: true });

  test('is counted as often as it comes', () => {
    const { receive, counts } = incoming();
    receive('acr', [byContent()]);
    receive('acr', [byContent()]);
    expect(counts()).toEqual({ app: { pushes: 2, failures: {} } });
  });

  test('is the same one again where the answer to it was lost', () => {
    const { receive, counts } = incoming();
    receive('acr', [byContent(), pushed('1')]).lost();
    receive('acr', [byContent(), pushed('1')]);
    receive('acr', [byContent()]);
    expect(counts()).toEqual({ app: { pushes: 3, failures: {} } });
  });
});

describe('an answer', () => {
  test('waits until what was counted, or was counted before, is on the disk', async () => {
    const { receive, saveAll } = incoming();
    const answers = [receive('harbor', [pushed('1')]), receive('harbor', [pushed('1')])];
    for (const { saved } of answers) expect(await isSettled(saved)).toBe(false);
    saveAll();
    await Promise.all(answers.map(({ saved }) => saved));
  });

  test('waits for nothing without a storage path', async () => {
    const { receive, counts } = incoming({ journal: false });
    expect(await isSettled(receive('harbor', [pushed('1')]).saved)).toBe(true);
    expect(counts()).toEqual({ app: one });
  });
});

test('what was written down is counted again after a restart, and its events are known', async () => {
  const { receive, restore, counts, events, metrics } = incoming();
  const ids: string[] = [];
  const first = incoming();
  first.receive('harbor', [pushed('1')]);
  restore({
    ids,
    pushes: [['app', { pushes: 2, failures: { quota: 1 } }]],
    events: [['harbor', 'accepted', 2]],
  });
  receive('harbor', [pushed('1')]);
  expect(counts()).toEqual({ app: { pushes: 3, failures: { quota: 1 } } });
  expect(events()).toEqual([['harbor', 'accepted', 3]]);
  expect((await metrics())[0]?.value).toBe(3);
});

test('counts of requests and events go on after a restart', async () => {
  const self = createSelfMetrics({ version: '0.0.0', revision: 'test' });
  const counting = createCounting(self, { registry: 'edge', provider: 'test' });
  counting.restore({
    polls: 0,
    failures: {},
    pushes: {},
    requests: [['catalog', '200', 5]],
    events: [['harbor', 'accepted', 2]],
  });
  counting.request('catalog', '200', 0.5);
  counting.request('tags', 'timeout', 20);
  counting.event('harbor', 'accepted');
  expect(counting.saved()).toEqual({
    requests: [
      ['catalog', '200', 6],
      ['tags', 'timeout', 1],
    ],
    events: [['harbor', 'accepted', 3]],
  });
  const labels = { registry: 'edge', provider: 'test' };
  expect((await self.apiRequests.get()).values).toEqual([
    { labels: { ...labels, operation: 'catalog', code: '200' }, value: 6 },
    { labels: { ...labels, operation: 'tags', code: 'timeout' }, value: 1 },
  ]);
  // How long requests took is not saved: only what was seen since the start counts.
  const { values } = await self.apiRequestDuration.get();
  expect(
    values
      .filter(({ metricName }) => /_(sum|count)$/.test(metricName ?? ''))
      .map(
        ({ metricName, labels: { operation }, value }) =>
          `${metricName?.split('_').at(-1)} ${operation} ${value}`,
      ),
  ).toEqual(['sum catalog 0.5', 'count catalog 1', 'sum tags 20', 'count tags 1']);
});
