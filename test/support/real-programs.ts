import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type RunningProgram, startProgram } from './programs.ts';

/** The real programs around the exporter, each started as its users start it. */

const root = join(import.meta.dirname, '..', '..');

/**
 * Debian's docker-registry 2.8 on loopback, with its access log in its output; it sends its events to `notify` when
 * given.
 */
export async function startDistribution(options: {
  readonly folder: string;
  readonly port: number;
  readonly notify?: { readonly url: string; readonly token: string };
  /** Address of the registry that it is a pull-through cache of. */
  readonly cacheOf?: string;
  /** How it checks credentials, as its configuration has it. */
  readonly auth?: object;
  /** Port of its own metrics. */
  readonly metricsPort?: number;
  /** It takes no push. */
  readonly readOnly?: boolean;
}): Promise<RunningProgram> {
  const { folder, port, notify, cacheOf, auth, metricsPort, readOnly } = options;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'config.yml');
  writeFileSync(
    file,
    JSON.stringify({
      version: 0.1,
      // The access log is on by default: `GET /v2/… 200` for each request, in the program's output.
      storage: {
        filesystem: { rootdirectory: join(folder, 'data') },
        delete: { enabled: true },
        ...(readOnly && { maintenance: { readonly: { enabled: true } } }),
      },
      http: {
        addr: `127.0.0.1:${port}`,
        ...(metricsPort && {
          debug: { addr: `127.0.0.1:${metricsPort}`, prometheus: { enabled: true, path: '/metrics' } },
        }),
      },
      ...(auth && { auth }),
      ...(cacheOf && { proxy: { remoteurl: cacheOf } }),
      ...(notify && {
        notifications: {
          endpoints: [
            {
              name: 'exporter',
              url: notify.url,
              headers: { Authorization: [`Bearer ${notify.token}`] },
              timeout: '1s',
              threshold: 3,
              backoff: '500ms',
            },
          ],
        },
      }),
    }),
  );
  return startProgram('docker-registry', ['serve', file], { waitFor: /listening on/ });
}

/** The exporter as its own process, from source. */
export function startExporter(options: {
  readonly config: string;
  readonly port: number;
  readonly storage: string;
  /** More flags. */
  readonly flags?: readonly string[];
}): Promise<RunningProgram> {
  return startProgram(
    process.execPath,
    [
      join(root, 'src', 'main.ts'),
      `--config.file=${options.config}`,
      `--web.listen-address=127.0.0.1:${options.port}`,
      `--storage.path=${options.storage}`,
      ...(options.flags ?? []),
    ],
    { waitFor: /msg=listening/ },
  );
}

/**
 * The shipped rule files with every `for` and `keep_firing_for` of one second, and failed scrapes bridged for ten: what
 * is tested is that a rule fires, reaches somebody and ends; how long each waits is tested by promtool.
 */
export function hurriedRules(folder: string): string {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(join(root, 'alerts')).filter((file) => file.endsWith('.rules.yaml'))) {
    const rules = readFileSync(join(root, 'alerts', name), 'utf8');
    const hurried = rules
      .replaceAll(/^(\s+(?:for|keep_firing_for):) .*$/gm, '$1 1s')
      .replaceAll('[10m]', '[10s]');
    writeFileSync(join(folder, name), hurried);
  }
  return join(folder, '*.rules.yaml');
}

/** Prometheus that scrapes the exporter each second. */
export function startPrometheus(options: {
  readonly folder: string;
  readonly port: number;
  readonly target: string;
  readonly rules?: string;
  readonly alertmanager?: string;
  /** Further targets, by the name of their job; their own labels are kept. */
  readonly others?: Readonly<Record<string, string>>;
}): Promise<RunningProgram> {
  const { folder, port, target, rules, alertmanager, others = {} } = options;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'prometheus.yml');
  writeFileSync(
    file,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      ...(rules && { rule_files: [rules] }),
      ...(alertmanager && {
        alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager] }] }] },
      }),
      scrape_configs: [
        { job_name: 'container-registry-exporter', static_configs: [{ targets: [target] }] },
        ...Object.entries(others).map(([job_name, address]) => ({
          job_name,
          honor_labels: true,
          static_configs: [{ targets: [address] }],
        })),
      ],
    }),
  );
  return startProgram(
    'prometheus',
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { waitFor: /Server is ready to receive web requests/ },
  );
}

/** Alertmanager that sends everything to a webhook at once. */
export function startAlertmanager(options: {
  readonly folder: string;
  readonly port: number;
  readonly webhook: string;
}): Promise<RunningProgram> {
  const { folder, port, webhook } = options;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'alertmanager.yml');
  writeFileSync(
    file,
    JSON.stringify({
      route: {
        receiver: 'test',
        group_by: ['alertname', 'registry', 'repository'],
        group_wait: '0s',
        group_interval: '1s',
      },
      receivers: [{ name: 'test', webhook_configs: [{ url: webhook, send_resolved: true }] }],
    }),
  );
  return startProgram(
    'prometheus-alertmanager',
    [
      `--config.file=${file}`,
      `--storage.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ],
    { waitFor: /Listening|listening/ },
  );
}

/** An alert as Alertmanager sends it, https://prometheus.io/docs/alerting/latest/configuration/#webhook_config */
export interface Page {
  readonly status: 'firing' | 'resolved';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Somebody who is paged. */
export async function startWebhook(): Promise<{ url: string; pages: Page[]; close(): void }> {
  const pages: Page[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (data: Buffer) => (body += data.toString()));
    request.on('end', () => {
      pages.push(...(JSON.parse(body) as { alerts: Page[] }).alerts);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, pages, close: () => void server.close() };
}
