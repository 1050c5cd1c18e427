import { type FailureReason, failureReasons } from './errors.ts';
import {
  kinds,
  practices,
  type RegistryFacts,
  type RegistryIdentity,
  type RepositoryTotals,
  scanStatuses,
  severities,
} from './model.ts';

/** Everything that is rendered of one registry besides its repositories. */
export interface RegistryView {
  readonly registry: string;
  readonly provider: string;
  readonly identity: RegistryIdentity;
  /** Absent before the first cycle ends. */
  readonly up?: boolean;
  readonly lastSuccessAt?: number;
  readonly lastAttemptAt?: number;
  readonly pollDurationSeconds?: number;
  readonly polls: number;
  readonly failures: ReadonlyMap<FailureReason, number>;
  readonly capabilities: ReadonlyMap<string, boolean>;
  /** Absent when there is no data, or when it is older than `staleAfter`. */
  readonly facts?: RegistryFacts;
  readonly repositoryCount?: number;
  readonly seriesDropped: ReadonlyMap<string, number>;
}

/** Push events counted for one repository since the exporter's storage began. */
export interface PushCounts {
  readonly pushes: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** Everything that is rendered of one repository. */
export interface RepositoryView {
  readonly totals?: RepositoryTotals;
  readonly pushCounts?: PushCounts;
}

/** Adds a sample; one whose value is unknown is not there. Label values in the row's order. */
type Emit<Labels extends readonly string[]> = (
  value: number | undefined,
  ...labelValues: { [K in keyof Labels]: string }
) => void;

export type MetricType = 'gauge' | 'counter' | 'histogram';

/** What of a row documentation and checks need. */
export interface MetricRow {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  /** Labels besides those of the scope. */
  readonly labels: readonly string[];
  /** `process` rows are kept by prom-client and have exactly `labels`; the others have `registry`, `provider` first. */
  readonly scope: 'registry' | 'repository' | 'process';
}

/** A row rendered from a registry's state. */
export interface RegistryMetric extends MetricRow {
  readonly scope: 'registry';
  readonly samples: (view: RegistryView, emit: Emit<readonly string[]>) => void;
}

/** A row rendered from a repository's totals; the label `repository` comes right after `provider`. */
export interface RepositoryMetric extends MetricRow {
  readonly scope: 'repository';
  /** Rows of single images are left out first when a registry exceeds its cap of series. */
  readonly perImage?: boolean;
  readonly samples: (view: RepositoryView, emit: Emit<readonly string[]>) => void;
}

const registryMetric = <const L extends readonly string[]>(
  row: Omit<RegistryMetric, 'scope' | 'samples' | 'labels'> & {
    labels: L;
    samples: (view: RegistryView, emit: Emit<L>) => void;
  },
): RegistryMetric => ({ ...row, scope: 'registry' }) as unknown as RegistryMetric;

const repositoryMetric = <const L extends readonly string[]>(
  row: Omit<RepositoryMetric, 'scope' | 'samples' | 'labels' | 'type'> & {
    type?: MetricType;
    labels: L;
    samples: (totals: RepositoryTotals, emit: Emit<L>) => void;
  },
): RepositoryMetric =>
  ({
    type: 'gauge',
    ...row,
    scope: 'repository',
    samples: (view: RepositoryView, emit: Emit<L>) => view.totals && row.samples(view.totals, emit),
  }) as unknown as RepositoryMetric;

const prefix = 'container_registry';

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
    name: `${prefix}_up`,
    help: 'Whether the last poll of the registry succeeded; absent before the first one ended.',
    type: 'gauge',
    labels: [],
    samples: ({ up }, emit) => emit(up === undefined ? undefined : Number(up)),
  }),
  registryMetric({
    name: `${prefix}_last_success_timestamp_seconds`,
    help: 'When the last successful poll ended: the age of all data of the registry.',
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
    help: 'How much of a quota of the registry is used, in the unit of the quota.',
    type: 'gauge',
    labels: ['quota'],
    samples: ({ facts }, emit) => {
      for (const quota of facts?.quotas ?? []) emit(quota.used, quota.quota);
    },
  }),
  registryMetric({
    name: `${prefix}_quota_limit`,
    help: 'The limit of a quota of the registry; absent where there is none.',
    type: 'gauge',
    labels: ['quota'],
    samples: ({ facts }, emit) => {
      for (const quota of facts?.quotas ?? []) emit(quota.limit, quota.quota);
    },
  }),
  registryMetric({
    name: `${prefix}_pull_limit`,
    help: 'Pulls that the registry allows in its window; absent where it sends no limit.',
    type: 'gauge',
    labels: [],
    samples: ({ facts }, emit) => emit(facts?.pullLimit),
  }),
  registryMetric({
    name: `${prefix}_pull_remaining`,
    help: 'Pulls that are left in the window of the pull limit.',
    type: 'gauge',
    labels: [],
    samples: ({ facts }, emit) => emit(facts?.pullRemaining),
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
    name: `${prefix}_series_dropped`,
    help: 'Series left out of the last snapshot, by reason: `image_cap` and `repository_cap` (maxSeries), `duplicate`.',
    type: 'gauge',
    labels: ['reason'],
    samples: ({ seriesDropped }, emit) => {
      for (const [reason, count] of seriesDropped) emit(count, reason);
    },
  }),
];

/** Rows of a repository and its bounded set of images, in the order of exposition. */
export const repositoryMetrics: readonly RepositoryMetric[] = [
  repositoryMetric({
    name: `${prefix}_repository_images`,
    help: 'Images in the repository; a multi-platform image counts once.',
    labels: ['state'],
    samples: (totals, emit) => {
      emit(totals.tagged, 'tagged');
      emit(totals.untagged, 'untagged');
    },
  }),
  repositoryMetric({
    name: `${prefix}_repository_tags`,
    help: 'Tags in the repository.',
    labels: [],
    samples: ({ tags }, emit) => emit(tags),
  }),
  repositoryMetric({
    name: `${prefix}_repository_artifacts`,
    help: 'Manifests in the repository that are not images of their own, by kind.',
    labels: ['kind'],
    samples: ({ artifacts }, emit) => {
      for (const kind of kinds) emit(artifacts[kind], kind);
    },
  }),
  repositoryMetric({
    name: `${prefix}_repository_size_bytes`,
    help: 'Sum of the sizes of the images in the repository; a blob that several images share counts for each.',
    labels: [],
    samples: ({ sizeBytes }, emit) => emit(sizeBytes),
  }),
  repositoryMetric({
    name: `${prefix}_repository_reclaimable_bytes`,
    help: 'Bytes of the images that the configured retention expectation would remove.',
    labels: [],
    samples: ({ reclaimableBytes }, emit) => emit(reclaimableBytes),
  }),
  repositoryMetric({
    name: `${prefix}_repository_stale_images`,
    help: 'Images that the configured retention expectation would remove.',
    labels: [],
    samples: ({ staleImages }, emit) => emit(staleImages),
  }),
  repositoryMetric({
    name: `${prefix}_repository_last_push_timestamp_seconds`,
    help: 'Newest push of an image into the repository.',
    labels: [],
    samples: ({ lastPushAt }, emit) => emit(lastPushAt),
  }),
  repositoryMetric({
    name: `${prefix}_repository_last_pull_timestamp_seconds`,
    help: 'Newest pull of an image from the repository.',
    labels: [],
    samples: ({ lastPullAt }, emit) => emit(lastPullAt),
  }),
  repositoryMetric({
    name: `${prefix}_repository_pulls_total`,
    help: 'Pulls from the repository as the registry counts them.',
    type: 'counter',
    labels: [],
    samples: ({ pulls }, emit) => emit(pulls),
  }),
  repositoryMetric({
    name: `${prefix}_repository_findings`,
    help: 'Vulnerability findings of the newest tagged image of the repository.',
    labels: ['severity'],
    samples: ({ findings }, emit) => {
      for (const severity of severities) emit(findings?.counts[severity], severity);
    },
  }),
  repositoryMetric({
    name: `${prefix}_repository_fixable_findings`,
    help: 'Of the findings of the newest tagged image, those that have a fixed version.',
    labels: ['severity'],
    samples: ({ findings }, emit) => {
      for (const severity of severities) emit(findings?.fixable?.[severity], severity);
    },
  }),
  repositoryMetric({
    name: `${prefix}_repository_vulnerable_images`,
    help: 'Images in the repository with at least one finding of the severity.',
    labels: ['severity'],
    samples: ({ vulnerableImages }, emit) => {
      for (const severity of severities) emit(vulnerableImages?.[severity], severity);
    },
  }),
  repositoryMetric({
    name: `${prefix}_repository_image_scans`,
    help: "Images in the repository by the status of the registry's scan.",
    labels: ['status'],
    samples: ({ scans }, emit) => {
      for (const status of scanStatuses) emit(scans?.[status], status);
    },
  }),
  repositoryMetric({
    name: `${prefix}_repository_signed_images`,
    help: 'Images in the repository that have a signature; absent where that is not known of every image.',
    labels: [],
    samples: ({ signedImages }, emit) => emit(signedImages),
  }),
  repositoryMetric({
    name: `${prefix}_repository_practice`,
    help: 'Whether the repository follows a practice (1) or not (0).',
    labels: ['practice'],
    samples: (totals, emit) => {
      for (const practice of practices) {
        const followed = totals.practices[practice];
        emit(followed === undefined ? undefined : Number(followed), practice);
      }
    },
  }),
  {
    name: `${prefix}_pushes_total`,
    help: 'Pushes seen in push events, failed ones included; goes on over restarts.',
    type: 'counter',
    scope: 'repository',
    labels: [],
    samples: ({ pushCounts }, emit) => emit(pushCounts?.pushes),
  },
  {
    name: `${prefix}_push_failures_total`,
    help: 'Pushes that failed, by reason, where the registry tells; goes on over restarts.',
    type: 'counter',
    scope: 'repository',
    labels: ['reason'],
    samples: ({ pushCounts }, emit) => {
      for (const [reason, count] of Object.entries(pushCounts?.failures ?? {})) emit(count, reason);
    },
  },
  repositoryMetric({
    name: `${prefix}_image_findings`,
    help: 'Vulnerability findings of one image of the bounded set.',
    perImage: true,
    labels: ['tag', 'digest', 'severity'],
    samples: ({ images }, emit) => {
      for (const { tag, digest, findings } of images)
        for (const severity of severities) emit(findings?.counts[severity], tag, digest, severity);
    },
  }),
  repositoryMetric({
    name: `${prefix}_image_fixable_findings`,
    help: 'Of the findings of one image of the bounded set, those that have a fixed version.',
    perImage: true,
    labels: ['tag', 'digest', 'severity'],
    samples: ({ images }, emit) => {
      for (const { tag, digest, findings } of images)
        for (const severity of severities) emit(findings?.fixable?.[severity], tag, digest, severity);
    },
  }),
  repositoryMetric({
    name: `${prefix}_image_size_bytes`,
    help: 'Stored size of one image of the bounded set; of a multi-platform image the sum of its platforms.',
    perImage: true,
    labels: ['tag', 'digest'],
    samples: ({ images }, emit) => {
      for (const { tag, digest, sizeBytes } of images) emit(sizeBytes, tag, digest);
    },
  }),
  repositoryMetric({
    name: `${prefix}_image_pushed_timestamp_seconds`,
    help: 'When one image of the bounded set was pushed; its creation time where the registry has no push times.',
    perImage: true,
    labels: ['tag', 'digest'],
    samples: ({ images }, emit) => {
      for (const { tag, digest, pushedAt } of images) emit(pushedAt, tag, digest);
    },
  }),
  repositoryMetric({
    name: `${prefix}_image_scanned_timestamp_seconds`,
    help: 'When one image of the bounded set was last scanned.',
    perImage: true,
    labels: ['tag', 'digest'],
    samples: ({ images }, emit) => {
      for (const { tag, digest, scannedAt } of images) emit(scannedAt, tag, digest);
    },
  }),
  repositoryMetric({
    name: `${prefix}_image_signed`,
    help: 'Whether one image of the bounded set has a signature.',
    perImage: true,
    labels: ['tag', 'digest'],
    samples: ({ images }, emit) => {
      for (const { tag, digest, signed } of images)
        emit(signed === undefined ? undefined : Number(signed), tag, digest);
    },
  }),
  repositoryMetric({
    name: `${prefix}_image_in_use`,
    help: "Tasks and pods that run one image of the bounded set, where the registry's scanner knows.",
    perImage: true,
    labels: ['tag', 'digest'],
    samples: ({ images }, emit) => {
      for (const { tag, digest, inUse } of images) emit(inUse, tag, digest);
    },
  }),
];

const processMetric = <const L extends readonly string[]>(
  name: string,
  type: MetricType,
  help: string,
  labels: L,
) => ({ name: `${prefix}_${name}`, type, help, labels, scope: 'process' }) as const;

/** Rows that prom-client keeps: what the daemon tells of itself. Its default process metrics come on top. */
export const processMetrics = {
  apiRequests: processMetric(
    'api_requests_total',
    'counter',
    'Requests sent to the registry, retries included; code is the HTTP status or the reason of the failure.',
    ['registry', 'provider', 'operation', 'code'],
  ),
  apiRequestDuration: processMetric(
    'api_request_duration_seconds',
    'histogram',
    'How long requests to the registry took.',
    ['registry', 'provider', 'operation'],
  ),
  events: processMetric('events_total', 'counter', 'Push events received, by source and outcome.', [
    'registry',
    'provider',
    'source',
    'outcome',
  ]),
  buildInfo: processMetric('exporter_build_info', 'gauge', 'Version of the exporter and of its runtime.', [
    'version',
    'revision',
    'nodeversion',
  ]),
  reloadSuccessful: processMetric(
    'exporter_config_last_reload_successful',
    'gauge',
    'Whether the last reading of the configuration succeeded.',
    [],
  ),
  reloadTimestamp: processMetric(
    'exporter_config_last_reload_success_timestamp_seconds',
    'gauge',
    'When the configuration was last read successfully.',
    [],
  ),
} as const satisfies Record<string, MetricRow>;

/** THE TABLE: every metric of the exporter once. Documentation, dashboards and alerts are checked against it. */
export const metrics: readonly MetricRow[] = [
  ...registryMetrics,
  ...repositoryMetrics,
  ...Object.values(processMetrics),
];

/** All labels of a row, those of its scope first. */
export function allLabels(row: MetricRow): readonly string[] {
  if (row.scope === 'process') return row.labels;
  return row.scope === 'registry'
    ? ['registry', 'provider', ...row.labels]
    : ['registry', 'provider', 'repository', ...row.labels];
}
