import { type Dashboard, RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { both, dashboard, registry, series, stat, table, thresholds, timeseries } from './panels.ts';

/** The one dashboard to begin with: is the data good, what is there, what is in it, what does it cost. */
export function overview(): Dashboard {
  const quiet = thresholds([null, 'text']);
  return dashboard(
    'Container registries / Overview',
    'container-registry-overview',
    'Health and freshness of each registry, its images, their findings, and what they take.',
  )
    .withRow(new RowBuilder('Health'))
    .withPanel(
      stat(
        {
          title: 'Registries that answer',
          description: 'Whether the last poll of each registry succeeded.',
          unit: 'bool_yes_no',
        },
        thresholds([null, 'red'], [1, 'green']),
        series(`container_registry_up{${registry}}`, '{{registry}}'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Age of the data',
          description: 'Since the last successful poll: everything below is this old.',
          unit: 's',
        },
        thresholds([null, 'green'], [900, 'yellow'], [3600, 'red']),
        series(`time() - container_registry_last_success_timestamp_seconds{${registry}}`, '{{registry}}'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Parts that cannot be read',
          description:
            'Capabilities that failed in the last poll: their numbers are missing, which is not zero.',
          unit: 'short',
        },
        thresholds([null, 'green'], [1, 'red']),
        // A sum over 0 and 1 and not a count of those at 0: where nothing is known there is no number.
        series(`sum(1 - container_registry_capability_up{${registry}})`, 'failing'),
      ),
    )
    .withPanel(
      stat(
        { title: 'Series left out', description: 'Series beyond maxSeries.', unit: 'short' },
        thresholds([null, 'green'], [1, 'red']),
        series(`sum(container_registry_series_dropped{${registry}})`, 'left out'),
      ),
    )
    .withPanel(
      timeseries(
        { title: 'Failed polls', description: 'Per minute, by registry and reason.', unit: 'cpm' },
        series(
          `60 * sum by (registry, reason) (rate(container_registry_poll_failures_total{${registry}}[$__rate_interval]))`,
          '{{registry}} {{reason}}',
        ),
      ),
    )
    .withPanel(
      timeseries(
        { title: 'Duration of a poll', description: 'How long the last poll took.', unit: 's' },
        series(`container_registry_poll_duration_seconds{${registry}}`, '{{registry}}'),
      ),
    )
    .withPanel(
      table(
        {
          title: 'Registries',
          description: 'Each registry, where it is, and how many repositories it has.',
          span: 16,
        },
        `container_registry_repositories{${registry}} * on (registry, provider) group_left (host, account, region) container_registry_info{${registry}}`,
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Images by provider',
          description: 'Tagged, untagged and archived ones.',
          unit: 'short',
          span: 8,
          height: 9,
        },
        series(`sum by (provider) (container_registry_repository_images{${both}})`, '{{provider}}'),
      ),
    )
    .withRow(new RowBuilder('Images'))
    .withPanel(
      timeseries(
        {
          title: 'Images by Repository',
          description: 'Images, tagged and untagged; a multi-platform image counts once.',
          unit: 'short',
        },
        // The request counts series (`count by`), which is 1 for each repository: this one sums images.
        series(
          `sum by (registry, repository) (container_registry_repository_images{${both}})`,
          '{{registry}} {{repository}}',
        ),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Images with Vulnerabilities',
          description: 'Images with at least one finding of the severity.',
          unit: 'short',
        },
        series(
          `sum by (severity) (container_registry_repository_vulnerable_images{${both},severity=~"HIGH|CRITICAL"})`,
          '{{severity}}',
        ),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Registry Storage',
          description:
            'Sum of the image sizes of each repository; a layer that images share counts for each.',
          unit: 'bytes',
        },
        series(`container_registry_repository_size_bytes{${both}}`, '{{registry}} {{repository}}'),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Storage of each registry',
          description: 'As the registry accounts it: what is shared counts once.',
          unit: 'bytes',
        },
        series(`container_registry_storage_bytes{${registry}}`, '{{registry}}'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Repositories',
          description: 'Repositories that the configuration includes.',
          unit: 'short',
        },
        quiet,
        series(`sum(container_registry_repositories{${registry}})`, 'repositories'),
      ),
    )
    .withPanel(
      stat(
        { title: 'Tags', description: 'Tags in all selected repositories.', unit: 'short' },
        quiet,
        series(`sum(container_registry_repository_tags{${both}})`, 'tags'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Newest push',
          description: 'Since the newest push into any selected repository.',
          unit: 's',
        },
        quiet,
        series(`time() - max(container_registry_repository_last_push_timestamp_seconds{${both}})`, 'ago'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Signed images',
          description: 'Of the repositories of which it is known.',
          unit: 'percentunit',
        },
        thresholds([null, 'red'], [0.5, 'yellow'], [0.95, 'green']),
        series(
          `sum(container_registry_repository_signed_images{${both}}) / sum(sum by (registry, repository) (container_registry_repository_images{${both}}) and on (registry, repository) container_registry_repository_signed_images{${both}})`,
          'signed',
        ),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Artifacts beside images',
          description: 'Signatures, SBOMs, attestations, charts, and the platforms of multi-platform images.',
          unit: 'short',
        },
        series(`sum by (kind) (container_registry_repository_artifacts{${both}})`, '{{kind}}'),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Pushes',
          description: 'Pushes per minute and failed ones, as push events tell; see docs/events.md.',
          unit: 'cpm',
        },
        series(
          `60 * sum by (registry) (rate(container_registry_pushes_total{${both}}[$__rate_interval]))`,
          '{{registry}}',
        ),
        series(
          `60 * sum by (registry, reason) (rate(container_registry_push_failures_total{${both}}[$__rate_interval]))`,
          '{{registry}} failed: {{reason}}',
        ),
      ),
    )
    .withRow(new RowBuilder('Findings and practices'))
    .withPanel(
      table(
        {
          title: 'Findings of the newest images',
          description: 'By repository; a repository without a report is not here.',
        },
        `topk(50, sum by (registry, repository, severity) (container_registry_repository_findings{${both},severity=~"HIGH|CRITICAL"}) > 0)`,
      ),
    )
    .withPanel(
      table(
        {
          title: 'Findings that a newer version mends',
          description: 'Of the newest image of each repository, where the report says so.',
        },
        `topk(50, sum by (registry, repository, severity) (container_registry_repository_fixable_findings{${both},severity=~"HIGH|CRITICAL|"}) > 0)`,
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Images by scan status',
          description: 'An image without a report is not a clean image.',
          unit: 'short',
        },
        series(`sum by (status) (container_registry_repository_image_scans{${both}})`, '{{status}}'),
      ),
    )
    .withPanel(
      table(
        {
          title: 'Practices not followed',
          description: 'Repositories by practice; docs/metrics.md says what each means.',
        },
        `sum by (registry, practice) (1 - container_registry_repository_practice{${both}})`,
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Images beyond the retention expectation',
          description: 'What `retention` in the configuration would remove.',
          unit: 'short',
        },
        series(`sum by (registry) (container_registry_repository_stale_images{${both}})`, '{{registry}}'),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Reclaimable storage',
          description: 'Bytes of the images that `retention` in the configuration would remove.',
          unit: 'bytes',
        },
        series(
          `sum by (registry) (container_registry_repository_reclaimable_bytes{${both}})`,
          '{{registry}}',
        ),
      ),
    )
    .withPanel(
      table(
        {
          title: 'Newest images without a signature',
          description: 'Of the images that are exported one by one.',
        },
        `sum by (registry, repository, tag) (container_registry_image_signed{${both}} == 0)`,
      ),
    )
    .withPanel(
      table(
        {
          title: 'Images with findings that a newer version mends',
          description: 'Of the images that are exported one by one.',
        },
        `topk(50, sum by (registry, repository, tag, severity) (container_registry_image_fixable_findings{${both},severity=~"HIGH|CRITICAL|"}) > 0)`,
      ),
    )
    .withRow(new RowBuilder('Cost of watching'))
    .withPanel(
      timeseries(
        {
          title: 'Requests to the registry',
          description: 'By HTTP status, or the reason why there was none.',
          unit: 'reqps',
        },
        series(
          `sum by (registry, code) (rate(container_registry_api_requests_total{${registry}}[$__rate_interval]))`,
          '{{registry}} {{code}}',
        ),
      ),
    )
    .withPanel(
      timeseries(
        {
          title: 'Latency of requests, 95th percentile',
          description: 'By registry and operation.',
          unit: 's',
        },
        series(
          `histogram_quantile(0.95, sum by (le, registry, operation) (rate(container_registry_api_request_duration_seconds_bucket{${registry}}[$__rate_interval])))`,
          '{{registry}} {{operation}}',
        ),
      ),
    )
    .withPanel(
      timeseries(
        { title: 'Polls', description: 'Per minute, failed ones included.', unit: 'cpm' },
        series(`60 * rate(container_registry_polls_total{${registry}}[$__rate_interval])`, '{{registry}}'),
      ),
    )
    .withPanel(
      timeseries(
        { title: 'Events', description: 'Push events per minute, by source and outcome.', unit: 'cpm' },
        series(
          `60 * sum by (registry, source, outcome) (rate(container_registry_events_total{${registry}}[$__rate_interval]))`,
          '{{registry}} {{source}} {{outcome}}',
        ),
      ),
    )
    .withPanel(
      table(
        { title: 'Exporters', description: 'Versions that run.', span: 8, height: 6 },
        'sum by (version, revision, nodeversion) (container_registry_exporter_build_info)',
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Last attempt',
          description: 'Since the last poll ended, good or bad.',
          unit: 's',
          span: 8,
          height: 6,
        },
        quiet,
        series(`time() - container_registry_last_attempt_timestamp_seconds{${registry}}`, '{{registry}}'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'State that is saved',
          description: 'What has to survive a restart could be written under --storage.path.',
          unit: 'bool_yes_no',
          span: 8,
          height: 6,
        },
        thresholds([null, 'red'], [1, 'green']),
        series(`container_registry_exporter_state_saved{${registry}}`, '{{registry}}'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Entries whose registries are found',
          description: 'Of entries that cover several registries: whether the last search succeeded.',
          unit: 'bool_yes_no',
          span: 8,
          height: 6,
        },
        thresholds([null, 'red'], [1, 'green']),
        series('min by (registry) (container_registry_places_up)', '{{registry}}'),
      ),
    )
    .withPanel(
      stat(
        {
          title: 'Age of the configuration',
          description: 'Since it was last read with success.',
          unit: 's',
          span: 8,
          height: 6,
        },
        quiet,
        series(
          'time() - container_registry_exporter_config_last_reload_success_timestamp_seconds',
          'configuration',
        ),
      ),
    )
    .build();
}
