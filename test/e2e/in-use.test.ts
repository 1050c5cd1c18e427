import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Content, image, index, layer, pushTo, referrersIndex, sarif } from '../support/oci-image.ts';
import { eventually, freePort, programs, type RunningProgram, tempDir } from '../support/programs.ts';
import {
  hurriedRules,
  type Page,
  startAlertmanager,
  startDistribution,
  startExporter,
  startPrometheus,
  startWebhook,
} from '../support/real-programs.ts';
import { queryPrometheus, readExporter } from './reading.ts';

/**
 * What runs, with real programs: a real Prometheus holds what kube-state-metrics would tell of two clusters, the exporter
 * asks it and joins the answer with a real distribution registry; Prometheus and Alertmanager page somebody.
 */
const tools = ['docker-registry', 'prometheus', 'prometheus-alertmanager'] as const;

/** A container as kube-state-metrics has a series for it. */
interface Container {
  readonly cluster: string;
  readonly namespace: string;
  readonly pod: string;
  readonly image: string;
  readonly image_id: string;
}

/** Stands where kube-state-metrics would: https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md */
async function startKubeStateMetrics(): Promise<{ server: Server; target: string; containers: Container[] }> {
  const containers: Container[] = [];
  const server = createServer((_, response) => {
    const lines = containers.map(
      (labels) =>
        `kube_pod_container_info{${Object.entries({ ...labels, container: 'main', image_spec: labels.image })
          .map(([name, value]) => `${name}="${value}"`)
          .join(',')}} 1`,
    );
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    response.end(`# TYPE kube_pod_container_info gauge\n${lines.join('\n')}\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { server, target: `127.0.0.1:${port}`, containers };
}

describe.skipIf(!programs(...tools))('what runs, from a real Prometheus to a page', () => {
  const dir = tempDir();
  const now = Math.floor(Date.now() / 1000);
  const day = 86_400;
  const old = image({ layers: [layer('old')], created: now - 300 * day });
  const newest = image({ layers: [layer('new')], created: now - day });
  const others = [1, 2, 3].map((age) => image({ layers: [layer(`other ${age}`)], created: now - age * day }));
  const amd64 = image({ layers: [layer('amd64')], created: now - 2 * day });
  const arm64 = image({
    layers: [layer('arm64')],
    created: now - 2 * day,
    platform: { os: 'linux', architecture: 'arm64' },
  });
  const multi = index([
    { content: amd64 },
    { content: arm64, platform: { os: 'linux', architecture: 'arm64' } },
  ]);
  const untagged = image({ layers: [layer('untagged')], created: now - 9 * day });
  const deleted = image({ layers: [layer('deleted')], created: now - 9 * day });

  let registryUrl: string;
  let exporterPort: number;
  let prometheusUrl: string;
  let host: string;
  let ksm: Awaited<ReturnType<typeof startKubeStateMetrics>>;
  let webhook: Awaited<ReturnType<typeof startWebhook>>;
  const running: RunningProgram[] = [];

  const { get, lines, anotherPoll } = readExporter(
    () => `http://127.0.0.1:${exporterPort}`,
    'registry="edge",provider="oci"',
  );
  const pod = (
    name: string,
    cluster: string,
    namespace: string,
    reference: string,
    id: string,
  ): Container => ({
    ...{ cluster, namespace },
    pod: name,
    image: reference,
    image_id: id,
  });
  const pageOf = (alertname: string, status: Page['status'], repository: string) =>
    eventually(() => {
      const found = webhook.pages.find(
        (page) =>
          page.labels['alertname'] === alertname &&
          (page.labels['repository'] ?? '') === repository &&
          page.status === status,
      );
      expect(found).toBeDefined();
      return found as Page;
    });

  beforeAll(async () => {
    const ports = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ] as const;
    const [registryPort, own, prometheusPort, alertmanagerPort, metricsPort] = ports;
    exporterPort = own;
    prometheusUrl = `http://127.0.0.1:${prometheusPort}`;
    host = `127.0.0.1:${registryPort}`;
    registryUrl = `http://${host}`;
    ksm = await startKubeStateMetrics();
    webhook = await startWebhook();
    running.push(
      await startDistribution({ folder: join(dir.path, 'registry'), port: registryPort, metricsPort }),
    );
    const push = (repository: string, content: Content, tag: string) =>
      pushTo(registryUrl, repository, content, tag);
    await push('app', old, 'v1');
    await push('app', newest, 'v9');
    for (const [at, other] of others.entries()) await push('app', other, `v${5 + at}`);
    const report = sarif(old, { CRITICAL: 2, HIGH: 1 });
    await push('app', referrersIndex([report]), `sha256-${old.digest.slice(7)}`);
    await push('multi', multi, 'v1');
    await push('moved', untagged, 'v1');
    await push('moved', newest, 'v1');
    await push('gone', deleted, 'v1');
    await push('gone', newest, 'v2');
    const { status } = await fetch(`${registryUrl}/v2/gone/manifests/${deleted.digest}`, {
      method: 'DELETE',
    });
    expect(status).toBe(202);
    ksm.containers.push(
      // containerd and CRI-O name the manifest that was pulled, with the registry that it came from.
      pod('app-1', 'prod-1', 'shop', `${host}/app:v1`, `${host}/app@${old.digest}`),
      pod('app-2', 'prod-1', 'shop', `${host}/app:v1`, `${host}/app@${old.digest}`),
      pod('app-3', 'prod-2', 'shop', `${host}/app:v1`, `docker-pullable://${host}/app@${old.digest}`),
      pod('multi-1', 'prod-1', 'web', `${host}/multi:v1`, `${host}/multi@${multi.digest}`),
      pod('multi-2', 'prod-2', 'web', `${host}/multi`, `${host}/multi@${arm64.digest}`),
      pod('moved-1', 'prod-1', 'web', `${host}/moved:v1`, `${host}/moved@${untagged.digest}`),
      pod('gone-1', 'prod-1', 'batch', `${host}/gone:v1`, `${host}/gone@${deleted.digest}`),
      pod('foreign', 'prod-1', 'batch', 'quay.io/org/tool:1', `quay.io/org/tool@sha256:${'a'.repeat(64)}`),
      pod('local', 'prod-1', 'batch', 'local:dev', `sha256:${'b'.repeat(64)}`),
    );
    const alertmanager = `127.0.0.1:${alertmanagerPort}`;
    running.push(
      await startAlertmanager({
        folder: join(dir.path, 'alertmanager'),
        port: alertmanagerPort,
        webhook: webhook.url,
      }),
      await startPrometheus({
        folder: join(dir.path, 'prometheus'),
        port: prometheusPort,
        target: `127.0.0.1:${exporterPort}`,
        rules: hurriedRules(join(dir.path, 'rules')),
        alertmanager,
        others: { 'kube-state-metrics': ksm.target },
      }),
    );
    const config = join(dir.path, 'exporter.yaml');
    writeFileSync(
      config,
      `registries:
  - name: edge
    type: oci
    schedule: 1s
    endpoint: ${registryUrl}
    images: { perRepository: 1 }
    pushEvents: { metrics: "http://127.0.0.1:${metricsPort}/metrics", interval: 1s }
    retention: { keepLast: 1, maxAge: 90d }
inUse:
  sources:
    - name: fleet
      type: prometheus
      address: http://127.0.0.1:${prometheusPort}
      interval: 1s
`,
    );
    running.push(await startExporter({ config, port: exporterPort, storage: join(dir.path, 'storage') }));
    await anotherPoll();
    await eventually(async () =>
      expect((await lines('repository_in_use_images')).join('\n')).toContain('multi'),
    );
    await anotherPoll();
  });

  afterAll(async () => {
    await Promise.all(running.map((program) => program.stop()));
    ksm.server.close();
    webhook.close();
    dir.remove();
  });

  test('an index and its platform are one image, a moved tag leaves its image, a deleted one is missing', async () => {
    expect((await lines('repository_in_use_images')).filter((line) => !line.endsWith(' 0'))).toEqual([
      'repository_in_use_images{,repository="app",source="fleet",state="present"} 1',
      'repository_in_use_images{,repository="gone",source="fleet",state="missing"} 1',
      'repository_in_use_images{,repository="moved",source="fleet",state="present"} 1',
      'repository_in_use_images{,repository="multi",source="fleet",state="present"} 1',
    ]);
    expect(await lines('image_in_use')).toEqual([
      `image_in_use{,repository="app",tag="v1",digest="${old.digest}",source="fleet"} 3`,
      `image_in_use{,repository="moved",tag="",digest="${untagged.digest}",source="fleet"} 1`,
      `image_in_use{,repository="multi",tag="v1",digest="${multi.digest}",source="fleet"} 2`,
    ]);
  });

  test('an old image that runs is shown with its findings, though only the newest is in the bounded set', async () => {
    expect((await lines('image_findings')).filter((line) => line.includes('CRITICAL'))).toEqual([
      `image_findings{,repository="app",tag="v1",digest="${old.digest}",severity="CRITICAL"} 2`,
    ]);
    expect(await lines('repository_in_use_stale_images', 'repository_in_use_latest_tag_images')).toEqual([
      'repository_in_use_stale_images{,repository="app",source="fleet"} 1',
      'repository_in_use_stale_images{,repository="multi",source="fleet"} 0',
      'repository_in_use_latest_tag_images{,repository="app",source="fleet"} 0',
      'repository_in_use_latest_tag_images{,repository="gone",source="fleet"} 0',
      'repository_in_use_latest_tag_images{,repository="moved",source="fleet"} 0',
      'repository_in_use_latest_tag_images{,repository="multi",source="fleet"} 1',
    ]);
  });

  test('the images that nobody watches, and those that nothing names', async () => {
    const own = (await get('/metrics'))
      .split('\n')
      .filter((line) => /^container_registry_in_use_/.test(line));
    expect(own.filter((line) => !/timestamp|stale_after/.test(line))).toEqual([
      'container_registry_in_use_dropped_images{registry="edge",provider="oci"} 0',
      'container_registry_in_use_source_up{source="fleet"} 1',
      'container_registry_in_use_source_containers{source="fleet",image="identified"} 8',
      'container_registry_in_use_source_containers{source="fleet",image="unidentified"} 1',
      'container_registry_in_use_unmatched_images{host="quay.io"} 1',
    ]);
  });

  test('the page has the number, and whom to call; it resolves when the pods go away', async () => {
    const page = await pageOf('RunningImageWithCriticalVulnerabilities', 'firing', 'app');
    expect(page.annotations['description']).toBe(
      'Images of app in edge that run with critical findings: 1 (fixed version: unknown; what runs is told by fleet). Containers: prod-1/shop (2) prod-2/shop (1).',
    );
    expect(
      (await pageOf('RunningImageMissingFromRegistry', 'firing', 'gone')).annotations['description'],
    ).toBe(
      'Images of gone that run and are gone from edge: 1 (what runs is told by fleet). The next node that pulls one of them fails. Containers: prod-1/batch (1).',
    );
    expect(webhook.pages.map(({ labels }) => labels['repository'])).not.toContain('moved');
    const left = ksm.containers.filter(({ namespace }) => namespace === 'web');
    ksm.containers.splice(0, ksm.containers.length, ...left);
    await pageOf('RunningImageWithCriticalVulnerabilities', 'resolved', 'app');
    await pageOf('RunningImageMissingFromRegistry', 'resolved', 'gone');
  });

  test('a push that the registry refuses is counted from its own metrics, and pages somebody', async () => {
    // Its layers were never pushed.
    const { bytes, mediaType } = image({ layers: [layer('never pushed')] });
    const refuse = async (): Promise<void> => {
      const { status } = await fetch(`${registryUrl}/v2/app/manifests/broken`, {
        method: 'PUT',
        headers: { 'content-type': mediaType },
        body: bytes,
      });
      expect(status).toBe(400);
    };
    // Prometheus has seen it at 0: the first one pages, also in a registry's first 15 minutes.
    const failed = 'container_registry_push_failures_total{repository="",reason="invalid"}';
    await eventually(async () =>
      expect(await queryPrometheus(prometheusUrl, `${failed} == 0`)).toHaveLength(1),
    );
    await refuse();
    const page = await pageOf('ImagePushFailure', 'firing', '');
    expect(page.annotations['description']).toMatch(
      /Failed pushes to repositories that are not named in edge within 15 minutes: \d+ \(invalid\)/,
    );
  });
});
