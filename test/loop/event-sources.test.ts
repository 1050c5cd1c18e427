import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError } from '../../src/errors.ts';
import type { ReadEvents } from '../../src/events/push-event.ts';
import { createEventSources } from '../../src/loop/event-sources.ts';
import { createTroubles } from '../../src/loop/troubles.ts';
import type { EventSourceView } from '../../src/metrics.ts';
import type { CollectContext, EventBatch, EventSource } from '../../src/provider.ts';
import { recordingLog } from '../support/web.ts';

/** Push events that are asked for: when a source is read, and what becomes of what it gives. */

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000, toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => vi.useRealTimers());

type Reading = (context: CollectContext, since: number) => AsyncIterable<EventBatch> | Iterable<EventBatch>;

const pushed = (repository = 'app') => ({ id: '1', type: 'pushed', repository }) as const;
const failed = (repository: string) => ({ id: '2', type: 'failed', repository, reason: 'quota' }) as const;
const failure = (reason: 'dns' | 'auth' = 'dns') => new CollectError(reason, `it said ${reason}`);

/** One source that does what the test says, reading by reading. */
function sources(first: Reading, options: { readonly everyMs?: number; readonly remembered?: number } = {}) {
  const { everyMs = 10_000, remembered } = options;
  const { lines, log } = recordingLog();
  const stopping = new AbortController();
  const views = new Map<string, EventSourceView>();
  const memory = new Map<string, unknown>(
    remembered === undefined ? [] : [['push events of queue since', remembered]],
  );
  const happened: string[] = [];
  const readAt: number[] = [];
  let reading = first;
  let saved: () => Promise<void> = async () => {};
  const source: EventSource = {
    name: 'queue',
    tells: {},
    everyMs,
    async *read(context, since) {
      readAt.push(performance.now());
      yield* reading(context, since);
    },
  };
  const input = {
    settings: {
      http: { maxConcurrent: 1, timeoutMs: 1000, maxBytes: 1000, retries: 0 },
      images: { perRepository: 0, matches: () => false },
      wants: () => true,
    },
    stopping: stopping.signal,
    userAgent: 'test/1',
    log,
    memory: {
      get: (key: string) => (memory.has(key) ? { value: memory.get(key), at: 0 } : undefined),
      set: (key: string, value: unknown) => void memory.set(key, value),
    },
    troubles: createTroubles(log as never),
    counting: { request() {} },
    publisher: {
      refresh: () => void happened.push('refresh'),
      publishAside: () => void happened.push('publish'),
    },
    sources: [source],
    receive(name: string, events: ReadEvents) {
      happened.push(`receive ${events.length} of ${name}`);
      return { saved: saved(), lost() {} };
    },
    eventSources: views,
    works: (name: string) => void happened.push(`${name} works`),
  };
  const all = createEventSources(input as never);
  return {
    ...all,
    lines,
    views,
    happened,
    memory,
    /** Since the start, milliseconds. */
    readAt,
    say(next: Reading) {
      reading = next;
    },
    save(next: typeof saved) {
      saved = next;
    },
    pass: (ms: number) => vi.advanceTimersByTimeAsync(ms),
    async end() {
      stopping.abort(new Error('the exporter stops'));
      await all.stop();
    },
  };
}

/** Batches, each of which says when it is done. */
const batch = (happened: string[], events: ReadEvents, newestAt?: number): EventBatch => ({
  events,
  newestAt,
  async done() {
    happened.push('done');
  },
});
const nothing: Reading = () => [];

describe('events that were read', () => {
  test('are taken off the source once they are on disk, and not before', async () => {
    const found = sources(nothing);
    let onDisk = () => {};
    found.save(
      () =>
        new Promise((resolve) => {
          onDisk = resolve;
        }),
    );
    found.say(() => [batch(found.happened, [pushed(), pushed()])]);
    found.start();
    await found.pass(5000);
    expect(found.happened).toEqual(['receive 2 of queue']);
    onDisk();
    await found.pass(0);
    expect(found.happened.slice(1, 2)).toEqual(['done']);
    await found.end();
  });

  test('are given again where they could not be saved', async () => {
    const found = sources(nothing);
    found.save(() => Promise.reject(new Error('the disk is full')));
    found.say(() => [batch(found.happened, [pushed()])]);
    found.start();
    await found.pass(0);
    expect(found.happened).toEqual(['receive 1 of queue', 'refresh']);
    expect(found.views.get('queue')).toEqual({ up: false });
    await found.end();
  });

  test('need no saving where there are none', async () => {
    const found = sources(nothing);
    found.say(() => [batch(found.happened, [])]);
    found.start();
    await found.pass(0);
    expect(found.happened).toEqual(['done', 'queue works', 'refresh']);
    await found.end();
  });

  test('are shown by the time of the newest, and how late it was read', async () => {
    const found = sources(nothing);
    found.say(() => [
      batch(found.happened, [pushed()], 990),
      batch(found.happened, [pushed()], 980),
      batch(found.happened, [pushed()]),
    ]);
    found.start();
    await found.pass(0);
    expect(found.views.get('queue')).toEqual({ up: true, lastEventAt: 990, lagSeconds: 10 });
    expect(found.happened.filter((what) => what === 'refresh').length).toBe(1);
    // A clock that is ahead of ours makes no event early.
    found.say(() => [batch(found.happened, [pushed()], 2000)]);
    await found.pass(10_000);
    expect(found.views.get('queue')).toEqual({ up: true, lastEventAt: 2000, lagSeconds: 0 });
    await found.end();
  });

  test('of a failed push that the registry counts as a whole are published at once: no look follows', async () => {
    for (const [events, published] of [
      [[failed('')], true],
      [[failed('app'), pushed(''), undefined], false],
    ] as const) {
      const found = sources(nothing);
      found.say(() => [batch(found.happened, events)]);
      found.start();
      await found.pass(0);
      expect(found.happened.includes('publish')).toBe(published);
      await found.end();
    }
  });
});

describe('a source is read', () => {
  test('as often as it says', async () => {
    const { start, pass, readAt, end } = sources(nothing, { everyMs: 10_000 });
    start();
    await pass(25_000);
    expect(readAt).toEqual([0, 10_000, 20_000]);
    await end();
  });

  test('at once again where it waits for events itself, but for a second after it found none', async () => {
    const found = sources(nothing, { everyMs: 0 });
    let left = 3;
    found.say(() => {
      left -= 1;
      return left >= 0 ? [batch(found.happened, [pushed()])] : [];
    });
    found.start();
    await found.pass(2500);
    expect(found.readAt).toEqual([0, 0, 0, 0, 1000, 2000]);
    await found.end();
  });

  test('ever more rarely while it fails, and as before once it works', async () => {
    const { start, pass, readAt, say, end } = sources(() => {
      throw failure();
    });
    start();
    await pass(2_000_000);
    const waits = readAt.slice(1).map((at, index) => at - (readAt[index] ?? 0));
    expect(waits.slice(0, 8)).toEqual([5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
    say(nothing);
    await pass(300_000);
    readAt.splice(0);
    await pass(20_000);
    expect(readAt.length).toBe(2);
    await end();
  });

  test('for what happened since it was looked at first, over restarts too', async () => {
    const told: number[] = [];
    const reading: Reading = (_context, since) => {
      told.push(since);
      return [];
    };
    const first = sources(reading);
    first.start();
    await first.pass(10_000);
    await first.end();
    expect(told).toEqual([1000, 1000]);
    const second = sources(reading, { remembered: first.memory.get('push events of queue since') as number });
    second.start();
    await second.pass(0);
    await second.end();
    expect(told.at(-1)).toBe(1000);
  });

  test('no longer than five minutes at a time', async () => {
    let told: AbortSignal | undefined;
    const found = sources((context) => {
      told = context.signal;
      return (async function* (): AsyncGenerator<EventBatch> {
        await new Promise((_resolve, reject) =>
          context.signal.addEventListener('abort', () => reject(context.signal.reason)),
        );
      })();
    });
    found.start();
    await found.pass(299_999);
    expect(told?.aborted).toBe(false);
    await found.pass(1);
    expect(told?.aborted).toBe(true);
    expect(found.views.get('queue')).toEqual({ up: false });
    await found.end();
  });
});

describe('a source that fails', () => {
  test('is told once while the reason lasts, is shown, and so is its end', async () => {
    const found = sources(() => {
      throw failure('dns');
    });
    found.start();
    await found.pass(5000);
    expect(found.views.get('queue')).toEqual({ up: false });
    const told = 'push events could not be read: failed pushes are not counted until it works again';
    expect(found.lines).toEqual([`warn ${told} it said dns`, `debug ${told} it said dns`]);
    found.say(() => [batch(found.happened, [pushed()], 900)]);
    await found.pass(10_000);
    expect(found.lines.slice(2)).toEqual(['info the push events of queue works again']);
    expect(found.views.get('queue')).toMatchObject({ up: true, lastEventAt: 900 });
    // What is known of its events stays when it fails again.
    found.say(() => {
      throw failure('auth');
    });
    await found.pass(10_000);
    expect(found.views.get('queue')).toMatchObject({ up: false, lastEventAt: 900 });
    await found.end();
  });

  test('fails too where it says so itself and goes on', async () => {
    const found = sources((context) => {
      context.degraded('events', failure());
      return [];
    });
    found.start();
    await found.pass(0);
    expect(found.views.get('queue')).toEqual({ up: false });
    expect(found.lines).toEqual(['warn events could not be read: unknown until it works again it said dns']);
    await found.end();
  });

  test('or is read while the exporter stops has not failed: nothing is said, and nothing is read again', async () => {
    const found = sources((context) =>
      (async function* (): AsyncGenerator<EventBatch> {
        await new Promise((_resolve, reject) =>
          context.signal.addEventListener('abort', () => reject(failure())),
        );
      })(),
    );
    found.start();
    await found.pass(0);
    await found.end();
    await found.pass(600_000);
    expect([found.lines, found.views.size, found.readAt.length]).toEqual([[], 0, 1]);
  });
});

test('what a source has open is closed when its reading ends, and what it keeps is its own', async () => {
  const contexts: CollectContext[] = [];
  const { start, pass, end } = sources((context) => {
    contexts.push(context);
    context.session.keep('cursor', () => contexts.length);
    return [];
  });
  start();
  await pass(10_000);
  await end();
  expect(contexts[0]?.signal.aborted).toBe(true);
  expect(contexts[1]?.session.keep('cursor', () => 9)).toBe(1);
  expect([contexts[0]?.only, contexts[0]?.concurrency]).toEqual([undefined, 1]);
});
