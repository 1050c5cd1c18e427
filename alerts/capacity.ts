import type { AlertGroup } from './alert.ts';

const used = 'last_over_time(container_registry_quota_used[10m])';
const limit = '(last_over_time(container_registry_quota_limit[10m]) > 0)';
const whose =
  'The quota {{ $labels.quota }}{{ with $labels.project }} of {{ . }}{{ end }} in {{ $labels.registry }} ({{ $labels.provider }})';

/** What fills up. */
export const capacity: AlertGroup = {
  name: 'container-registry-capacity',
  about: 'Capacity: quotas and pull limits, before they refuse a push or a pull.',
  alerts: [
    {
      name: 'RegistryQuotaHigh',
      severity: 'warning',
      for: '15m',
      threshold: { value: 0.8, of: 'of a quota' },
      expr: `${used} / ${limit} > $threshold`,
      summary: 'A quota of a container registry is nearly used up',
      description: `${whose} is {{ $value | humanizePercentage }} used.`,
      meaning: 'More than 80 % of a quota is used.',
    },
    {
      name: 'RegistryQuotaExhausted',
      severity: 'critical',
      for: '5m',
      threshold: { value: 0.95, of: 'of a quota' },
      expr: `${used} / ${limit} > $threshold`,
      summary: 'A quota of a container registry is used up',
      description: `${whose} is {{ $value | humanizePercentage }} used: pushes fail when it is full.`,
      meaning: 'More than 95 % of a quota is used: pushes fail when it is full.',
    },
    {
      name: 'RegistryQuotaFillingUp',
      severity: 'warning',
      for: '1h',
      threshold: { value: 4, of: 'days until a quota is full' },
      why: `The trend of the last day, and only where half of the quota is used: a new project grows fast from nothing. One
that is full is no forecast.`,
      expr: `predict_linear(container_registry_quota_used[1d], $threshold * 86400) > ${limit}
and
${used} / ${limit} > 0.5
and
${used} < ${limit}
and
last_over_time(container_registry_quota_used[10m] offset 12h)`,
      summary: 'A quota of a container registry will be full within days',
      description: `${whose} will be full within days if it goes on growing as within the last day.`,
      meaning: 'A quota that is more than half used will be full within 4 days by the trend of the last day.',
    },
    {
      name: 'RegistryPullLimitLow',
      severity: 'warning',
      for: '5m',
      threshold: { value: 0.1, of: 'of the pulls of a window left' },
      expr: `last_over_time(container_registry_pull_remaining[10m]) / (last_over_time(container_registry_pull_limit[10m]) > 0) < $threshold`,
      summary: 'The pull limit of a container registry is nearly reached',
      description:
        'Of the pulls that {{ $labels.registry }} ({{ $labels.provider }}) allows {{ $labels.source }} in its window, {{ $value | humanizePercentage }} are left: nodes that pull more get 429.',
      meaning: 'Less than 10 % of the pulls that the registry allows in its window are left.',
    },
    {
      name: 'RegistryStorageHigh',
      severity: 'warning',
      keepFiringFor: '10m',
      threshold: { value: 100, of: 'GiB of one repository' },
      why: 'Per repository as requested. Compared first: only what is too large is divided.',
      expr: '(container_registry_repository_size_bytes > $threshold * 1024 * 1024 * 1024) / 1024 / 1024 / 1024',
      summary: 'Registry storage usage is high',
      description:
        'The images of {{ $labels.repository }} in {{ $labels.registry }} take {{ printf "%.0f" $value }} GiB.',
      meaning: 'The images of a repository take more than 100 GiB.',
    },
  ],
};
