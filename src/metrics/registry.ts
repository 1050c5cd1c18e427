import { failureReasons } from '../errors.ts';
import { taskResults } from '../model.ts';
import { prefix, type RegistryMetric, registryMetric } from './row.ts';

/** Rows of the registry itself, in the order of exposition. */
export const registryMetrics: readonly RegistryMetric[] = [
  registryMetric({
    name: `${prefix}_info`,
    help: 'A configured registry and where it is; there from the start, even before it was reached.',
    type: 'gauge',
    labels: ['host', 'account', 'region'],
    samples: ({ identity }, emit) =>
      emit(1, identity.host ?? '', identity.account ?? '', identity.region ?? ''),
  }),
  registryMetric({
    name: `${prefix}_version_info`,
    help: "The version of the registry's software, where it tells.",
    type: 'gauge',
    labels: ['version'],
    samples: ({ facts }, emit) => {
      if (facts?.version !== undefined) emit(1, facts.version);
    },
  }),
  registryMetric({
    name: `${prefix}_setting`,
    help: 'Whether a setting of the registry as a whole, such as `read_only`, is on.',
    type: 'gauge',
    labels: ['setting'],
    samples: ({ facts }, emit) => {
      for (const { setting, on } of facts?.settings ?? []) emit(Number(on), setting);
    },
  }),
  registryMetric({
    name: `${prefix}_up`,
    help: 'Whether the last poll of the registry succeeded; absent before the first one ended.',
    type: 'gauge',
    labels: [],
    samples: ({ up }, emit) => emit(up === undefined ? undefined : Number(up)),
  }),
  registryMetric({
    name: `${prefix}_last_success_timestamp_seconds`,
    help: 'When the last successful poll ended: the age of its data, but for repositories that have failed alone since.',
    type: 'gauge',
    labels: [],
    samples: ({ lastSuccessAt }, emit) => emit(lastSuccessAt),
  }),
  registryMetric({
    name: `${prefix}_last_attempt_timestamp_seconds`,
    help: 'When the last poll ended, successful or not.',
    type: 'gauge',
    labels: [],
    samples: ({ lastAttemptAt }, emit) => emit(lastAttemptAt),
  }),
  registryMetric({
    name: `${prefix}_poll_duration_seconds`,
    help: 'How long the last poll took.',
    type: 'gauge',
    labels: [],
    samples: ({ pollDurationSeconds }, emit) => emit(pollDurationSeconds),
  }),
  registryMetric({
    name: `${prefix}_polls_total`,
    help: 'Polls of the registry, failed ones included; goes on over restarts.',
    type: 'counter',
    labels: [],
    samples: ({ polls }, emit) => emit(polls),
  }),
  registryMetric({
    name: `${prefix}_poll_failures_total`,
    help: 'Polls that failed, by reason; `partial` counts polls in which single repositories failed. At 0 from the start.',
    type: 'counter',
    labels: ['reason'],
    samples: ({ failures }, emit) => {
      for (const reason of failureReasons) emit(failures.get(reason) ?? 0, reason);
    },
  }),
  registryMetric({
    name: `${prefix}_capability_up`,
    help: 'Whether a capability of the provider worked in the last poll; absent where the provider does not have it.',
    type: 'gauge',
    labels: ['capability'],
    samples: ({ capabilities }, emit) => {
      for (const [capability, up] of capabilities) emit(Number(up), capability);
    },
  }),
  registryMetric({
    name: `${prefix}_repositories`,
    help: 'Repositories in the registry that the configuration includes.',
    type: 'gauge',
    labels: [],
    samples: ({ repositoryCount }, emit) => emit(repositoryCount),
  }),
  registryMetric({
    name: `${prefix}_storage_bytes`,
    help: 'Bytes stored by the registry, each shared blob counted once.',
    type: 'gauge',
    labels: [],
    samples: ({ facts }, emit) => emit(facts?.storageBytes),
  }),
  registryMetric({
    name: `${prefix}_quota_used`,
    help: 'How much of a quota is used, in the unit of the quota; `project` is empty where the quota is for the whole registry.',
    type: 'gauge',
    labels: ['quota', 'project'],
    samples: ({ facts }, emit) => {
      for (const { used, quota, project } of facts?.quotas ?? []) emit(used, quota, project ?? '');
    },
  }),
  registryMetric({
    name: `${prefix}_quota_limit`,
    help: 'The limit of a quota; absent where there is none.',
    type: 'gauge',
    labels: ['quota', 'project'],
    samples: ({ facts }, emit) => {
      for (const { limit, quota, project } of facts?.quotas ?? []) emit(limit, quota, project ?? '');
    },
  }),
  registryMetric({
    name: `${prefix}_pull_limit`,
    help: 'Pulls that the registry allows in its window; absent where it sends no limit. `source` is whom it counts them for.',
    type: 'gauge',
    labels: ['source'],
    samples: ({ facts }, emit) => emit(facts?.pullLimit, facts?.pullLimitSource ?? ''),
  }),
  registryMetric({
    name: `${prefix}_pull_remaining`,
    help: 'Pulls that are left in the window of the pull limit.',
    type: 'gauge',
    labels: ['source'],
    samples: ({ facts }, emit) => emit(facts?.pullRemaining, facts?.pullLimitSource ?? ''),
  }),
  registryMetric({
    name: `${prefix}_pull_limit_window_seconds`,
    help: 'Length of the window that the pull limit is for.',
    type: 'gauge',
    labels: ['source'],
    samples: ({ facts }, emit) => emit(facts?.pullLimitWindowSeconds, facts?.pullLimitSource ?? ''),
  }),
  registryMetric({
    name: `${prefix}_credential_expiry_timestamp_seconds`,
    help: 'When a credential, token or certificate of the registry expires.',
    type: 'gauge',
    labels: ['credential'],
    samples: ({ facts }, emit) => {
      for (const { credential, expiresAt } of facts?.credentials ?? []) emit(expiresAt, credential);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_up`,
    help: 'Whether the last replication to the destination worked.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ facts }, emit) => {
      for (const { destination, up } of facts?.replications ?? [])
        emit(up === undefined ? undefined : Number(up), destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_pending_images`,
    help: 'Images that wait for replication to the destination.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ facts }, emit) => {
      for (const { destination, pendingImages } of facts?.replications ?? [])
        emit(pendingImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_failed_images`,
    help: 'Images whose replication to the destination failed.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ facts }, emit) => {
      for (const { destination, failedImages } of facts?.replications ?? []) emit(failedImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_succeeded_images`,
    help: 'Images that the last run of the replication to the destination copied.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ facts }, emit) => {
      for (const { destination, succeededImages } of facts?.replications ?? [])
        emit(succeededImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_stopped_images`,
    help: 'Images whose replication to the destination somebody stopped in the last run.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ facts }, emit) => {
      for (const { destination, stoppedImages } of facts?.replications ?? [])
        emit(stoppedImages, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_replication_last_success_timestamp_seconds`,
    help: 'When the last replication to the destination that worked ended.',
    type: 'gauge',
    labels: ['destination'],
    samples: ({ facts }, emit) => {
      for (const { destination, lastSuccessAt } of facts?.replications ?? [])
        emit(lastSuccessAt, destination);
    },
  }),
  registryMetric({
    name: `${prefix}_component_up`,
    help: 'Whether a part of the registry, such as its database or its scanner, says that it is healthy.',
    type: 'gauge',
    labels: ['component'],
    samples: ({ facts }, emit) => {
      for (const { component, up } of facts?.components ?? []) emit(Number(up), component);
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
    samples: ({ facts }, emit) => {
      for (const { project, public: isPublic } of facts?.projects ?? [])
        if (isPublic !== undefined) emit(1, project, isPublic ? 'public' : 'private');
    },
  }),
  registryMetric({
    name: `${prefix}_project_repositories`,
    help: 'Repositories of a project as the registry counts them.',
    type: 'gauge',
    labels: ['project'],
    samples: ({ facts }, emit) => {
      for (const { project, repositories } of facts?.projects ?? []) emit(repositories, project);
    },
  }),
  registryMetric({
    name: `${prefix}_project_members`,
    help: 'Members of a project: users and groups.',
    type: 'gauge',
    labels: ['project'],
    samples: ({ facts }, emit) => {
      for (const { project, members } of facts?.projects ?? []) emit(members, project);
    },
  }),
  registryMetric({
    name: `${prefix}_task_up`,
    help: 'Whether the last run of a job of the registry, such as its garbage collection, worked.',
    type: 'gauge',
    labels: ['task'],
    samples: ({ facts }, emit) => {
      for (const { task, up } of facts?.tasks ?? []) emit(up === undefined ? undefined : Number(up), task);
    },
  }),
  registryMetric({
    name: `${prefix}_task_last_success_timestamp_seconds`,
    help: 'When the last run of a job of the registry that worked ended.',
    type: 'gauge',
    labels: ['task'],
    samples: ({ facts }, emit) => {
      for (const { task, lastSuccessAt } of facts?.tasks ?? []) emit(lastSuccessAt, task);
    },
  }),
  registryMetric({
    name: `${prefix}_task_items`,
    help: 'What the last run of a job of the registry worked on, by what became of it.',
    type: 'gauge',
    labels: ['task', 'result'],
    samples: ({ facts }, emit) => {
      for (const { task, items } of facts?.tasks ?? [])
        for (const result of taskResults) emit(items?.[result], task, result);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_jobs`,
    help: "Jobs that wait in a queue of the registry's own.",
    type: 'gauge',
    labels: ['queue'],
    samples: ({ facts }, emit) => {
      for (const { queue, size } of facts?.jobQueues ?? []) emit(size, queue);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_latency_seconds`,
    help: 'How long the oldest job of a queue has waited.',
    type: 'gauge',
    labels: ['queue'],
    samples: ({ facts }, emit) => {
      for (const { queue, latencySeconds } of facts?.jobQueues ?? []) emit(latencySeconds, queue);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_running_jobs`,
    help: 'Jobs of a queue that are being worked on.',
    type: 'gauge',
    labels: ['queue'],
    samples: ({ facts }, emit) => {
      for (const { queue, running } of facts?.jobQueues ?? []) emit(running, queue);
    },
  }),
  registryMetric({
    name: `${prefix}_job_queue_paused`,
    help: 'Whether somebody paused a queue: its jobs wait until it is resumed.',
    type: 'gauge',
    labels: ['queue'],
    samples: ({ facts }, emit) => {
      for (const { queue, paused } of facts?.jobQueues ?? [])
        emit(paused === undefined ? undefined : Number(paused), queue);
    },
  }),
  registryMetric({
    name: `${prefix}_policy_violations`,
    help: 'Open violations of a policy that the registry watches, by severity.',
    type: 'gauge',
    labels: ['watch', 'severity'],
    samples: ({ facts }, emit) => {
      for (const { watch, severity, count } of facts?.violations ?? []) emit(count, watch, severity);
    },
  }),
  registryMetric({
    name: `${prefix}_exporter_state_saved`,
    help: 'Whether what has to survive a restart could be saved when it last changed; absent without --storage.path.',
    type: 'gauge',
    labels: [],
    samples: ({ saved }, emit) => emit(saved === undefined ? undefined : Number(saved)),
  }),
  registryMetric({
    name: `${prefix}_series_dropped`,
    help: 'Series left out of the last snapshot because of maxSeries, by reason: `image_cap` and `repository_cap`.',
    type: 'gauge',
    labels: ['reason'],
    samples: ({ seriesDropped }, emit) => {
      for (const [reason, count] of seriesDropped) emit(count, reason);
    },
  }),
];
