import { createHash } from 'node:crypto';

/** The two formats; samples are the same bytes in both. */
export type Format = 'text' | 'openmetrics';

/** Longer label values are cut: scrapers refuse whole scrapes for one of them (`label_value_length_limit`). */
const maxLabelLength = 1024;

/** A label value as it stands between the quotes. Names from registries are untrusted. */
export function escapeLabel(value: string): string {
  let text = value.isWellFormed() ? value : value.toWellFormed();
  if (text.length > maxLabelLength) {
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 8);
    text = `${text.slice(0, maxLabelLength - 9).toWellFormed()}~${hash}`;
  }
  if (!/[\\"\n]/.test(text)) return text;
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}

/** A value as Prometheus reads it. */
export function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value);
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
