import type { VariableJson } from './dashboards.ts';
import type { DataSource } from './grafana-prometheus.ts';

/** Start and end in seconds. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** As Grafana's Prometheus data source escapes a value of a variable that can have several. */
const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\\\\\').replaceAll(/[$^*{}[\]'+?.()|]/g, String.raw`\\$&`);

/** All values of a query's variable, in the order of Prometheus' answer. */
async function valuesOf(
  source: DataSource,
  variable: VariableJson,
  query: string,
  span: Span,
): Promise<string[]> {
  const labels = /^label_values\((.+), (\w+)\)$/s.exec(query);
  if (labels)
    return (await source.ask(`label/${labels[2]}/values`, {
      'match[]': labels[1] ?? '',
      start: String(span.from),
      end: String(span.to),
    })) as string[];
  const result = /^query_result\((.+)\)$/s.exec(query);
  if (!result) throw new Error(`${variable.name}: neither label_values nor query_result: ${query}`);
  const { result: series } = (await source.ask('query', {
    query: result[1] ?? '',
    time: String(span.to),
  })) as {
    result: { metric: Record<string, string>; value: [number, string] }[];
  };
  const regex = new RegExp(variable.regex?.slice(1, -1) ?? '');
  const texts = series.map(({ metric: { __name__: name = '', ...metric }, value }) => {
    const all = Object.entries(metric).map(([label, one]) => `${label}="${one}"`);
    return `${name}{${all.join(',')}} ${value[1]} ${value[0] * 1000}`;
  });
  return [...new Set(texts.flatMap((text) => regex.exec(text)?.[1] ?? []))];
}

/** What stands for a variable in a query. */
function interpolated(
  variable: VariableJson,
  values: readonly string[] | 'all',
  options: readonly string[],
): string {
  if (values === 'all' && variable.allValue) return variable.allValue;
  const chosen = values === 'all' ? options : values;
  if (!variable.multi) return chosen[0]?.replaceAll('\\', '\\\\') ?? '';
  return chosen.length === 1 ? escaped(chosen[0] ?? '') : `(${chosen.map(escaped).join('|')})`;
}

/** Puts variables into a text: `$name`, `${name}`, and `${name:pipe}` for its values without escapes. */
export const withVariables = (text: string, values: ReadonlyMap<string, string>): string =>
  text.replaceAll(/\$\{?(\w+(?::pipe)?)\}?/g, (whole, name: string) => values.get(name) ?? whole);

/** Every variable of a board: those that are chosen, else as the board opens. */
export async function variablesOf(
  source: DataSource,
  variables: readonly VariableJson[],
  span: Span,
  choose: Readonly<Record<string, string>> = {},
  builtIn: ReadonlyMap<string, string> = new Map(),
): Promise<Map<string, string>> {
  const found = new Map(builtIn);
  for (const variable of variables) {
    const { name, type, query, current, includeAll } = variable;
    if (type === 'datasource') continue;
    const preset = [current?.value ?? []].flat();
    const options =
      type === 'query'
        ? await valuesOf(
            source,
            variable,
            withVariables(typeof query === 'string' ? query : query.query, found),
            span,
          )
        : preset;
    const all = includeAll && (preset.length === 0 || preset.includes('$__all'));
    const own = choose[name] === undefined ? undefined : [choose[name]];
    const chosen = own ?? (all ? 'all' : type === 'query' ? options.slice(0, 1) : preset);
    found.set(name, interpolated(variable, chosen, options));
    found.set(`${name}:pipe`, (chosen === 'all' ? options : chosen).join('|'));
  }
  return found;
}
