import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCycleOrder } from '../../src/loop/cycle-order.ts';
import { recordingLog } from '../support/web.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 0, toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => vi.useRealTimers());

/** An order of cycles that the test ends. */
function ordered(settings: { readonly known?: readonly string[] } = {}) {
  const { lines, log } = recordingLog();
  const begun: string[] = [];
  const ends: { readonly end: () => void; readonly fail: (error: Error) => void }[] = [];
  const state = { canLook: true, cannotLook: 0 };
  const order = createCycleOrder({
    log: log as never,
    cycle(only) {
      begun.push(`${performance.now()} ${only?.join() ?? 'all'}`);
      return new Promise((resolve, reject) => ends.push({ end: resolve, fail: reject }));
    },
    canLook: () => state.canLook,
    isKnown: (name) => (settings.known ?? ['a', 'b']).includes(name),
    cannotLook() {
      state.cannotLook += 1;
    },
  });
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
  return {
    order,
    begun,
    lines,
    state,
    pass,
    async end() {
      ends.shift()?.end();
      await pass(0);
    },
    async fail() {
      ends.shift()?.fail(new Error('a fault'));
      await pass(0);
    },
  };
}

describe('polls', () => {
  test('never run twice at once: who asks for another waits for the one that runs', async () => {
    const { order, begun, end } = ordered();
    const polls = [order.poll(), order.poll()];
    expect(begun).toEqual(['0 all']);
    await end();
    await Promise.all(polls);
    void order.poll();
    expect(begun.length).toBe(2);
  });

  test('of the schedule are left out while one runs, and that is said', async () => {
    const { order, begun, lines, end } = ordered();
    order.pollOnSchedule();
    order.pollOnSchedule();
    await end();
    expect(begun).toEqual(['0 all']);
    expect(lines).toEqual(['warn the last poll is still running: this one is skipped']);
    order.pollOnSchedule();
    expect(begun.length).toBe(2);
  });

  test('go on after one broke; that is a fault of ours and said so', async () => {
    const { order, begun, lines, fail } = ordered();
    order.pollOnSchedule();
    await fail();
    expect(lines).toEqual(['error the cycle broke: this is a fault of the exporter a fault']);
    order.pollOnSchedule();
    expect(begun.length).toBe(2);
  });

  test('of the schedule come after a look that runs, once however many were due', async () => {
    const { order, begun, lines, pass, end } = ordered();
    order.look('a');
    await pass(2000);
    order.pollOnSchedule();
    order.pollOnSchedule();
    expect(begun).toEqual(['2000 a']);
    await end();
    expect(begun).toEqual(['2000 a', '2000 all']);
    await end();
    expect(begun.length).toBe(2);
    expect(lines).toEqual([]);
    // The next look is waited for in the same way.
    order.look('a');
    await pass(2000);
    order.pollOnSchedule();
    await end();
    expect(begun.slice(2)).toEqual(['4000 a', '4000 all']);
  });
});

describe('looks', () => {
  test('gather what is pushed within two seconds', async () => {
    const { order, begun, pass } = ordered();
    order.look('a');
    await pass(1500);
    order.look('b');
    await pass(499);
    expect(begun).toEqual([]);
    await pass(1);
    expect(begun).toEqual(['2000 a,b']);
  });

  test('wait for the cycle that runs, and two seconds more', async () => {
    const { order, begun, pass, end } = ordered();
    void order.poll();
    order.look('a');
    await pass(10_000);
    expect(begun).toEqual(['0 all']);
    await end();
    await pass(2000);
    expect(begun).toEqual(['0 all', '12000 a']);
  });

  test('of a name that nobody knows do not hold up those of others', async () => {
    const { order, begun, pass, end } = ordered();
    order.look('new');
    await pass(2000);
    await end();
    // It was looked at just now: the next look at it comes ten seconds later.
    order.look('new');
    await pass(1000);
    order.look('a');
    await pass(2000);
    expect(begun).toEqual(['2000 new', '5000 a']);
    await end();
    await pass(20_000);
    expect(begun.slice(2)).toEqual(['12000 new']);
  });

  test('begin only once there is a registry to put repositories into: the next poll shows them', async () => {
    const { order, begun, state, pass } = ordered();
    state.canLook = false;
    order.look('a');
    order.look('new');
    await pass(60_000);
    expect([begun, state.cannotLook]).toEqual([[], 1]);
    // What came before is not looked at later either.
    state.canLook = true;
    order.look('b');
    await pass(2000);
    expect(begun).toEqual(['62000 b']);
  });
});

describe('the end', () => {
  test('waits for the cycle that runs, and nothing begins after it', async () => {
    const { order, begun, pass, end } = ordered();
    void order.poll();
    order.look('a');
    let stopped = false;
    void order.stop().then(() => {
      stopped = true;
    });
    await pass(10_000);
    expect(stopped).toBe(false);
    await end();
    expect(stopped).toBe(true);
    order.pollOnSchedule();
    order.look('b');
    await pass(60_000);
    expect(begun).toEqual(['0 all']);
  });

  test('takes back a look that was due', async () => {
    const { order, begun, pass } = ordered();
    order.look('a');
    await order.stop();
    await pass(60_000);
    expect(begun).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
