import { createServer } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createInUse } from '../src/daemon/in-use.ts';
import { createHttpClient } from '../src/http.ts';
import type { JoinedRegistry } from '../src/in-use/feed.ts';
import { joinRegistry } from '../src/in-use/join.ts';
import { Counting } from '../src/in-use/tally.ts';
import { createSelfMetrics } from '../src/self-metrics.ts';
import { conclude, ms, table, target } from './report.ts';

/**
 * `npm run bench:in-use`: what 50,000 containers over 20 clusters with 5,000 images cost, as a Prometheus with
 * kube-state-metrics answers them: reading, and the join with five registries of a thousand images. Beside it the same
 * process without a source.
 */
const [clusters, containers, images, registries] = [20, 50_000, 5_000, 5];
const digest = (index: number) => `sha256:${index.toString(16).padStart(64, '0')}`;
const name = (index: number) =>
  `registry-${index % registries}.example.com/team-${index % 50}/app-${index % 1000}`;

const rowOf = (at: number) => ({
  cluster: `cluster-${at % clusters}`,
  namespace: `team-${at % 50}`,
  workload: `app-${at % 1000}`,
  image: `${name(at % images)}:v1`,
  image_spec: `${name(at % images)}:v1`,
  image_id: `${name(at % images)}@${digest(at % images)}`,
});

if (!isMainThread) {
  // The server has a thread of its own: what it does is not the exporter's.
  const result = Array.from({ length: containers }, (_, at) => ({
    metric: rowOf(at),
    value: [1_790_000_000, '1'],
  }));
  const body = JSON.stringify({ status: 'success', data: { resultType: 'vector', result } });
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(body);
  });
  server.listen(0, '127.0.0.1', () =>
    parentPort?.postMessage({ port: (server.address() as { port: number }).port, bytes: body.length }),
  );
}

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

function joined(index: number): JoinedRegistry {
  return {
    name: `registry-${index}`,
    rules: () => [{ from: `registry-${index}.example.com`, to: '' }],
    wants: () => true,
    lists: () => true,
    listing: () => 0,
    changed() {},
  };
}

function counted(): Counting {
  const counting = new Counting();
  for (let at = 0; at < containers; at += 1) {
    const { image_id: imageId, ...row } = rowOf(at);
    counting.add([{ imageId, ...row, count: 1 }]);
  }
  return counting;
}

/** CPU and the longest gap of the event loop of some seconds; and what the longest turn took of the CPU: the rest others took. */
async function watched(work: () => Promise<void>) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const before = cpuMs();
  let turnBegan = before;
  let turn = 0;
  const ticking = setInterval(() => {
    const now = cpuMs();
    turn = Math.max(turn, now - turnBegan);
    turnBegan = now;
  }, 1);
  await work();
  clearInterval(ticking);
  delay.disable();
  return { cpu: cpuMs() - before, gap: delay.max / 1e6, turn };
}

/** A running exporter has made requests: its HTTP client is loaded. */
async function warmUp(url: string): Promise<void> {
  const { signal } = new AbortController();
  const limits = { maxConcurrent: 1, retries: 0, timeoutMs: 30_000, maxBytes: 2 ** 28 };
  const client = createHttpClient({ ...limits, signal, userAgent: 'bench', observe() {} });
  await client.request({ url, operation: 'warm', raw: true, method: 'HEAD' });
  await client.close();
}

async function main(): Promise<void> {
  const all = Array.from({ length: registries }, (_, index) => joined(index));
  const tally = counted().tally();
  const times: number[] = [];
  for (let round = 0; round < 7; round += 1) {
    const before = cpuMs();
    for (const registry of all) joinRegistry(registry, new Map([['fleet', tally]]), 2_000);
    times.push(cpuMs() - before);
  }
  const join = times.toSorted((a, b) => a - b)[3] ?? Number.NaN;

  const worker = new Worker(new URL(import.meta.url), { workerData });
  const { port, bytes } = await new Promise<{ port: number; bytes: number }>((resolve) =>
    worker.once('message', resolve),
  );
  await warmUp(`http://127.0.0.1:${port}`);
  const seconds = 12;
  const idle = await watched(() => sleep(seconds * 1000).then(() => {}));
  const quiet = { debug() {}, info() {}, warn: console.warn, error: console.error };
  const inUse = createInUse({
    log: Object.assign(quiet, { child: () => quiet }) as never,
    self: createSelfMetrics({ version: '0', revision: 'bench' }),
    userAgent: 'bench',
    knowsAll: () => true,
  });
  let readings = 0;
  const feeds = all.map((registry, index) =>
    inUse.join({
      ...registry,
      changed() {
        if (index === 0) readings += 1;
        feeds[index]?.current();
      },
    }),
  );
  const settings = {
    name: 'fleet',
    type: 'prometheus',
    intervalMs: 1_000,
    timeoutMs: 30_000,
    staleAfterMs: 60_000,
  };
  const source = {
    ...settings,
    maxBytes: 2 ** 28,
    tls: {},
    options: { address: new URL(`http://127.0.0.1:${port}`) },
    written: '',
  };
  const busy = await watched(async () => {
    await inUse.apply({ maxImages: 2_000, sources: [source] });
    await sleep(seconds * 1000);
  });
  await inUse.stop();
  await worker.terminate();

  table(
    `${containers} containers, ${clusters} clusters, ${images} images, ${registries} registries; an answer of ${(bytes / 1e6).toFixed(1)} MB`,
    [
      ['', 'CPU', 'longest gap of the event loop', 'its longest turn, CPU'],
      ['joining all registries, median of seven', ms(join), '–', '–'],
      [`${seconds} s without a source`, ms(idle.cpu), ms(idle.gap), ms(idle.turn)],
      [`${seconds} s with ${readings - 1} readings`, ms(busy.cpu), ms(busy.gap), ms(busy.turn)],
      ['a reading with its join', ms((busy.cpu - idle.cpu) / Math.max(1, readings - 1)), '', ''],
    ],
  );
  target(`the join takes ${ms(join)} ≤ 200 ms of CPU`, join <= 200);
  target(`the longest gap is ${ms(busy.gap)} ≤ 20 ms (${ms(idle.gap)} without a source)`, busy.gap <= 20);
  conclude();
}

if (isMainThread) await main();
