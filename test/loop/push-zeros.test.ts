import { afterEach, expect, test } from 'vitest';
import { receivers } from '../../src/events/receivers.ts';
import type { Tells } from '../../src/events/told.ts';
import { createPushZeros, createZeroShares, type PushZeros } from '../../src/loop/push-zeros.ts';
import type { CollectContext, EventBatch, Provider } from '../../src/provider.ts';
import { tempDir } from '../support/programs.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { failed, holding, imageOf, listed, scripted, until } from './scripted.ts';

/** Counters of pushes begin at 0, so that `increase()` sees the first push that fails. */

let loops: RunningLoop[] = [];
afterEach(async () => {
  for (const loop of loops) await loop.stop();
  loops = [];
});
const started = async (provider: Provider, settings: object = {}, options = {}) => {
  const loop = await runLoop(provider, { events: { token: 'sixteen characters' }, ...settings }, options);
  loops.push(loop);
  return loop;
};
const counters = (loop: RunningLoop) => loop.lines('pushes_total', 'push_failures_total');

/** A provider with a source that is asked; it can be read once `open` is called. */
function asked(tells: Tells) {
  const works = Promise.withResolvers<void>();
  const { provider, say } = scripted(holding('app', 'web'));
  async function* read({ signal }: CollectContext): AsyncGenerator<EventBatch> {
    signal.addEventListener('abort', works.reject);
    await works.promise;
    yield { events: [], done: async () => {} };
  }
  const source = { name: 'queue', tells, everyMs: 60_000, read };
  return { provider: { ...provider, eventSources: () => [source] }, say, open: works.resolve };
}

test('as soon as a source can be read, what it can tell of each listed repository begins at 0', async () => {
  const { provider, say, open } = asked({ repositories: { pushes: true, failures: ['denied', 'quota'] } });
  const loop = await started(provider);
  await loop.poll();
  expect(await counters(loop)).toEqual([]);
  open();
  await until(async () => (await counters(loop)).length > 0);
  const zeros = (name: string) => [
    `push_failures_total{repository="${name}",reason="denied"} 0`,
    `push_failures_total{repository="${name}",reason="quota"} 0`,
  ];
  expect(await counters(loop)).toEqual([
    'pushes_total{repository=""} 0',
    'pushes_total{repository="app"} 0',
    'pushes_total{repository="web"} 0',
    ...['', 'app', 'web'].flatMap(zeros),
  ]);
  expect(await loop.lines('all_pushes_total', 'all_push_failures_total')).toEqual([
    'all_pushes_total{} 0',
    'all_push_failures_total{reason="denied"} 0',
    'all_push_failures_total{reason="quota"} 0',
  ]);
  // A repository that comes begins with the listing that shows it, one that goes takes its counters with it.
  say(holding('app', 'new'));
  await loop.poll();
  expect(await counters(loop)).toEqual([
    'pushes_total{repository=""} 0',
    'pushes_total{repository="app"} 0',
    'pushes_total{repository="new"} 0',
    ...['', 'app', 'new'].flatMap(zeros),
  ]);
});

test('what a source cannot tell does not begin: no number of successes, no failures of a repository', async () => {
  const { provider, open } = asked({
    repositories: { failures: ['immutable_tag'] },
    registry: { failures: ['other'] },
  });
  const loop = await started(provider);
  await loop.poll();
  open();
  await until(async () => (await counters(loop)).length > 0);
  expect(await counters(loop)).toEqual([
    'push_failures_total{repository="",reason="immutable_tag"} 0',
    'push_failures_total{repository="",reason="other"} 0',
    'push_failures_total{repository="app",reason="immutable_tag"} 0',
    'push_failures_total{repository="web",reason="immutable_tag"} 0',
  ]);
});

test('a source that sends works once it has sent anything that is understood, and again at once after a restart', async () => {
  const { path: storagePath, remove } = tempDir();
  const { provider } = scripted(holding('app'));
  const first = await started(provider, {}, { storagePath });
  await first.poll();
  first.loop.receive('harbor', [undefined]);
  await first.poll();
  expect(await counters(first)).toEqual([]);
  await first.loop.receive('harbor', [{ id: '1', type: 'other' }]).saved;
  const zeros = [
    'pushes_total{repository=""} 0',
    'pushes_total{repository="app"} 0',
    'push_failures_total{repository="",reason="quota"} 0',
    'push_failures_total{repository="app",reason="quota"} 0',
  ];
  await until(async () => (await counters(first)).length > 0);
  expect(await counters(first)).toEqual(zeros);
  await first.loop.receive('harbor', [{ id: '2', type: 'failed', repository: 'app', reason: 'quota' }]).saved;
  await first.stop();
  loops = [];

  const second = await started(provider, {}, { storagePath });
  const after = [
    'pushes_total{repository="app"} 1',
    'push_failures_total{repository="app",reason="quota"} 1',
  ];
  expect(await counters(second)).toEqual([zeros[0], after[0], zeros[2], after[1]]);
  await second.stop();
  loops = [];
  // Where nothing may be sent any more, nothing is known of what was not counted.
  const third = await started(provider, { events: undefined }, { storagePath });
  expect(await counters(third)).toEqual(after);
  await third.stop();
  loops = [];
  remove();
});

test('counts stay in the place of zeros, and a repository that cannot be read has none', async () => {
  const { provider, say, open } = asked({ repositories: { pushes: true, failures: ['denied'] } });
  const loop = await started(provider);
  say(() => [...listed('app', imageOf('v1')), ...failed('broken', new Error('500'))]);
  await loop.poll();
  open();
  loop.loop.receive('queue', [
    { id: '1', type: 'failed', repository: 'app', reason: 'server_error' },
    { id: '2', type: 'pushed', repository: 'app' },
  ]);
  await loop.poll();
  expect(await counters(loop)).toEqual([
    'pushes_total{repository=""} 0',
    'pushes_total{repository="app"} 2',
    'push_failures_total{repository="",reason="denied"} 0',
    'push_failures_total{repository="app",reason="denied"} 0',
    'push_failures_total{repository="app",reason="server_error"} 1',
  ]);
});

test('zeros of repositories never take the place of what was read: where maxSeries leaves no room there are none', async () => {
  const { provider } = scripted(holding('app', 'web'));
  const all = async (loop: RunningLoop) => (await loop.lines('\\w+')).length;
  const loop = await started(provider);
  await loop.poll();
  // With that of all pushes, which is the registry's own.
  const series = (await all(loop)) + 1;
  const shownWith = async (maxSeries: number) => {
    const tight = await started(provider, { maxSeries });
    await tight.poll();
    tight.loop.receive('distribution', [{ id: '1', type: 'other' }]);
    await tight.poll();
    expect(await all(tight)).toBeLessThanOrEqual(maxSeries);
    expect(await tight.lines('repository_tags')).toHaveLength(2);
    return counters(tight);
  };
  expect(await shownWith(series)).toEqual([]);
  expect(await shownWith(series + 1)).toEqual(['pushes_total{repository=""} 0']);
  expect(await shownWith(series + 2)).toHaveLength(2);
  expect(await shownWith(series + 3)).toHaveLength(3);
});

test('where there are too many, those begin at 0 that were pushed to last', () => {
  const zeros = createPushZeros([], true, createZeroShares());
  zeros.works('distribution');
  const repositories = Array.from({ length: 30_000 }, (_, at) => ({
    name: `app-${at}`,
    lastPushAt: at % 3 === 0 ? undefined : at,
  }));
  const chosen = zeros.choose(repositories, 1_000_000);
  const begun = repositories.filter(({ name }) => chosen.ofRepository(name, undefined));
  expect(begun).toHaveLength(10_000);
  const oldest = Math.min(...begun.map(({ lastPushAt }) => lastPushAt ?? 0));
  const newer = repositories.filter(({ lastPushAt }) => (lastPushAt ?? 0) >= oldest);
  expect(newer).toEqual(begun);
  const few = zeros.choose(repositories.slice(0, 100), 41);
  expect(repositories.filter(({ name }) => few.ofRepository(name, undefined))).toHaveLength(40);
});

test('registries whose sources work share the series that begin at 0', () => {
  const shares = createZeroShares();
  const all = Array.from({ length: 30_000 }, (_, at) => ({ name: `app-${at}`, lastPushAt: at }));
  const begun = (zeros: PushZeros): number => {
    const chosen = zeros.choose(all, 1_000_000);
    return all.filter(({ name }) => chosen.ofRepository(name, undefined)).length;
  };
  const [first, second, silent] = [1, 2, 3].map(() => createPushZeros([], true, shares)) as [
    PushZeros,
    PushZeros,
    PushZeros,
  ];
  first.works('distribution');
  expect(begun(first)).toBe(10_000);
  second.works('zot');
  expect([first, second].map(begun)).toEqual([5000, 2500]);
  silent.works('nobody');
  expect(begun(first)).toBe(5000);
  second.stop();
  expect(begun(first)).toBe(10_000);
});

test('the same counts are shown as the same object, so that nothing is rendered again', () => {
  const zeros = createPushZeros([], true, createZeroShares());
  zeros.works('zot');
  const counts = { pushes: 3, failures: { denied: 1 } };
  const show = () => zeros.choose([{ name: 'app', lastPushAt: 1 }], 100).ofRepository('app', counts);
  expect(show()).toEqual({ pushes: 3, failures: { lint: 0, denied: 1 } });
  expect(show()).toBe(show());
  expect(zeros.works('zot')).toBe(false);
  expect(zeros.works('nobody')).toBe(false);
});

test('each receiver tells of pushes, and of failures what its vendor can', () => {
  const failures = Object.entries(receivers).map(([name, { tells }]) => [
    name,
    tells.repositories?.failures?.join(' ') ?? '',
  ]);
  const ofCloud = 'quota immutable_tag not_found invalid throttled server_error other'.split(' ');
  expect(Object.fromEntries(failures)).toMatchObject({
    distribution: '',
    harbor: 'quota',
    zot: 'lint',
    'docker-hub': '',
    acr: '',
    // What is pushed to an address has no entries of the audit log; they are pulled.
    'artifact-registry': '',
    artifactory: '',
  });
  for (const reason of ['denied', ...ofCloud])
    expect(receivers['ecr']?.tells.repositories?.failures, reason).toContain(reason);
});
