import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { alertGroups, renderRules } from '../alerts/index.ts';
import { renderDashboards } from '../grafana/index.ts';
import { configJsonSchema } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';
import {
  alertsDocument,
  architectureDocument,
  metricsDocument,
  providersDocument,
  readmeDocument,
  runbookDocument,
} from './docs.ts';

const root = join(import.meta.dirname, '..');

/** The runbooks, whose meaning is that of the alert; the rest of each is written by hand. */
async function runbooks(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const alert of [...alertGroups.values()].flatMap(({ alerts }) => alerts)) {
    const path = `docs/runbooks/${alert.name}.md`;
    files.set(path, runbookDocument(await readFile(join(root, path), 'utf8'), alert));
  }
  return files;
}

/**
 * What is derived from the source alone. The chart's files come after it (`generateChartFiles`): they are copies of
 * these.
 * @returns paths relative to the repository, with their content
 */
export async function generatedFiles(): Promise<Map<string, string>> {
  return new Map([
    ...renderRules(),
    ['docs/alerts.md', alertsDocument()],
    ...(await runbooks()),
    [
      'docs/architecture.md',
      architectureDocument(await readFile(join(root, 'docs/architecture.md'), 'utf8')),
    ],
    ['docs/metrics.md', metricsDocument()],
    ['docs/providers/README.md', providersDocument(providers)],
    ['docs/config.schema.json', `${JSON.stringify(configJsonSchema(providers), null, 2)}\n`],
    ['README.md', readmeDocument(await readFile(join(root, 'README.md'), 'utf8'), providers)],
    ...renderDashboards(),
  ]);
}
