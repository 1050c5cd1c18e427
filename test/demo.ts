import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startDemoCluster } from './demo-cluster.ts';
import { everyRegistry, type SimulatedRegistry } from './simulators/every-registry.ts';
import { freePort, program } from './support/programs.ts';

/**
 * `npm run demo`: the daemon on a simulated registry of each vendor, which change as one watches; with Prometheus and
 * the shipped rules where the program is there. Ports come from `DEMO_PORT` (the exporter's, default 10056).
 */
const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'container-registry-exporter-demo-'));
const port = Number(process.env['DEMO_PORT'] ?? 10056);
const registries = new Map<string, SimulatedRegistry>();
for (const [at, [type, start]] of Object.entries(everyRegistry).entries())
  registries.set(
    type,
    await start({
      seed: 26 + at,
      repositories: type === 'oci' ? 24 : 12,
      now: Math.floor(Date.now() / 1000),
    }),
  );

const cluster = await startDemoCluster(`http://127.0.0.1:${port}/metrics`);

const token = 'demo-events-token-0123456789';
const config = join(folder, 'exporter.yaml');
writeFileSync(
  config,
  stringify({
    defaults: { schedule: '15s' },
    registries: [...registries].map(([type, { registry }]) => ({
      name: `demo-${type}`,
      type,
      ...registry,
      ...(type === 'oci' && { events: { token } }),
      // What is asked of a registry that costs nothing need not be spared.
      http: { requestsPerSecond: 200 },
    })),
    inUse: { sources: [cluster.source] },
  }),
);

const children = [
  spawn(
    process.execPath,
    [
      join(root, 'src', 'main.ts'),
      `--config.file=${config}`,
      `--web.listen-address=127.0.0.1:${port}`,
      `--storage.path=${join(folder, 'data')}`,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  ),
];

const lines = [
  '',
  `  Status page   http://127.0.0.1:${port}/`,
  `  Metrics       http://127.0.0.1:${port}/metrics`,
  `  Cluster       ${cluster.source.name}: a simulated API server whose pods run images of these registries`,
  `  Registries    ${[...registries.keys()].join(', ')}, all simulated`,
  `  Configuration ${config}`,
];

const prometheus = program('prometheus');
if (prometheus) {
  const prometheusPort = await freePort();
  const file = join(folder, 'prometheus.yml');
  mkdirSync(join(folder, 'prometheus'));
  writeFileSync(
    file,
    `global: { scrape_interval: 5s, evaluation_interval: 5s }
rule_files: ["${join(root, 'alerts')}/*.rules.yaml"]
scrape_configs:
  - job_name: container-registry-exporter
    static_configs: [{ targets: ["127.0.0.1:${port}"] }]
`,
  );
  children.push(
    spawn(
      prometheus,
      [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, 'prometheus')}`,
        `--web.listen-address=127.0.0.1:${prometheusPort}`,
        '--log.level=error',
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    ),
  );
  lines.push(`  Prometheus    http://127.0.0.1:${prometheusPort}/alerts (with the shipped rules)`);
} else lines.push('  Prometheus is not on the path: install it to see the shipped alerts evaluated.');
console.log(`${lines.join('\n')}\n\n  A registry changes every few seconds. Ctrl+C ends the demo.\n`);

/** Tells the exporter of a push, as the distribution registry does. */
async function notify(repository: string, id: string): Promise<void> {
  const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', repository };
  await fetch(`http://127.0.0.1:${port}/events/demo-oci`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/vnd.docker.distribution.events.v1+json',
    },
    body: JSON.stringify({ events: [{ id, action: 'push', target }] }),
  });
}

let turn = 0;
const changes = setInterval(() => {
  const types = [...registries.keys()];
  const type = types[turn % types.length] ?? '';
  const what = registries.get(type)?.step() ?? '';
  console.log(`demo: ${type}: ${what}`);
  turn += 1;
  const pushed = /^pushed (.+):[^:]+$/.exec(what)?.[1];
  if (pushed && type === 'oci') notify(pushed, `demo-${process.pid}-${turn}`).catch(() => {});
}, 2000);

let ending = false;
async function end(code: number): Promise<void> {
  if (ending) return;
  ending = true;
  clearInterval(changes);
  await cluster.close();
  const exits = children.map(
    (child) => new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(0))),
  );
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(exits);
  for (const registry of registries.values()) await registry.close();
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void end(0));
for (const child of children)
  child.on('exit', (code) => {
    if (!ending) console.error(`demo: ${child.spawnfile} ended with ${code}`);
    void end(code ?? 1);
  });
