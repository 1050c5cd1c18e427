import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import {
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  FieldColorBuilder,
  FieldColorModeId,
  type Panel,
  QueryVariableBuilder,
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
/** Matchers of the dashboard's variables. */
export const registry = 'registry=~"$registry"';
export const both = `${registry},repository=~"$repository"`;

/** A query over time. */
export const series = (expr: string, legend: string): Builder<Dataquery> =>
  new DataqueryBuilder().expr(expr).legendFormat(legend).datasource(datasource);

/** A query of now, as rows of a table. */
const rows = (expr: string): Builder<Dataquery> =>
  new DataqueryBuilder().expr(expr).instant().format(PromQueryFormat.Table).datasource(datasource);

/** Steps from a value on; null is minus infinity. */
export const thresholds = (...steps: readonly (readonly [number | null, string])[]) =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));

/** What every panel has. Spans are columns of 24, heights rows of Grafana's grid. */
export interface Common {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly span?: number;
  readonly height?: number;
}

/** A graph over time. */
export function timeseries(common: Common, ...targets: Builder<Dataquery>[]): Builder<Panel> {
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

/** A number of now, coloured by its thresholds. */
export function stat(
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

/** Rows of now, without the columns that every row shares. */
export function table(common: Omit<Common, 'unit'> & { unit?: string }, expr: string): Builder<Panel> {
  return new TableBuilder()
    .title(common.title)
    .description(common.description)
    .unit(common.unit ?? 'short')
    .datasource(datasource)
    .span(common.span ?? 12)
    .height(common.height ?? 9)
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: Object.fromEntries(
          ['Time', '__name__', 'instance', 'job', 'namespace', 'pod', 'service', 'container', 'endpoint'].map(
            (name) => [name, true],
          ),
        ),
      },
    })
    .targets([rows(expr)]);
}

/** An empty dashboard with its variables: data source, registry, repository. */
export function dashboard(title: string, uid: string, description: string): DashboardBuilder {
  return new DashboardBuilder(title)
    .uid(uid)
    .description(description)
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
        .includeAll(true)
        .allValue('.*'),
    )
    .withVariable(
      new QueryVariableBuilder('repository')
        .label('Repository')
        .datasource(datasource)
        .query(`label_values(container_registry_repository_tags{${registry}}, repository)`)
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .sort(VariableSort.AlphabeticalAsc)
        .multi(true)
        .includeAll(true)
        .allValue('.*'),
    );
}
