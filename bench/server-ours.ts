import { createServer } from 'node:http';
import { performance } from 'node:perf_hooks';
import express from 'express';
import { createExposition } from '../src/exposition.ts';
import type { PackedView, RepositoryView } from '../src/metrics.ts';
import { createSelfMetrics } from '../src/self-metrics.ts';
import { createApp } from '../src/server.ts';
import { packTotals } from '../src/totals.ts';
import { createYielder } from '../src/yielding.ts';
import { registryView, repositoryView, repositoryViews } from './population.ts';
import { serveMeasurements } from './server-measurements.ts';

/** The exporter's own path from totals to bytes on the wire, in a process of its own. */
const series = Number(process.argv[2]);
const exposition = createExposition();
/** As a poll leaves them. */
const packed = ({ totals }: RepositoryView): PackedView => ({
  ...(totals && { totals: packTotals(totals) }),
});
const repositories = new Map<string, PackedView>();
for (const [name, view] of repositoryViews(series)) repositories.set(name, packed(view));
const publish = async () => {
  const started = performance.now();
  const { renderedBuckets } = await exposition.publish('production', {
    view: registryView,
    repositories,
  });
  return { ms: performance.now() - started, renderedBuckets };
};
const first = await publish();

const log = { debug() {}, info() {}, warn() {}, error() {} };
const app = createApp({
  telemetryPath: '/metrics',
  maxRequests: 0,
  exposition,
  self: createSelfMetrics({ version: '0', revision: 'bench' }),
  log,
  build: { version: '0', revision: 'bench' },
  inUse: () => [],
  loops: () => [],
  entries: () => [],
  reload: async () => {},
  events: express.Router(),
  web: (_request, _response, next) => next(),
});
let version = 0;
serveMeasurements(createServer(app), first, {
  /** Other values in one repository. */
  async one() {
    version += 1;
    const view = repositoryView(0, version);
    repositories.set(view.totals?.repository ?? '', packed(view));
    return publish();
  },
  /** Other values in all of them. */
  async all() {
    version += 1;
    let number = 0;
    const pause = createYielder();
    for (const name of repositories.keys()) {
      repositories.set(name, packed(repositoryView(number++, version)));
      await pause();
    }
    return publish();
  },
});
