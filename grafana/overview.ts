import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  FieldColorBuilder,
  FieldColorModeId,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableHide,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax of a variable
const datasource = { type: 'prometheus', uid: '${datasource}' };
const registry = 'registry=~"$registry"';
const both = `${registry},repository=~"$repository"`;

/** A query over time. */
const series = (expr: string, legend: string): Builder<Dataquery> =>
  new DataqueryBuilder().expr(expr).legendFormat(legend).datasource(datasource);

/** A query of now, as rows of a table. */
const rows = (expr: string): Builder<Dataquery> =>
  new DataqueryBuilder().expr(expr).instant().format(PromQueryFormat.Table).datasource(datasource);

const thresholds = (...steps: readonly (readonly [number | null, string])[]) =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));

interface Common {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly span?: number;
  readonly height?: number;
}

function timeseries(common: Common, ...targets: Builder<Dataquery>[]): Builder<Panel> {
  return new TimeseriesBuilder()
    .title(common.title)
    .description(common.description)
    .unit(common.unit)
    .datasource(datasource)
    .span(common.span ?? 12)
    .height(common.height ?? 8)
    .min(0)
    .fillOpacity(10)
    .targets(targets);
}

function stat(
  common: Common,
  colors: ReturnType<typeof thresholds>,
  ...targets: Builder<Dataquery>[]
): Builder<Panel> {
  return new StatBuilder()
    .title(common.title)
    .description(common.description)
    .unit(common.unit)
    .datasource(datasource)
    .span(common.span ?? 6)
    .height(common.height ?? 4)
    .thresholds(colors)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .targets(targets);
}

/** The one dashboard to begin with: is the data good, what is there, what is in it, what does it cost. */
export function overview(): Dashboard {
  const quiet = thresholds([null, 'text']);
  return new DashboardBuilder('Container registries / Overview')
    .uid('container-registry-overview')
    .description('Health and freshness of each registry, its images, their findings, and what they take.')
    .tags(['container-registry'])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-24h', to: 'now' })
    .refresh('1m')
    .withVariable(
      new DatasourceVariableBuilder('datasource')
        .label('Data source')
        .type('prometheus')
        .hide(VariableHide.DontHide),
    )
    .withVariable(
      new QueryVariableBuilder('registry')
        .label('Registry')
        .datasource(datasource)
        .query('label_values(container_registry_info, registry)')
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .sort(VariableSort.AlphabeticalAsc)
        .multi(true)
        .includeAll(true),
    )
    .withVariable(
      new QueryVariableBuilder('repository')
        .label('Repository')
        .datasource(datasource)
        .query(`label_values(container_registry_repository_tags{${registry}}, repository)`)
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .sort(VariableSort.AlphabeticalAsc)
        .multi(true)
        .includeAll(true),
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
        series(`count(container_registry_capability_up{${registry}} == 0) or vector(0)`, 'failing'),
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
        { title: 'Failed polls', description: 'By registry and reason.', unit: 'short' },
        series(
          `sum by (registry, reason) (increase(container_registry_poll_failures_total{${registry}}[$__rate_interval])) > 0`,
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
    .withRow(new RowBuilder('Images'))
    .withPanel(
      timeseries(
        {
          title: 'Images by Repository',
          description: 'Images, tagged and untagged; a multi-platform image counts once.',
          unit: 'short',
        },
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
        { title: 'Signed images', description: 'Of the images of which it is known.', unit: 'percentunit' },
        thresholds([null, 'red'], [0.5, 'yellow'], [0.95, 'green']),
        series(
          `sum(container_registry_repository_signed_images{${both}}) / sum(sum by (registry, repository) (container_registry_repository_images{${both}}) and on (registry, repository) container_registry_repository_signed_images{${both}})`,
          'signed',
        ),
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
    .withRow(new RowBuilder('Findings and practices'))
    .withPanel(
      new TableBuilder()
        .title('Findings of the newest images')
        .description('By repository; a repository without a report is not here.')
        .datasource(datasource)
        .span(12)
        .height(9)
        .targets([
          rows(`topk(50, container_registry_repository_findings{${both},severity=~"HIGH|CRITICAL"} > 0)`),
        ]),
    )
    .withPanel(
      new TableBuilder()
        .title('Practices not followed')
        .description('Repositories by practice; docs/metrics.md says what each means.')
        .datasource(datasource)
        .span(12)
        .height(9)
        .targets([
          rows(`count by (registry, practice) (container_registry_repository_practice{${both}} == 0)`),
        ]),
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
    .build();
}
