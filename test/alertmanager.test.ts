import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scopeOf } from '../alerts/alert.ts';
import { alertGroups } from '../alerts/index.ts';
import { freePort, programs, type RunningProgram, startProgram, tempDir } from './support/programs.ts';

/**
 * The example for Alertmanager in a real Alertmanager: who is told of what, and how often. Alerts are posted as
 * Prometheus posts them.
 */

const example = join(import.meta.dirname, '..', 'examples', 'alertmanager.yml');
const all = [...alertGroups.values()].flatMap(({ alerts }) => alerts);
const severityOf = new Map(all.map(({ name, severity }) => [name, severity]));
/** Those of one registry. */
const ofRegistries = all.filter((alert) => scopeOf(alert) !== 'exporter').map(({ name }) => name);
const target = { job: 'container-registry-exporter', instance: 'exporter:10056' };

/** An alert of this bundle with its severity, as Prometheus sends it. */
function firing(alertname: string, labels: Readonly<Record<string, string>> = {}) {
  const severity = severityOf.get(alertname);
  if (severity === undefined) throw new Error(`there is no alert ${alertname}`);
  return { labels: { ...target, alertname, severity, ...labels } };
}

describe.skipIf(!programs('prometheus-alertmanager', 'amtool'))('the example for Alertmanager', () => {
  const told: { receiver: string; alerts: { labels: Record<string, string> }[] }[] = [];
  const folder = tempDir();
  const webhook = createServer((request, response) => {
    let body = '';
    request.on('data', (data: Buffer) => (body += data.toString()));
    request.on('end', () => {
      const { alerts } = JSON.parse(body) as (typeof told)[number];
      told.push({ receiver: request.url?.slice(1) ?? '', alerts });
      response.end();
    });
  });
  let alertmanager: RunningProgram;
  let address = '';

  beforeAll(async () => {
    await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
    const { port: hook } = webhook.address() as AddressInfo;
    mkdirSync(folder.path, { recursive: true });
    const file = join(folder.path, 'alertmanager.yml');
    writeFileSync(
      file,
      readFileSync(example, 'utf8')
        .replaceAll(/http:\/\/(chat|pager)\.example\.com\S*/g, `http://127.0.0.1:${hook}/$1`)
        .replace('group_wait: 30s', 'group_wait: 2s'),
    );
    const port = await freePort();
    address = `http://127.0.0.1:${port}`;
    alertmanager = await startProgram(
      'prometheus-alertmanager',
      [
        `--config.file=${file}`,
        `--storage.path=${join(folder.path, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--cluster.listen-address=',
      ],
      { waitFor: /Listening|listening/ },
    );
  });

  afterAll(async () => {
    await alertmanager?.stop();
    webhook.close();
    folder.remove();
  });

  async function post(alerts: readonly object[]): Promise<void> {
    const response = await fetch(`${address}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(alerts),
    });
    expect(response.status).toBe(200);
  }

  /** Who was told of what since then, one line for each notification. */
  async function notifications(since: number, expected: number): Promise<string[]> {
    for (let waited = 0; told.length < since + expected && waited < 240; waited += 1) await sleep(250);
    // Whatever else would come, comes with the same wait of the groups.
    await sleep(3_000);
    return told
      .slice(since)
      .map(({ receiver, alerts }) => {
        const [first] = alerts;
        return `${receiver}: ${alerts.length} × ${first?.labels['alertname']} of ${first?.labels['registry'] ?? '–'}`;
      })
      .toSorted();
  }

  test('is one that amtool accepts', () => {
    execFileSync('amtool', ['check-config', example]);
  });

  test.each([
    ['RegistryDown', 'pager'],
    ['RegistryQuotaHigh', 'chat'],
    ['RegistryWatchedTwice', 'nobody'],
  ])('%s goes to %s', (alertname, receiver) => {
    const labels = Object.entries(firing(alertname).labels).map(([name, value]) => `${name}=${value}`);
    const args = ['config', 'routes', 'test', `--config.file=${example}`, ...labels];
    expect(execFileSync('amtool', args, { encoding: 'utf8' }).trim()).toBe(receiver);
  });

  test('500 vulnerable repositories and an outage are three notifications', async () => {
    const since = told.length;
    await post([
      ...Array.from({ length: 500 }, (_, number) =>
        firing('ImageWithCriticalVulnerabilities', { registry: 'prod', repository: `team/app-${number}` }),
      ),
      firing('RegistryDown', { registry: 'edge' }),
      firing('RegistryDataStale', { registry: 'edge' }),
      firing('RegistryRepositoriesFailing', { registry: 'edge' }),
      ...['images', 'findings', 'quotas'].map((capability) =>
        firing('RegistryCapabilityFailing', { registry: 'edge', capability }),
      ),
      ...Array.from({ length: 40 }, (_, number) =>
        firing('ImageWithCriticalVulnerabilities', { registry: 'edge', repository: `team/app-${number}` }),
      ),
      firing('RegistryQuotaHigh', { registry: 'prod', quota: 'storage', project: 'web' }),
      firing('RegistryQuotaExhausted', { registry: 'prod', quota: 'storage', project: 'web' }),
      firing('RegistryWatchedTwice', {}),
    ]);
    expect(await notifications(since, 3)).toEqual([
      'pager: 1 × RegistryDown of edge',
      'pager: 1 × RegistryQuotaExhausted of prod',
      'pager: 500 × ImageWithCriticalVulnerabilities of prod',
    ]);
  });

  test('an exporter that is gone is one notification, and another exporter is heard', async () => {
    const since = told.length;
    const gone = { instance: 'gone:10056' };
    await post([
      firing('RegistryExporterDown', gone),
      firing('RegistryDataStale', { ...gone, registry: 'a' }),
      firing('RegistryQuotaHigh', { ...gone, registry: 'a', quota: 'images' }),
      firing('RegistryQuotaHigh', { registry: 'b', quota: 'images' }),
    ]);
    expect(await notifications(since, 2)).toEqual([
      'chat: 1 × RegistryQuotaHigh of b',
      'pager: 1 × RegistryExporterDown of –',
    ]);
  });

  test.each(['RegistryDown', 'RegistryDataStale'])(
    '%s holds back every other alert of its registry',
    async (cause) => {
      const since = told.length;
      const held = ofRegistries.filter((name) => !['RegistryDown', 'RegistryDataStale'].includes(name));
      expect(held).toContain('RunningImageMissingFromRegistry');
      const registry = `of-${cause}`;
      await post([cause, ...held].map((name) => firing(name, { registry })));
      const receiver = severityOf.get(cause) === 'critical' ? 'pager' : 'chat';
      expect(await notifications(since, 1)).toEqual(
        [
          `chat: 1 × RegistryExporterStateNotSaved of ${registry}`,
          `${receiver}: 1 × ${cause} of ${registry}`,
        ].toSorted(),
      );
    },
  );

  test('a job without a target holds back what it said itself, and not what another job says', async () => {
    const since = told.length;
    // A group that has been told of waits before it tells more: hence a cluster of its own.
    const gone = { cluster: 'two', job: 'b/container-registry-exporter', instance: '' };
    const before = { ...gone, instance: 'before:10056', registry: 'c' };
    await post([
      firing('RegistryExporterDown', gone),
      ...[...ofRegistries, 'InUseSourceDown'].map((name) => firing(name, before)),
      firing('RegistryQuotaHigh', { cluster: 'two', registry: 'd', quota: 'images' }),
    ]);
    expect(await notifications(since, 2)).toEqual([
      'chat: 1 × RegistryQuotaHigh of d',
      'pager: 1 × RegistryExporterDown of –',
    ]);
  });
});
