import type { Board } from '../frame.ts';
import { lines, type Panel, stat } from '../panels.ts';
import { max, ofExporter, perMinute, selectors, since, sum, top } from '../queries.ts';
import { eventSources, exporterUp, firing, uids } from '../shared.ts';
import { table } from '../table.ts';

const m = selectors();

const now: readonly Panel[] = [
  exporterUp(5),
  stat({
    title: 'Configuration',
    about:
      'Whether the last reading of the configuration succeeded. Fails: the exporter runs on the one before.',
    w: 4,
    state: 'works',
    queries: { reload: `min(${m('exporter_config_last_reload_successful')})` },
  }),
  stat({
    title: 'State saved',
    about:
      'Whether what has to survive a restart could be written under --storage.path; "No data" without it.',
    w: 4,
    state: 'works',
    queries: { saved: `min(${m('exporter_state_saved')})` },
  }),
  stat({
    title: 'Searches for registries',
    about:
      'Of entries that cover several registries: whether they were found when last looked for; "No data" without such entries.',
    w: 4,
    state: 'works',
    queries: { found: `min(${m('places_up')})` },
  }),
  stat({
    title: 'Dropped series',
    about: 'By reason, those that occur; beyond `maxSeries`, or not readable for Prometheus.',
    w: 4,
    threshold: 'some',
    queries: { dropped: `sum(${m('series_dropped')}) or 0 * count(${m('info')})` },
  }),
  stat({
    title: 'Running for',
    about: 'Since the start of the process; of several the youngest.',
    w: 3,
    unit: 's',
    queries: {
      age: `min(time() - process_start_time_seconds{${ofExporter}} and on (instance) ${m('exporter_build_info')})`,
    },
  }),
];

const scrapes: readonly Panel[] = [
  table({
    title: 'Exporters',
    about:
      'Each process with its version, when its configuration was last read, and what a scrape of it takes.',
    w: 16,
    h: 7,
    columns: {
      Job: { label: 'job' },
      Instance: { label: 'instance' },
      Version: {
        expr: `max by (cluster, job, instance, version, revision, nodeversion) (${m('exporter_build_info')})`,
        label: 'version',
      },
      Revision: { label: 'revision' },
      Node: { label: 'nodeversion' },
      'Configuration age': {
        expr: since(
          max('cluster, job, instance', m('exporter_config_last_reload_success_timestamp_seconds')),
        ),
        unit: 's',
      },
      Memory: {
        expr: max('cluster, job, instance', ofProcess('process_resident_memory_bytes')),
        unit: 'bytes',
      },
      'Scrape takes': {
        expr: max('cluster, job, instance', ofProcess('scrape_duration_seconds')),
        unit: 's',
        threshold: 'scrape',
      },
      Samples: { expr: max('cluster, job, instance', ofProcess('scrape_samples_scraped')), unit: 'locale' },
    },
    order: { Job: 'up' },
  }),
  table({
    title: 'Dropped series by registry',
    about:
      'By reason: `image_cap`, `repository_cap`, `registry_cap` because of `maxSeries`; `invalid_value`, `duplicate` because Prometheus could not read them.',
    w: 8,
    h: 7,
    empty: 'No series is dropped, or no data',
    columns: {
      Registry: { label: 'registry' },
      Reason: { label: 'reason' },
      Series: {
        expr: top(30, `${sum('cluster, job, registry, reason', m('series_dropped'))} > 0`),
        unit: 'locale',
        threshold: 'some',
      },
    },
    order: { Series: 'down' },
  }),
];

/** Metrics of the process itself and of its scrapes, only of the targets that are exporters. */
function ofProcess(metric: string): string {
  return `${metric}{${ofExporter}} and on (cluster, job, instance) ${m('exporter_build_info')}`;
}

const work: readonly Panel[] = [
  lines({
    title: 'Requests to registries',
    about: 'By HTTP status, or the reason why there was none; the 15 most frequent.',
    w: 8,
    unit: 'reqps',
    queries: {
      '{{registry}} {{code}}': top(
        15,
        `${sum('registry, code', `rate(${m('api_requests_total')}[$__rate_interval])`)} > 0`,
      ),
    },
  }),
  lines({
    title: 'Latency of requests, 95th percentile',
    about: 'By registry and operation, the 15 slowest.',
    w: 8,
    unit: 's',
    queries: {
      '{{registry}} {{operation}}': top(
        15,
        `histogram_quantile(0.95, ${sum('le, registry, operation', `rate(${m('api_request_duration_seconds_bucket')}[$__rate_interval])`)}) >= 0`,
      ),
    },
  }),
  lines({
    title: 'Duration of polls',
    about: 'How long the last poll took, the 15 longest.',
    w: 8,
    unit: 's',
    queries: { '{{registry}}': top(15, max('registry', m('poll_duration_seconds'))) },
  }),
  lines({
    title: 'Polls',
    about: 'Per minute, failed ones included, and the failed ones.',
    w: 8,
    unit: 'cpm',
    queries: {
      polls: perMinute('', m('polls_total')),
      'failed: {{reason}}': perMinute('reason', m('poll_failures_total')),
    },
  }),
  lines({
    title: 'Push events',
    about: 'Per minute, by source and outcome.',
    w: 8,
    unit: 'cpm',
    queries: { '{{source}} {{outcome}}': top(15, perMinute('source, outcome', m('events_total'))) },
  }),
  lines({
    title: 'Memory',
    about: 'Resident memory of the process.',
    w: 8,
    unit: 'bytes',
    queries: { '{{instance}}': max('instance', ofProcess('process_resident_memory_bytes')) },
  }),
  eventSources(m, 24, 5),
];

const process: readonly Panel[] = [
  lines({
    title: 'CPU',
    about: 'Cores used by the process.',
    w: 8,
    unit: 'none',
    queries: {
      '{{instance}}': max(
        'instance',
        `rate(process_cpu_seconds_total{${ofExporter}}[$__rate_interval]) and on (cluster, job, instance) ${m('exporter_build_info')}`,
      ),
    },
  }),
  lines({
    title: 'Event loop, 99th percentile',
    about: 'How late the event loop is: scrapes and events wait that long.',
    w: 8,
    unit: 's',
    threshold: 'eventLoop',
    queries: { '{{instance}}': max('instance', ofProcess('nodejs_eventloop_lag_p99_seconds')) },
  }),
  lines({
    title: 'Scrapes',
    about: 'How long Prometheus needs for a scrape.',
    w: 8,
    unit: 's',
    threshold: 'scrape',
    queries: { '{{instance}}': max('instance', ofProcess('scrape_duration_seconds')) },
  }),
];

/** The exporter itself: does it run, on which configuration, what does watching cost. */
export const exporter: Board = {
  uid: uids.exporter,
  title: 'Exporter',
  about:
    'The exporter itself: whether it runs and on which configuration, what watching costs, and what it leaves out.',
  variables: ['provider', 'registry'],
  first: [...now, ...scrapes, ...work, firing(24, 6)],
  rows: [{ title: 'Process', collapsed: true, panels: process }],
};
