import { createHash } from 'node:crypto';

/** The two formats; samples are the same bytes in both. */
export type Format = 'text' | 'openmetrics';

/** Longer label values are cut: scrapers refuse whole scrapes for one of them (`label_value_length_limit`). */
const maxLabelLength = 1024;

/** Whether a name can be a label value as it is. */
export const fitsLabel = (name: string): boolean => name.length <= maxLabelLength && name.isWellFormed();

/**
 * A name as label value. One that is too long, or that UTF-8 cannot carry (half a surrogate pair), is altered; a hash of
 * the original keeps it apart from others that would look the same.
 */
export function labelValue(name: string): string {
  if (fitsLabel(name)) return name;
  // As UTF-8 all lone surrogates would be one and the same.
  const hash = createHash('sha256').update(name, 'utf16le').digest('hex').slice(0, 8);
  return `${name.slice(0, maxLabelLength - 9).toWellFormed()}~${hash}`;
}

/**
 * A label value as it stands between the quotes. Names from registries are untrusted. Control characters stay as they
 * are: Prometheus reads them, and replacing them would make two names one. An empty value is the same as no label.
 */
export function escapeLabel(value: string): string {
  const text = labelValue(value);
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
