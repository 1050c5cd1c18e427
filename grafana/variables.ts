import { alertGroups } from '../alerts/index.ts';
import { prefix } from '../src/metrics/row.ts';
import { severities } from '../src/model.ts';
import { datasource, type Json } from './panels.ts';
import { ofExporter } from './queries.ts';

/** Variables that a board may have besides data source, cluster and job, which every board has. */
export type VariableName =
  | 'provider'
  | 'registry'
  | 'one registry'
  | 'repository'
  | 'one repository'
  | 'severity';

/** Names by which panels are bounded: a label of what a query finds. Nobody sees such a variable. */
export type Chosen = Readonly<Record<string, { readonly expr: string; readonly label: string }>>;

const labelValues = (metric: string, label: string, matchers: string): string =>
  `label_values(${prefix}_${metric}{${matchers}}, ${label})`;

/** Takes the label out of a line of `query_result`. */
const labelOf = (label: string): string => `/[{,]${label}="((?:[^"\\\\]|\\\\.)*)"/`;

const query = (name: string, label: string, text: string, more: Json = {}): Json => ({
  name,
  label,
  type: 'query',
  datasource,
  query: { query: text, refId: name },
  refresh: 2,
  sort: 1,
  regex: '',
  hide: 0,
  multi: true,
  includeAll: true,
  allValue: '.*',
  current: { selected: true, text: ['All'], value: ['$__all'] },
  options: [],
  ...more,
});

/** Names of the alerts of this bundle, for the list of those that fire. */
const alertNames = [...alertGroups.values()]
  .flatMap(({ alerts }) => alerts.map(({ name }) => name))
  .join('|');
const alerts: Json = {
  name: 'alerts',
  type: 'constant',
  query: alertNames,
  hide: 2,
  current: { selected: true, text: alertNames, value: alertNames },
};

/** Grafana then chooses the first. */
const nothing = { selected: false, text: '', value: '' };

const ofRegistry = `${ofExporter},provider=~"$provider"`;

/** One value and no "All". */
const single: Json = { multi: false, includeAll: false, allValue: undefined, current: nothing };

const optional: Readonly<Record<VariableName, Json>> = {
  provider: query('provider', 'Provider', labelValues('info', 'provider', ofExporter)),
  registry: query('registry', 'Registry', labelValues('info', 'registry', ofRegistry)),
  // For boards of one registry: over all of them some of their queries would cost seconds.
  'one registry': query('registry', 'Registry', labelValues('info', 'registry', ofRegistry), single),
  // Not a list: 100,000 names are more than a list is good for.
  repository: {
    name: 'repository',
    label: 'Repository (regular expression)',
    type: 'textbox',
    query: '.*',
    hide: 0,
    current: { selected: true, text: '.*', value: '.*' },
    options: [{ selected: true, text: '.*', value: '.*' }],
  },
  'one repository': query(
    'repository',
    'Repository',
    // By `label_values` Prometheus would look at the repositories of all registries: 3 s at 100,000.
    `query_result(group by (repository) (last_over_time(${prefix}_repository_images{${ofRegistry},registry=~"$registry",state="tagged"}[6h])))`,
    { ...single, regex: labelOf('repository') },
  ),
  severity: {
    name: 'severity',
    label: 'Severity',
    type: 'custom',
    query: severities.join(','),
    hide: 0,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { selected: true, text: ['CRITICAL', 'HIGH'], value: ['CRITICAL', 'HIGH'] },
    options: severities.map((value) => ({
      text: value,
      value,
      selected: value === 'CRITICAL' || value === 'HIGH',
    })),
  },
};

/** The variables of a board, as Grafana reads them: data source, cluster and job, and those that it names. */
export function variables(names: readonly VariableName[], chosen: Chosen = {}): Json[] {
  return [
    {
      name: 'datasource',
      label: 'Data source',
      type: 'datasource',
      query: 'prometheus',
      regex: '',
      refresh: 1,
      hide: 0,
      multi: false,
      includeAll: false,
      current: { selected: false, text: 'default', value: 'default' },
      options: [],
    },
    query('cluster', 'Cluster', labelValues('exporter_build_info', 'cluster', '')),
    query('job', 'Job', labelValues('exporter_build_info', 'job', 'cluster=~"$cluster"'), {
      allValue: '.+',
    }),
    alerts,
    ...names.map((name) => optional[name]),
    ...Object.entries(chosen).map(([name, { expr, label }]) =>
      // A name that no repository has, so that there always is one: a matcher of nothing is compared with every name.
      query(name, name, `query_result((${expr}) or label_replace(vector(0), "${label}", "-", "", ""))`, {
        hide: 2,
        regex: labelOf(label),
        allValue: undefined,
      }),
    ),
  ];
}
