import type { RegistryView, RepositoryView } from '../../src/metrics/row.ts';
import { metrics, processMetrics, registryMetrics, repositoryMetrics } from '../../src/metrics.ts';
import {
  added,
  begin,
  down,
  hour,
  inUseOf,
  pushesOf,
  registries,
  registryView,
  repositoriesOf,
  repositoryName,
  type Situation,
  scrapeInterval,
  situations,
  totalsOf,
} from './grafana-fleet.ts';

const { healthy } = situations;

/** The series of the made-up fleet over time, rendered by the exporter's own table of metrics. */
type Labels = Readonly<Record<string, string>>;
export interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

/** What Prometheus adds to each series of the exporter. */
const target = { job: 'container-registry-exporter', instance: '10.4.0.17:10056' } as const;

export type Row = {
  readonly name: string;
  readonly labels: readonly string[];
  readonly samples: (view: never, emit: (value: number | undefined, ...labels: string[]) => void) => void;
};

/** Samples of a registry or repository, as the exporter's own table renders them. */
export function* rendered(
  rows: readonly Row[],
  view: RegistryView | RepositoryView,
  labels: Labels,
): Generator<Sample> {
  for (const row of rows) {
    const found: Sample[] = [];
    row.samples(view as never, (value, ...values) => {
      if (value === undefined) return;
      const own = Object.fromEntries(row.labels.map((label, index) => [label, values[index] ?? '']));
      found.push({ name: row.name, labels: { ...target, ...labels, ...own }, value });
    });
    yield* found;
  }
}

/** Rows that prom-client keeps, and what it tells of the process. */
function* processSamples(time: number): Generator<Sample> {
  const elapsed = time - begin;
  const one = (name: string, value: number, labels: Labels = {}): Sample => ({
    name,
    labels: { ...target, ...labels },
    value,
  });
  yield one(processMetrics.buildInfo.name, 1, {
    version: time < healthy - 3 * hour ? '0.9.4' : '0.10.0',
    revision: 'a1b2c3d',
    nodeversion: 'v26.10.0',
  });
  yield one(processMetrics.reloadSuccessful.name, 1);
  yield one(processMetrics.shards.name, 1);
  yield one(processMetrics.shardInfo.name, 1, { shard: '0' });
  yield one(processMetrics.reloadTimestamp.name, healthy - 3 * hour);
  const source = 'clusters';
  yield one(processMetrics.inUseSourceUp.name, 1, { source });
  yield one(processMetrics.inUseSourceTimestamp.name, time - 40, { source });
  yield one(processMetrics.inUseSourceStaleAfter.name, 300, { source });
  yield one(processMetrics.inUseSourceContainers.name, 684, { source, image: 'identified' });
  yield one(processMetrics.inUseSourceContainers.name, 3, { source, image: 'unidentified' });
  yield one(processMetrics.inUseUnmatched.name, 17, { host: 'docker.io' });
  yield one(processMetrics.inUseUnmatched.name, 4, { host: 'quay.io' });
  yield one(processMetrics.placesUp.name, 1, { registry: 'ecr', provider: 'ecr' });
  for (const [at, { registry, provider }] of registries.entries()) {
    const labels = { registry, provider };
    yield one(processMetrics.apiRequests.name, elapsed * (at + 1), {
      ...labels,
      operation: 'list',
      code: '200',
    });
    if (at === 2)
      yield one(processMetrics.apiRequests.name, Math.max(0, time - healthy), {
        ...labels,
        operation: 'list',
        code: '401',
      });
    for (const [le, share] of [
      ['0.1', 0.5],
      ['0.5', 0.9],
      ['2', 0.99],
      ['+Inf', 1],
    ] as const)
      yield one(`${processMetrics.apiRequestDuration.name}_bucket`, elapsed * (at + 1) * share, {
        ...labels,
        operation: 'list',
        le,
      });
    if (provider === 'harbor' || provider === 'oci')
      yield one(processMetrics.events.name, Math.floor(elapsed / 60), {
        ...labels,
        source: provider === 'oci' ? 'distribution' : 'harbor',
        outcome: 'accepted',
      });
  }
  const started = healthy - 3 * hour;
  yield one('process_start_time_seconds', time < started ? begin : started);
  yield one('process_resident_memory_bytes', (180 + (elapsed % 7200) / 200) * 2 ** 20);
  yield one('process_cpu_seconds_total', elapsed * 0.04);
  yield one('nodejs_eventloop_lag_p99_seconds', 0.012 + (elapsed % 3600) / 3600 / 100);
  yield one('scrape_duration_seconds', 0.08);
  yield one('scrape_samples_scraped', 12_345);
}

const firing: Readonly<Record<Situation, readonly Labels[]>> = {
  healthy: registries
    .filter(({ provider }) => provider !== 'docker_hub')
    .flatMap(({ registry, provider }) => [
      {
        alertname: 'ImageWithCriticalVulnerabilities',
        severity: 'critical',
        registry,
        provider,
        repository: repositoryName(4),
        ...target,
      },
    ]),
  registryDown: [
    { alertname: 'RegistryDown', severity: 'critical', registry: down, provider: 'harbor', ...target },
    {
      alertname: 'RegistryDataStale',
      severity: 'warning',
      registry: added.registry,
      provider: added.provider,
      ...target,
    },
    {
      alertname: 'RegistryCapabilityFailing',
      severity: 'warning',
      registry: 'gar-europe',
      provider: 'artifact_registry',
      capability: 'signatures',
      ...target,
    },
  ],
  exporterDead: [{ alertname: 'RegistryExporterDown', severity: 'critical', ...target }],
};

/** Everything that Prometheus has of one moment. */
function* samplesAt(time: number): Generator<Sample> {
  const situation =
    time <= situations.healthy
      ? 'healthy'
      : time <= situations.registryDown
        ? 'registryDown'
        : 'exporterDead';
  for (const labels of firing[situation])
    yield { name: 'ALERTS', labels: { ...labels, alertstate: 'firing' }, value: 1 };
  yield { name: 'up', labels: target, value: situation === 'exporterDead' ? 0 : 1 };
  // Another target of the same Prometheus, which no board may take for an exporter.
  yield { name: 'up', labels: { job: 'node', instance: '10.4.0.9:9100' }, value: 0 };
  if (situation === 'exporterDead') return;
  yield* processSamples(time);
  if (situation === 'registryDown')
    yield* rendered(
      registryMetrics as readonly Row[],
      {
        registry: added.registry,
        provider: added.provider,
        identity: { host: added.host },
        polls: 0,
        failures: new Map(),
        capabilities: new Map(),
        seriesDropped: new Map(),
      },
      { registry: added.registry, provider: added.provider },
    );
  for (const [at, { registry, provider }] of registries.entries()) {
    yield* rendered(registryMetrics as readonly Row[], registryView(at, time), { registry, provider });
    for (let index = 0; index < repositoriesOf; index++) {
      // One repository has samples of every scrape, the others of every hour: enough for what is asked of many.
      if (!(index === 4 && at === 2) && time % hour !== 0) continue;
      const pushCounts = pushesOf(at, index, time);
      yield* rendered(
        repositoryMetrics as readonly Row[],
        {
          totals: totalsOf(at, index, time),
          inUse: inUseOf(at, index, time),
          ...(pushCounts && { pushCounts }),
        },
        { registry, provider, repository: repositoryName(index) },
      );
    }
  }
}

/** A sample of a time in OpenMetrics; no value here needs an escape. */
export function line({ name, labels, value }: Sample, time: number): string {
  let text = '';
  for (const label in labels) if (labels[label]) text += `${text && ','}${label}="${labels[label]}"`;
  return `${name}{${text}} ${value} ${time}`;
}

/** The whole history in OpenMetrics, for `promtool tsdb create-blocks-from openmetrics`. */
export function openMetrics(): string {
  const families = new Map<string, string[]>();
  for (let time = begin; time <= situations.exporterDead; time += scrapeInterval)
    for (const { name, labels, value } of samplesAt(time)) {
      const family = families.get(name) ?? [];
      families.set(name, family);
      family.push(line({ name, labels, value }, time));
    }
  return `${[...families].map(([name, all]) => `# TYPE ${name} unknown\n${all.join('\n')}\n`).join('')}# EOF\n`;
}

/** Metrics of the table of which the history has no series: a panel of one of them would never be looked at. */
export function seriesWithout(history: string): string[] {
  const names = new Set([...history.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  return metrics.map(({ name }) => name).filter((name) => !names.has(name) && !names.has(`${name}_bucket`));
}
