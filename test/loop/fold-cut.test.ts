import { describe, expect, test } from 'vitest';
import { startDeadline } from '../../src/deadline.ts';
import { CollectError } from '../../src/errors.ts';
import type { CycleResult } from '../../src/fold.ts';
import { cutShort, foldStream } from '../../src/loop/fold-stream.ts';
import type { Observation } from '../../src/model.ts';
import { imageOf, listed } from './scripted.ts';

/** What is read of a provider's stream that ends, breaks, or does not end in time. */

const options = { images: { perRepository: 3, matches: () => false }, now: 1_000_000 };
const slow = new CollectError('throttled', 'slow down');

/** Folds a stream within a deadline that passes when the test says so, or never. */
function fold(
  stream: (pass: () => void) => AsyncIterable<Observation>,
  outer = new AbortController().signal,
) {
  const controller = new AbortController();
  let passed = false;
  const pass = () => {
    passed = true;
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  };
  const signal = AbortSignal.any([outer, controller.signal]);
  return foldStream(stream(pass), options, { signal, passed: () => passed });
}
const never = () => new Promise<never>(() => {});

test('a stream that ends is read whole', async () => {
  const result = await fold(async function* () {
    yield* listed('app', imageOf('v1'));
  });
  expect([[...result.complete.keys()], result.cut]).toEqual([['app'], undefined]);
});

describe('when the time is up', () => {
  test('what is complete counts, though the provider hangs and heeds nothing', async () => {
    const result = await fold(async function* (pass) {
      yield* listed('app', imageOf('v1'));
      yield { type: 'repository', repository: 'web' };
      pass();
      await never();
    });
    expect([[...result.complete.keys()], result.cut]).toEqual([['app'], {}]);
  });

  test('what the provider says at the end is the reason', async () => {
    const result = await fold(async function* (pass) {
      yield* listed('app', imageOf('v1'));
      pass();
      await new Promise((resolve) => setImmediate(resolve));
      throw slow;
    });
    expect([[...result.complete.keys()], result.cut]).toEqual([['app'], { reason: slow }]);
  });

  test('or what it says of that by throwing it first', async () => {
    const result = await fold(async function* (pass) {
      yield* listed('app', imageOf('v1'));
      pass();
      throw slow;
    });
    expect(result.cut).toEqual({ reason: slow });
  });

  test('another error of its last request is no reason', async () => {
    const result = await fold(async function* (pass) {
      pass();
      await new Promise((resolve) => setImmediate(resolve));
      throw new Error('aborted');
    });
    expect(result.cut).toEqual({});
  });

  test('what it shows afterwards is not read', async () => {
    const result = await fold(async function* (pass) {
      yield* listed('app', imageOf('v1'));
      pass();
      yield* listed('web', imageOf('v1'));
    });
    expect([...result.complete.keys()]).toEqual(['app']);
  });

  test('an abort that it passes on is the same', async () => {
    const result = await fold(async function* (pass) {
      yield* listed('app', imageOf('v1'));
      pass();
      throw new DOMException('This operation was aborted', 'AbortError');
    });
    expect(result.cut).toEqual({});
  });

  test('the stream is told to end, and a fault in that harms nobody', async () => {
    let ended = 0;
    const stream = (pass: () => void): AsyncIterable<Observation> => ({
      [Symbol.asyncIterator]: () => ({
        next() {
          pass();
          return never();
        },
        async return() {
          ended += 1;
          throw new Error('a fault');
        },
      }),
    });
    expect((await fold(stream)).cut).toEqual({});
    expect(ended).toBe(1);
  });

  test('so is one that cannot be told', async () => {
    const stream = (pass: () => void): AsyncIterable<Observation> => ({
      [Symbol.asyncIterator]: () => ({
        next() {
          pass();
          return never();
        },
      }),
    });
    expect((await fold(stream)).cut).toEqual({});
  });
});

describe('a stream that breaks', () => {
  test('before its time is up fails with its error', async () => {
    for (const error of [slow, new TypeError('a fault')]) {
      const broken = fold(async function* () {
        yield* listed('app', imageOf('v1'));
        throw error;
      });
      await expect(broken).rejects.toBe(error);
    }
  });

  test('by a fault of ours just when its time is up is a fault all the same', async () => {
    const fault = new TypeError('a fault');
    const broken = foldStream(
      (async function* (): AsyncGenerator<Observation> {
        yield* listed('app', imageOf('v1'));
        throw fault;
      })(),
      options,
      { signal: new AbortController().signal, passed: () => true },
    );
    await expect(broken).rejects.toBe(fault);
  });

  test('because the exporter stops fails with that', async () => {
    const stopping = new AbortController();
    const stopped = fold(async function* () {
      yield* listed('app', imageOf('v1'));
      stopping.abort(new Error('the exporter stops'));
      await never();
    }, stopping.signal);
    await expect(stopped).rejects.toThrow('the exporter stops');
  });
});

test('nothing listens any more once a stream has ended', async () => {
  const deadline = startDeadline(new AbortController().signal, 60_000);
  const removed: unknown[] = [];
  const { signal } = deadline;
  const original = signal.removeEventListener.bind(signal);
  signal.removeEventListener = ((...given: Parameters<typeof original>) => {
    removed.push(given[0]);
    original(...given);
  }) as typeof signal.removeEventListener;
  await foldStream(
    (async function* (): AsyncGenerator<Observation> {
      yield* listed('app', imageOf('v1'));
    })(),
    options,
    deadline,
  );
  deadline.clear();
  expect(removed).toEqual(['abort']);
});

describe('a poll that was cut short says how far it came and what to change', () => {
  const read = (count: number) =>
    ({
      complete: new Map(Array.from({ length: count }, (_, at) => [`r${at}`, '{}'])),
    }) as never as CycleResult;
  const advice =
    'Raise `timeout` and the time between polls in `schedule`, ask for fewer repositories with `repositories.include`, or raise `http.maxConcurrent` where the registry bears it';

  test('where nothing was listed, it is the registry that does not answer', () => {
    const { reason, message } = cutShort(read(0), 0, 60, undefined);
    expect([reason, message]).toEqual([
      'timeout',
      expect.stringMatching(
        /^the poll did not end within its deadline of 60 s, and nothing was listed: .* raise `timeout`$/,
      ),
    ]);
  });

  test('where none, or some, of what was listed was read', () => {
    expect(cutShort(read(0), 5, 60, undefined).message).toBe(
      `the poll did not end within its deadline of 60 s: none of 5 repositories that were listed was read. ${advice}`,
    );
    for (const [listedCount, shown] of [
      [5, 5],
      [1, 2],
    ] as const)
      expect(cutShort(read(2), listedCount, 60, undefined).message).toBe(
        `the poll did not end within its deadline of 60 s: 2 of ${shown} repositories that were listed were read and are published, the others keep the data that they had. ${advice}`,
      );
  });

  test('where something held it up, with that as the reason', () => {
    const error = cutShort(read(0), 0, 60, slow);
    expect([error.reason, error.message, error.cause]).toEqual([
      'throttled',
      `the poll did not end within its deadline of 60 s: none of 0 repositories that were listed was read. ${advice} (slow down)`,
      slow,
    ]);
  });
});
