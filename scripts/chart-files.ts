import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderChartRules } from '../alerts/index.ts';
import { valuesTable } from './chart-readme.ts';
import { type ChartSchema, chartValuesSchema } from './chart-values-schema.ts';
import { replaceMarked } from './docs.ts';

/** Folder of the chart, relative to the repository. */
export const chartFolder = 'helm/container-registry-exporter';

const root = join(import.meta.dirname, '..');

async function namesIn(folder: string, suffix: string): Promise<string[]> {
  try {
    return (await readdir(join(root, folder))).filter((name) => name.endsWith(suffix)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Moves references within a schema to where it stands in another one. */
function movedTo(prefix: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => movedTo(prefix, item));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === '$ref' && typeof inner === 'string' && inner.startsWith('#')
        ? [key, `${prefix}${inner.slice(1)}`]
        : [key, movedTo(prefix, inner)],
    ),
  );
}

type Schema = Readonly<Record<string, unknown>>;

/**
 * One of several objects that their `type` tells apart, so that a mistake is told of that type alone: of `oneOf` helm
 * tells what is wrong for each type, in 28 lines for one misspelt key.
 */
function byType(schema: Schema): Schema {
  const options = schema['oneOf'] as readonly { properties: { type: { const: string } } }[];
  const typeOf = (option: (typeof options)[number]) => option.properties.type.const;
  return {
    type: 'object',
    required: ['type'],
    properties: { type: { enum: options.map(typeOf) } },
    allOf: options.map((option) => ({
      if: { required: ['type'], properties: { type: { const: typeOf(option) } } },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON schema
      then: option,
    })),
  };
}

/** The exporter's schema with its registries {@link byType}. */
function withRegistriesByType(config: Schema): Schema {
  const properties = config['properties'] as Readonly<Record<string, Schema>>;
  const registries = properties['registries'] as Schema;
  return {
    ...config,
    properties: {
      ...properties,
      registries: { ...registries, items: byType(registries['items'] as Schema) },
    },
  };
}

/**
 * The chart's schema of values; what stands under `config` is the exporter's own schema, so that a mistake in the
 * configuration is refused at `helm install` and not by a pod that does not start.
 */
export function valuesSchema(configSchema: Readonly<Record<string, unknown>> | undefined): ChartSchema {
  if (!configSchema) return chartValuesSchema;
  const { $schema: _dialect, $id: _id, ...config } = configSchema;
  return {
    ...chartValuesSchema,
    properties: { ...chartValuesSchema.properties, config: { $ref: '#/$defs/exporterConfig' } },
    $defs: {
      ...chartValuesSchema.$defs,
      exporterConfig: movedTo('#/$defs/exporterConfig', withRegistriesByType(config)),
    },
  };
}

/**
 * Everything in the chart that is derived: rule files, copies of the dashboards (helm reads only what lies in the
 * chart), and `values.schema.json`.
 * @returns paths relative to the repository, with their content
 */
export async function generateChartFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const [name, content] of renderChartRules()) files.set(`${chartFolder}/files/alerts/${name}`, content);
  for (const name of await namesIn('alerts', '.rules.yaml'))
    if (name.startsWith('compat-'))
      files.set(`${chartFolder}/files/alerts/${name}`, await readFile(join(root, 'alerts', name), 'utf8'));
  for (const name of await namesIn('grafana', '.json'))
    files.set(`${chartFolder}/files/dashboards/${name}`, await readFile(join(root, 'grafana', name), 'utf8'));

  const readme = await readFile(join(root, chartFolder, 'README.md'), 'utf8');
  const values = await readFile(join(root, chartFolder, 'values.yaml'), 'utf8');
  files.set(`${chartFolder}/README.md`, replaceMarked(readme, 'values', valuesTable(values)));

  const [schemaFile] = await namesIn('docs', 'config.schema.json');
  const configSchema = schemaFile && JSON.parse(await readFile(join(root, 'docs', schemaFile), 'utf8'));
  files.set(
    `${chartFolder}/values.schema.json`,
    `${JSON.stringify(valuesSchema(configSchema || undefined), null, 2)}\n`,
  );
  return files;
}
