import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { renderDashboards } from '../grafana/index.ts';
import { configJsonSchema } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';
import { generateChartFiles } from './chart-files.ts';
import { metricsDocument, readmeDocument } from './docs.ts';

/** Writes every generated file; `npm run generate`. CI fails when that changes anything. */
const root = join(import.meta.dirname, '..');

async function write(path: string, content: string): Promise<void> {
  const full = join(root, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, content);
}

await write('docs/metrics.md', metricsDocument());
await write('docs/config.schema.json', `${JSON.stringify(configJsonSchema(providers), null, 2)}\n`);
await write('README.md', readmeDocument(await readFile(join(root, 'README.md'), 'utf8'), providers));
for (const [path, content] of renderDashboards()) await write(path, content);
// Last: the chart holds copies of what was written above.
for (const [path, content] of await generateChartFiles()) await write(path, content);
