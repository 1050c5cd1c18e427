import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderDashboards } from '../grafana/index.ts';
import { configJsonSchema } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';
import { metricsDocument, providersDocument, readmeDocument } from './docs.ts';

const root = join(import.meta.dirname, '..');

/**
 * What is derived from the source alone. The chart's files come after it (`generateChartFiles`): they are copies of
 * these.
 * @returns paths relative to the repository, with their content
 */
export async function generatedFiles(): Promise<Map<string, string>> {
  return new Map([
    ['docs/metrics.md', metricsDocument()],
    ['docs/providers/README.md', providersDocument(providers)],
    ['docs/config.schema.json', `${JSON.stringify(configJsonSchema(providers), null, 2)}\n`],
    ['README.md', readmeDocument(await readFile(join(root, 'README.md'), 'utf8'), providers)],
    ...renderDashboards(),
  ]);
}
