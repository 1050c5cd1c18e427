import { colours } from './look.ts';
import { type Panel, stat, toBoard } from './panels.ts';
import { exporterState } from './queries.ts';
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
export const imagesNotScanned = (m: (metric: string, matchers: string) => string): Panel =>
  stat({
    title: 'Images not scanned',
    about: 'Images whose scan failed or never was: they are not clean, nothing is known of them.',
    w: 3,
    threshold: 'some',
    queries: {
      failed: `sum(${m('repository_image_scans', 'status="failed"')})`,
      never: `sum(${m('repository_image_scans', 'status="none"')})`,
    },
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
