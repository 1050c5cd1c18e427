import type { AlertGroup } from './alert.ts';

/** Who runs it: the three places with the most containers. */
const places = `{{ with printf "topk(3, max by (workload_cluster, workload_namespace, workload) (container_registry_repository_in_use_containers{job='%s',instance='%s',registry='%s',repository='%s',source='%s',workload_namespace!=''}))" $labels.job $labels.instance $labels.registry $labels.repository $labels.source | query }} Containers:{{ range . }} {{ with .Labels.workload_cluster }}{{ . }}/{{ end }}{{ .Labels.workload_namespace }}{{ with .Labels.workload }}/{{ . }}{{ end }} ({{ .Value }}){{ end }}.{{ end }}`;

/** What runs, over all clusters. */
export const inUse: AlertGroup = {
  name: 'container-registry-in-use',
  about: 'Images in use: what runs, joined with what the registries know of it.',
  alerts: [
    {
      name: 'RunningImageWithCriticalVulnerabilities',
      severity: 'critical',
      for: '5m',
      keepFiringFor: '10m',
      why: `Images with a fixed version apart from those without: the first are an update, the others a decision. Where the
registry does not tell of fixed versions, \`fix\` is "unknown".`,
      expr: `label_replace(
  container_registry_repository_in_use_fixable_images{severity="CRITICAL"} > 0,
  "fix", "available", "", ""
)
or
label_replace(
  (
    (container_registry_repository_in_use_vulnerable_images{severity="CRITICAL"} > 0)
    -
    container_registry_repository_in_use_fixable_images{severity="CRITICAL"}
  ) > 0,
  "fix", "none", "", ""
)
or
label_replace(
  (
    (container_registry_repository_in_use_vulnerable_images{severity="CRITICAL"} > 0)
    unless
    container_registry_repository_in_use_fixable_images{severity="CRITICAL"}
  ),
  "fix", "unknown", "", ""
)`,
      summary: 'Running images have critical vulnerabilities',
      description: `Images of {{ $labels.repository }} in {{ $labels.registry }} that run with critical findings: {{ $value }} (fixed version: {{ $labels.fix }}; what runs is told by {{ $labels.source }}).${places}`,
      meaning: 'Containers run an image that has critical findings.',
    },
    {
      name: 'RunningImageMissingFromRegistry',
      severity: 'critical',
      for: '10m',
      expr: 'last_over_time(container_registry_repository_in_use_images{state="missing"}[10m]) > 0',
      summary: 'Running images are gone from the registry',
      description: `Images of {{ $labels.repository }} that run and are gone from {{ $labels.registry }}: {{ $value }} (what runs is told by {{ $labels.source }}). The next node that pulls one of them fails.${places}`,
      meaning: 'Containers run an image that a complete listing of its repository does not have.',
    },
    {
      name: 'RunningImageWouldBeDeleted',
      severity: 'warning',
      for: '1h',
      why: 'From `retention` of the configuration: what the team expects its policy to remove.',
      expr: 'last_over_time(container_registry_repository_in_use_stale_images[10m]) > 0',
      summary: 'Retention would remove running images',
      description:
        'Images of {{ $labels.repository }} in {{ $labels.registry }} that run and that the configured retention expectation would remove: {{ $value }} (what runs is told by {{ $labels.source }}).',
      meaning: 'Containers run an image that the configured retention expectation would remove.',
    },
    {
      name: 'RunningImageNotScanned',
      severity: 'warning',
      for: '6h',
      expr: 'last_over_time(container_registry_repository_in_use_unscanned_images[10m]) > 0',
      summary: 'Running images are not scanned',
      description:
        'Images of {{ $labels.repository }} in {{ $labels.registry }} that run and whose scan did not complete: {{ $value }} (what runs is told by {{ $labels.source }}). What they contain is unknown.',
      meaning: 'Containers run an image whose scan by its registry did not complete.',
    },
    {
      name: 'RunningImageTooOld',
      severity: 'info',
      for: '1h',
      threshold: { value: 180, of: 'days since the oldest image in use was pushed' },
      expr: 'time() - last_over_time(container_registry_repository_in_use_oldest_push_timestamp_seconds[10m]) > $threshold * 86400',
      summary: 'A running image is old',
      description:
        'The oldest image of {{ $labels.repository }} in {{ $labels.registry }} that runs ({{ $labels.source }}) was pushed {{ $value | humanizeDuration }} ago: it lacks what was mended since.',
      meaning: 'Containers run an image that was pushed more than 180 days ago.',
    },
    {
      name: 'InUseSourceDown',
      severity: 'warning',
      for: '10m',
      why: 'A source whose last answer is too old has no numbers any more; alerts of running images are silent then.',
      expr: `last_over_time(container_registry_in_use_source_up[10m]) == 0
or
time() - last_over_time(container_registry_in_use_source_last_answer_timestamp_seconds[10m])
  > last_over_time(container_registry_in_use_source_stale_after_seconds[10m])`,
      summary: 'What runs cannot be read',
      description:
        'The source {{ $labels.source }} of {{ $labels.instance }} cannot be read, or its answer is too old: alerts about running images are silent for what it tells of.',
      meaning: 'A source of what runs cannot be read, or its answer is older than its `staleAfter`.',
    },
  ],
};
