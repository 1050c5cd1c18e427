import { type AlertGroup, labelsOfInfo } from './alert.ts';

const lastSuccess = 'last_over_time(container_registry_last_success_timestamp_seconds[10m])';
const staleAfter = 'last_over_time(container_registry_stale_after_seconds[10m])';

/** What exporters of one installation have in common, such as those that divide the registries of one configuration. */
const exporters = 'cluster, namespace, job';

/** What a query says of the registry, where it says anything. */
const asked = (query: string, words: string): string =>
  `{{ with printf "${query}" $labels.job $labels.instance $labels.registry | query }} {{ with first . }}${words}{{ end }}{{ end }}`;

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
      why: `Down; or down three times within half an hour, or for a quarter of it in parts, which rare scrapes show as fewer
times; or no target at all, which no series of \`up\` can tell; or none of a job that had one within the last day, while
another exporter has: absent() is silent then.
The job may be called after a namespace or a release, so that the expression matches a part of its name:
pint disable promql/regexp`,
      expr: `up{job=~"$job"} == 0
or
changes(up{job=~"$job"}[30m]) >= 6
or
(avg_over_time(up{job=~"$job"}[30m]) < 0.75 and changes(up{job=~"$job"}[30m]) >= 3)
or
absent(up{job=~"$job"})
or
(
  group by (${exporters}) (last_over_time(up{job=~"$job"}[1d]))
  unless on (${exporters})
  up{job=~"$job"}
  and on ()
  up{job=~"$job"}
)`,
      summary: 'The container registry exporter cannot be scraped',
      description:
        '{{ if $labels.instance }}Prometheus cannot scrape {{ $labels.instance }} reliably: it is down, or comes and goes.{{ else if $labels.job }}Prometheus has no target of the job {{ $labels.job }}{{ with $labels.cluster }} in {{ . }}{{ end }} any more, and had one within the last day.{{ else }}Prometheus has no target with a job like container-registry-exporter.{{ end }} The numbers of its registries are old, or missing.',
      meaning:
        'The exporter cannot be scraped: it is down, it comes and goes (three outages within half an hour, as in a crash loop, or a quarter of it in several), or Prometheus has no target of a job any more that had one within the last day (then the alert has no `instance`), or none with a job like `container-registry-exporter` (then it has no `job` either).',
    },
    {
      name: 'RegistryDown',
      severity: 'critical',
      for: '15m',
      why: `At least two polls in a row failed, whatever the schedule: an hourly registry does not page after one. Or they
fail and succeed by turns, more than a third of the last hour failed.`,
      expr: `last_over_time(container_registry_up[10m]) == 0
unless
last_over_time(container_registry_failed_polls_in_a_row[10m]) < 2
or
(avg_over_time(container_registry_up[1h]) < 0.66 and changes(container_registry_up[1h]) >= 4)`,
      summary: 'A container registry cannot be read',
      description: `Polls of {{ $labels.registry }} ({{ $labels.provider }}) fail: at least the last two, or many of the last hour.${asked(
        "topk(1, sum by (reason) (increase(container_registry_poll_failures_total{job='%s',instance='%s',registry='%s',reason!='partial'}[1h])) > 0)",
        'Most often: {{ .Labels.reason }}.',
      )}${asked(
        "max(time() - container_registry_last_success_timestamp_seconds{job='%s',instance='%s',registry='%s'})",
        'The last good poll ended {{ .Value | humanizeDuration }} ago.',
      )}`,
      meaning:
        'At least the last two polls of a registry failed, or they fail and succeed by turns and more than a third of the last hour failed.',
    },
    {
      name: 'RegistryDataStale',
      severity: 'warning',
      for: '30m',
      why: `A poll that hangs is neither up nor down, and a registry that was never reached has no time of success. The bound
is that of the configuration, three polls by default, so that a daily registry is not old for most of the day; an hour
where an older exporter does not tell it.`,
      expr: `time() - ${lastSuccess} > ${staleAfter}
or
(
  time() - ${lastSuccess} > 3600
  unless
  ${staleAfter}
)
or
(
  -1 * last_over_time(container_registry_info[10m])
  unless ignoring (${labelsOfInfo})
  ${lastSuccess}
)`,
      summary: 'The data of a container registry is old',
      description:
        '{{ if ge $value 0.0 }}The last successful poll of {{ $labels.registry }} ({{ $labels.provider }}) ended {{ $value | humanizeDuration }} ago: its data is older than staleAfter allows, and no longer exported.{{ else }}No poll of {{ $labels.registry }} ({{ $labels.provider }}) has succeeded since it was configured.{{ end }}',
      meaning:
        'The last successful poll of a registry is older than its `staleAfter`, so that its data is no longer exported, or no poll has ever succeeded.',
    },
    {
      name: 'RegistryCapabilityFailing',
      severity: 'warning',
      for: '30m',
      expr: 'last_over_time(container_registry_capability_up[10m]) == 0',
      summary: 'Part of a container registry cannot be read',
      description:
        '{{ $labels.registry }} ({{ $labels.provider }}) is polled, but its {{ $labels.capability }} cannot be read: these numbers are missing, which is not zero.',
      meaning: 'Polls of a registry succeed, but a capability of it cannot be read.',
    },
    {
      name: 'RegistryRepositoriesFailing',
      severity: 'warning',
      for: '30m',
      why: `By time and not by polls, of which a daily registry has too few to count: for 60 % of an hour, and half an hour more,
the last poll had failed in some. That is one poll of a registry that is polled every hour or less, and most polls of
another: one repository that fails once is no alert there.`,
      expr: `max_over_time(container_registry_failed_repositories[1h])
and
quantile_over_time(0.4, container_registry_failed_repositories[1h]) > 0
and
last_over_time(container_registry_failed_repositories[10m])`,
      summary: 'Repositories of a container registry cannot be read',
      description:
        'Most polls of {{ $labels.registry }} ({{ $labels.provider }}) within the last hour, or the only one, could not read some of its repositories, {{ $value }} at most: their numbers are old. The status page names them.',
      meaning:
        'Most polls of the last hour, or the last one where polls are rarer, could not read some of the repositories of a registry.',
    },
    {
      name: 'RegistryPlacesNotFound',
      severity: 'warning',
      for: '30m',
      expr: 'last_over_time(container_registry_places_up[10m]) == 0',
      summary: 'The registries of an entry cannot be found',
      description:
        'The exporter cannot look for all registries of {{ $labels.registry }} ({{ $labels.provider }}): new ones are not watched, nor are those that it cannot look for after a restart.',
      meaning:
        'An entry of the configuration covers several registries (regions, projects, subscriptions), and they cannot be found, or not all of them.',
    },
    {
      name: 'PushEventsSilent',
      severity: 'warning',
      keepFiringFor: '1h',
      threshold: { value: 1, of: 'missed push events within two hours' },
      why: `A poll that finds a new image of which no event told is a missed event, in repositories that events have told
of before. One may be lost when a registry restarts; more are a source that is silent.`,
      expr: 'increase(container_registry_missed_push_events_total[2h]) > $threshold',
      summary: 'Push events of a container registry no longer come',
      description:
        'Pushes to {{ $labels.registry }} ({{ $labels.provider }}) within two hours that polls found and no push event told of: {{ printf "%.0f" $value }}. Failed pushes are not told of either.',
      meaning: 'Polls find pushes that no push event tells of, in repositories of which events told before.',
    },
    {
      name: 'RegistryEventSourceDown',
      severity: 'warning',
      for: '30m',
      expr: 'last_over_time(container_registry_events_source_up[10m]) == 0',
      summary: 'Push events of a container registry cannot be read',
      description:
        'The exporter cannot read push events of {{ $labels.registry }} ({{ $labels.provider }}) from {{ $labels.source }}: pushes that fail are not counted, and no alert tells of them.',
      meaning:
        'A source of push events that the exporter asks, such as a queue, cannot be read: `ImagePushFailure` is blind meanwhile.',
    },
    {
      name: 'RegistryThrottled',
      severity: 'warning',
      for: '30m',
      threshold: { value: 0.2, of: 'of the requests' },
      why: 'An hour, which is longer than `for`: polls that are hours apart ask for some minutes only.',
      expr: `sum without (operation, code) (rate(container_registry_api_requests_total{code="429"}[1h]))
  /
(sum without (operation, code) (rate(container_registry_api_requests_total[1h])) > 0)
  > $threshold`,
      summary: 'A container registry refuses requests because there are too many',
      description:
        '{{ $labels.registry }} ({{ $labels.provider }}) refused {{ $value | humanizePercentage }} of the requests of the exporter within the last hour: polls take longer, and whoever shares the quota is slowed down too.',
      meaning: 'A registry refuses a large share of the requests of the exporter with 429.',
    },
    {
      name: 'RegistryPollSlow',
      severity: 'info',
      for: '1h',
      threshold: { value: 0.9, of: 'of the time between two polls' },
      expr: `last_over_time(container_registry_poll_duration_seconds[10m])
  >
$threshold * last_over_time(container_registry_poll_interval_seconds[10m])`,
      summary: 'Polls of a container registry take as long as the time between them',
      description:
        'A poll of {{ $labels.registry }} ({{ $labels.provider }}) takes {{ $value | humanizeDuration }}, nearly all of the time until the next one: numbers are as old as that, and the registry is asked without a pause.',
      meaning: 'Polls of a registry take nearly as long as the time between two of them.',
    },
    {
      name: 'RegistrySeriesDropped',
      severity: 'warning',
      for: '30m',
      expr: `sum without (reason) (last_over_time(container_registry_series_dropped[10m])) > 0`,
      summary: 'Series of a container registry are dropped',
      description:
        'Dropped series of {{ $labels.registry }} ({{ $labels.provider }}): {{ printf "%.0f" $value }}. Dashboards and alerts do not see all of it.',
      meaning:
        'Series of a registry are dropped: it has more than `maxSeries` allows (`image_cap`, `registry_cap`, `repository_cap`), or Prometheus could not have read them (`invalid_value`, `duplicate`).',
    },
    {
      name: 'RegistryWatchedTwice',
      severity: 'info',
      for: '30m',
      why: 'Counted by target: two entries of one exporter may well share a host.',
      expr: `count by (cluster, provider, host, account, region) (
  count by (cluster, provider, host, account, region, job, instance) (container_registry_info{host!=""})
) > 1`,
      summary: 'Several exporters watch one container registry',
      description:
        '{{ $value }} exporters poll {{ $labels.host }} ({{ $labels.provider }}): it is asked that many times, and sums over all targets count it that many times.',
      meaning: 'Two or more exporters poll the same registry: requests and sums are doubled.',
    },
    {
      name: 'RegistryShardMissing',
      severity: 'critical',
      for: '15m',
      why: 'A shard that is down has series of itself for ten minutes more, so that a restart is no alert.',
      expr: `max by (${exporters}) (last_over_time(container_registry_exporter_shards[10m]))
  -
count by (${exporters}) (
  count by (${exporters}, shard) (last_over_time(container_registry_exporter_shard_info[10m]))
) > 0`,
      summary: 'A part of the container registries is polled by no exporter',
      description:
        '{{ $value }} of the shards of {{ $labels.job }} cannot be seen: nobody polls their registries, whose series are gone.',
      meaning:
        'The registries are divided among several exporters, and one or more of these are missing: their registries are not polled, and have no series that an alert could see.',
    },
    {
      name: 'RegistryShardsMismatch',
      severity: 'warning',
      for: '15m',
      expr: `max by (${exporters}) (last_over_time(container_registry_exporter_shards[10m]))
  -
min by (${exporters}) (last_over_time(container_registry_exporter_shards[10m])) > 0`,
      summary: 'Exporters do not agree on how many shards there are',
      description:
        'Exporters of {{ $labels.job }} divide the registries by different numbers of shards: some registries are polled twice, others not at all.',
      meaning:
        'Exporters that share a configuration do not agree on the number of shards: some registries are polled by two of them, others by none.',
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
    {
      name: 'RegistryExporterStateNotSaved',
      severity: 'warning',
      for: '15m',
      expr: 'last_over_time(container_registry_exporter_state_saved[10m]) == 0',
      summary: 'The exporter cannot save its state',
      description:
        'What is known of {{ $labels.registry }} ({{ $labels.provider }}) cannot be written under --storage.path: after a restart its data is old and its counters go back.',
      meaning:
        'State that has to survive a restart cannot be written under `--storage.path`: the disk is full, read-only, gone or hangs.',
    },
  ],
};
