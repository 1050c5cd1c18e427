import { type Panel, stat } from '../panels.ts';
import { byRegistry, byRepository, max, min, selectors, since, sum, top } from '../queries.ts';
import { table } from '../table.ts';

/** What registries tell of their own running: collapsed rows of the board Registry. */
const m = selectors();
const registryColumn = { Registry: { label: 'registry' } } as const;

const byDestination = `${byRegistry}, destination`;
export const replication: readonly Panel[] = [
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
export const jobs: readonly Panel[] = [
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
export const projects: readonly Panel[] = [
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

export const practices: readonly Panel[] = [
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
