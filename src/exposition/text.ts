import { keptName } from '../names.ts';

/** The two formats; samples are the same bytes in both. */
export type Format = 'text' | 'openmetrics';

/**
 * A label value as it stands between the quotes. Names from registries are untrusted. Control characters stay as they
 * are: Prometheus reads them, and replacing them would make two names one. An empty value is the same as no label.
 */
export function escapeLabel(value: string): string {
  const text = keptName(value);
  if (!/[\\"\n]/.test(text)) return text;
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}

/**
 * HELP and TYPE of a family. OpenMetrics names a counter's family without `_total` and escapes quotes in HELP;
 * https://prometheus.io/docs/specs/om/open_metrics_spec/
 */
export function header(
  metric: { readonly name: string; readonly help: string; readonly type: string },
  format: Format,
): string {
  const help = metric.help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
  if (format === 'text') return `# HELP ${metric.name} ${help}\n# TYPE ${metric.name} ${metric.type}\n`;
  const name = metric.type === 'counter' ? metric.name.replace(/_total$/, '') : metric.name;
  return `# HELP ${name} ${help.replace(/"/g, '\\"')}\n# TYPE ${name} ${metric.type}\n`;
}
