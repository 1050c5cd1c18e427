import { beforeEach, describe, expect, test } from 'vitest';
import { createPushes, type Listing, type Pushes, sumOfPushes } from '../../src/loop/pushes.ts';

/** Push counts by repository, while the test says what listings show. */

let listed: Set<string>;
let now: number;
let pushes: Pushes;
beforeEach(() => {
  listed = new Set(['app']);
  now = 0;
  pushes = createPushes(
    (name) => listed.has(name),
    () => now,
  );
});
const one = { pushes: 1, failures: {} };
const failedOne = { pushes: 1, failures: { quota: 1 } };
const counts = () => Object.fromEntries(pushes.counts());
const waiting = () => Object.keys(pushes.saved().waiting ?? {});

/** A poll that began then and listed all that there is. */
const poll = (begunAt = now): Listing => ({
  has: (name) => listed.has(name),
  lacks: (name, since) => !listed.has(name) && since <= begunAt,
});
/** A look at other repositories, or a poll that broke. */
const nothingSaid: Listing = { has: () => false, lacks: () => false };

test('sums keep the counts of each reason, and leave what they add to alone', () => {
  const before = { pushes: 2, failures: { quota: 1 } };
  expect(sumOfPushes(undefined, failedOne)).toEqual(failedOne);
  expect(sumOfPushes(before, { pushes: 3, failures: { quota: 1, denied: 2 } })).toEqual({
    pushes: 5,
    failures: { quota: 2, denied: 2 },
  });
  expect(before).toEqual({ pushes: 2, failures: { quota: 1 } });
});

describe('a push', () => {
  test('to a repository that a listing has shown is counted at once', () => {
    pushes.add('app', one);
    pushes.add('app', failedOne);
    expect([counts(), waiting()]).toEqual([{ app: { pushes: 2, failures: { quota: 1 } } }, []]);
  });

  test('to the registry as a whole is counted as such at once', () => {
    pushes.add('', one);
    expect([counts(), waiting(), pushes.isKnown('')]).toEqual([{ '': one }, [], false]);
  });

  test('to another name waits until a listing shows it', () => {
    pushes.add('new', one);
    pushes.add('new', failedOne);
    expect([counts(), waiting(), pushes.isKnown('new')]).toEqual([{}, ['new'], false]);
    pushes.confirm(nothingSaid);
    expect(waiting()).toEqual(['new']);
    listed.add('new');
    pushes.confirm(poll());
    expect([counts(), waiting()]).toEqual([{ new: { pushes: 2, failures: { quota: 1 } } }, []]);
  });

  test('to a name with counts is counted, whatever the listings of the moment say', () => {
    pushes.add('app', one);
    listed.clear();
    expect([pushes.isKnown('app'), pushes.isKnown('web')]).toEqual([true, false]);
    pushes.add('app', one);
    expect(counts()).toEqual({ app: { pushes: 2, failures: {} } });
  });

  test('changes a count by a new one: who holds the old one sees that', () => {
    pushes.add('app', one);
    const before = pushes.counts().get('app');
    pushes.add('app', one);
    expect(before).toEqual(one);
  });
});

describe('a listing that does not show a name', () => {
  test('decides against it where all pushes to it failed', () => {
    pushes.add('new', failedOne);
    pushes.confirm(poll());
    expect([counts(), waiting()]).toEqual([{ '': failedOne }, []]);
  });

  test('and has begun before the push decides nothing', () => {
    now = 1000;
    pushes.add('new', failedOne);
    pushes.confirm(poll(999));
    expect(waiting()).toEqual(['new']);
    pushes.confirm(poll(1000));
    expect(waiting()).toEqual([]);
  });

  /** Platforms are pushed before the tag of their index. */
  test('decides against one that was pushed to only two minutes later', () => {
    pushes.add('new', failedOne);
    pushes.add('new', one);
    pushes.confirm(poll(119_999));
    expect(waiting()).toEqual(['new']);
    pushes.confirm(poll(120_000));
    expect([counts(), waiting()]).toEqual([{ '': { pushes: 2, failures: { quota: 1 } } }, []]);
  });

  test('takes the counts of a repository that is gone with it, and only those', () => {
    listed.add('web');
    for (const name of ['app', 'web', '']) pushes.add(name, one);
    pushes.confirm(nothingSaid);
    listed.delete('web');
    pushes.confirm(nothingSaid);
    expect(Object.keys(counts())).toEqual(['app', 'web', '']);
    pushes.confirm(poll());
    expect(counts()).toEqual({ app: one, '': one });
  });

  test('goes on counting all of them together: Prometheus would take less for a restart of the counter', () => {
    for (const name of ['app', 'web']) listed.add(name);
    expect(pushes.all()).toBeUndefined();
    for (const name of ['app', 'web', 'app']) pushes.add(name, failedOne);
    listed.delete('web');
    pushes.confirm(poll());
    const all = { pushes: 3, failures: { quota: 3 } };
    expect([counts()['web'], pushes.all()]).toEqual([undefined, all]);
    const next = createPushes((name) => listed.has(name));
    next.restore({ polls: 0, failures: {}, requests: [], events: [], ...pushes.saved() });
    expect(next.all()).toEqual(all);
  });
});

describe('after a restart', () => {
  test('counts go on, and what waited waits for as long as it may', () => {
    pushes.restore({
      polls: 0,
      failures: {},
      requests: [],
      events: [],
      pushes: { web: one },
      waiting: { new: failedOne },
    });
    expect([counts(), waiting()]).toEqual([{ web: one }, ['new']]);
    now = 10 * 60_000;
    pushes.confirm(nothingSaid);
    expect(waiting()).toEqual(['new']);
    now += 1;
    pushes.confirm(nothingSaid);
    expect(counts()).toEqual({ web: one, '': failedOne });
  });

  test('counts that were saved without any that wait, and without their sum, are read too', () => {
    pushes.restore({ polls: 0, failures: {}, requests: [], events: [], pushes: { web: one } });
    expect(pushes.saved()).toEqual({ pushes: { web: one }, allPushes: one, waiting: {} });
  });

  test('what is saved is a copy', () => {
    pushes.add('app', failedOne);
    const saved = pushes.saved();
    pushes.add('app', failedOne);
    expect(saved.pushes).toEqual({ app: failedOne });
  });
});
