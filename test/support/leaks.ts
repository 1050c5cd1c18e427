import { setTimeout as sleep } from 'node:timers/promises';
import { oci } from '../../src/providers/oci.ts';
import { startOciSimulator } from '../simulators/oci.ts';
import { populate } from '../simulators/oci-population.ts';
import { createStore } from '../simulators/oci-store.ts';
import { runLoop } from './running-loop.ts';

/**
 * Run as a process of its own by test/reliability/leaks.test.ts, with `--expose-gc`: so many polls with faults and as
 * many renderings of everything, and by how much heap and handles grew after the first half.
 */
const polls = Number(process.argv[2]);
const store = createStore();
populate(store, { seed: 3, repositories: 5, now: 1_795_000_000 });
const simulator = await startOciSimulator({ store, referrers: true, auth: 'bearer', tokenSeconds: 5 });
const running = await runLoop(
  oci,
  {
    endpoint: simulator.url,
    auth: { username: simulator.username, password: simulator.password },
    http: { timeout: '100ms', retries: 0 },
  },
  { keepLog: false },
);

const measure = async () => {
  await sleep(200);
  globalThis.gc?.();
  await sleep(50);
  globalThis.gc?.();
  return { heap: process.memoryUsage().heapUsed, handles: process.getActiveResourcesInfo().length };
};

const faults = [
  { type: 'stall', at: 'before-headers' },
  { type: 'cut' },
  { type: 'status', status: 500 },
  { type: 'body', body: '{}' },
] as const;
const turn = async (number: number) => {
  const fault = faults[number % 8];
  simulator.faults.length = 0;
  if (fault) simulator.faults.push({ fault, operation: number % 16 < 8 ? 'catalog' : 'tags', times: 1 });
  await running.poll();
  await running.text();
};
for (let number = 0; number < polls / 2; number += 1) await turn(number);
const before = await measure();
for (let number = 0; number < polls / 2; number += 1) await turn(number);
const after = await measure();
console.log(
  JSON.stringify({
    bytesPerPoll: (after.heap - before.heap) / (polls / 2),
    handles: after.handles - before.handles,
  }),
);
process.exit(0);
