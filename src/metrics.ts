import { registryMetrics } from './metrics/registry.ts';
import { repositoryMetrics } from './metrics/repository.ts';
import { type MetricRow, type MetricType, prefix } from './metrics/row.ts';

export { imagesInUse } from './metrics/in-use.ts';
export { registryMetrics } from './metrics/registry.ts';
export { repositoryMetrics } from './metrics/repository.ts';
export type {
  EventSourceView,
  MetricRow,
  PackedView,
  PushCounts,
  RegistryList,
  RegistryLists,
  RegistryView,
  RepositoryView,
  ShownPushes,
} from './metrics/row.ts';
export { registryLists } from './metrics/row.ts';

const processMetric = <const L extends readonly string[]>(
  name: string,
  type: MetricType,
  help: string,
  labels: L,
) => ({ name: `${prefix}_${name}`, type, help, labels, scope: 'process' }) as const;

/** Rows that prom-client keeps: what the daemon tells of itself. Its default process metrics come on top. */
export const processMetrics = {
  apiRequests: processMetric(
    'api_requests_total',
    'counter',
    'Requests sent to the registry, retries included; code is the HTTP status or the reason of the failure.',
    ['registry', 'provider', 'operation', 'code'],
  ),
  apiRequestDuration: processMetric(
    'api_request_duration_seconds',
    'histogram',
    'How long requests to the registry took.',
    ['registry', 'provider', 'operation'],
  ),
  events: processMetric('events_total', 'counter', 'Push events received, by source and outcome.', [
    'registry',
    'provider',
    'source',
    'outcome',
  ]),
  placesUp: processMetric(
    'places_up',
    'gauge',
    'Whether the registries of an entry that covers several were found when they were last looked for; `registry` is the name of the entry.',
    ['registry', 'provider'],
  ),
  inUseSourceUp: processMetric(
    'in_use_source_up',
    'gauge',
    'Whether the last reading of a source of what runs worked; absent before the first one ended.',
    ['source'],
  ),
  inUseSourceTimestamp: processMetric(
    'in_use_source_last_answer_timestamp_seconds',
    'gauge',
    'When what a source last told of running images was so; older than `staleAfter` it no longer counts.',
    ['source'],
  ),
  inUseSourceStaleAfter: processMetric(
    'in_use_source_stale_after_seconds',
    'gauge',
    'Age at which the answer of a source no longer counts, as configured.',
    ['source'],
  ),
  inUseSourceContainers: processMetric(
    'in_use_source_containers',
    'gauge',
    'Containers that a source tells of, by whether anything names the image that they run: `identified` or `unidentified`.',
    ['source', 'image'],
  ),
  inUseUnmatched: processMetric(
    'in_use_unmatched_images',
    'gauge',
    'Images that run and that no configured registry lists, by the host that they come from; hosts beyond the 50 largest together under an empty name. Absent where the registries are divided among several exporters.',
    ['host'],
  ),
  buildInfo: processMetric('exporter_build_info', 'gauge', 'Version of the exporter and of its runtime.', [
    'version',
    'revision',
    'nodeversion',
  ]),
  reloadSuccessful: processMetric(
    'exporter_config_last_reload_successful',
    'gauge',
    'Whether the last reading of the configuration succeeded.',
    [],
  ),
  shards: processMetric(
    'exporter_shards',
    'gauge',
    'How many exporters divide the registries of the configuration among them; 1 where they are not divided.',
    [],
  ),
  shardInfo: processMetric(
    'exporter_shard_info',
    'gauge',
    'Which of them this exporter is, from 0; always 1. Absent where there are fewer.',
    ['shard'],
  ),
  reloadTimestamp: processMetric(
    'exporter_config_last_reload_success_timestamp_seconds',
    'gauge',
    'When the configuration was last read successfully.',
    [],
  ),
} as const satisfies Record<string, MetricRow>;

/** THE TABLE: every metric of the exporter once. Documentation, dashboards and alerts are checked against it. */
export const metrics: readonly MetricRow[] = [
  ...registryMetrics,
  ...repositoryMetrics,
  ...Object.values(processMetrics),
];

/** All labels of a row, those of its scope first. */
export function allLabels(row: MetricRow): readonly string[] {
  if (row.scope === 'process') return row.labels;
  return row.scope === 'registry'
    ? ['registry', 'provider', ...row.labels]
    : ['registry', 'provider', 'repository', ...row.labels];
}
