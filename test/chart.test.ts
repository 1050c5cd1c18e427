import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml, stringify } from 'yaml';
import { generateChartFiles, valuesSchema } from '../scripts/chart-files.ts';
import { parseFlags } from '../src/cli.ts';
import { configJsonSchema, parseConfig } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';
import {
  chart,
  containerOf,
  helm,
  type KubernetesObject,
  kindsOf,
  models,
  only,
  render,
  renderChart,
} from './support/chart.ts';
import { programs } from './support/programs.ts';

const root = join(import.meta.dirname, '..');
const full = join(root, 'test/fixtures/helm-values-full.yaml');

interface RuleGroup {
  readonly rules: readonly { alert?: string; record?: string; labels?: Record<string, string> }[];
}
const shippedRules = (name: string) =>
  parseYaml(readFileSync(join(root, 'alerts', name), 'utf8')) as { groups: RuleGroup[] };
const groupsOf = (objects: readonly KubernetesObject[]): RuleGroup[] =>
  objects.filter(({ kind }) => kind === 'PrometheusRule').flatMap((object) => object['spec'].groups);
const alertsOf = (groups: readonly RuleGroup[]) =>
  groups.flatMap(({ rules }) => rules.flatMap(({ alert }) => alert ?? [])).sort();
const ruleFiles = readdirSync(join(root, 'alerts')).filter((name) => name.endsWith('.rules.yaml'));

describe('the chart', () => {
  test('helm lint has nothing to say', async () => {
    expect(await helm('lint', '--strict', chart)).toContain('0 chart(s) failed');
    expect(await helm('lint', '--strict', chart, '--values', full)).toContain('0 chart(s) failed');
  });

  test('has the version of the program', () => {
    const { version, appVersion } = parseYaml(readFileSync(join(chart, 'Chart.yaml'), 'utf8'));
    const { version: wanted } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect({ version, appVersion }).toEqual({ version: wanted, appVersion: wanted });
  });

  test('derived files are up to date (npm run generate)', async () => {
    const files = await generateChartFiles();
    for (const [path, content] of files) expect(readFileSync(join(root, path), 'utf8'), path).toBe(content);
    const copies = readdirSync(join(chart, 'files'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)));
    expect(copies.filter((path) => !files.has(path))).toEqual([]);
  });

  test.each([
    ['default values', [], ['ConfigMap', 'Deployment', 'Service', 'ServiceAccount']],
    ['everything turned on', ['--values', full], Object.keys(models)],
  ])('with %s, each object is what Kubernetes takes', async (_name, args, kinds) => {
    const objects = await render(...args);
    expect(kindsOf(objects)).toEqual(kinds);
    for (const object of objects) {
      const Model = models[object.kind];
      expect(Model, object.kind).toBeDefined();
      if (Model) expect(() => new Model(object).validate(), object.metadata.name).not.toThrow();
      expect(object.metadata.name.length).toBeLessThanOrEqual(63);
    }
    const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  test('a single pod without rights, which the Service finds', async () => {
    const objects = await render();
    const { spec } = only(objects, 'Deployment');
    expect(spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } });
    expect(spec.template.spec).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(containerOf(objects).securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(containerOf(objects).livenessProbe.httpGet.path).toBe('/-/healthy');
    expect(containerOf(objects).readinessProbe.httpGet.path).toBe('/-/ready');
    const service = only(objects, 'Service')['spec'];
    expect(service.ports).toMatchObject([{ name: 'http-metrics', port: 10056, targetPort: 'http-metrics' }]);
    expect(spec.template.metadata.labels).toMatchObject(service.selector);
  });

  test('every mount has its volume', async () => {
    for (const args of [[], ['--values', full]]) {
      const objects = await render(...args);
      const volumes = only(objects, 'Deployment')['spec'].template.spec.volumes as { name: string }[];
      const mounts = containerOf(objects).volumeMounts as { name: string; mountPath: string }[];
      expect(mounts.map(({ name }) => name).sort()).toEqual(volumes.map(({ name }) => name).sort());
      expect(new Set(mounts.map(({ mountPath }) => mountPath)).size).toBe(mounts.length);
    }
  });

  test('another configuration, and another version of the chart, leave the pod: the exporter reads it again by itself', async () => {
    const template = (objects: readonly KubernetesObject[]) => only(objects, 'Deployment')['spec'].template;
    const before = template(await render());
    expect(template(await render('--set', 'config.defaults.schedule=1h'))).toEqual(before);
    expect(Object.keys(before.metadata.labels)).not.toContain('helm.sh/chart');
    expect(containerOf(await render()).args).not.toContain('--no-config.watch');
    // A file that is mounted by itself (subPath) would never change.
    const mount = containerOf(await render()).volumeMounts.find(
      ({ name }: { name: string }) => name === 'config',
    );
    expect(mount).toEqual({
      name: 'config',
      mountPath: '/etc/container-registry-exporter',
      readOnly: true,
    });
  });

  test('the exporter accepts the rendered configuration, and it is that of the values', async () => {
    for (const [values, args] of [
      [join(chart, 'values.yaml'), []],
      [full, ['--values', full]],
    ] as const) {
      const objects = await render(...args);
      const maps = objects.filter(
        ({ kind, ['data']: data }) => kind === 'ConfigMap' && data['exporter.yaml'],
      );
      expect(maps).toHaveLength(1);
      const text = maps[0]?.['data']['exporter.yaml'] as string;
      expect(parseYaml(text)).toEqual(parseYaml(readFileSync(values, 'utf8')).config);
      const env = { MIRROR_USER: 'robot', MIRROR_PASSWORD: 'password' };
      expect(parseConfig(text, { file: 'exporter.yaml', providers, env }).registries.length).toBeGreaterThan(
        0,
      );
    }
  });

  test('the flags it gives are flags of the program', async () => {
    const objects = await render('--values', full);
    expect(parseFlags(containerOf(objects).args)).toMatchObject({
      configFile: '/etc/container-registry-exporter/exporter.yaml',
      storagePath: '/var/lib/container-registry-exporter',
      webConfigFile: '/etc/container-registry-exporter-web/web.yml',
      listenAddresses: [{ port: 10056 }],
      maxRequests: 10,
      logLevel: 'debug',
    });
  });

  test('a configuration in a Secret is in no ConfigMap', async () => {
    const objects = await render('--set', 'configSecret.name=own,configSecret.key=c.yaml');
    expect(kindsOf(objects)).not.toContain('ConfigMap');
    expect(containerOf(objects).args).toContain('--config.file=/etc/container-registry-exporter/c.yaml');
  });

  test('probes of a server that wants a login only connect', async () => {
    const web = 'webConfig.secret=web,webConfig.tls=true';
    const probe = (objects: readonly KubernetesObject[]) => containerOf(objects).readinessProbe;
    expect(probe(await render('--set', web)).tcpSocket).toEqual({ port: 'http-metrics' });
    expect(probe(await render('--set', `${web},webConfig.auth=false`)).httpGet.scheme).toBe('HTTPS');
  });
});

describe('wrong values are refused, and the message says which', () => {
  test.each([
    ['a key that is not there', { replicas: 2 }, /additional properties 'replicas' not allowed/],
    ['a key within', { service: { prot: 1 } }, /at '\/service': additional properties 'prot' not allowed/],
    ['a port', { service: { port: 'http' } }, /at '\/service\/port': got string, want integer/],
    ['a log level', { log: { level: 'loud' } }, /at '\/log\/level': value must be one of 'debug'/],
    ['an interval', { serviceMonitor: { interval: '1 minute' } }, /at '\/serviceMonitor\/interval'/],
    [
      'a Secret without a path',
      { secrets: [{ name: 'a' }] },
      /at '\/secrets\/0': missing property 'mountPath'/,
    ],
    ['no registries', { config: { registries: [] } }, /at '\/config\/registries': minItems/],
    ['no list of registries', { config: { registries: 'all' } }, /at '\/config\/registries': got string/],
    [
      'an alert that is not there',
      { prometheusRule: { enabled: true, disabledAlerts: ['Nope'] } },
      /no alert "Nope"/,
    ],
  ])('%s', async (_name, values, message) => {
    const folder = mkdtempSync(join(tmpdir(), 'chart-'));
    try {
      writeFileSync(join(folder, 'values.yaml'), stringify(values));
      await expect(render('--values', join(folder, 'values.yaml'))).rejects.toThrow(message);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test("the exporter's own schema stands in the chart's: a mistake in a registry is refused by helm", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'chart-'));
  try {
    cpSync(chart, folder, { recursive: true });
    const schema = valuesSchema(configJsonSchema(providers));
    writeFileSync(join(folder, 'values.schema.json'), JSON.stringify(schema));
    expect(kindsOf(await renderChart(folder, ['--values', full]))).toContain('Deployment');
    const wrong = 'config.registries[0].name=a,config.registries[0].type=oci,config.registries[0].endpont=b';
    await expect(renderChart(folder, ['--set', wrong])).rejects.toThrow(/'endpont' not allowed/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('monitoring objects', () => {
  test('the ServiceMonitor selects the Service and sets the job that the shipped alerts look for', async () => {
    const objects = await render('--values', full);
    const { spec } = only(objects, 'ServiceMonitor');
    const service = only(objects, 'Service');
    expect(service.metadata.labels).toMatchObject(spec.selector.matchLabels);
    expect(spec.namespaceSelector.matchNames).toEqual(['monitoring']);
    const [endpoint] = spec.endpoints;
    expect(endpoint).toMatchObject({
      port: service['spec'].ports[0].name,
      scheme: 'https',
      honorLabels: false,
    });
    const job = endpoint.relabelings.find((rule: { targetLabel?: string }) => rule.targetLabel === 'job');
    const jobs = ruleFiles.flatMap((name) =>
      [...readFileSync(join(root, 'alerts', name), 'utf8').matchAll(/job=~?"([^"]*)"/g)].map(
        ([, found]) => found,
      ),
    );
    for (const wanted of jobs) expect(job.replacement).toMatch(new RegExp(`^(?:${wanted})$`));
  });

  test('rules arrive as they are in alerts/, with the labels added', async () => {
    const shipped = ruleFiles.flatMap((name) => shippedRules(name).groups);
    const rendered = groupsOf(await render('--values', full));
    const labelled = shipped.map((group) => ({
      ...group,
      rules: group.rules.map((rule) =>
        rule.alert ? { ...rule, labels: { ...rule.labels, team: 'platform' } } : rule,
      ),
    }));
    expect(rendered).toEqual(labelled);
  });

  test('single alerts and the compatible names can be left out', async () => {
    const enabled = ['--set', 'prometheusRule.enabled=true'];
    const all = groupsOf(await render(...enabled));
    const [first = '', ...others] = alertsOf(all);
    const without = await render(...enabled, '--set', `prometheusRule.disabledAlerts={${first}}`);
    expect(alertsOf(groupsOf(without))).toEqual(others);
    const records = (groups: readonly RuleGroup[]) =>
      groups.flatMap(({ rules }) => rules.map((r) => r.record));
    expect(records(all)).toContain('aws_ecr_repository_images');
    const native = groupsOf(await render(...enabled, '--set', 'prometheusRule.compat=false'));
    expect(records(native)).not.toContain('aws_ecr_repository_images');
    expect(records(native)).not.toContain('aws_ecr_repository_info');
    const one = groupsOf(await render(...enabled, '--set', 'prometheusRule.compat={aws-exporters-ecr}'));
    expect(records(one)).toContain('aws_ecr_repository_info');
    expect(records(one)).not.toContain('aws_ecr_repository_images');
    await expect(render(...enabled, '--set', 'prometheusRule.compat={ecr}')).rejects.toThrow('compat');
    expect(alertsOf(native)).toEqual(alertsOf(all));
  });

  test('thresholds, times, severities and labels of single alerts, the job and the runbooks can be set', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'chart-'));
    const file = join(folder, 'values.yaml');
    const alerts = {
      RegistryStorageHigh: { threshold: 0, for: '1h', keepFiringFor: '10m', labels: { team: 'storage' } },
      RegistryPullLimitLow: { threshold: 0.25, severity: 'critical' },
      RegistryWatchedTwice: { enabled: false },
    };
    const additionalGroups = [{ name: 'own', rules: [{ alert: 'Own', expr: 'vector(1)' }] }];
    const values = {
      enabled: true,
      alerts,
      additionalGroups,
      runbookUrl: 'https://wiki.example.com/runbooks/',
    };
    writeFileSync(file, stringify({ prometheusRule: values, serviceMonitor: { jobName: 'registries' } }));
    const groups = groupsOf(await render('--values', file));
    const ruleOf = (name: string) => groups.flatMap(({ rules }) => rules).find(({ alert }) => alert === name);
    expect(ruleOf('RegistryStorageHigh')).toMatchObject({
      expr: 'container_registry_repository_size_bytes / 1024 / 1024 / 1024 > 0',
      for: '1h',
      keep_firing_for: '10m',
      labels: { severity: 'warning', team: 'storage' },
      annotations: { runbook_url: 'https://wiki.example.com/runbooks/RegistryStorageHigh.md' },
    });
    expect(ruleOf('RegistryPullLimitLow')).toMatchObject({
      expr: expect.stringMatching(/ < 0\.25$/),
      labels: { severity: 'critical' },
    });
    expect(ruleOf('RegistryWatchedTwice')).toBeUndefined();
    expect(ruleOf('RegistryExporterDown')).toMatchObject({
      expr: expect.stringContaining('absent(up{job=~".*registries.*"})'),
    });
    expect(ruleOf('Own')).toEqual({ alert: 'Own', expr: 'vector(1)' });
    rmSync(folder, { recursive: true });
    for (const wrong of ['RegistryDown.threshold=3', 'Nope.enabled=false', 'RegistryDown.for=soon'])
      await expect(
        render('--set', 'prometheusRule.enabled=true', '--set', `prometheusRule.alerts.${wrong}`),
      ).rejects.toThrow(/prometheusRule.alerts|prometheusRule\/alerts/);
  });

  test.skipIf(!programs('promtool'))('promtool accepts the rendered rules', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'chart-'));
    try {
      const file = join(folder, 'rules.yaml');
      writeFileSync(file, stringify({ groups: groupsOf(await render('--values', full)) }));
      const { status, stderr, stdout } = spawnSync('promtool', ['check', 'rules', file], {
        encoding: 'utf8',
      });
      expect(status, stderr + stdout).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('dashboards arrive byte for byte', async () => {
    const objects = await render('--values', full);
    const maps = objects.filter(({ metadata }) => metadata.labels?.['grafana_dashboard'] === '1');
    const files = await generateChartFiles();
    const shipped = [...files].filter(([path]) => path.includes('/files/dashboards/'));
    expect(Object.assign({}, ...maps.map((map) => map['data']))).toEqual(
      Object.fromEntries(shipped.map(([path, content]) => [path.split('/').at(-1), content])),
    );
  });
});
