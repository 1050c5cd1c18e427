import { colours } from './look.ts';
import { type Panel, stat, toBoard } from './panels.ts';
import { exporterState, max, min, orNotTold, type Select, since } from './queries.ts';
import { table } from './table.ts';

/** Uids never change: bookmarks, links and the provisioning of Grafana hold them. */
export const uids = {
  fleet: 'container-registry-fleet',
  registry: 'container-registry-registry',
  repository: 'container-registry-repository',
  vulnerabilities: 'container-registry-vulnerabilities',
  inUse: 'container-registry-in-use',
  pushes: 'container-registry-pushes',
  capacity: 'container-registry-capacity',
  exporter: 'container-registry-exporter',
} as const;

/** Columns that name a repository; its name leads to its board. */
export const repositoryColumns = {
  Registry: { label: 'registry' },
  Repository: {
    label: 'repository',
    links: [toBoard('Repository', uids.repository, { registry: 'Registry', repository: 'Repository' })],
  },
} as const;

/** Sources of push events that the exporter asks; at most fifty, the worst first. @param m a metric with the matchers of the board */
export function eventSources(m: Select, w: number, h: number): Panel {
  const by = 'cluster, job, registry, source';
  return table({
    title: 'Sources of push events',
    about:
      'Those that are asked, such as a queue. Last event: how old the newest is; lag: how long after it happened it was read.',
    ...{ w, h },
    empty: 'No source is asked, or no data',
    columns: {
      Registry: { label: 'registry' },
      Source: { label: 'source' },
      State: { expr: `bottomk(50, ${min(by, m('events_source_up'))})`, state: 'works' },
      'Last event': { expr: max(by, since(m('events_source_last_event_timestamp_seconds'))), unit: 's' },
      Lag: { expr: max(by, m('events_source_lag_seconds')), unit: 's' },
    },
    order: { State: 'up' },
  });
}

/** Whether the exporter itself can be scraped: first on every board, since without it nothing else is known. */
export const exporterUp = (w: number): Panel =>
  stat({
    title: 'Exporter',
    about:
      'Whether Prometheus can scrape the exporter; "No target": it has none any more. While the exporter is down, everything else here says "No data": nothing is known.',
    w,
    state: 'exporter',
    queries: { '{{cluster}} {{namespace}} {{job}}': exporterState() },
    links: [toBoard('Exporter', uids.exporter)],
  });

/** Images that nobody knows the findings of. @param m a metric with the matchers of the board */
export const imagesNotScanned = (m: Select): Panel =>
  stat({
    title: 'Images not scanned',
    about: 'Images whose scan failed or never was: they are not clean, nothing is known of them.',
    w: 3,
    threshold: 'some',
    queries: {
      failed: orNotTold(m, `sum(${m('repository_image_scans', 'status="failed"')})`),
      never: orNotTold(m, `sum(${m('repository_image_scans', 'status="none"')})`),
    },
    state: 'told',
    links: [toBoard('Vulnerabilities', uids.vulnerabilities)],
  });

const runbooks =
  'https://github.com/container-registry-exporter/container-registry-exporter/blob/main/docs/runbooks';

/** Alerts of this bundle that fire now, the critical ones first. */
export function firing(w: number, h: number): Panel {
  const by = 'alertname, cluster, namespace, job, registry';
  const of = (severity: string) =>
    `alertstate="firing",alertname=~"$alerts",registry=~"$registry|",${severity}`;
  const ranked = (series: string, aggregate: string): string =>
    ['critical', 'warning', 'info']
      .map((severity, rank) => {
        const expr = `topk(20, ${aggregate} by (${by}) (${series}{${of(`severity="${severity}"`)}}))`;
        return `label_replace(${expr}, "rank", "${rank}", "", "")`;
      })
      .join('\nor\n');
  return table({
    title: 'Firing alerts',
    about:
      'Alerts of this bundle that fire now, those that need a person first, of the selected registries, and those that are of none; 20 of each severity. The name leads to the runbook. Empty also where the rules of alerts/ are not loaded.',
    w,
    h,
    empty: 'No alert of this bundle fires, or its rules are not loaded',
    columns: {
      Severity: {
        label: 'rank',
        width: 90,
        texts: {
          0: { text: 'critical', color: colours.bad },
          1: { text: 'warning', color: colours.warn },
          2: { text: 'info', color: colours.neutral },
        },
      },
      Alert: {
        label: 'alertname',
        links: [{ title: 'Runbook', url: `${runbooks}/\${__data.fields.Alert}.md` }],
      },
      Registry: { label: 'registry' },
      Firing: { expr: ranked('ALERTS', 'count'), width: 70 },
    },
    order: { Severity: 'up', Firing: 'down' },
  });
}
