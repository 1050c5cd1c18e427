import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import { createSampleWriter, labelText, type Refused } from './samples.ts';
import { type Format, header } from './text.ts';

/** prom-client's values in either format, with the escaping and the refusals of all other families. */
export function renderSelf(
  all: readonly MetricObjectWithValues<MetricValue<string>>[],
  format: Format,
): { readonly text: string; readonly refused: Refused } {
  const writer = createSampleWriter();
  let text = '';
  for (const { name, help, type, values } of all) {
    for (const sample of values) {
      const sampleName = (sample as { metricName?: string }).metricName ?? name;
      const labels = labelText(Object.keys(sample.labels), Object.values(sample.labels).map(String));
      writer.add('', labels === '' ? sampleName : `${sampleName}{${labels}}`, Number(sample.value), 'first');
    }
    const samples = writer.take();
    if (samples !== '') text += header({ name, help, type: String(type) }, format) + samples;
  }
  return { text, refused: writer.refused };
}
