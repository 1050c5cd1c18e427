import type { Board } from '../frame.ts';
import { lines, type Panel, stat, toBoard } from '../panels.ts';
import {
  byRegistry,
  byRepository,
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
      '{{reason}}': `round(topk(3, ${sum('reason', `increase(${m('poll_failures_total', '', '[1h]')})`)} > 0)) or sum(increase(${m('poll_failures_total', '', '[1h]')})) == 0`,
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
        expr: `round(${top(30, sum(`${byRepository}, reason`, `increase(${m('push_failures_total', '', '[1d]')})`))}) > 0`,
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

const byDestination = `${byRegistry}, destination`;
const replication: readonly Panel[] = [
  table({
    title: 'Replication',
    about: 'By destination, the failing ones first. Images: of the last run, or waiting now.',
    w: 24,
    empty: 'This registry replicates nowhere, or does not tell',
    columns: {
      ...registryColumn,
      Destination: { label: 'destination' },
      State: { expr: max(byDestination, m('replication_up')), state: 'works', width: 90 },
      'Since last success': {
        expr: since(max(byDestination, m('replication_last_success_timestamp_seconds'))),
        unit: 's',
        threshold: 'taskAge',
      },
      Waiting: { expr: sum(byDestination, m('replication_pending_images')), unit: 'locale' },
      Failed: { expr: sum(byDestination, m('replication_failed_images')), unit: 'locale', threshold: 'none' },
      Stopped: { expr: sum(byDestination, m('replication_stopped_images')), unit: 'locale' },
      Copied: { expr: sum(byDestination, m('replication_succeeded_images')), unit: 'locale' },
    },
    order: { State: 'up', Failed: 'down' },
  }),
];

const byQueue = `${byRegistry}, queue`;
const jobs: readonly Panel[] = [
  table({
    title: 'Tasks',
    about:
      'Jobs of the registry itself, such as garbage collection: whether the last run worked, and what it worked on.',
    w: 12,
    empty: 'This registry tells nothing of its tasks',
    columns: {
      ...registryColumn,
      Task: { label: 'task' },
      State: { expr: min(`${byRegistry}, task`, m('task_up')), state: 'works', width: 90 },
      'Since last success': {
        expr: since(max(`${byRegistry}, task`, m('task_last_success_timestamp_seconds'))),
        unit: 's',
        threshold: 'taskAge',
      },
      'Failed items': {
        expr: sum(`${byRegistry}, task`, m('task_items', 'result="failed"')),
        unit: 'locale',
        threshold: 'none',
      },
      'All items': { expr: sum(`${byRegistry}, task`, m('task_items')), unit: 'locale' },
    },
    order: { State: 'up' },
  }),
  table({
    title: 'Job queues',
    about:
      "The registry's own queues, the longest wait first. A paused queue waits until somebody resumes it.",
    w: 12,
    empty: 'This registry tells nothing of its queues',
    columns: {
      ...registryColumn,
      Queue: { label: 'queue' },
      Waiting: { expr: sum(byQueue, m('job_queue_jobs')), unit: 'locale' },
      'Oldest waits': {
        expr: max(byQueue, m('job_queue_latency_seconds')),
        unit: 's',
        threshold: 'queueWait',
      },
      Running: { expr: sum(byQueue, m('job_queue_running_jobs')), unit: 'locale' },
      Paused: { expr: max(byQueue, m('job_queue_paused')), state: 'yesNo' },
    },
    order: { Paused: 'down', 'Oldest waits': 'down' },
  }),
];

const byProject = `${byRegistry}, project`;
const projects: readonly Panel[] = [
  stat({
    title: 'Projects',
    about: 'By visibility.',
    w: 6,
    h: 8,
    queries: { '{{visibility}}': sum('visibility', m('projects')) },
  }),
  table({
    title: 'Largest projects',
    about: 'By repositories as the registry counts them, the 30 largest. From public ones anybody may pull.',
    w: 18,
    empty: 'This registry has no projects, or does not tell',
    columns: {
      ...registryColumn,
      Project: { label: 'project' },
      Repositories: { expr: sum(byProject, m('project_repositories')), unit: 'locale' },
      Members: { expr: sum(byProject, m('project_members')), unit: 'locale' },
      Visibility: { expr: `max by (${byProject}, visibility) (${m('project_info')})`, label: 'visibility' },
    },
    rows: { by: byProject, expr: top(30, max(byProject, m('project_repositories'))) },
    order: { Repositories: 'down' },
  }),
];

const practices: readonly Panel[] = [
  table({
    title: 'Practices not followed',
    about: 'How many repositories do not follow a practice; docs/metrics.md says what each means.',
    w: 12,
    empty: 'Nothing to show: every practice is followed, or nothing is known',
    columns: {
      ...registryColumn,
      Practice: { label: 'practice' },
      Repositories: {
        expr: top(50, `${sum(`${byRegistry}, practice`, `1 - ${m('repository_practice')}`)} > 0`),
        unit: 'locale',
        threshold: 'some',
      },
    },
    order: { Repositories: 'down' },
  }),
  table({
    title: 'Longest without a pull',
    about: 'Repositories from which nobody has pulled for longest, where the registry keeps pull times.',
    w: 12,
    columns: {
      ...registryColumn,
      Repository: { label: 'repository' },
      'Last pull': {
        expr: top(30, since(max(byRepository, m('repository_last_pull_timestamp_seconds')))),
        unit: 's',
      },
    },
    order: { 'Last pull': 'down' },
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
