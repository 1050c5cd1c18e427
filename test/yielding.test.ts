import { afterEach, expect, test, vi } from 'vitest';
import { createYielder, nextTurn } from '../src/yielding.ts';

afterEach(() => void vi.restoreAllMocks());

/** What of a clock's time each round of the event loop uses, until it is told to stop. */
function watchRounds(now: () => number) {
  const rounds: number[] = [];
  let last = now();
  let isWatching = true;
  const look = () => {
    rounds.push(now() - last);
    last = now();
    if (isWatching) setImmediate(look);
  };
  setImmediate(look);
  return () => {
    isWatching = false;
    return rounds;
  };
}

test('ten loops side by side use no more of a round than one, and each comes to its end', async () => {
  let clock = 1_000;
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  const stop = watchRounds(() => clock);
  const done: number[] = [];
  const loop = async (number: number) => {
    const pause = createYielder(4);
    for (let step = 0; step < 50; step += 1) {
      clock += 1;
      await pause();
    }
    done.push(number);
  };
  const all = Promise.all(Array.from({ length: 10 }, (_, number) => loop(number)));
  // All of them begin at once, before any could give way.
  await nextTurn();
  await all;
  const [first = 0, ...others] = stop().filter((used) => used > 0);
  expect(first).toBeLessThanOrEqual(10 * 4);
  expect(Math.max(...others)).toBeLessThanOrEqual(4);
  expect(done.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('who waits gets a turn in the order of waiting', async () => {
  const order: number[] = [];
  await Promise.all([1, 2, 3].map((number) => nextTurn().then(() => order.push(number))));
  expect(order).toEqual([1, 2, 3]);
});

test('nothing is waited for while there is time left', () => {
  let clock = performance.now();
  return nextTurn().then(() => {
    clock = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    const pause = createYielder(4);
    expect(pause()).toBeUndefined();
    clock += 5;
    expect(pause()).toBeInstanceOf(Promise);
  });
});
