import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'vitest';
import { createExposition } from '../../../src/exposition.ts';
import { oci } from '../../../src/providers/oci.ts';
import { startOciSimulator } from '../../simulators/oci.ts';
import { populate } from '../../simulators/oci-population.ts';
import { createStore } from '../../simulators/oci-store.ts';
import { createRandom } from '../../simulators/random.ts';
import { runLoop } from '../../support/running-loop.ts';
import type { Simulated, Subject } from '../conformance.ts';
import { isImmutable, type Mutation, mutationsOf, nameOf } from './catalogue.ts';
import { type Bench, observe, startLoop } from './run.ts';
import { createNames, type Sighting, sightingOf } from './sightings.ts';
import { type Baseline, gist, valuesOf } from './verdict.ts';

/** Everything that runs while mutations do. */
export interface Stage {
  readonly bench: Bench;
  readonly clean: Baseline;
  readonly operations: readonly string[];
  readonly mutations: readonly Mutation[];
  close(): Promise<void>;
}

const retries = 1;
const now = 1_795_000_000;

/** Stands for an address that only the exporter's own network reaches. */
async function startTrap(hits: string[]): Promise<Server> {
  const server = createServer((request, response) => {
    // A redirect may lead anywhere, but takes no credentials along.
    const isRedirected = request.url?.startsWith('/redirected') === true;
    if (!isRedirected || request.headers.authorization !== undefined) hits.push(request.url ?? '');
    response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Another registry in the same exposition. */
async function startOther() {
  const store = createStore();
  populate(store, { seed: 3, repositories: 2, now });
  const simulator = await startOciSimulator({ store, referrers: true });
  const exposition = createExposition();
  const running = await runLoop(oci, { endpoint: simulator.url }, { exposition, name: 'other' });
  await running.poll();
  return { exposition, port: simulator.port, running, simulator };
}

/** Three clean polls of a loop of its own, and every answer that they saw. */
async function cleanPolls(
  bench: Bench,
  simulated: Simulated,
  families: readonly string[],
  seen: Map<string, Sighting>,
) {
  const running = await startLoop(bench);
  const polls = await observe(bench, running, 3, {
    answer(exchange) {
      const sighting = sightingOf(exchange, bench.names);
      const id = `${sighting.key} ${exchange.status}`;
      if (!seen.has(id)) seen.set(id, sighting);
      return undefined;
    },
  });
  expect((await running.lines(...families)).toSorted(), running.log()).toEqual(simulated.truth().toSorted());
  await running.stop();
  return polls;
}

/** The series of all tagged images. */
async function seriesOfImages(bench: Bench): Promise<Map<string, number>> {
  const running = await startLoop(bench, { images: { perRepository: 1000 } });
  const [poll] = await observe(bench, running, 1);
  await running.stop();
  bench.shared.remove('edge');
  return new Map([...valuesOf(poll?.text ?? '')].filter(([series]) => series.startsWith('image_')));
}

/** What clean polls have in common. */
function baselineOf(
  polls: readonly Awaited<ReturnType<typeof cleanPolls>>[],
  ofImages: ReadonlyMap<string, number>,
): Baseline {
  const all = polls.flat().map(({ text }) => valuesOf(text));
  const [first = new Map<string, number>()] = all;
  const volatile = new Set<string>();
  for (const values of all)
    for (const series of [...values.keys(), ...first.keys()])
      if (values.get(series) !== first.get(series)) volatile.add(series);
  const [[cold, , warm] = []] = polls;
  return {
    series: new Map([...first].filter(([series]) => !volatile.has(series))),
    ofImages,
    volatile,
    cold: cold?.requests ?? new Map(),
    warm: warm?.requests ?? new Map(),
    told: new Set(polls.flat().flatMap(({ told }) => told.map(gist))),
    logged: Math.max(...polls.flat().map(({ logged }) => logged)),
    status: Math.max(...polls.flat().map(({ status }) => status)),
    retries,
  };
}

/**
 * Starts a simulator, another registry beside it, and looks at clean polls.
 * @param rules which fields may be absent (`operation | path`), and which mutations are plausible (`operation | path | kind`)
 */
export async function prepare(
  subject: Subject,
  seed: number,
  rules: { optional(field: string): boolean; plausible(mutation: string): boolean },
): Promise<Stage> {
  const hits: string[] = [];
  const trap = await startTrap(hits);
  const trapPort = (trap.address() as AddressInfo).port;
  const other = await startOther();
  const simulated = await subject.start({ seed: 11, repositories: 4, pageSize: 2 });
  const labels = simulated.truth().flatMap((line) => /[{,]repository="([^"]*)"/.exec(line)?.[1] ?? []);
  const { http } = simulated.registry as { http?: object };
  const bench: Bench = {
    provider: subject.provider,
    registry: {
      ...simulated.registry,
      timeout: '60s',
      http: { requestsPerSecond: 100_000, ...http, timeout: '30s', retries },
    },
    names: createNames([...new Set(labels)]),
    spared: new Set([other.port, trapPort]),
    shared: other.exposition,
    hits,
  };
  const seen = new Map<string, Sighting>();
  const polls = [
    await cleanPolls(bench, simulated, subject.families, seen),
    await cleanPolls(bench, simulated, subject.families, seen),
  ];
  const ofImages = await seriesOfImages(bench);
  const sightings = [...seen.values()];
  const random = createRandom(seed);
  const mutations = mutationsOf(sightings, {
    names: bench.names,
    optional: (operation, path) => rules.optional(`${operation} | ${path}`),
    pick: (all) => all[Math.floor(random() * all.length)],
    trap: `http://127.0.0.1:${trapPort}`,
    stored: sightings.filter(isImmutable).map(({ exchange }) => exchange),
  });
  return {
    bench,
    clean: baselineOf(polls, ofImages),
    operations: [...new Set(sightings.map(({ operation }) => operation))].sort(),
    mutations: mutations.map((one) => (rules.plausible(nameOf(one)) ? { ...one, plausible: true } : one)),
    async close() {
      await other.running.stop();
      await other.simulator.close();
      await simulated.close();
      await new Promise((resolve) => trap.close(resolve));
    },
  };
}
