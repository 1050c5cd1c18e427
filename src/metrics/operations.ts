import { taskResults } from '../model.ts';
import { prefix, type RegistryMetric, registryMetric } from './row.ts';

/** Rows of what registries tell of their own running: copies, parts, projects, jobs, policies. */
export const operationMetrics: readonly RegistryMetric[] = [
  registryMetric({
    name: `${prefix}_replication_up`,
    help: 'Whether the last replication to the destination worked.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ lists }, emit) => {
      for (const { destination, up } of lists?.replications ?? [])
        emit(up === undefined ? undefined : Number(up), destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_pending_images`,
    help: 'Images that wait for replication to the destination.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ lists }, emit) => {
      for (const { destination, pendingImages } of lists?.replications ?? [])
        emit(pendingImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_failed_images`,
    help: 'Images whose replication to the destination failed.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ lists }, emit) => {
      for (const { destination, failedImages } of lists?.replications ?? []) emit(failedImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_succeeded_images`,
    help: 'Images that the last run of the replication to the destination copied.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ lists }, emit) => {
      for (const { destination, succeededImages } of lists?.replications ?? [])
        emit(succeededImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_stopped_images`,
    help: 'Images whose replication to the destination somebody stopped in the last run.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ lists }, emit) => {
      for (const { destination, stoppedImages } of lists?.replications ?? [])
        emit(stoppedImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_last_success_timestamp_seconds`,
    help: 'When the last replication to the destination that worked ended.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ lists }, emit) => {
      for (const { destination, lastSuccessAt } of lists?.replications ?? [])
        emit(lastSuccessAt, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_component_up`,
    help: 'Whether a part of the registry, such as its database or its scanner, says that it is healthy.',
    type: 'gauge',
    labels: ['component'],
    samples: ({ lists }, emit) => {
      for (const { component, up } of lists?.components ?? []) emit(Number(up), component);
    },
  }),
  registryMetric({
    name: `${prefix}_projects`,
    help: 'Projects of the registry by their visibility.',
    type: 'gauge',
    labels: ['visibility'],
    samples: ({ facts }, emit) => {
      const { projects } = facts ?? {};
      if (!projects || projects.some((project) => project.public === undefined)) return;
      emit(projects.filter((project) => project.public).length, 'public');
      emit(projects.filter((project) => !project.public).length, 'private');
    },
  }),
  registryMetric({
    name: `${prefix}_project_info`,
    help: 'A project and its visibility, where that is known; joins with the other metrics of projects.',
    type: 'gauge',
    labels: ['project', 'visibility'],
    samples: ({ lists }, emit) => {
      for (const { project, public: isPublic } of lists?.projects ?? [])
        if (isPublic !== undefined) emit(1, project, isPublic ? 'public' : 'private');
    },
  }),
  registryMetric({
    name: `${prefix}_project_repositories`,
    help: 'Repositories of a project as the registry counts them.',
    type: 'gauge',
    labels: ['project'],
    samples: ({ lists }, emit) => {
      for (const { project, repositories } of lists?.projects ?? []) emit(repositories, project);
    },
  }),
  registryMetric({
    name: `${prefix}_project_members`,
    help: 'Members of a project: users and groups.',
    type: 'gauge',
    labels: ['project'],
    samples: ({ lists }, emit) => {
      for (const { project, members } of lists?.projects ?? []) emit(members, project);
    },
  }),
  registryMetric({
    name: `${prefix}_task_up`,
    help: 'Whether the last run of a job of the registry, such as its garbage collection, worked.',
    type: 'gauge',
    labels: ['task'],
    samples: ({ lists }, emit) => {
      for (const { task, up } of lists?.tasks ?? []) emit(up === undefined ? undefined : Number(up), task);
    },
  }),
  registryMetric({
    name: `${prefix}_task_last_success_timestamp_seconds`,
    help: 'When the last run of a job of the registry that worked ended.',
    type: 'gauge',
    labels: ['task'],
    samples: ({ lists }, emit) => {
      for (const { task, lastSuccessAt } of lists?.tasks ?? []) emit(lastSuccessAt, task);
    },
  }),
  registryMetric({
    name: `${prefix}_task_items`,
    help: 'What the last run of a job of the registry worked on, by what became of it.',
    type: 'gauge',
    labels: ['task', 'result'],
    samples: ({ lists }, emit) => {
      for (const { task, items } of lists?.tasks ?? [])
        for (const result of taskResults) emit(items?.[result], task, result);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_jobs`,
    help: "Jobs that wait in a queue of the registry's own.",
    type: 'gauge',
    labels: ['queue'],
    samples: ({ lists }, emit) => {
      for (const { queue, size } of lists?.jobQueues ?? []) emit(size, queue);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_latency_seconds`,
    help: 'How long the oldest job of a queue has waited.',
    type: 'gauge',
    labels: ['queue'],
    samples: ({ lists }, emit) => {
      for (const { queue, latencySeconds } of lists?.jobQueues ?? []) emit(latencySeconds, queue);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_running_jobs`,
    help: 'Jobs of a queue that are being worked on.',
    type: 'gauge',
    labels: ['queue'],
    samples: ({ lists }, emit) => {
      for (const { queue, running } of lists?.jobQueues ?? []) emit(running, queue);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_paused`,
    help: 'Whether somebody paused a queue: its jobs wait until it is resumed.',
    type: 'gauge',
    labels: ['queue'],
    samples: ({ lists }, emit) => {
      for (const { queue, paused } of lists?.jobQueues ?? [])
        emit(paused === undefined ? undefined : Number(paused), queue);
    },
  }),
  registryMetric({
    name: `${prefix}_policy_violations`,
    help: 'Open violations of a policy that the registry watches, by severity.',
    type: 'gauge',
    labels: ['watch', 'severity'],
    samples: ({ lists }, emit) => {
      for (const { watch, severity, count } of lists?.violations ?? []) emit(count, watch, severity);
    },
  }),
];
