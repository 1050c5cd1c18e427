import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { dashboards } from '../grafana/index.ts';
import { parseFlags } from '../src/cli.ts';
import { parseConfig } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';
import { kindsOf, only, renderChart } from './support/chart.ts';
import { programs } from './support/programs.ts';

/** docs/quickstart.md, as far as a machine without a cluster and a container engine can follow it. */

const root = join(import.meta.dirname, '..');
const quickstart = readFileSync(join(root, 'docs', 'quickstart.md'), 'utf8');
const folder = join(root, 'examples', 'compose');

interface Service {
  readonly command?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
}
const compose = parse(readFileSync(join(folder, 'compose.yaml'), 'utf8')) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
};

describe('with Kubernetes', () => {
  test('the values of the page render, and the commands name what comes of them', async () => {
    const [, values = ''] = /```yaml\n([\s\S]*?)```/.exec(quickstart) ?? [];
    const temporary = mkdtempSync(join(tmpdir(), 'quickstart-'));
    writeFileSync(join(temporary, 'my-values.yaml'), values);
    const chart = join(root, 'helm', 'container-registry-exporter');
    const objects = await renderChart(chart, ['--values', join(temporary, 'my-values.yaml')], 'registries');
    rmSync(temporary, { recursive: true });
    expect(kindsOf(objects)).toEqual(expect.arrayContaining(['Pod', 'PrometheusRule', 'ServiceMonitor']));
    const service = only(objects, 'Service');
    expect(quickstart).toContain(
      `port-forward service/${service.metadata.name} ${service['spec'].ports[0].port}`,
    );
    const { volumes } = only(objects, 'Deployment')['spec'].template.spec;
    const secrets = volumes.flatMap(
      ({ secret }: { secret?: { secretName: string } }) => secret?.secretName ?? [],
    );
    for (const secret of secrets) expect(quickstart).toContain(`create secret generic ${secret} `);
  });

  test('the board that it names is there', () => {
    const [, uid = ''] = /localhost:3000\/d\/([\w-]+)/.exec(quickstart) ?? [];
    const board = [...dashboards.values()].find((one) => one['uid'] === uid);
    expect(quickstart).toContain(`*${board?.['title']}*`);
  });
});

describe('with Docker Compose', () => {
  test('what is mounted is there, and volumes are declared', () => {
    const sources = Object.values(compose.services).flatMap(({ volumes = [] }) =>
      volumes.map((volume) => volume.split(':')[0] ?? ''),
    );
    for (const source of sources)
      if (source.startsWith('.')) expect(existsSync(join(folder, source)), source).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(source);
  });

  test("the exporter's flags and configuration are right, and it looks at the registry beside it", () => {
    const { command = [] } = compose.services['exporter'] ?? {};
    expect(parseFlags(command)).toMatchObject({
      configFile: '/etc/container-registry-exporter/exporter.yaml',
      storagePath: '/var/lib/container-registry-exporter',
    });
    const file = join(folder, 'exporter', 'exporter.yaml');
    const { registries } = parseConfig(readFileSync(file, 'utf8'), { file, providers, env: {} });
    expect(registries).toHaveLength(1);
    expect(Object.keys(compose.services)).toContain('registry');
  });

  test('names of services and ports are those that the configurations use', () => {
    const prometheus = readFileSync(join(folder, 'prometheus.yml'), 'utf8');
    const datasource = readFileSync(join(folder, 'grafana', 'datasource.yaml'), 'utf8');
    const addresses = [...`${prometheus}${datasource}`.matchAll(/(?:\[|http:\/\/)(\w+):(\d+)/g)];
    expect(addresses.map(([, service]) => service)).toEqual(['alertmanager', 'exporter', 'prometheus']);
    for (const [, service = '', port] of addresses)
      expect(compose.services[service]?.ports).toContain(`${port}:${port}`);
    // What the shipped alerts look for.
    expect(prometheus).toContain('job_name: container-registry-exporter');
  });

  test.skipIf(!programs('promtool'))('promtool accepts the configuration with the shipped rules', () => {
    const temporary = mkdtempSync(join(tmpdir(), 'compose-'));
    const file = join(temporary, 'prometheus.yml');
    const text = readFileSync(join(folder, 'prometheus.yml'), 'utf8');
    writeFileSync(file, text.replace('/etc/prometheus/rules', join(root, 'alerts')));
    expect(execFileSync('promtool', ['check', 'config', file], { encoding: 'utf8' })).toContain(
      'rule files found',
    );
    rmSync(temporary, { recursive: true });
  });
});

test('the unit runs the program with flags that it has', () => {
  const unit = readFileSync(join(root, 'examples', 'systemd', 'container-registry-exporter.service'), 'utf8');
  const [, flags = ''] = /^ExecStart=\S+ node \S+ \S+\/dist\/main\.js (.*)$/m.exec(unit) ?? [];
  expect(parseFlags(flags.split(' '))).toMatchObject({
    configFile: '/etc/container-registry-exporter/exporter.yaml',
    storagePath: '/var/lib/container-registry-exporter',
    listenAddresses: [{ host: '127.0.0.1', port: 10056 }],
  });
});
