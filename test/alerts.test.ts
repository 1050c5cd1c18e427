import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { allLabels, metrics } from '../src/metrics.ts';
import { program, programs, tempDir } from './support/programs.ts';
import { parses, queryMetrics } from './support/promql.ts';

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const folder = join(import.meta.dirname, '..', 'alerts');
const files = readdirSync(folder).filter((name) => name.endsWith('.rules.yaml'));
const groupsOf = (file: string): { name: string; rules: Rule[] }[] =>
  parse(readFileSync(file, 'utf8')).groups;
const rulesOf = (file: string): Rule[] => groupsOf(file).flatMap(({ rules }) => rules);
const rules = files.flatMap((file) => rulesOf(join(folder, file)));
const alerts = rules.filter((rule) => rule.alert !== undefined);
const table = new Map(metrics.map((row) => [row.name, allLabels(row)]));

interface AlertTest {
  readonly alertname: string;
  readonly exp_alerts: readonly { readonly exp_labels: Readonly<Record<string, string>> }[];
}
interface TestFile {
  readonly rule_files: readonly string[];
  readonly tests: readonly {
    readonly input_series: readonly { readonly series: string; readonly values: string }[];
    readonly alert_rule_test?: readonly AlertTest[];
  }[];
}
const testFiles = readdirSync(join(folder, 'tests')).filter((name) => name.endsWith('.test.yaml'));
const testsOf = (file: string): TestFile => parse(readFileSync(join(folder, 'tests', file), 'utf8'));
const alertTests = testFiles.flatMap((file) =>
  testsOf(file).tests.flatMap((one) => one.alert_rule_test ?? []),
);

/** What `absent` or a count over all targets tells has no labels of a single one. */
const aboutAllTargets = new Set([
  'RegistryExporterDown',
  'RegistryWatchedTwice',
  'RegistryShardMissing',
  'RegistryShardsMismatch',
]);

/** The same situations, of two targets that only a label of the place tells apart. */
function inTwoPlaces(file: string): TestFile {
  const { tests, ...rest } = testsOf(file);
  const places = ['a', 'b'].map((place) => ({ prometheus_replica: place }));
  return {
    ...rest,
    rule_files: rest.rule_files.map((name) => join(folder, 'tests', name)),
    tests: tests.map((one) => ({
      ...one,
      input_series: one.input_series.flatMap(({ series, values }) =>
        places.map(({ prometheus_replica }) => ({
          series: series.includes('{')
            ? series.replace('{', `{prometheus_replica="${prometheus_replica}",`)
            : `${series}{prometheus_replica="${prometheus_replica}"}`,
          values,
        })),
      ),
      alert_rule_test: (one.alert_rule_test ?? [])
        .filter(({ alertname }) => !aboutAllTargets.has(alertname))
        .map((own) => ({
          ...own,
          exp_alerts: own.exp_alerts.flatMap((alert) =>
            places.map((place) => ({ ...alert, exp_labels: { ...alert.exp_labels, ...place } })),
          ),
        })),
    })),
  };
}

describe.each(rules.map((rule) => [rule.alert ?? rule.record ?? '', rule] as const))('%s', (name, rule) => {
  test('its expression is PromQL over metrics and labels of the table', () => {
    expect(parses(rule.expr), rule.expr).toBe(true);
    const queried = queryMetrics(rule.expr);
    expect(queried.length).toBeGreaterThan(0);
    for (const { metric, labels } of queried) {
      if (metric === 'up') continue;
      expect([...table.keys()], `${name} uses ${metric}`).toContain(metric);
      for (const label of labels) expect([...(table.get(metric) ?? []), 'instance', 'job']).toContain(label);
    }
  });
});

describe.each(alerts.map((rule) => [rule.alert ?? '', rule] as const))('%s', (name, rule) => {
  test('it tells what, where and how much, and leads to its runbook', () => {
    expect(rule.labels?.['severity']).toMatch(/^(critical|warning|info)$/);
    expect(rule.annotations?.['summary']).toBeTruthy();
    expect(rule.annotations?.['description']).toContain('{{ $labels.');
    expect(rule.annotations?.['runbook_url']).toMatch(new RegExp(`/docs/runbooks/${name}\\.md$`));
    expect(
      existsSync(join(folder, '..', 'docs', 'runbooks', `${name}.md`)),
      `write docs/runbooks/${name}.md: impact, diagnosis, mitigation`,
    ).toBe(true);
  });

  test('a unit test shows it firing and not firing', () => {
    const own = alertTests.filter(({ alertname }) => alertname === name);
    const firing = own.filter(({ exp_alerts }) => exp_alerts.length > 0).length;
    const todo = 'write both in alerts/tests/*.test.yaml';
    expect(firing, `no test shows it firing: ${todo}`).toBeGreaterThan(0);
    expect(own.length - firing, `no test shows it not firing: ${todo}`).toBeGreaterThan(0);
  });
});

test('what reads a series of each repository has a group of its own, so that nothing waits for it', () => {
  const groups = files.flatMap((file) => groupsOf(join(folder, file)));
  const slow = groups.filter(({ rules: own }) => own.some(({ expr }) => /_(repository|image)_/.test(expr)));
  expect(slow.length).toBeGreaterThan(0);
  for (const { name, rules: own } of slow) expect(own, name).toHaveLength(1);
  expect(new Set(groups.map(({ name }) => name)).size).toBe(groups.length);
});

test('the alerts of the original request keep their names, severities and durations', () => {
  const original = rulesOf(join(folder, 'tests', 'original-request.rules.yaml'));
  for (const { alert, labels, for: duration } of original) {
    const ours = alerts.find((rule) => rule.alert === alert);
    expect({ alert, labels: ours?.labels, for: ours?.for }).toEqual({ alert, labels, for: duration });
  }
});

describe.skipIf(!programs('promtool'))('promtool', () => {
  test('accepts the rule files', () => {
    execFileSync('promtool', ['check', 'rules', ...files.map((file) => join(folder, file))]);
  });

  test.each(testFiles)('%s passes', (file) => {
    execFileSync('promtool', ['test', 'rules', join(folder, 'tests', file)]);
  });

  // A pair of Prometheus whose series meet in one place, clusters that are told apart by `env`, federated series.
  test.each(testFiles.filter((file) => !file.startsWith('compat-')))(
    '%s passes for two targets that a label of the place tells apart, which no rule knows',
    (file) => {
      mkdirSync(places.path, { recursive: true });
      const twice = join(places.path, file);
      writeFileSync(twice, stringify(inTwoPlaces(file)));
      execFileSync('promtool', ['test', 'rules', twice]);
    },
  );
  const places = tempDir();
  afterAll(() => places.remove());
});

// Not by `programs`: no package brings pint, and where Go's modules cannot be had REQUIRE_TOOLS=1 has to pass without it.
const pint = program('pint');
if (!pint) console.warn('skipped: not on the path: pint');

test.skipIf(!pint)('pint finds nothing to say of the rule files', () => {
  const args = ['--no-color', '--offline', 'lint', '--min-severity=info', '--fail-on=info'];
  const { status, stderr } = spawnSync('pint', [...args, ...files.map((file) => `alerts/${file}`)], {
    cwd: join(folder, '..'),
    encoding: 'utf8',
  });
  // What it does not include it does not check.
  expect(stderr).toContain(`entries=${rules.length} `);
  expect(status, stderr).toBe(0);
});
