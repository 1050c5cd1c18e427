import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dashboards } from '../../grafana/index.ts';
import { dashboardQueries } from '../support/dashboards.ts';
import { type Blob, type Content, pushTo } from '../support/oci-image.ts';
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
import * as pushed from './population.ts';
import { queryPrometheus, readExporter } from './reading.ts';

/**
 * The whole path with real programs: docker-registry, skopeo → the exporter → Prometheus with the shipped rules →
 * Alertmanager → a webhook. The tests are one story and run in their order.
 */
const tools = ['docker-registry', 'skopeo', 'prometheus', 'prometheus-alertmanager'] as const;

describe.skipIf(!programs(...tools))('from a real registry to a page', () => {
  const dir = tempDir();
  const config = join(dir.path, 'exporter.yaml');
  const storage = join(dir.path, 'storage');
  const token = 'a-token-of-the-end-to-end-test';
  const staleAfterSeconds = 8;
  let ports: { registry: number; exporter: number; prometheus: number; alertmanager: number };
  let registryUrl: string;
  let registry: RunningProgram;
  let exporter: RunningProgram;
  const others: RunningProgram[] = [];
  let webhook: Awaited<ReturnType<typeof startWebhook>>;

  const { get, lines, value, polls, anotherPoll } = readExporter(
    () => `http://127.0.0.1:${ports.exporter}`,
    'registry="edge",provider="oci"',
  );
  const nonZero = async (family: string) => (await lines(family)).filter((line) => !/ 0$/.test(line));
  const query = (expr: string) => queryPrometheus(`http://127.0.0.1:${ports.prometheus}`, expr);
  const writeConfig = (name = 'edge'): void =>
    writeFileSync(
      config,
      `registries:
  - name: ${name}
    type: oci
    schedule: 1s
    staleAfter: ${staleAfterSeconds}s
    endpoint: ${registryUrl}
    http: { retries: 0, timeout: 2s }
    retention: { keepLast: 1, maxAge: 90d }
    events: { token: ${token} }
`,
    );
  const startRegistry = () =>
    startDistribution({
      folder: join(dir.path, 'registry'),
      port: ports.registry,
      notify: { url: `http://127.0.0.1:${ports.exporter}/events/edge`, token },
    });
  const runExporter = () => startExporter({ config, port: ports.exporter, storage });

  beforeAll(async () => {
    const [one, two, three, four] = [await freePort(), await freePort(), await freePort(), await freePort()];
    ports = { registry: one, exporter: two, prometheus: three, alertmanager: four };
    registryUrl = `http://127.0.0.1:${ports.registry}`;
    writeConfig();
    registry = await startRegistry();
    exporter = await runExporter();
    webhook = await startWebhook();
    others.push(
      await startAlertmanager({
        folder: join(dir.path, 'alertmanager'),
        port: ports.alertmanager,
        webhook: webhook.url,
      }),
      await startPrometheus({
        folder: join(dir.path, 'prometheus'),
        port: ports.prometheus,
        target: `127.0.0.1:${ports.exporter}`,
        rules: hurriedRules(join(dir.path, 'rules')),
        alertmanager: `127.0.0.1:${ports.alertmanager}`,
      }),
    );
    await pushed.pushPopulation(registryUrl, dir.path);
    await anotherPoll();
  });

  afterAll(async () => {
    await Promise.all([exporter, registry, ...others].map((program) => program?.stop()));
    webhook?.close();
    dir.remove();
  });

  describe('each number equals what was pushed', () => {
    const { v1, v2, multi, amd64, arm64, doomed, started, day } = pushed;
    const { signature, report, referrers, attestation } = pushed;

    test('repositories, images, tags', async () => {
      expect(await lines('repositories', 'repository_images', 'repository_tags')).toEqual([
        'repositories{} 3',
        'repository_images{,repository="doomed",state="tagged"} 1',
        'repository_images{,repository="team/app",state="tagged"} 2',
        'repository_images{,repository="team/multi",state="tagged"} 1',
        'repository_tags{,repository="doomed"} 1',
        'repository_tags{,repository="team/app"} 2',
        'repository_tags{,repository="team/multi"} 1',
      ]);
    });

    test('the platforms of an index, signatures and reports are no images', async () => {
      expect(await lines('repository_artifacts')).toEqual([
        'repository_artifacts{,repository="team/app",kind="signature"} 1',
        'repository_artifacts{,repository="team/app",kind="attestation"} 1',
        'repository_artifacts{,repository="team/multi",kind="platform"} 2',
        'repository_artifacts{,repository="team/multi",kind="attestation"} 1',
      ]);
    });

    test('sizes: a shared layer counts for each image, and once for the registry', async () => {
      expect(await lines('repository_size_bytes')).toEqual([
        `repository_size_bytes{,repository="doomed"} ${doomed.sizeBytes}`,
        `repository_size_bytes{,repository="team/app"} ${v1.sizeBytes + v2.sizeBytes}`,
        `repository_size_bytes{,repository="team/multi"} ${amd64.sizeBytes + arm64.sizeBytes}`,
      ]);
      const stored = new Map<string, number>();
      const store = ({ digest, bytes }: Blob | Content) => stored.set(digest, bytes.length);
      const attached = [signature, report, referrers, attestation];
      for (const content of [v1, v2, multi, amd64, arm64, doomed, ...attached]) {
        store(content);
        content.blobs.forEach(store);
      }
      const sum = [...stored.values()].reduce((total, size) => total + size, 0);
      expect(await lines('storage_bytes')).toEqual([`storage_bytes{} ${sum}`]);
    });

    test('what a retention policy of one image and 90 days would remove', async () => {
      expect(await lines('repository_stale_images', 'repository_reclaimable_bytes')).toEqual([
        'repository_reclaimable_bytes{,repository="doomed"} 0',
        `repository_reclaimable_bytes{,repository="team/app"} ${v1.sizeBytes}`,
        'repository_reclaimable_bytes{,repository="team/multi"} 0',
        'repository_stale_images{,repository="doomed"} 0',
        'repository_stale_images{,repository="team/app"} 1',
        'repository_stale_images{,repository="team/multi"} 0',
      ]);
    });

    test('the creation time stands for the push time', async () => {
      expect(await lines('repository_last_push_timestamp_seconds')).toEqual([
        `repository_last_push_timestamp_seconds{,repository="doomed"} ${started - 5 * day}`,
        `repository_last_push_timestamp_seconds{,repository="team/app"} ${started - 2 * day}`,
        `repository_last_push_timestamp_seconds{,repository="team/multi"} ${started - day}`,
      ]);
    });

    test('findings of both reports; a repository without one has no findings, not zero', async () => {
      const counted = await nonZero('repository_findings');
      expect(counted).toEqual([
        'repository_findings{,repository="team/app",severity="CRITICAL"} 2',
        'repository_findings{,repository="team/app",severity="HIGH"} 3',
        'repository_findings{,repository="team/app",severity="MEDIUM"} 1',
        'repository_findings{,repository="team/multi",severity="HIGH"} 4',
        'repository_findings{,repository="team/multi",severity="LOW"} 2',
      ]);
      expect((await lines('repository_findings')).join('\n')).not.toContain('doomed');
      expect(await lines('repository_fixable_findings')).toContain(
        'repository_fixable_findings{,repository="team/multi",severity="HIGH"} 3',
      );
    });

    test('signatures', async () => {
      expect(await lines('repository_signed_images', 'image_signed')).toEqual([
        'repository_signed_images{,repository="doomed"} 0',
        'repository_signed_images{,repository="team/app"} 1',
        'repository_signed_images{,repository="team/multi"} 0',
        `image_signed{,repository="doomed",tag="v1",digest="${doomed.digest}"} 0`,
        `image_signed{,repository="team/app",tag="v2",digest="${v2.digest}"} 1`,
        `image_signed{,repository="team/app",tag="v1",digest="${v1.digest}"} 0`,
        `image_signed{,repository="team/multi",tag="latest",digest="${multi.digest}"} 0`,
      ]);
    });

    test('images with findings of each severity, and whether images were scanned', async () => {
      const counted = await nonZero('repository_vulnerable_images');
      expect(counted).toEqual([
        'repository_vulnerable_images{,repository="team/app",severity="CRITICAL"} 1',
        'repository_vulnerable_images{,repository="team/app",severity="HIGH"} 1',
        'repository_vulnerable_images{,repository="team/app",severity="MEDIUM"} 1',
        'repository_vulnerable_images{,repository="team/multi",severity="HIGH"} 1',
        'repository_vulnerable_images{,repository="team/multi",severity="LOW"} 1',
      ]);
      const scans = await nonZero('repository_image_scans');
      // `v1` of team/app has no report: nobody knows whether it was scanned, so it counts nowhere.
      expect(scans).toEqual([
        'repository_image_scans{,repository="team/app",status="complete"} 1',
        'repository_image_scans{,repository="team/multi",status="complete"} 1',
      ]);
    });

    test('the newest images one by one: size, time, findings', async () => {
      const labels = (repository: string, tag: string, { digest }: Content) =>
        `{,repository="${repository}",tag="${tag}",digest="${digest}"`;
      const [doomedV1, appV2, appV1, latest] = [
        labels('doomed', 'v1', doomed),
        labels('team/app', 'v2', v2),
        labels('team/app', 'v1', v1),
        labels('team/multi', 'latest', multi),
      ];
      expect(await lines('image_size_bytes', 'image_pushed_timestamp_seconds')).toEqual([
        `image_size_bytes${doomedV1}} ${doomed.sizeBytes}`,
        `image_size_bytes${appV2}} ${v2.sizeBytes}`,
        `image_size_bytes${appV1}} ${v1.sizeBytes}`,
        `image_size_bytes${latest}} ${amd64.sizeBytes + arm64.sizeBytes}`,
        `image_pushed_timestamp_seconds${doomedV1}} ${started - 5 * day}`,
        `image_pushed_timestamp_seconds${appV2}} ${started - 2 * day}`,
        `image_pushed_timestamp_seconds${appV1}} ${started - 200 * day}`,
        `image_pushed_timestamp_seconds${latest}} ${started - day}`,
      ]);
      expect(await nonZero('image_findings')).toEqual([
        `image_findings${appV2},severity="CRITICAL"} 2`,
        `image_findings${appV2},severity="HIGH"} 3`,
        `image_findings${appV2},severity="MEDIUM"} 1`,
        `image_findings${latest},severity="HIGH"} 4`,
        `image_findings${latest},severity="LOW"} 2`,
      ]);
      // The attestation says when its scanner ended; the SARIF report does not.
      expect(await lines('image_scanned_timestamp_seconds')).toEqual([
        `image_scanned_timestamp_seconds${latest}} ${Date.parse('2026-11-20T10:00:00Z') / 1000}`,
      ]);
    });

    test("pushes, as the registry's own events tell", async () => {
      // Each manifest that was put: 3 images and 2 attachments with the report; platforms come before their index.
      await eventually(async () =>
        expect(await nonZero('pushes_total')).toEqual([
          'pushes_total{,repository="doomed"} 1',
          'pushes_total{,repository="team/app"} 6',
          'pushes_total{,repository="team/multi"} 4',
        ]),
      );
    });
  });

  test('a second poll asks for the catalog, one list of tags per repository and one HEAD per tag', async () => {
    const counts = async () => {
      const requests = (await lines('api_requests_total')).map((line) => {
        const [, operation = '', code = '', count] =
          /operation="(\w+)",code="(\w+)"} (\d+)$/.exec(line) ?? [];
        return [`${operation} ${code}`, Number(count)] as const;
      });
      return { polls: await polls(), requests: new Map(requests) };
    };
    // Requests are counted as they end and polls at their end: two calm moments are compared.
    const calm = () =>
      eventually(async () => {
        const [one, two] = [await counts(), await counts()];
        expect(two).toEqual(one);
        expect(JSON.parse(await get('/api/v1/status')).registries[0].polling).toBeUndefined();
        return two;
      });
    // Push events make the exporter look at a repository between polls: those looks come to an end first.
    await eventually(async () => {
      const before = await calm();
      await anotherPoll();
      const after = await calm();
      const turns = after.polls - before.polls;
      const perPoll = [...after.requests]
        .map(([key, count]) => [key, (count - (before.requests.get(key) ?? 0)) / turns] as const)
        .filter(([, count]) => count > 0);
      expect(Object.fromEntries(perPoll)).toEqual({
        'catalog 200': 1,
        'tags 200': 3,
        'manifest_head 200': 7,
      });
    });
  });

  test("the registry's own log agrees: an unchanged registry is asked for no body again", async () => {
    const seen = registry.output().length;
    await anotherPoll();
    const asked = [
      ...registry
        .output()
        .slice(seen)
        .matchAll(/"(GET|HEAD) (\/v2\/\S*) HTTP/g),
    ];
    const bodies = asked.filter(
      ([, method, path = '']) => method === 'GET' && /\/(manifests|blobs)\//.test(path),
    );
    expect(bodies.map(([line]) => line)).toEqual([]);
    expect(asked.map(([line]) => line)).toContain('"HEAD /v2/team/app/manifests/v2 HTTP');
  });

  test('critical findings page somebody, with numbers and a way on', async () => {
    const page = await eventually(() => {
      const found = webhook.pages.find(
        ({ labels }) => labels['alertname'] === 'ImageWithCriticalVulnerabilities',
      );
      expect(found).toBeDefined();
      return found as Page;
    });
    expect(page).toMatchObject({
      status: 'firing',
      labels: { registry: 'edge', repository: 'team/app', severity: 'critical' },
      annotations: {
        summary: 'Image has critical vulnerabilities',
        description: 'Critical findings of the newest tagged image of team/app in edge: 2.',
        runbook_url: expect.stringMatching(/docs\/runbooks\/ImageWithCriticalVulnerabilities\.md$/),
      },
    });
    expect(webhook.pages.map(({ labels }) => labels['repository'])).not.toContain('team/multi');
  });

  test('a push that a registry refused pages somebody', async () => {
    // The distribution registry tells of no refused push; zot does, and this is what it sends.
    const refuse = async (id: string): Promise<void> => {
      const answer = await fetch(`http://127.0.0.1:${ports.exporter}/events/edge`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'ce-specversion': '1.0',
          'ce-id': id,
          'ce-type': 'zotregistry.image.lint_failed',
        },
        body: JSON.stringify({ name: 'team/app', reference: 'v3' }),
      });
      expect(answer.ok).toBe(true);
    };
    // Within a registry's first 15 minutes a failure counts only as an increase: two, and a scrape in between.
    await refuse('refused-1');
    await eventually(async () =>
      expect((await query('container_registry_push_failures_total{repository="team/app"}')).length).toBe(1),
    );
    await refuse('refused-2');
    await eventually(() => {
      const names = webhook.pages.map(({ labels }) => `${labels['alertname']} ${labels['repository']}`);
      expect(names).toContain('ImagePushFailure team/app');
    });
  });

  // Everything else that the boards ask for has data in the test of all providers.
  test.each([
    'repository_reclaimable_bytes',
    'repository_stale_images',
    'pushes_total',
    'push_failures_total',
    'events_total',
  ])('the boards ask for %s, which has data', async (name) => {
    const asked = [...dashboards.values()].flatMap(dashboardQueries).filter((one) => one.includes(name));
    expect(asked.length).toBeGreaterThan(0);
    await eventually(async () =>
      expect((await query(`container_registry_${name}`)).length).toBeGreaterThan(0),
    );
    for (const one of asked) await query(one);
  });

  test('a tag that is pushed again onto another image is seen at the next poll', async () => {
    await pushTo(registryUrl, 'doomed', pushed.v1, 'v1');
    await anotherPoll();
    expect(await lines('image_size_bytes')).toContain(
      `image_size_bytes{,repository="doomed",tag="v1",digest="${pushed.v1.digest}"} ${pushed.v1.sizeBytes}`,
    );
    expect(await get('/metrics')).not.toContain(pushed.doomed.digest);
  });

  test('the series of a deleted repository are gone', async () => {
    rmSync(join(dir.path, 'registry', 'data', 'docker', 'registry', 'v2', 'repositories', 'doomed'), {
      recursive: true,
    });
    await eventually(async () => {
      expect(await get('/metrics')).not.toContain('doomed');
      expect(await lines('repositories')).toEqual(['repositories{} 2']);
    });
    await eventually(async () => expect(await query('{repository="doomed"}')).toEqual([]));
    expect((await query('{repository="team/app"}')).length).toBeGreaterThan(5);
  });

  test('POST /-/reload and SIGHUP read the configuration again', async () => {
    writeConfig('edge-two');
    const answer = await fetch(`http://127.0.0.1:${ports.exporter}/-/reload`, { method: 'POST' });
    expect(answer.status).toBe(200);
    expect(await get('/metrics')).toContain('container_registry_info{registry="edge-two"');
    expect(await get('/metrics')).not.toContain('registry="edge",');
    writeConfig('edge');
    exporter.process.kill('SIGHUP');
    await eventually(async () =>
      expect(await get('/metrics')).toContain('container_registry_info{registry="edge",'),
    );
    await eventually(async () => expect(await value('up')).toBe(1));
  });

  test('after kill -9 the data is there at once, with its true age, while the registry is down', async () => {
    await anotherPoll();
    await registry.stop();
    await eventually(async () => expect(await value('up')).toBe(0));
    const succeeded = await value('last_success_timestamp_seconds');
    const images = await lines('repository_images', 'repository_findings', 'storage_bytes');
    const before = await polls();
    expect(images.length).toBeGreaterThan(2);
    await exporter.stop('SIGKILL');
    exporter = await runExporter();
    expect(await lines('repository_images', 'repository_findings', 'storage_bytes')).toEqual(images);
    expect(await value('last_success_timestamp_seconds')).toBe(succeeded);
    expect(await polls()).toBeGreaterThanOrEqual(before - 1);
  });

  test('data that is too old vanishes; what is known of the registry itself stays', async () => {
    await eventually(
      async () => {
        expect(await lines('repository_images', 'storage_bytes', 'repositories')).toEqual([]);
      },
      2 * staleAfterSeconds * 1000,
    );
    expect(await value('up')).toBe(0);
    expect(await value('last_success_timestamp_seconds')).toBeGreaterThan(pushed.started);
    expect((await get('/')).toLowerCase()).toContain('econnrefused');
  });

  test('RegistryDown pages, and all is well again once the registry answers', async () => {
    await eventually(() => {
      expect(webhook.pages.map(({ labels }) => labels['alertname'])).toContain('RegistryDown');
    });
    registry = await startRegistry();
    await eventually(async () => {
      expect(await value('up')).toBe(1);
      expect(await lines('repositories')).toEqual(['repositories{} 2']);
    });
    await eventually(() => {
      expect(webhook.pages).toContainEqual(
        expect.objectContaining({
          status: 'resolved',
          labels: expect.objectContaining({ alertname: 'RegistryDown' }),
        }),
      );
    });
  });
});
