import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import { processMetrics } from './metrics.ts';
import { createInUseGauges, type TellInUse } from './self-metrics/in-use.ts';

/** What the daemon tells of itself, kept by prom-client. */
export interface SelfMetrics {
  readonly registry: Registry;
  readonly apiRequests: Counter<'registry' | 'provider' | 'operation' | 'code'>;
  readonly apiRequestDuration: Histogram<'registry' | 'provider' | 'operation'>;
  readonly events: Counter<'registry' | 'provider' | 'source' | 'outcome'>;
  readonly placesUp: Gauge<'registry' | 'provider'>;
  /** Everything that is kept here, as a scrape shows it. */
  gather(): Promise<MetricObjectWithValues<MetricValue<string>>[]>;
  /** Tells how a reading of the configuration ended. */
  reloaded(successful: boolean): void;
  /** Tells which shard this is, and how many there are. */
  divided(shard: number, shards: number): void;
  readonly inUse: TellInUse;
  /** Removes every series of a registry that the configuration no longer names. */
  forget(registryName: string): Promise<void>;
}

/**
 * Between two scrapes in quick succession the event loop's delay was never measured: prom-client then shows a minimum of
 * 292 years, and percentiles of nothing. Such values are unknown.
 */
function withoutEmptyHistogram(
  all: MetricObjectWithValues<MetricValue<string>>[],
): MetricObjectWithValues<MetricValue<string>>[] {
  const mean = all.find(({ name }) => name === 'nodejs_eventloop_lag_mean_seconds')?.values[0]?.value;
  if (mean === undefined || Number.isFinite(mean)) return all;
  return all.filter(({ name }) => !/^nodejs_eventloop_lag_(min|max|mean|stddev|p\d+)_seconds$/.test(name));
}

/** Registers the `process` rows of the table and prom-client's default metrics in a registry of their own. */
export function createSelfMetrics(build: {
  readonly version: string;
  readonly revision: string;
}): SelfMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // Gauges that prom-client names like counters; each has a sum of its own next to it under a better name.
  for (const name of ['handles', 'requests', 'resources'])
    registry.removeSingleMetric(`nodejs_active_${name}_total`);
  const registers = [registry];
  const { apiRequests, apiRequestDuration, events, placesUp, buildInfo } = processMetrics;
  const { reloadSuccessful, reloadTimestamp, shards, shardInfo } = processMetrics;

  const requests = new Counter({ ...apiRequests, labelNames: apiRequests.labels, registers });
  const duration = new Histogram({
    ...apiRequestDuration,
    labelNames: apiRequestDuration.labels,
    registers,
    // From a conditional request on the same network to a call at the edge of its deadline.
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 30],
  });
  const received = new Counter({ ...events, labelNames: events.labels, registers });
  const places = new Gauge({ ...placesUp, labelNames: placesUp.labels, registers });
  new Gauge({ ...buildInfo, labelNames: buildInfo.labels, registers }).set(
    { version: build.version, revision: build.revision, nodeversion: process.version },
    1,
  );
  const successful = new Gauge({ ...reloadSuccessful, labelNames: [], registers });
  const timestamp = new Gauge({ ...reloadTimestamp, labelNames: [], registers });
  const shardCount = new Gauge({ ...shards, labelNames: [], registers });
  const ownShard = new Gauge({ ...shardInfo, labelNames: shardInfo.labels, registers });

  return {
    registry,
    apiRequests: requests,
    apiRequestDuration: duration,
    events: received,
    placesUp: places,
    gather: async () => withoutEmptyHistogram(await registry.getMetricsAsJSON()),
    divided(ordinal, count) {
      shardCount.set(count);
      ownShard.reset();
      if (ordinal < count) ownShard.set({ shard: String(ordinal) }, 1);
    },
    inUse: createInUseGauges(registers),
    reloaded(ok) {
      successful.set(Number(ok));
      if (ok) timestamp.set(Math.floor(Date.now() / 1000));
    },
    async forget(registryName) {
      for (const metric of [requests, received, places]) {
        for (const { labels } of (await metric.get()).values)
          if (labels.registry === registryName) metric.remove(labels as never);
      }
      const seen = new Set<string>();
      for (const { labels } of (await duration.get()).values) {
        const { le: _, ...rest } = labels as Record<string, string>;
        const key = JSON.stringify(rest);
        if (rest['registry'] !== registryName || seen.has(key)) continue;
        seen.add(key);
        duration.remove(rest as never);
      }
    },
  };
}
