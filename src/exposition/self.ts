import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import { escapeLabel, type Format, formatValue, header } from './text.ts';

/** prom-client's values in either format, with the escaping of all other families. */
export function renderSelf(
  all: readonly MetricObjectWithValues<MetricValue<string>>[],
  format: Format,
): string {
  let text = '';
  for (const { name, help, type, values } of all) {
    if (values.length === 0) continue;
    text += header({ name, help, type: String(type) }, format);
    for (const sample of values) {
      const labels = Object.entries(sample.labels)
        .map(([label, value]) => `${label}="${escapeLabel(String(value))}"`)
        .join(',');
      const sampleName = (sample as { metricName?: string }).metricName ?? name;
      text += `${sampleName}${labels && `{${labels}}`} ${formatValue(Number(sample.value))}\n`;
    }
  }
  return text;
}
