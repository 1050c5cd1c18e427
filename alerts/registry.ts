import type { AlertGroup } from './alert.ts';

/** The exporter and its view of the registries. */
export const registry: AlertGroup = {
  name: 'container-registry-exporter',
  about: `The exporter and its view of the registries: whether the numbers can be believed.
A failed scrape makes all series stale, and \`for\` then begins again: with an exporter that crashes every few minutes
no alert would ever fire. Hence last_over_time(…[10m]), which bridges the gaps, and changes(), which sees the flapping.`,
  alerts: [
    {
      name: 'RegistryExporterDown',
      severity: 'critical',
      for: '5m',
      why: 'Down; or down three times within half an hour; or no target at all, which no series of `up` can tell.',
      expr: `up{job=~".*container-registry-exporter.*"} == 0
or
changes(up{job=~".*container-registry-exporter.*"}[30m]) >= 6
or
absent(up{job=~".*container-registry-exporter.*"})`,
      summary: 'The container registry exporter cannot be scraped',
      description:
        '{{ if $labels.instance }}Prometheus has not been able to scrape {{ $labels.instance }} reliably for 5 minutes: it is down, or comes and goes.{{ else }}Prometheus has had no target with a job like container-registry-exporter for 5 minutes.{{ end }} The numbers of its registries are old, or missing.',
      meaning:
        'The exporter cannot be scraped: it is down, it comes and goes (three outages within half an hour, as in a crash loop), or Prometheus has no target with a job like `container-registry-exporter` (then the alert has no `instance`).',
    },
    {
      name: 'RegistryDown',
      severity: 'critical',
      for: '15m',
      why: 'All polls fail; or they fail and succeed by turns, more than a third of the last hour failed.',
      expr: `last_over_time(container_registry_up[10m]) == 0
or
(avg_over_time(container_registry_up[1h]) < 0.66 and changes(container_registry_up[1h]) >= 4)`,
      summary: 'A container registry cannot be read',
      description:
        'Polls of {{ $labels.registry }} ({{ $labels.provider }}) have failed for 15 minutes, all or many of them.',
      meaning:
        'All polls of a registry fail, or they fail and succeed by turns and more than a third of the last hour failed.',
    },
    {
      name: 'RegistryDataStale',
      severity: 'warning',
      for: '30m',
      why: 'A poll that hangs is neither up nor down, and a registry that was never reached has no time of success.',
      expr: `time() - last_over_time(container_registry_last_success_timestamp_seconds[10m]) > 3600
or
(
  time() * last_over_time(container_registry_info[10m])
  unless on (registry)
  last_over_time(container_registry_last_success_timestamp_seconds[10m])
)`,
      summary: 'The data of a container registry is old',
      description:
        'The last successful poll of {{ $labels.registry }} ({{ $labels.provider }}) ended {{ $value | humanizeDuration }} ago; a value of decades says that there has been none.',
      meaning: 'The last successful poll of a registry is more than an hour old, or there has been none.',
    },
    {
      name: 'RegistryCapabilityFailing',
      severity: 'warning',
      for: '30m',
      expr: 'last_over_time(container_registry_capability_up[10m]) == 0',
      summary: 'Part of a container registry cannot be read',
      description:
        '{{ $labels.registry }} ({{ $labels.provider }}) is polled, but its {{ $labels.capability }} could not be read for 30 minutes: these numbers are missing, which is not zero.',
      meaning: 'Polls of a registry succeed, but a capability of it cannot be read.',
    },
    {
      name: 'RegistryPlacesNotFound',
      severity: 'warning',
      for: '30m',
      expr: 'last_over_time(container_registry_places_up[10m]) == 0',
      summary: 'The registries of an entry cannot be found',
      description:
        'The exporter has not been able to look for the registries of {{ $labels.registry }} ({{ $labels.provider }}) for 30 minutes: new ones are not watched, and none are after a restart.',
      meaning:
        'An entry of the configuration covers several registries (regions, projects, subscriptions), and they cannot be found.',
    },
    {
      name: 'RegistrySeriesDropped',
      severity: 'warning',
      for: '30m',
      expr: 'sum by (registry, provider) (last_over_time(container_registry_series_dropped[10m])) > 0',
      summary: 'Series of a container registry are dropped',
      description:
        '{{ $labels.registry }} ({{ $labels.provider }}) has {{ $value | humanize }} dropped series: dashboards and alerts do not see all of it.',
      meaning:
        'Series of a registry are dropped: it has more than `maxSeries` allows (`image_cap`, `registry_cap`, `repository_cap`), or Prometheus could not have read them (`invalid_value`, `duplicate`).',
    },
    {
      name: 'RegistryExporterConfigReloadFailed',
      severity: 'warning',
      for: '5m',
      expr: 'last_over_time(container_registry_exporter_config_last_reload_successful[10m]) == 0',
      summary: 'The exporter runs on an old configuration',
      description:
        '{{ $labels.instance }} refused its configuration when it was last read, and runs on the one before.',
      meaning: 'The configuration was changed and the exporter refused it: it runs on the one before.',
    },
  ],
};
