import type { AlertGroup } from './alert.ts';

/** What is in the images, whether they arrive, and what they take. */
export const images: AlertGroup = {
  name: 'container-registry-images',
  about: 'Images: what is in them, whether they arrive, and what they take.',
  alerts: [
    {
      name: 'ImageWithCriticalVulnerabilities',
      severity: 'critical',
      for: '5m',
      why: `The request's expression fires once per image, tag and severity series. This one fires once per repository, for
its newest tagged image: the one that is deployed next, and the one that a new build replaces. The runbook's query
names the images of the bounded set that have findings.`,
      expr: 'container_registry_repository_findings{severity="CRITICAL"} > 0',
      summary: 'Image has critical vulnerabilities',
      description:
        'The newest tagged image of {{ $labels.repository }} in {{ $labels.registry }} has {{ $value }} critical findings.',
      meaning: 'The newest tagged image of a repository has critical findings.',
    },
    {
      name: 'ImagePushFailure',
      severity: 'warning',
      for: '1m',
      why: `The request's \`> 0\` never resolves: a counter stays above 0 for ever. This one fires for failures of the last
15 minutes. increase() does not see the first failure, since the series begins with it: hence the second part,
which counts a series that was not there 15 minutes ago while the exporter was.`,
      expr: `increase(container_registry_push_failures_total[15m]) > 0
or
(
  (container_registry_push_failures_total > 0)
  unless
  (container_registry_push_failures_total offset 15m)
)
and on (registry) (container_registry_info offset 15m)`,
      summary: 'Image push failed',
      description:
        '{{ $value | humanize }} pushes to {{ $labels.repository }} in {{ $labels.registry }} failed within 15 minutes ({{ $labels.reason }}).',
      meaning: 'The registry reported a failed push within the last 15 minutes.',
    },
    {
      name: 'RegistryStorageHigh',
      severity: 'warning',
      why: 'Per repository as requested; 100 GiB.',
      expr: 'container_registry_repository_size_bytes / 1024 / 1024 / 1024 > 100',
      summary: 'Registry storage usage is high',
      description:
        'The images of {{ $labels.repository }} in {{ $labels.registry }} take {{ $value | humanize }} GiB.',
      meaning: 'The images of a repository take more than 100 GiB.',
    },
  ],
};
