import { failureReasons } from '../errors.ts';
import { scanStatuses } from '../model.ts';
import { operationMetrics } from './operations.ts';
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
    samples: ({ lists }, emit) => {
      for (const { setting, on } of lists?.settings ?? []) emit(Number(on), setting);
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
    name: `${prefix}_poll_interval_seconds`,
    help: 'Time between two polls as configured; of a cron expression the longest.',
    type: 'gauge',
    labels: [],
    samples: ({ pollIntervalSeconds }, emit) => emit(pollIntervalSeconds),
  }),
  registryMetric({
    name: `${prefix}_stale_after_seconds`,
    help: 'Age at which data of the registry is no longer exported, as configured.',
    type: 'gauge',
    labels: [],
    samples: ({ staleAfterSeconds }, emit) => emit(staleAfterSeconds),
  }),
  registryMetric({
    name: `${prefix}_failed_polls_in_a_row`,
    help: 'Polls that failed since the last one that succeeded; absent before the first one ended.',
    type: 'gauge',
    labels: [],
    samples: ({ failedInARow }, emit) => emit(failedInARow),
  }),
  registryMetric({
    name: `${prefix}_failed_repositories`,
    help: 'Repositories that the last poll could not read while it read others, and groups of them, such as projects, that it could not list; absent before the first poll ended.',
    type: 'gauge',
    labels: [],
    samples: ({ unread }, emit) => emit(unread),
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
    help: 'Polls that failed, by reason; `partial` counts polls in which single repositories failed, and after `timeout` what was read by then is shown. At 0 from the start.',
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
    name: `${prefix}_scans`,
    help: "Images by the status of the registry's scan, of all repositories of which that is known: the sum of `repository_image_scans`, for rules over large fleets.",
    type: 'gauge',
    labels: ['status'],
    samples: ({ scans }, emit) => {
      for (const status of scanStatuses) emit(scans?.[status], status);
    },
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
    samples: ({ lists }, emit) => {
      for (const { used, quota, project } of lists?.quotas ?? []) emit(used, quota, project ?? '');
    },
  }),
  registryMetric({
    name: `${prefix}_quota_limit`,
    help: 'The limit of a quota; absent where there is none.',
    type: 'gauge',
    labels: ['quota', 'project'],
    samples: ({ lists }, emit) => {
      for (const { limit, quota, project } of lists?.quotas ?? []) emit(limit, quota, project ?? '');
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
    help: 'When a credential, token or certificate of the registry expires; of several with one name the first to expire.',
    type: 'gauge',
    keepsLowest: true,
    labels: ['credential'],
    samples: ({ lists }, emit) => {
      for (const { credential, expiresAt } of lists?.credentials ?? []) emit(expiresAt, credential);
    },
  }),
  ...operationMetrics,
  registryMetric({
    name: `${prefix}_events_source_up`,
    help: 'Whether the last reading of a source of push events that is asked worked, such as `sqs` or `cloudtrail`.',
    type: 'gauge',
    labels: ['source'],
    samples: ({ eventSources }, emit) => {
      for (const [source, { up }] of eventSources ?? []) emit(Number(up), source);
    },
  }),
  registryMetric({
    name: `${prefix}_events_source_last_event_timestamp_seconds`,
    help: 'When the newest push event that a source gave happened.',
    type: 'gauge',
    labels: ['source'],
    samples: ({ eventSources }, emit) => {
      for (const [source, { lastEventAt }] of eventSources ?? []) emit(lastEventAt, source);
    },
  }),
  registryMetric({
    name: `${prefix}_events_source_lag_seconds`,
    help: 'How long after it happened the newest push event of a source was read.',
    type: 'gauge',
    labels: ['source'],
    samples: ({ eventSources }, emit) => {
      for (const [source, { lagSeconds }] of eventSources ?? []) emit(lagSeconds, source);
    },
  }),
  registryMetric({
    name: `${prefix}_all_pushes_total`,
    help: 'Pushes seen in push events, failed ones included, of all repositories together, those that are gone too: one series for sums over a large registry. Begins at 0 once a source works that tells of pushes. Goes on over restarts.',
    type: 'counter',
    labels: [],
    samples: ({ allPushes }, emit) => emit(allPushes?.pushes),
  }),
  registryMetric({
    name: `${prefix}_all_push_failures_total`,
    help: 'Pushes that failed, by reason, of all repositories together. Begins at 0 once a source works that tells of the reason. Goes on over restarts.',
    type: 'counter',
    labels: ['reason'],
    samples: ({ allPushes }, emit) => {
      for (const [reason, count] of Object.entries(allPushes?.failures ?? {})) emit(count, reason);
    },
  }),
  registryMetric({
    name: `${prefix}_missed_push_events_total`,
    help: 'Pushes that a poll found and no push event told of, in repositories of which events have told before; counted a quarter of an hour later. Absent where no event has told of any push.',
    type: 'counter',
    labels: [],
    samples: ({ missedEvents }, emit) => emit(missedEvents),
  }),
  registryMetric({
    name: `${prefix}_in_use_dropped_images`,
    help: 'Images of the registry that run and are left out, since there are more than `inUse.maxImages`.',
    type: 'gauge',
    labels: [],
    samples: ({ inUseDropped }, emit) => emit(inUseDropped),
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
    help: 'Series left out, by reason. Because of maxSeries: `image_cap` single images, `repository_cap` repositories, `registry_cap` rows of projects, quotas, jobs and the like. Because Prometheus could not read them: `invalid_value`, `duplicate`.',
    type: 'gauge',
    labels: ['reason'],
    samples: ({ seriesDropped }, emit) => {
      for (const [reason, count] of seriesDropped) emit(count, reason);
    },
  }),
];
