import { type AlertGroup, labelsOfInfo } from './alert.ts';

/** Six hours without a single failed scrape are rare enough that no alert would come. */
const scans = (status: string): string => `last_over_time(container_registry_scans{${status}}[10m])`;

/** What is in the images, and whether they arrive. */
export const images: AlertGroup = {
  name: 'container-registry-images',
  about: 'Images: what is in them, and whether they arrive.',
  alerts: [
    {
      name: 'ImageWithCriticalVulnerabilities',
      severity: 'critical',
      for: '5m',
      keepFiringFor: '10m',
      threshold: { value: 0, of: 'critical findings' },
      why: `The request's expression fires once per image, tag and severity series. This one fires once per repository, for
its newest tagged image: the one that is deployed next, and the one that a new build replaces. The runbook's query
names the images of the bounded set that have findings.`,
      expr: 'container_registry_repository_findings{severity="CRITICAL"} > $threshold',
      summary: 'Image has critical vulnerabilities',
      description:
        'Critical findings of the newest tagged image of {{ $labels.repository }} in {{ $labels.registry }}: {{ $value }}.',
      meaning: 'The newest tagged image of a repository has critical findings.',
    },
    {
      name: 'ImagePushFailure',
      severity: 'warning',
      for: '1m',
      why: `The request's \`> 0\` never resolves: a counter stays above 0 for ever. This one fires for failures of the last
15 minutes. increase() does not see what a series begins with. Most begin at 0; those of a repository whose first
push failed, and of a very large registry, begin with the failure: hence the second part, which counts a series that
was not there 15 minutes ago while the exporter was.`,
      expr: `increase(container_registry_push_failures_total[15m]) > 0
or
(
  (container_registry_push_failures_total > 0)
  unless
  (container_registry_push_failures_total offset 15m)
)
and ignoring (repository, reason, ${labelsOfInfo}) (container_registry_info offset 15m)`,
      summary: 'Image push failed',
      description:
        'Failed pushes to {{ or $labels.repository "repositories that are not named" }} in {{ $labels.registry }} within 15 minutes: {{ printf "%.0f" $value }} ({{ $labels.reason }}).',
      meaning: 'The registry reported a failed push within the last 15 minutes.',
    },
    {
      name: 'RegistryImagesNotScanned',
      severity: 'warning',
      for: '6h',
      threshold: { value: 0.25, of: 'of the images of a registry' },
      why: 'One alert per registry, however many repositories: a scanner that is off is one fault.',
      expr: `sum without (status) (${scans('status=~"none|pending"')})
  /
(sum without (status) (${scans('status!="unsupported"')}) > 0)
  > $threshold`,
      summary: 'Images of a container registry are not scanned',
      description:
        '{{ $value | humanizePercentage }} of the images of {{ $labels.registry }} ({{ $labels.provider }}) that can be scanned were not: what they contain is unknown.',
      meaning: 'A large share of the images of a registry that its scanner supports has no scan.',
    },
    {
      name: 'RegistryScansFailing',
      severity: 'warning',
      for: '1h',
      threshold: { value: 0.05, of: 'of the scans of a registry' },
      expr: `sum without (status) (${scans('status="failed"')})
  /
(sum without (status) (${scans('status=~"complete|failed"')}) > 0)
  > $threshold`,
      summary: 'Scans of a container registry fail',
      description:
        '{{ $value | humanizePercentage }} of the scans of {{ $labels.registry }} ({{ $labels.provider }}) failed: what these images contain is unknown.',
      meaning: 'Some share of the scans of a registry failed.',
    },
    {
      name: 'RegistryScansOld',
      severity: 'info',
      for: '1h',
      threshold: { value: 30, of: 'days since the newest scan of a repository' },
      why: `The newest scan of each repository that has images in the bounded set; one alert per registry, with their number.
Compared as it stands: an age of each would make as many series more.`,
      expr: `count without (repository) (
  container_registry_repository_last_scan_timestamp_seconds < time() - $threshold * 86400
) > 0`,
      summary: 'Scans of a container registry are old',
      description:
        'Repositories of {{ $labels.registry }} ({{ $labels.provider }}) that have not been scanned for a long time: {{ $value }}. Vulnerabilities that were published since are not counted.',
      meaning: 'The newest scan of a repository is more than 30 days old.',
    },
  ],
};
