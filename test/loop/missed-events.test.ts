import { expect, test } from 'vitest';
import { createMissedEvents } from '../../src/loop/missed-events.ts';
import { createPushes } from '../../src/loop/pushes.ts';
import type { PackedTotals, RegistrySnapshot } from '../../src/model.ts';
import { packTotals } from '../../src/totals.ts';

/** Pushes that a poll finds and no event told of: only what is certain counts. */

const start = 1_790_000_000;
const minute = 60;

/** A registry whose pushes and events a test makes, polled every five minutes. */
function registry(names: readonly string[] = ['app']) {
  const pushes = createPushes(() => true);
  const missed = createMissedEvents(pushes);
  const pushedAt = new Map<string, number | undefined>(names.map((name) => [name, start]));
  let now = start;
  let tags = 1;
  let previous: RegistrySnapshot | undefined;
  const poll = async () => {
    now += 5 * minute;
    const complete = new Map<string, PackedTotals>(
      [...pushedAt].map(([repository, lastPushAt]) => [
        repository,
        packTotals({
          ...{ repository, tags, artifacts: {}, practices: {}, images: [] },
          ...(lastPushAt !== undefined && { lastPushAt }),
        }),
      ]),
    );
    await missed.polled(previous, complete, now);
    const repositories = new Map([...complete].map(([name, totals]) => [name, { totals, observedAt: now }]));
    previous = { identity: {}, facts: {}, repositories };
  };
  return {
    missed,
    poll,
    polls: async (count: number) => {
      for (let done = 0; done < count; done += 1) await poll();
    },
    push: (name = 'app') => pushedAt.set(name, now + 1),
    event: (name = 'app') => pushes.add(name, { pushes: 1, failures: {} }),
    /** Something else changes in all repositories. */
    retag() {
      tags += 1;
    },
    /** From now on nobody tells when it was pushed to. */
    hideTimes: (name = 'app') => pushedAt.set(name, undefined),
    remove: (name = 'app') => pushedAt.delete(name),
  };
}

test('a push without an event counts a quarter of an hour after the poll that found it', async () => {
  const { missed, event, push, poll, polls } = registry();
  event();
  await polls(2);
  push();
  await poll();
  expect(missed.count()).toBe(0);
  await polls(2);
  expect(missed.count()).toBe(0);
  await poll();
  expect(missed.count()).toBe(1);
  await polls(9);
  expect(missed.count()).toBe(1);
});

test.each<[string, (of: ReturnType<typeof registry>) => Promise<void>]>([
  [
    'an event that came before the poll',
    async ({ push, event, polls }) => {
      push();
      event();
      await polls(9);
    },
  ],
  [
    'an event that came late',
    async ({ push, event, poll, polls }) => {
      push();
      await polls(2);
      event();
      await poll();
      await polls(9);
    },
  ],
  ['no push', async ({ polls }) => polls(9)],
  [
    'a change that is no push',
    async ({ retag, polls }) => {
      retag();
      await polls(9);
    },
  ],
  [
    'a registry that no longer tells when was pushed, and does again',
    async ({ hideTimes, push, poll, polls }) => {
      hideTimes();
      await poll();
      push();
      await polls(9);
    },
  ],
  [
    'a repository that is gone, and comes back',
    async ({ remove, push, poll, polls }) => {
      remove();
      await poll();
      push();
      await polls(9);
    },
  ],
])('%s: nothing is missed', async (_, happens) => {
  const one = registry();
  one.event();
  await one.polls(2);
  await happens(one);
  expect(one.missed.count()).toBe(0);
});

test('a repository of which no event has ever told is not judged: nobody may have asked for its events', async () => {
  const { missed, event, push, polls } = registry(['app', 'other']);
  event('app');
  await polls(2);
  push('other');
  await polls(9);
  expect(missed.count()).toBe(0);
});

test('a second push does not put off the judgement of the first', async () => {
  const { missed, event, push, poll, polls } = registry();
  event();
  await polls(2);
  push();
  await poll();
  push();
  await polls(2);
  expect(missed.count()).toBe(0);
  await poll();
  expect(missed.count()).toBe(1);
});

test('a push whose event came late does not hide the next one', async () => {
  const { missed, event, push, poll, polls } = registry();
  event();
  await polls(2);
  push();
  await poll();
  event();
  await polls(2);
  push();
  await polls(4);
  expect(missed.count()).toBe(1);
});

test('what happened before a restart is not judged', async () => {
  const { missed, event, push, polls } = registry();
  event();
  push();
  await polls(9);
  expect(missed.count()).toBe(0);
});

test('there is no number where no event has told of any push', async () => {
  const { missed, push, polls } = registry();
  await polls(2);
  push();
  await polls(9);
  expect(missed.count()).toBeUndefined();
});

test('nor where events told of the registry as a whole only', async () => {
  const { missed, event, polls } = registry();
  event('');
  await polls(9);
  expect(missed.count()).toBeUndefined();
});

test('the count goes on after a restart', async () => {
  const { missed, event, push, polls } = registry();
  event();
  await polls(2);
  push();
  await polls(5);
  const { missed: next, event: another } = registry();
  next.restore({ ...missed.saved() } as never);
  another();
  expect(next.count()).toBe(1);
});
