import { kinds, practices, scanStatuses, severities } from '../model.ts';
import { inUseMetrics } from './in-use.ts';
import { prefix, type RepositoryMetric, repositoryMetric } from './row.ts';

/** Rows of a repository and its bounded set of images, in the order of exposition. */
export const repositoryMetrics: readonly RepositoryMetric[] = [
  repositoryMetric({
    name: `${prefix}_repository_images`,
    help: 'Images in the repository; a multi-platform image counts once. Archived ones are neither tagged nor untagged here.',
    labels: ['state'],
    samples: (totals, emit) => {
      emit(totals.tagged, 'tagged');
      emit(totals.untagged, 'untagged');
      emit(totals.archived, 'archived');
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
    name: `${prefix}_repository_archived_size_bytes`,
    help: "Sum of the sizes of the images in the registry's archive storage.",
    labels: [],
    samples: ({ archivedBytes }, emit) => emit(archivedBytes),
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
    help: 'Newest push into the repository; signatures, SBOMs and attestations do not count.',
    labels: [],
    samples: ({ lastPushAt }, emit) => emit(lastPushAt),
  }),
  repositoryMetric({
    name: `${prefix}_repository_last_pull_timestamp_seconds`,
    help: 'Newest pull from the repository; signatures, SBOMs and attestations do not count.',
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
    name: `${prefix}_repository_stars`,
    help: 'Stars that people gave the repository.',
    labels: [],
    samples: ({ stars }, emit) => emit(stars),
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
    help: 'Of the findings of the newest tagged image, those that have a fixed version; `severity` is empty where the registry gives one number for all.',
    labels: ['severity'],
    samples: ({ findings }, emit) => {
      for (const severity of severities) emit(findings?.fixable?.[severity], severity);
      emit(findings?.fixableTotal, '');
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
    name: `${prefix}_repository_last_scan_timestamp_seconds`,
    help: 'Newest scan of any image in the repository; absent where that of some image is not known.',
    labels: [],
    samples: ({ lastScanAt }, emit) => emit(lastScanAt),
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
    help: 'Pushes seen in push events, failed ones included; `repository=""` for names that no listing has shown, and for what a vendor counts for the registry as a whole. Begins at 0 once a source works that tells of pushes. Goes on over restarts.',
    type: 'counter',
    scope: 'repository',
    labels: [],
    samples: ({ pushCounts }, emit) => emit(pushCounts?.pushes),
  },
  {
    name: `${prefix}_push_failures_total`,
    help: 'Pushes that failed, by reason, where the registry tells. Begins at 0 once a source works, for each reason that it can tell. Goes on over restarts.',
    type: 'counter',
    scope: 'repository',
    labels: ['reason'],
    samples: ({ pushCounts }, emit) => {
      for (const [reason, count] of Object.entries(pushCounts?.failures ?? {})) emit(count, reason);
    },
  },
  ...inUseMetrics,
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
      for (const { tag, digest, findings } of images) {
        for (const severity of severities) emit(findings?.fixable?.[severity], tag, digest, severity);
        emit(findings?.fixableTotal, tag, digest, '');
      }
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
  {
    name: `${prefix}_image_in_use`,
    help: "Containers that run one image of the bounded set, by the source that tells of them; `scanner` is the registry's own scanner. Each of the image's tags has the same number.",
    type: 'gauge',
    scope: 'repository',
    perImage: true,
    labels: ['tag', 'digest', 'source'],
    samples({ totals, inUse }, emit) {
      for (const { tag, digest, inUse: containers } of totals?.images ?? [])
        emit(containers, tag, digest, 'scanner');
      for (const { source, images } of inUse ?? [])
        for (const { tag, digest, containers } of images) emit(containers, tag, digest, source);
    },
  },
];
