import type { AlertGroup } from './alert.ts';

const timeLeft = '(last_over_time(container_registry_credential_expiry_timestamp_seconds[10m]) - time())';
const expires =
  '{{ $labels.credential }} of {{ $labels.registry }} ({{ $labels.provider }}) {{ if gt $value 0.0 }}expires in {{ $value | humanizeDuration }}: whatever uses it is refused then.{{ else }}has expired: whatever uses it is refused.{{ end }}';

/** What registries tell of their own running: credentials, copies, parts, jobs. */
export const operations: AlertGroup = {
  name: 'container-registry-operations',
  about:
    'The running of the registries themselves, as far as they tell: credentials, replication, components, tasks.',
  alerts: [
    {
      name: 'RegistryCredentialExpires',
      severity: 'info',
      for: '1h',
      threshold: { value: 30, of: 'days until a credential expires' },
      expr: `${timeLeft} < $threshold * 86400 and ${timeLeft} > 0`,
      summary: 'A credential of a container registry expires within weeks',
      description: expires,
      meaning: 'A credential, token or certificate of a registry expires within 30 days.',
    },
    {
      name: 'RegistryCredentialExpiresSoon',
      severity: 'warning',
      for: '1h',
      threshold: { value: 7, of: 'days until a credential expires' },
      expr: `${timeLeft} < $threshold * 86400 and ${timeLeft} > 0`,
      summary: 'A credential of a container registry expires within days',
      description: expires,
      meaning: 'A credential, token or certificate of a registry expires within 7 days.',
    },
    {
      name: 'RegistryCredentialExpiring',
      severity: 'critical',
      for: '15m',
      threshold: { value: 1, of: 'days until a credential expires' },
      why: 'One that expired more than a day ago is used by nobody, or has been noticed.',
      expr: `${timeLeft} < $threshold * 86400 and ${timeLeft} > -86400`,
      summary: 'A credential of a container registry expires today',
      description: expires,
      meaning:
        'A credential, token or certificate of a registry expires within a day, or did so within the last.',
    },
    {
      name: 'RegistryReplicationFailing',
      severity: 'warning',
      for: '1h',
      keepFiringFor: '15m',
      expr: 'last_over_time(container_registry_replication_up[10m]) == 0',
      summary: 'Images of a container registry are not replicated',
      description:
        'The last replication of {{ $labels.registry }} ({{ $labels.provider }}) to {{ $labels.destination }} failed: what is pushed here is not there.',
      meaning: 'The last replication of a registry to a destination failed.',
    },
    {
      name: 'RegistryReplicationBehind',
      severity: 'warning',
      threshold: { value: 0, of: 'images that wait for replication' },
      why: `The least that waited at any moment of six hours: a queue that is emptied now and then is none, nor is one that
is no longer there.`,
      expr: `min_over_time(container_registry_replication_pending_images[6h]) > $threshold
and
last_over_time(container_registry_replication_pending_images[10m])
and
last_over_time(container_registry_replication_pending_images[10m] offset 6h)`,
      summary: 'Replication of a container registry does not keep up',
      description:
        'Images of {{ $labels.registry }} ({{ $labels.provider }}) that have waited for replication to {{ $labels.destination }} for six hours: at least {{ $value }}.',
      meaning: 'Images have waited for replication to a destination for six hours without a break.',
    },
    {
      name: 'RegistryComponentDown',
      severity: 'warning',
      for: '10m',
      expr: 'last_over_time(container_registry_component_up[10m]) == 0',
      summary: 'A component of a container registry is unhealthy',
      description:
        '{{ $labels.registry }} ({{ $labels.provider }}) says that its {{ $labels.component }} is unhealthy.',
      meaning:
        'A registry says that one of its components, such as its database or its scanner, is unhealthy.',
    },
    {
      name: 'RegistryTaskFailing',
      severity: 'warning',
      for: '30m',
      expr: 'last_over_time(container_registry_task_up[10m]) == 0',
      summary: 'A task of a container registry fails',
      description:
        'The last run of {{ $labels.task }} in {{ $labels.registry }} ({{ $labels.provider }}) failed.',
      meaning: 'The last run of a task of a registry, such as its garbage collection, failed.',
    },
    {
      name: 'RegistryQueuePaused',
      severity: 'info',
      for: '1h',
      expr: 'last_over_time(container_registry_job_queue_paused[10m]) == 1',
      summary: 'A queue of a container registry is paused',
      description:
        'The queue {{ $labels.queue }} of {{ $labels.registry }} ({{ $labels.provider }}) is paused: its jobs wait until somebody resumes it.',
      meaning: 'Somebody paused a queue of a registry: its jobs wait until it is resumed.',
    },
    {
      name: 'RegistryQueueStuck',
      severity: 'warning',
      for: '15m',
      threshold: { value: 3600, of: 'seconds that the oldest job has waited' },
      why: 'A paused queue has an alert of its own.',
      expr: `last_over_time(container_registry_job_queue_latency_seconds[10m]) > $threshold
unless
last_over_time(container_registry_job_queue_paused[10m]) == 1`,
      summary: 'Jobs of a container registry wait',
      description:
        'The oldest job in the queue {{ $labels.queue }} of {{ $labels.registry }} ({{ $labels.provider }}) has waited for {{ $value | humanizeDuration }}.',
      meaning: 'The oldest job in a queue of a registry has waited for more than an hour.',
    },
  ],
};
