import { isDeepStrictEqual } from 'node:util';
import pMap from 'p-map';
import { expect, test } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import type { Fault, FaultRule } from '../simulators/faults.ts';
import { startOciSimulator } from '../simulators/oci.ts';
import { populate } from '../simulators/oci-population.ts';
import { createStore } from '../simulators/oci-store.ts';
import { createRandom } from '../simulators/random.ts';
import { ociTruth, truthFamilies } from '../support/oci-truth.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/**
 * Polls under seeded faults of a registry that changes between polls. Whatever goes wrong, every exported value is
 * the truth of one complete poll: of one repository as a whole, and of the registry's sums as a whole; and it never
 * goes back to an older one.
 */
const polls = process.env['LONG'] === '1' ? 10_000 : 240;
const workers = 6;
/** A registry only grows: after so many polls another one takes its place. */
const pollsPerLife = 40;
const seed = Number(process.env['SEED'] ?? 20261124);

const operations = ['catalog', 'tags', 'manifest_head', 'manifest_get', 'blob_get', 'referrers', 'token'];
const faults: readonly Fault[] = [
  { type: 'throttle' },
  { type: 'throttle', retryAfter: '0' },
  { type: 'status', status: 500 },
  { type: 'status', status: 502, body: '<html>bad gateway</html>', contentType: 'text/html' },
  { type: 'status', status: 403 },
  { type: 'slow', ms: 60 },
  { type: 'stall', at: 'before-headers' },
  { type: 'stall', at: 'before-body' },
  { type: 'stall', at: 'drip' },
  { type: 'cut' },
  { type: 'body', body: '{}' },
  { type: 'body', body: '<html>Sign in</html>' },
  { type: 'body', body: '{"repositories":["a","b' },
  { type: 'body', body: '\u0000\u0001\u0002garbage' },
  { type: 'length', body: '{"tags":[]}', length: 400 },
];

/**
 * Answers that say of a repository which was never asked that it does not offer the referrers API: then the tags tell
 * alone, for a day, which is no fault.
 */
const notOffered = ({ type, ...fault }: Fault): boolean =>
  (type === 'status' && 'status' in fault && fault.status === 403) || type === 'body' || type === 'length';

/** Lines by what they are about: a repository, or the registry as a whole. */
function grouped(lines: readonly string[]): Map<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const line of lines) {
    const subject = /repository="([^"]*)"/.exec(line)?.[1] ?? '';
    groups.set(subject, [...(groups.get(subject) ?? []), line]);
  }
  return groups;
}

async function life(number: number, turns: number) {
  const random = createRandom(seed + number);
  const below = (limit: number): number => Math.floor(random() * limit);
  const store = createStore();
  const population = populate(store, { seed: seed + number, repositories: 4, tags: 3, now: 1_795_000_000 });
  const simulator = await startOciSimulator({ store, referrers: true, auth: 'bearer' });
  const running: RunningLoop = await runLoop(oci, {
    endpoint: simulator.url,
    auth: { username: simulator.username, password: simulator.password },
    timeout: '2s',
    http: { timeout: '120ms', retries: 1 },
    referrersInterval: '1ms',
  });
  /** Every state that there was, by subject, oldest first. */
  const history = new Map<string, (readonly string[])[]>();
  const reached = new Map<string, number>();
  for (let turn = 0; turn < turns; turn += 1) {
    const where = `SEED=${seed}, life ${number}, poll ${turn}`;
    for (let steps = below(3); steps > 0; steps -= 1) population.step();
    for (const [subject, state] of grouped(ociTruth(store))) {
      const states = history.get(subject) ?? [];
      states.push(state);
      history.set(subject, states);
    }
    simulator.faults.length = 0;
    for (let count = below(4); count > 0; count -= 1) {
      const fault = faults[below(faults.length)] as Fault;
      const operation = operations[below(operations.length)] as string;
      const rule: FaultRule = {
        fault: operation === 'referrers' && notOffered(fault) ? { type: 'status', status: 500 } : fault,
        operation,
        ...(random() < 0.3 && { repository: population.repositories[below(4)] as string }),
        ...(random() < 0.7 && { times: 1 + below(3) }),
      };
      simulator.faults.push(rule);
    }
    const before = await running.lines(...truthFamilies);
    await running.poll();
    const up = await running.value('up');
    expect([0, 1], where).toContain(up);
    const after = await running.lines(...truthFamilies);
    // One that ran out of time has read some repositories: they are held to the truth below.
    const cut = running.loop.status().errors[0]?.message.startsWith('the poll did not end');
    if (up === 0 && !cut) expect(after, `${where}: a poll that failed changes nothing`).toEqual(before);
    for (const [subject, seen] of grouped(after)) {
      const states = history.get(subject) ?? [];
      // What could not be read is not there; all that is there belongs to one state, and not to an older one than before.
      const place = states.findLastIndex((state) => seen.every((line) => state.includes(line)));
      if (place < (reached.get(subject) ?? 0))
        expect(seen, `${where}: ${subject || 'the registry'} is in none of its states`).toEqual(
          states.at(-1),
        );
      reached.set(subject, place);
    }
  }
  // Without faults all is as it should be: nothing was left behind. On a busy machine 120 ms pass by themselves, and
  // what failed is left out of more and more polls: hence many polls, until the numbers are there.
  simulator.faults.length = 0;
  let end: string[] = [];
  for (let attempt = 0; attempt < 300; attempt += 1) {
    await running.poll();
    end = (await running.lines(...truthFamilies)).toSorted();
    if (isDeepStrictEqual(end, ociTruth(store).toSorted())) break;
  }
  expect(end, `SEED=${seed}, life ${number}, after its faults`).toEqual(ociTruth(store).toSorted());
  expect(running.log()).not.toContain('this is a fault of the exporter');
  const failed = (await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'));
  await running.stop();
  await simulator.close();
  return failed;
}

test(
  `${polls} polls under seeded faults: every value is the truth of one complete poll`,
  async () => {
    const lives = Array.from({ length: Math.ceil(polls / pollsPerLife) }, (_, number) => number);
    const results = await pMap(lives, (number) => life(number, pollsPerLife), { concurrency: workers });
    // The faults really happened.
    expect(results.flat().length).toBeGreaterThan(lives.length);
    const sums = new Map<string, number>();
    for (const line of results.flat()) {
      const [, reason = '', count] = /reason="(\w+)"} (\d+)/.exec(line) ?? [];
      sums.set(reason, (sums.get(reason) ?? 0) + Number(count));
    }
    console.info(`failures among ${polls} polls: ${JSON.stringify(Object.fromEntries(sums))}`);
  },
  30 * 60_000,
);
