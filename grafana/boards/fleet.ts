import type { Board } from '../frame.ts';
import { type Panel, stat, toBoard } from '../panels.ts';
import {
  byRegistry,
  counted,
  late,
  max,
  orNotTold,
  registryState,
  selectors,
  since,
  sum,
  until,
} from '../queries.ts';
import { exporterUp, firing, imagesNotScanned, uids } from '../shared.ts';
import { table } from '../table.ts';

const m = selectors();

const critical = m('repository_findings', 'severity="CRITICAL"');

const health: readonly Panel[] = [
  exporterUp(4),
  stat({
    title: 'Registries up',
    about: 'Registries whose last poll succeeded.',
    w: 3,
    queries: { up: `sum(${m('up')})` },
  }),
  stat({
    title: 'Registries down',
    about: 'Registries whose last poll failed; the table below says which, since when and why.',
    w: 3,
    threshold: 'none',
    queries: { down: `sum(1 - ${m('up')})` },
  }),
  stat({
    title: 'Never polled',
    about:
      'Registries of which no poll has ended since the exporter started: it has just started, or polls hang.',
    w: 3,
    threshold: 'none',
    queries: { 'never polled': `count(${m('info')}) - (count(${m('up')}) or 0 * count(${m('info')}))` },
  }),
  stat({
    title: 'Late data',
    about:
      'Registries whose last success is older than two polls: polls fail or hang, or take longer than their interval.',
    w: 3,
    threshold: 'some',
    queries: { late: `count(${late(m)}) or 0 * count(${m('info')})` },
  }),
  stat({
    title: 'Failing capabilities',
    about:
      'Parts of registries that could not be read in the last poll: their numbers are missing, which is not zero.',
    w: 4,
    threshold: 'none',
    // A sum over 0 and 1, not a count of those at 0: where nothing is known there is no number.
    queries: { failing: `sum(1 - ${m('capability_up')})` },
  }),
  stat({
    title: 'Dropped series',
    about:
      'Series that were left out, by `maxSeries` or because Prometheus could not read them: boards do not see all.',
    w: 4,
    threshold: 'some',
    queries: { dropped: `sum(${m('series_dropped')}) or 0 * count(${m('info')})` },
  }),
];

const contents: readonly Panel[] = [
  stat({
    title: 'Critical findings',
    about:
      'Of the newest tagged image of each repository, and how many of them a newer version of a package mends.',
    w: 4,
    threshold: 'none',
    queries: {
      all: orNotTold(m, `sum(${critical})`),
      fixable: orNotTold(m, `sum(${m('repository_fixable_findings', 'severity="CRITICAL"')})`),
    },
    state: 'told',
    links: [toBoard('Vulnerabilities', uids.vulnerabilities)],
  }),
  imagesNotScanned(m),
  stat({
    title: 'Failed pushes, last day',
    about: 'As registries tell in push events; the board Registry says which repositories, and why.',
    w: 3,
    threshold: 'none',
    queries: {
      failed: orNotTold(
        m,
        `round(sum(${counted(m, 'all_push_failures_total', '1d')}) or 0 * sum(${m('all_pushes_total')}))`,
      ),
    },
    state: 'told',
    links: [toBoard('Registry', uids.registry)],
  }),
  stat({
    title: 'Fullest quota',
    about:
      'Of all registries and projects, as a share of its limit; Capacity says which, and when it is full.',
    w: 3,
    unit: 'percentunit',
    threshold: 'quota',
    queries: { used: orNotTold(m, `max(${m('quota_used')} / (${m('quota_limit')} > 0))`) },
    state: 'told',
    links: [toBoard('Capacity', uids.capacity)],
  }),
  stat({
    title: 'Credential expires in',
    about: 'Time left of the credential, token or certificate that expires first.',
    w: 3,
    unit: 's',
    threshold: 'credential',
    queries: { left: orNotTold(m, `min(${until(m('credential_expiry_timestamp_seconds'))})`) },
    state: 'told',
    links: [toBoard('Registry', uids.registry)],
  }),
  stat({
    title: 'Replications that fail',
    about: 'Destinations whose last replication did not work.',
    w: 4,
    threshold: 'none',
    queries: { failing: orNotTold(m, `sum(1 - ${m('replication_up')})`) },
    state: 'told',
    links: [toBoard('Registry', uids.registry)],
  }),
  stat({
    title: 'Components and tasks that fail',
    about:
      'Parts of registries that say they are not healthy, and jobs such as garbage collection whose last run failed.',
    w: 4,
    threshold: 'none',
    queries: { failing: orNotTold(m, `sum(1 - ${m('component_up')} or 1 - ${m('task_up')})`) },
    state: 'told',
    links: [toBoard('Registry', uids.registry)],
  }),
];

const registries = table({
  title: 'Registries',
  about:
    'Every registry of the configuration, also those that were never reached; the worst first. The reason is that of most failed polls within the last hour: `partial` means single repositories. A failing capability has no numbers; of repositories that are not readable the numbers are old.',
  w: 24,
  h: 9,
  columns: {
    Registry: { label: 'registry', links: [toBoard('Registry', uids.registry, { registry: 'Registry' })] },
    Provider: { label: 'provider' },
    State: { expr: registryState(m), state: 'registry', width: 100 },
    'Since last success': {
      expr: since(max(byRegistry, m('last_success_timestamp_seconds'))),
      unit: 's',
      width: 120,
    },
    'Failed in a row': {
      expr: max(byRegistry, m('failed_polls_in_a_row')),
      threshold: 'failedPolls',
      width: 100,
    },
    Reason: {
      expr: `topk by (${byRegistry}) (1, sum by (${byRegistry}, reason) (increase(${m('poll_failures_total', '', '[1h]')})) > 0)`,
      label: 'reason',
      width: 90,
    },
    'Failing capabilities': {
      expr: sum(byRegistry, `1 - ${m('capability_up')}`),
      threshold: 'none',
      width: 130,
    },
    Repositories: { expr: max(byRegistry, m('repositories')), unit: 'locale', width: 90 },
    'Not readable': {
      expr: max(byRegistry, m('failed_repositories')),
      threshold: 'some',
      unit: 'locale',
      width: 90,
    },
    'Critical findings': { expr: sum(byRegistry, critical), threshold: 'none', unit: 'locale', width: 110 },
    'Poll takes': { expr: max(byRegistry, m('poll_duration_seconds')), unit: 's', width: 80 },
    Host: { expr: `max by (${byRegistry}, host) (${m('info')})`, label: 'host', width: 150 },
    Namespace: { label: 'namespace' },
    Job: { label: 'job', width: 150 },
  },
  order: { State: 'up', 'Since last success': 'down' },
});

/** Totals that are compared with those of a day ago, by what they are called. */
const totals: Readonly<Record<string, (at: string) => string>> = {
  Registries: (at) => `count(${m('up')}${at})`,
  Repositories: (at) => `sum(${m('repositories')}${at})`,
  'Critical findings': (at) => `sum(${critical}${at})`,
  'Stored as registries account it, GiB': (at) => `sum(${m('storage_bytes')}${at}) / 2^30`,
  'Series that are dropped': (at) => `sum(${m('series_dropped')}${at})`,
  'Failing capabilities': (at) => `sum(1 - ${m('capability_up')}${at})`,
};
const compared = (at: string): string =>
  Object.entries(totals)
    .map(([name, expr]) => `label_replace(${expr(at)}, "total", "${name}", "", "")`)
    .join('\nor\n');

const changes = table({
  title: 'Since yesterday',
  about:
    'Totals of now against those of this time yesterday. A registry whose data vanished is missing from its total: see Registries.',
  w: 12,
  h: 7,
  columns: {
    Total: { label: 'total' },
    Now: { expr: compared(''), unit: 'locale', decimals: 0, width: 110 },
    Yesterday: { expr: compared(' offset 1d'), unit: 'locale', decimals: 0, width: 110 },
  },
  difference: { name: 'Change', of: 'Now', and: 'Yesterday', unit: 'locale' },
  order: {},
});

/** One screen: is everything watched, and if not, what and why; where to look next. */
export const fleet: Board = {
  uid: uids.fleet,
  title: 'Fleet',
  about: 'One screen: whether everything is watched, and if not, what and why; and where to look next.',
  variables: ['provider', 'registry'],
  first: [...health, ...contents, registries, firing(12, 7), changes],
};
