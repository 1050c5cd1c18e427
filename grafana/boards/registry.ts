import type { Board } from '../frame.ts';
import { lines, type Panel, stat, toBoard } from '../panels.ts';
import {
  byRegistry,
  byRepository,
  counted,
  max,
  min,
  perMinute,
  registryState,
  selectors,
  since,
  sum,
  top,
  until,
} from '../queries.ts';
import { exporterUp, firing, uids } from '../shared.ts';
import { table } from '../table.ts';
import { jobs, practices, projects, replication } from './registry-running.ts';

const m = selectors();
const registryColumn = { Registry: { label: 'registry' } } as const;

const now: readonly Panel[] = [
  exporterUp(3),
  stat({
    title: 'State',
    about: 'Whether the last poll of the registry succeeded; with many registries, of each of the ten worst.',
    w: 3,
    state: 'registry',
    queries: { '{{registry}}': `bottomk(10, ${registryState(m)})` },
  }),
  stat({
    title: 'Since last success',
    about: 'Everything else on this board is this old. Of several registries the longest.',
    w: 3,
    unit: 's',
    queries: { age: `max(${since(m('last_success_timestamp_seconds'))})` },
  }),
  stat({
    title: 'Failed polls, last hour',
    about:
      'How many polls failed, by reason, the most frequent three. `partial`: single repositories failed.',
    w: 4,
    threshold: 'none',
    queries: {
      '{{reason}}': `round(topk(3, ${sum('reason', `increase(${m('poll_failures_total', '', '[1h]')})`)} > 0)) or label_replace(sum(increase(${m('poll_failures_total', '', '[1h]')})) == 0, "reason", "none", "", "")`,
    },
  }),
  stat({
    title: 'Since last attempt',
    about: 'Since the last poll ended, successful or not. Older than the schedule: a poll hangs.',
    w: 3,
    unit: 's',
    queries: { age: `max(${since(m('last_attempt_timestamp_seconds'))})` },
  }),
  stat({
    title: 'Failing capabilities',
    about: 'Parts that could not be read in the last poll: their numbers are missing, which is not zero.',
    w: 3,
    threshold: 'none',
    queries: { failing: `sum(1 - ${m('capability_up')})` },
  }),
  stat({
    title: 'Repositories',
    about: 'Repositories that the configuration includes.',
    w: 2,
    unit: 'locale',
    queries: { repositories: `sum(${m('repositories')})` },
  }),
  stat({
    title: 'Dropped series',
    about: 'Series that were left out: the boards do not see all of the registry.',
    w: 3,
    threshold: 'some',
    queries: { dropped: `sum(${m('series_dropped')}) or 0 * count(${m('info')})` },
  }),
];

const why: readonly Panel[] = [
  lines({
    title: 'Failed polls',
    about:
      'Per minute, by reason; reasons that do not occur are left out. `partial`: single repositories failed.',
    w: 8,
    unit: 'cpm',
    queries: { '{{registry}} {{reason}}': top(20, perMinute('registry, reason', m('poll_failures_total'))) },
  }),
  table({
    title: 'Capabilities',
    about:
      'What the provider reads besides lists of images, and whether that worked in the last poll; failing ones first.',
    w: 8,
    columns: {
      ...registryColumn,
      Capability: { label: 'capability' },
      State: {
        expr: `bottomk(50, ${min(`${byRegistry}, capability`, m('capability_up'))})`,
        state: 'works',
        width: 90,
      },
    },
    order: { State: 'up' },
  }),
  table({
    title: 'Failed pushes, last day',
    about: 'By repository and reason, where the registry tells in push events; the most first.',
    w: 8,
    empty: 'No failed push, or the registry sends no push events',
    columns: {
      ...registryColumn,
      Repository: {
        label: 'repository',
        links: [toBoard('Repository', uids.repository, { registry: 'Registry', repository: 'Repository' })],
      },
      Reason: { label: 'reason', width: 110 },
      Failed: {
        expr: `round(${top(30, sum(`${byRepository}, reason`, counted(m, 'push_failures_total', '1d')))}) > 0`,
        width: 80,
      },
    },
    order: { Failed: 'down' },
  }),
];

const state = (by: string, metric: string) => `bottomk(50, ${min(`${byRegistry}, ${by}`, m(metric))})`;
const parts: readonly Panel[] = [
  table({
    title: 'Components',
    about:
      'Parts of the registry, such as its database or its scanner, as it says itself; failing ones first.',
    w: 8,
    empty: 'This registry tells nothing of its components',
    columns: {
      ...registryColumn,
      Component: { label: 'component' },
      State: { expr: state('component', 'component_up'), state: 'works', width: 90 },
    },
    order: { State: 'up' },
  }),
  table({
    title: 'Credentials',
    about: 'Time left; the next to expire first.',
    w: 8,
    empty: 'No credential with an expiry is known',
    columns: {
      ...registryColumn,
      Credential: { label: 'credential' },
      'Expires in': {
        expr: `bottomk(50, ${until(min(`${byRegistry}, credential`, m('credential_expiry_timestamp_seconds')))})`,
        unit: 's',
        threshold: 'credential',
      },
    },
    order: { 'Expires in': 'up' },
  }),
  table({
    title: 'About the registry',
    about:
      'Where it is, how often it is polled and when its data is too old, the version of its software, and settings of the whole registry that are on.',
    w: 8,
    columns: {
      ...registryColumn,
      Host: { expr: `max by (${byRegistry}, host, account, region) (${m('info')})`, label: 'host' },
      Account: { label: 'account' },
      Region: { label: 'region' },
      'Polled every': { expr: max(byRegistry, m('poll_interval_seconds')), unit: 's' },
      'Data kept for': { expr: max(byRegistry, m('stale_after_seconds')), unit: 's' },
      Version: { expr: `max by (${byRegistry}, version) (${m('version_info')})`, label: 'version' },
      'Setting that is on': {
        expr: `max by (${byRegistry}, setting) (${m('setting')} == 1)`,
        label: 'setting',
      },
    },
    order: { Registry: 'up' },
  }),
];

/** One registry: is it read, which error, what does it say of itself. */
export const registry: Board = {
  uid: uids.registry,
  title: 'Registry',
  about:
    'One registry: whether it can be read and what fails, what it tells of its own running, and which pushes fail.',
  variables: ['provider', 'one registry'],
  first: [...now, ...why, ...parts, firing(24, 6)],
  rows: [
    { title: 'Replication', collapsed: true, panels: replication },
    { title: 'Tasks and queues', collapsed: true, panels: jobs },
    { title: 'Projects', collapsed: true, panels: projects },
    { title: 'Practices and use', collapsed: true, panels: practices },
  ],
};
