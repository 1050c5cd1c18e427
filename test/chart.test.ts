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
  otherModels,
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
    ['default values', [], ['ConfigMap', 'Deployment', 'Pod', 'Service', 'ServiceAccount']],
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

  test('a source of running images may list pods, in all namespaces or in some, and no more', async () => {
    const everywhere = await render('--set', 'inUse.readPods=true', '--namespace', 'monitoring');
    const list = [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }];
    expect(only(everywhere, 'ClusterRole')['rules']).toEqual(list);
    const binding = only(everywhere, 'ClusterRoleBinding');
    expect(binding['subjects']).toEqual([
      {
        kind: 'ServiceAccount',
        name: only(everywhere, 'ServiceAccount').metadata.name,
        namespace: 'monitoring',
      },
    ]);
    expect(binding['roleRef'].name).toBe(only(everywhere, 'ClusterRole').metadata.name);
    expect(only(everywhere, 'Deployment')['spec'].template.spec.automountServiceAccountToken).toBe(true);
    const some = await render('--set', 'inUse.readPods=true', '--set', 'inUse.namespaces={shop,web}');
    const roles = some.filter(({ kind }) => kind === 'Role' || kind === 'RoleBinding');
    const placed = roles.map(
      ({ kind, metadata }) => `${kind} ${(metadata as { namespace?: string }).namespace}`,
    );
    expect(placed.sort()).toEqual(['Role shop', 'Role web', 'RoleBinding shop', 'RoleBinding web']);
    for (const object of roles) {
      const Model = otherModels[object.kind as keyof typeof otherModels];
      expect(() => new (Model as new (o: object) => { validate(): void })(object).validate()).not.toThrow();
    }
    expect(kindsOf(some)).not.toContain('ClusterRole');
  });

  test('push events have a port of their own, which reaches no metrics', async () => {
    const objects = await render(
      ...[
        'events.port=8443',
        'ingress.enabled=true',
        'ingress.hosts={exporter.example.com}',
        'networkPolicy.enabled=true',
      ].flatMap((value) => ['--set', value]),
      ...['--set-json', 'httpRoute={"enabled":true,"parentRefs":[{"name":"gateway"}]}'],
      ...['--set-json', 'events.from=[{"ipBlock":{"cidr":"203.0.113.0/24"}}]'],
    );
    const container = containerOf(objects);
    const listening = container['args'].filter((arg: string) => arg.includes('listen-address'));
    expect(listening).toEqual(['--web.listen-address=:10056', '--web.events-listen-address=:10058']);
    const flags = parseFlags(container['args']);
    expect(flags).toMatchObject({ eventsAddresses: [{ port: 10058 }] });
    expect(container['ports']).toContainEqual({ name: 'events', containerPort: 10058, protocol: 'TCP' });
    expect(
      only(objects, 'Service')['spec'].ports.map(({ name, port }: { name: string; port: number }) => [
        name,
        port,
      ]),
    ).toEqual([
      ['http-metrics', 10056],
      ['events', 8443],
    ]);
    const [rule] = only(objects, 'Ingress')['spec'].rules;
    expect(rule.http.paths[0].backend.service.port).toEqual({ name: 'events' });
    expect(only(objects, 'HTTPRoute')['spec'].rules[0].backendRefs[0].port).toBe(8443);
    expect(only(objects, 'NetworkPolicy')['spec'].ingress).toEqual([
      { ports: [{ port: 'http-metrics', protocol: 'TCP' }] },
      { ports: [{ port: 'events', protocol: 'TCP' }], from: [{ ipBlock: { cidr: '203.0.113.0/24' } }] },
    ]);
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

  test('user and groups can be left to the cluster, as OpenShift wants it', async () => {
    const left = '--set-json=podSecurityContext={"runAsUser":null,"runAsGroup":null,"fsGroup":null}';
    const { securityContext } = only(await render(left), 'Deployment')['spec'].template.spec;
    expect(securityContext).toEqual({
      runAsNonRoot: true,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    });
  });

  test('a configuration in a Secret is in no ConfigMap', async () => {
    const objects = await render('--set', 'configSecret.name=own,configSecret.key=c.yaml');
    expect(kindsOf(objects)).not.toContain('ConfigMap');
    expect(containerOf(objects).args).toContain('--config.file=/etc/container-registry-exporter/c.yaml');
  });

  test('probes of a server that wants a login have a port of their own, and are HTTP', async () => {
    const web = 'webConfig.secret=web,webConfig.tls=true';
    const guarded = containerOf(await render('--set', web));
    expect(parseFlags(guarded.args)).toMatchObject({ healthAddresses: [{ port: 10057 }] });
    expect(guarded.ports).toContainEqual({ name: 'health', containerPort: 10057, protocol: 'TCP' });
    for (const probe of [guarded.livenessProbe, guarded.readinessProbe])
      expect(probe.httpGet).toMatchObject({ port: 'health', scheme: 'HTTP' });
    const open = containerOf(await render('--set', `${web},webConfig.auth=false`));
    expect(open.readinessProbe.httpGet).toEqual({ path: '/-/ready', port: 'http-metrics', scheme: 'HTTPS' });
    expect(parseFlags(open.args)).toMatchObject({ healthAddresses: [] });
    const connects = containerOf(await render('--set', 'livenessProbe.tcpSocket.port=http-metrics'));
    expect(connects.livenessProbe).not.toHaveProperty('httpGet');
    const own = containerOf(await render('--set', 'livenessProbe.periodSeconds=60'));
    expect(own.livenessProbe).toMatchObject({ periodSeconds: 60, failureThreshold: 4 });
  });

  test('images and pull secrets follow the global values', async () => {
    const objects = await render('--values', full);
    const { imagePullSecrets } = only(objects, 'Deployment')['spec'].template.spec;
    expect(imagePullSecrets).toEqual([{ name: 'pull' }, { name: 'global-pull' }]);
    expect(containerOf(objects).image).toMatch(/^mirror.example.com\/container-registry-exporter@sha256:/);
    const plain = containerOf(await render('--set', 'global.imageRegistry=mirror.example.com:5000/hub'));
    expect(plain.image).toMatch(
      /^mirror.example.com:5000\/hub\/container-registry-exporter\/container-registry-exporter:/,
    );
  });

  test('only /events can be reached from outside, by Ingress and by Gateway', async () => {
    const objects = await render(
      '--values',
      full,
      '--set',
      'httpRoute.enabled=true',
      '--set',
      'httpRoute.parentRefs[0].name=gateway',
    );
    const service = only(objects, 'Service');
    const [rule] = only(objects, 'Ingress')['spec'].rules;
    expect(rule.http.paths).toEqual([
      {
        path: '/events',
        pathType: 'Prefix',
        backend: { service: { name: service.metadata.name, port: { name: 'http-metrics' } } },
      },
    ]);
    const route = only(objects, 'HTTPRoute');
    expect(route['spec'].rules).toEqual([
      {
        matches: [{ path: { type: 'PathPrefix', value: '/events' } }],
        backendRefs: [{ name: service.metadata.name, port: 8080 }],
      },
    ]);
  });

  test('helm test asks the Service, and what is extra is filled in', async () => {
    const objects = await render('--values', full);
    const selector = only(objects, 'Service')['spec'].selector;
    expect(only(objects, 'Pod').metadata.labels).not.toMatchObject(selector);
    const [container] = only(objects, 'Pod')['spec'].containers;
    const service = only(objects, 'Service').metadata.name;
    expect(container.args.at(-1)).toBe(`https://${service}:8080/-/healthy`);
    expect(only(objects, 'Secret').metadata.name).toBe('release-own');
    expect(kindsOf(await render('--set', 'test.enabled=false'))).not.toContain('Pod');
  });

  test('egress by ports, by rules, and by name where Cilium runs', async () => {
    const policy = only(await render('--values', full), 'NetworkPolicy')['spec'];
    expect(policy.egress[0].ports).toContainEqual({ port: 443, protocol: 'TCP' });
    expect(policy.egress[0].ports).toContainEqual({ port: 53, protocol: 'UDP' });
    expect(policy.egress[1].to).toEqual([{ ipBlock: { cidr: '10.0.0.0/8' } }]);
    const hosts =
      '--set=networkPolicy.enabled=true,networkPolicy.ciliumHosts={*.amazonaws.com,registry.example.com}';
    const cilium = only(await render(hosts), 'CiliumNetworkPolicy')['spec'];
    expect(cilium.egress[1].toFQDNs).toEqual([
      { matchPattern: '*.amazonaws.com' },
      { matchName: 'registry.example.com' },
    ]);
  });

  test('Prometheus that would forget series between two scrapes is told of', async () => {
    const notes = async (interval: string) =>
      helm(
        'install',
        'r',
        chart,
        '--dry-run=client',
        '--set',
        'serviceMonitor.enabled=true',
        '--set',
        `serviceMonitor.interval=${interval}`,
      );
    expect(await notes('5m')).toContain('forgets a series');
    expect(await notes('4m')).not.toContain('forgets a series');
  });
});

describe('several shards', () => {
  const shards = ['--values', full, '--set', 'shards=3', '--set', 'storage.existingClaim='];

  test('are pods of a StatefulSet that know their ordinal, the number and each other', async () => {
    const objects = await render(
      ...shards,
      '--set',
      'storage.persistent=true,webConfig.tls=false,verticalPodAutoscaler.enabled=true',
    );
    const set = only(objects, 'StatefulSet');
    expect(() => new otherModels.StatefulSet(set as never).validate()).not.toThrow();
    expect(kindsOf(objects)).not.toContain('Deployment');
    expect(kindsOf(objects)).not.toContain('PersistentVolumeClaim');
    const [container] = set['spec'].template.spec.containers;
    expect(container.env[0]).toEqual({
      name: 'POD_NAME',
      valueFrom: { fieldRef: { fieldPath: 'metadata.name' } },
    });
    const args = container.args.map((arg: string) => arg.replace('$(POD_NAME)', `${set.metadata.name}-2`));
    const service = set['spec'].serviceName;
    expect(parseFlags(args)).toMatchObject({
      shard: 2,
      shardPeers: `http://${set.metadata.name}-{shard}.${service}:10056`,
    });
    const config = objects.flatMap(({ data }) => data?.['exporter.yaml'] ?? []);
    expect(config.map((text) => parseYaml(text).shards)).toEqual([3]);
    expect(set['spec'].replicas).toBe(3);
    const [claim] = set['spec'].volumeClaimTemplates;
    expect([claim.metadata.name, claim.spec.accessModes]).toEqual(['storage', ['ReadWriteOnce']]);
    const volumes = set['spec'].template.spec.volumes as { name: string }[];
    expect(volumes.map(({ name }) => name)).not.toContain('storage');
    expect(only(objects, 'VerticalPodAutoscaler')['spec'].targetRef.kind).toBe('StatefulSet');
  });

  test('each pod has a name, is scraped once, and keeps its instance through a restart', async () => {
    const objects = await render(...shards);
    const services = objects.filter(({ kind }) => kind === 'Service');
    const headless = services.find(({ spec }) => spec.clusterIP === 'None');
    expect(headless?.metadata.name).toBe(only(objects, 'StatefulSet')['spec'].serviceName);
    expect(headless?.['spec'].selector).toEqual(only(objects, 'StatefulSet')['spec'].selector.matchLabels);
    const monitor = only(objects, 'ServiceMonitor')['spec'];
    const selected = services.filter(({ metadata }) =>
      Object.entries(monitor.selector.matchLabels).every(([key, value]) => metadata.labels?.[key] === value),
    );
    expect(selected).not.toContain(headless);
    expect(selected).toHaveLength(1);
    expect(monitor.endpoints[0].relabelings).toContainEqual({
      action: 'replace',
      sourceLabels: ['__meta_kubernetes_pod_name'],
      targetLabel: 'instance',
    });
    const static_ = only(
      await render(...shards, '--set', 'serviceMonitor.kind=ScrapeConfig'),
      'ScrapeConfig',
    );
    const { name } = only(objects, 'StatefulSet').metadata;
    expect(static_['spec'].staticConfigs[0].targets).toEqual(
      [0, 1, 2].map((ordinal) => `${name}-${ordinal}.${headless?.metadata.name}.monitoring.svc:10056`),
    );
  });

  test('a change of the number leaves the pods that are there', async () => {
    const template = (objects: readonly KubernetesObject[]) => only(objects, 'StatefulSet')['spec'].template;
    expect(template(await render('--set', 'shards=4'))).toEqual(template(await render('--set', 'shards=3')));
  });

  test('a configuration in a Secret gets the number by a flag', async () => {
    const objects = await render('--set', 'shards=3,configSecret.name=own');
    expect(only(objects, 'StatefulSet')['spec'].template.spec.containers[0].args).toContain('--shards=3');
  });

  test('reach each other behind network policies', async () => {
    const objects = await render(
      '--set=shards=3,networkPolicy.enabled=true,networkPolicy.egressPorts={443},networkPolicy.ciliumHosts={a.example.com}',
      '--set=networkPolicy.ingressFrom[0].namespaceSelector.matchLabels.name=monitoring',
    );
    const own = only(objects, 'StatefulSet')['spec'].selector.matchLabels;
    const { ingress, egress } = only(objects, 'NetworkPolicy')['spec'];
    expect(ingress[0].from).toContainEqual({ podSelector: { matchLabels: own } });
    const ports = [{ port: 10056, protocol: 'TCP' }];
    expect(egress).toContainEqual({ to: [{ podSelector: { matchLabels: own } }], ports });
    expect(only(objects, 'CiliumNetworkPolicy')['spec'].egress).toContainEqual({
      toEndpoints: [{ matchLabels: own }],
      toPorts: [{ ports: [{ port: '10056', protocol: 'TCP' }] }],
    });
  });

  test('what cannot be divided is refused', async () => {
    await expect(render('--set', 'config.shards=3')).rejects.toThrow('set `shards`, not `config.shards`');
    await expect(render('--set', 'shards=3,storage.existingClaim=disk')).rejects.toThrow(
      'each of several shards needs its own: set storage.persistent',
    );
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
    ['one port for two things', { events: { port: 10056 } }, /events\.port \(10056\) is service\.port/],
    [
      'labels by which the pod is found',
      { podLabels: { 'app.kubernetes.io/name': 'x' } },
      /podLabels: the Service and the workload find the pod by app\.kubernetes\.io\/name/,
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
    const refusal = await renderChart(folder, ['--set', wrong]).catch((error: Error) => error.message);
    const lines = String(refusal)
      .split('\n')
      .filter((line) => /missing|additional|must be/.test(line));
    expect(lines.map((line) => line.trim())).toEqual([
      "- at '/config/registries/0': missing property 'endpoint'",
      "- at '/config/registries/0': additional properties 'endpont' not allowed",
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('dashboards', () => {
  test('go into a folder, and a prefix keeps two releases apart', async () => {
    const set = 'dashboards.enabled=true,dashboards.folder=Registries,dashboards.uidPrefix=eu-';
    const maps = (await render('--set', set)).filter(
      ({ metadata }) => metadata.labels?.['grafana_dashboard'],
    );
    const boards = readdirSync(join(root, 'grafana')).filter((name) => name.endsWith('.json'));
    expect(maps).toHaveLength(boards.length);
    for (const { metadata, data } of maps) {
      expect((metadata as { annotations?: object }).annotations).toEqual({ grafana_folder: 'Registries' });
      const [text] = Object.values(data as Record<string, string>);
      const { uid, tags } = JSON.parse(text ?? '') as { uid: string; tags: string[] };
      expect(uid).toMatch(/^eu-container-registry-/);
      expect(uid.length).toBeLessThanOrEqual(40);
      expect(tags).toEqual(['eu-container-registry']);
      expect(text).not.toMatch(/\/d\/container-registry-|"container-registry"/);
    }
  });

  test('are objects of the Grafana operator where it is there', async () => {
    const set = 'dashboards.enabled=true,dashboards.kind=GrafanaDashboard,dashboards.folder=Registries';
    const boards = (await render('--set', set)).filter(({ kind }) => kind === 'GrafanaDashboard');
    for (const { spec } of boards) {
      expect(spec).toMatchObject({
        folder: 'Registries',
        instanceSelector: { matchLabels: { dashboards: 'grafana' } },
      });
      expect(JSON.parse(spec.json).uid).toMatch(/^container-registry-/);
    }
    expect(boards.length).toBeGreaterThan(0);
  });
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

  test.each(['PodMonitor', 'ScrapeConfig'] as const)(
    '%s instead is what the operator takes',
    async (kind) => {
      const objects = await render('--values', full, '--set', `serviceMonitor.kind=${kind}`);
      const Model = otherModels[kind];
      // biome-ignore lint/suspicious/noExplicitAny: the model validates it
      new Model(only(objects, kind) as any).validate();
      expect(kindsOf(objects)).not.toContain('ServiceMonitor');
      const { spec } = only(objects, kind);
      const endpoint = kind === 'PodMonitor' ? spec.podMetricsEndpoints[0] : spec;
      expect(endpoint.relabelings[0]).toEqual({
        action: 'replace',
        targetLabel: 'job',
        replacement: 'container-registry-exporter',
      });
      expect(endpoint.scrapeTimeout).toBe('20s');
    },
  );

  test('VictoriaMetrics has kinds of its own', async () => {
    const kinds = '--set=serviceMonitor.kind=VMServiceScrape,prometheusRule.kind=VMRule';
    const objects = await render('--values', full, kinds);
    const [endpoint] = only(objects, 'VMServiceScrape')['spec'].endpoints;
    expect(endpoint).toMatchObject({
      port: 'http-metrics',
      relabelConfigs: [
        { targetLabel: 'job' },
        { targetLabel: 'instance' },
        { action: 'labeldrop' },
        { targetLabel: 'cluster' },
      ],
      metricRelabelConfigs: [{ action: 'drop' }],
    });
    expect(objects.filter(({ kind }) => kind === 'VMRule').length).toBeGreaterThan(0);
    expect(kindsOf(objects)).not.toContain('PrometheusRule');
  });

  test.each([
    ['interval=15s', '15s', '15s'],
    ['interval=1m', '1m', '30s'],
    ['interval=1m30s,serviceMonitor.scrapeTimeout=80s', '1m30s', '80s'],
    ['interval=', undefined, undefined],
  ])('with %s a scrape may take at most as long as the interval', async (values, interval, scrapeTimeout) => {
    const set = `serviceMonitor.enabled=true,serviceMonitor.${values}`;
    const [endpoint] = only(await render('--set', set), 'ServiceMonitor')['spec'].endpoints;
    expect({ interval: endpoint.interval, scrapeTimeout: endpoint.scrapeTimeout }).toEqual({
      interval,
      scrapeTimeout,
    });
  });

  test('a timeout that is longer than the interval is refused, since the operator would skip the object', async () => {
    const set = 'serviceMonitor.enabled=true,serviceMonitor.interval=15s,serviceMonitor.scrapeTimeout=30s';
    await expect(render('--set', set)).rejects.toThrow('longer than serviceMonitor.interval');
  });

  test('the path of the metrics is one value', async () => {
    const set = 'serviceMonitor.enabled=true,service.scrapeAnnotations=true,telemetryPath=/m';
    const objects = await render('--set', set);
    expect(parseFlags(containerOf(objects).args)).toMatchObject({ telemetryPath: '/m' });
    expect(only(objects, 'ServiceMonitor')['spec'].endpoints[0].path).toBe('/m');
    expect((only(objects, 'Service').metadata as { annotations?: object }).annotations).toMatchObject({
      'prometheus.io/path': '/m',
      'prometheus.io/port': '10056',
    });
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
    // The names of the request; those of another exporter, a series of each image, on demand.
    expect(records(all)).toContain('aws_ecr_repository_images');
    expect(records(all)).not.toContain('aws_ecr_repository_info');
    const both = groupsOf(await render(...enabled, '--set', 'prometheusRule.compat=true'));
    expect(records(both)).toEqual(
      expect.arrayContaining(['aws_ecr_repository_images', 'aws_ecr_repository_info']),
    );
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
      expr: '(container_registry_repository_size_bytes > 0 * 1024 * 1024 * 1024) / 1024 / 1024 / 1024',
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

  test.skipIf(!programs('promtool'))('a team has settings of its own, and nobody else has', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'chart-'));
    const write = (name: string, value: unknown) => {
      writeFileSync(join(folder, name), stringify(value));
      return join(folder, name);
    };
    const off = { RegistryStorageHigh: { enabled: false } };
    const overrides = [
      { repository: 'lab/.*', alerts: off },
      {
        registry: 'harbor',
        repository: 'pay/.*',
        labels: { team: 'pay' },
        alerts: { RegistryStorageHigh: { threshold: 500 } },
      },
      { registry: 'edge', labels: { team: 'edge' } },
    ];
    const values = write('values.yaml', { prometheusRule: { enabled: true, compat: false, overrides } });
    const groups = groupsOf(await render('--values', values));
    write('rules.yaml', { groups });
    const up = { provider: 'x', instance: 'a' };
    const series = (name: string, labels: object, value: string) => ({
      series: `${name}{${Object.entries({ ...up, ...labels })
        .map(([key, text]) => `${key}="${text}"`)
        .join(',')}}`,
      values: value,
    });
    const repositories = [
      ['harbor', 'pay/api', 300],
      ['harbor', 'pay/web', 600],
      ['harbor', 'lab/x', 900],
      ['harbor', 'shop/api', 300],
      ['edge', 'shop/api', 300],
    ] as const;
    const input = repositories.flatMap(([registry, repository, gib]) => [
      series('container_registry_repository_images', { registry, repository }, '1x60'),
      series('container_registry_repository_size_bytes', { registry, repository }, `${gib * 2 ** 30}x60`),
    ]);
    const health = ['edge', 'harbor'].flatMap((registry) => [
      series('container_registry_info', { registry }, '1x60'),
      series('container_registry_up', { registry }, '0x60'),
    ]);
    const high = (registry: string, repository: string, labels: object = {}) => ({
      exp_labels: { severity: 'warning', ...up, registry, repository, ...labels },
    });
    const down = (registry: string, labels: object = {}) => ({
      exp_labels: { severity: 'critical', ...up, registry, ...labels },
    });
    const bare = groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => ({ ...rule, annotations: {} })),
    }));
    write('rules.yaml', { groups: bare });
    const tests = write('tests.yaml', {
      rule_files: ['rules.yaml'],
      evaluation_interval: '1m',
      tests: [
        {
          interval: '1m',
          input_series: [...input, ...health],
          alert_rule_test: [
            {
              eval_time: '30m',
              alertname: 'RegistryStorageHigh',
              exp_alerts: [
                high('edge', 'shop/api', { team: 'edge' }),
                high('harbor', 'shop/api'),
                high('harbor', 'pay/web', { team: 'pay' }),
              ],
            },
            {
              eval_time: '30m',
              alertname: 'RegistryDown',
              exp_alerts: [down('edge', { team: 'edge' }), down('harbor')],
            },
          ],
        },
      ],
    });
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', tests], { encoding: 'utf8' });
    expect(status, stderr + stdout).toBe(0);
    rmSync(folder, { recursive: true });
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
