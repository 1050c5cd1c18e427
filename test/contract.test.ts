import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { dashboards } from '../grafana/index.ts';
import { allLabels, metrics } from '../src/metrics.ts';
import { providers } from '../src/providers/index.ts';
import { dashboardQueries } from './support/dashboards.ts';
import { programs } from './support/programs.ts';
import { queryMetrics } from './support/promql.ts';

/** What holds for the table of metrics and the map of providers as a whole. */
const root = join(import.meta.dirname, '..');

describe.each(metrics.map((row) => [row.name, row] as const))('%s', (name, row) => {
  test('follows the naming conventions of Prometheus', () => {
    const rename = `rename it in src/metrics; the convention: https://prometheus.io/docs/practices/naming/`;
    expect(name, rename).toMatch(/^container_registry_[a-z][a-z0-9_]*[a-z0-9]$/);
    expect(name.endsWith('_total'), `counters end in _total and nothing else does: ${rename}`).toBe(
      row.type === 'counter',
    );
    if (/duration|timestamp|expiry/.test(name))
      expect(name, `times are seconds: ${rename}`).toMatch(/_seconds$/);
    if (/size|storage|reclaimable/.test(name)) expect(name, `sizes are bytes: ${rename}`).toMatch(/_bytes$/);
    for (const label of allLabels(row)) expect(label, rename).toMatch(/^[a-z][a-z_]*$/);
    expect(
      allLabels(row),
      'a label stands twice; registry, provider and repository are there by the scope',
    ).toEqual([...new Set(allLabels(row))]);
  });

  test('says what it is in one line that ends like a sentence', () => {
    expect(
      row.help,
      'write `help` in src/metrics as one sentence: a capital first, a full stop last',
    ).toMatch(/^[A-Z][^\n]*\.$/);
  });
});

test('each name stands once', () => {
  const names = metrics.map(({ name }) => name);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});

describe.skipIf(!programs('promtool'))('promtool', () => {
  test('has nothing to say of names, types and help texts', () => {
    const text = metrics
      .filter(({ type }) => type !== 'histogram')
      .map((row) => {
        const labels = allLabels(row).map((label) => `${label}="x"`);
        const sample = labels.length > 0 ? `${row.name}{${labels.join(',')}} 1` : `${row.name} 1`;
        return `# HELP ${row.name} ${row.help}\n# TYPE ${row.name} ${row.type}\n${sample}\n`;
      });
    expect(execFileSync('promtool', ['check', 'metrics'], { input: text.join(''), encoding: 'utf8' })).toBe(
      '',
    );
  });
});

test('each metric is shown by a dashboard or used by a rule', () => {
  const rules = readdirSync(join(root, 'alerts')).filter((name) => name.endsWith('.rules.yaml'));
  const expressions = [
    ...rules.flatMap((file) => {
      const { groups } = parse(readFileSync(join(root, 'alerts', file), 'utf8')) as {
        groups: { rules: { expr: string }[] }[];
      };
      return groups.flatMap((group) => group.rules.map(({ expr }) => expr));
    }),
    ...[...dashboards.values()].flatMap(dashboardQueries),
  ];
  const used = new Set(
    expressions.flatMap((expr) =>
      queryMetrics(expr).map(({ metric }) => metric.replace(/_(bucket|sum|count)$/, '')),
    ),
  );
  const unused = metrics.map(({ name }) => name).filter((name) => !used.has(name));
  expect(
    unused,
    'nobody would see these metrics: put each on a panel in grafana/*.ts or use it in an alert in alerts/*.ts, then npm run generate',
  ).toEqual([]);
});

test('the folder of providers is the map of providers', () => {
  const files = readdirSync(join(root, 'src', 'providers'))
    .filter((name) => name.endsWith('.ts') && name !== 'index.ts')
    .map((name) => name.slice(0, -3));
  expect(files.toSorted(), 'each file in src/providers has a line in src/providers/index.ts').toEqual(
    Object.keys(providers).toSorted(),
  );
  for (const [type, provider] of Object.entries(providers)) {
    expect(provider.type, `type of src/providers/${type}.ts`).toBe(type);
    expect(provider.label, `label of src/providers/${type}.ts`).toBe(type.replaceAll('-', '_'));
  }
});

test.each(Object.keys(providers))('%s has a page of documentation and its tests', (type) => {
  for (const file of [`docs/providers/${type}.md`, `test/providers/${type}.test.ts`])
    expect(existsSync(join(root, file)), `write ${file}; CONTRIBUTING.md says what belongs there`).toBe(true);
});
