import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DescribeImagesCommand, DescribeRepositoriesCommand, ECRClient } from '@aws-sdk/client-ecr';
import { afterEach, describe, expect, test } from 'vitest';
import { createEstate } from '../simulators/estate.ts';
import { closing, setup } from '../support/ecr-setup.ts';
import { eventually, freePort, programs, tempDir } from '../support/programs.ts';
import { startPrometheus } from '../support/real-programs.ts';

/**
 * The rules that record the names of aws-exporters/ecr, held against that exporter on the same registry: one Prometheus
 * scrapes what that exporter shows of it, by its README and from the same two calls of AWS's API, the other one scrapes
 * ours and loads the rules. The queries of that README have to give the same. https://github.com/aws-exporters/ecr
 */
const rules = join(import.meta.dirname, '..', '..', 'alerts', 'compat-aws-exporters-ecr.rules.yaml');

/** From the README of aws-exporters/ecr, word for word. */
const readmeQueries = [
  'max by (namespace, container, image, pod) (kube_pod_container_info) * on (image) group_left(name, tag) aws_ecr_image_scan_severity_count{severity="CRITICAL"}',
  'max by (namespace, container, image) (kube_pod_container_info) * on (image) group_left(name, tag) aws_ecr_image_scan_severity_count{severity="CRITICAL"}',
  'max by (pod) (kube_pod_container_status_running > 0) * on (pod) group_right() max by (pod, namespace, container, image) (kube_pod_container_info) * on (image) group_left(name, tag) aws_ecr_image_scan_severity_count{severity="CRITICAL"}',
  'max without (pod) (max by (pod) (kube_pod_container_status_running > 0) * on (pod) group_right() max by (pod, namespace, container, image) (kube_pod_container_info) * on (image) group_left(name, tag) aws_ecr_image_scan_severity_count{severity="CRITICAL"})',
];

type Labels = Readonly<Record<string, string>>;
const sample = (name: string, labels: Labels, value: number): string =>
  `${name}{${Object.entries(labels)
    .map(([label, text]) => `${label}="${text}"`)
    .join(',')}} ${value}`;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});
async function serve(body: () => Promise<string> | string): Promise<string> {
  const server = createServer(async (_request, response) => {
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    response.end(await body());
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What aws-exporters/ecr shows, by its README, from what the API answers. */
async function theirs(client: ECRClient) {
  const lines = ['aws_ecr_repository_exporter_up 1'];
  const images: { readonly image: string; readonly isIndex: boolean }[] = [];
  const { repositories = [] } = await client.send(new DescribeRepositoriesCommand({}));
  const registry_id = repositories[0]?.registryId ?? '';
  lines.push(sample('aws_ecr_repository_count', { registry_id }, repositories.length));
  for (const repository of repositories) {
    const { repositoryName: name = '', repositoryUri: repository_uri = '' } = repository;
    const info = {
      name,
      registry_id,
      repository_uri,
      tag_mutability: repository.imageTagMutability ?? '',
      scan_on_push: String(repository.imageScanningConfiguration?.scanOnPush),
      encryption_type: repository.encryptionConfiguration?.encryptionType ?? '',
    };
    lines.push(sample('aws_ecr_repository_info', info, 1));
    const { imageDetails = [] } = await client.send(new DescribeImagesCommand({ repositoryName: name }));
    for (const { imageTags = [], imageDigest: digest = '', ...image } of imageDetails)
      for (const tag of imageTags) {
        const labels = { name, tag, digest, registry_id, image: `${repository_uri}:${tag}` };
        const add = (metric: string, value: number, more: Labels = {}) =>
          lines.push(sample(`aws_ecr_image_${metric}`, { ...labels, ...more }, value));
        const isIndex = /index|manifest\.list/.test(image.imageManifestMediaType ?? '');
        // Cosign's signatures and the like have tags too; archived images are in no listing of active ones.
        const isImage = !tag.startsWith('sha256-') && !image.artifactMediaType?.includes('helm');
        if (!isImage || image.imageStatus === 'ARCHIVED') continue;
        images.push({ image: labels.image, isIndex });
        if (!isIndex) add('size_in_bytes', image.imageSizeInBytes ?? 0);
        add('pushed_at_timestamp_seconds', (image.imagePushedAt?.getTime() ?? 0) / 1000);
        const summary = image.imageScanFindingsSummary;
        for (const [severity, count] of Object.entries(summary?.findingSeverityCounts ?? {}))
          add('scan_severity_count', count, { severity });
        if (summary?.findingSeverityCounts && Object.keys(summary.findingSeverityCounts).length > 0)
          add('scan_completed_at_timestamp_seconds', (summary.imageScanCompletedAt?.getTime() ?? 0) / 1000);
      }
  }
  return { text: `${lines.join('\n')}\n`, images };
}

/** Pods that run these images, as kube-state-metrics shows them; every third has ended. */
const pods = (images: readonly string[]): string =>
  `${images
    .flatMap((image, at) => {
      const pod = { namespace: `team-${at % 3}`, pod: `web-${at}`, container: 'web' };
      return [
        sample('kube_pod_container_info', { ...pod, image }, 1),
        sample('kube_pod_container_status_running', pod, Number(at % 3 !== 0)),
      ];
    })
    .join('\n')}\n`;

/** The results of a query, without what tells the two targets apart. */
async function results(prometheus: string, query: string): Promise<string[]> {
  const response = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(query)}`);
  const { data } = (await response.json()) as {
    data: { result: { metric: Record<string, string>; value: [number, string] }[] };
  };
  return data.result
    .map(({ metric: { __name__: _, job: __, instance: ___, ...labels }, value: [, value] }) =>
      sample('', Object.fromEntries(Object.entries(labels).sort()), Number(value)),
    )
    .sort();
}

describe.skipIf(!programs('prometheus'))('with real Prometheus', () => {
  test('the queries of its README, and its families, give the same from our series', async () => {
    const estate = createEstate({ seed: 7, repositories: 6, now: Math.floor(Date.now() / 1000) - 3600 });
    const { simulator, running } = await setup({ estate }, { images: { tags: ['*'] } });
    const client = new ECRClient({
      endpoint: simulator.url,
      region: simulator.region,
      credentials: simulator.key,
    });
    await running.poll();
    const expected = await theirs(client);
    // ECR scans the platforms of an index and says nothing of the index itself: there ours knows more.
    const kube = pods(expected.images.filter(({ isIndex }) => !isIndex).map(({ image }) => image));
    const folder = tempDir();
    closing(() => folder.remove());
    const start = async (name: string, target: string, ruleFile?: string): Promise<string> => {
      const port = await freePort();
      const program = await startPrometheus({
        folder: join(folder.path, name),
        port,
        target,
        ...(ruleFile && { rules: ruleFile }),
      });
      closing(() => program.stop());
      return `http://127.0.0.1:${port}`;
    };
    const before = await start('theirs', await serve(() => expected.text + kube));
    const after = await start('ours', await serve(async () => (await running.text()) + kube), rules);

    for (const query of readmeQueries)
      await eventually(async () => {
        const same = await results(before, query);
        expect(same.length, query).toBeGreaterThan(0);
        expect(await results(after, query), query).toEqual(same);
      });
    // The groups of the rules are evaluated one here, one there within the interval.
    const family = (name: string, compare: (ours: string[], theirs: string[]) => void) =>
      eventually(async () => {
        const shown = await results(before, name);
        expect(shown.length, name).toBeGreaterThan(0);
        compare(await results(after, name), shown);
      });
    for (const name of ['repository_exporter_up', 'repository_count', 'image_pushed_at_timestamp_seconds'])
      await family(`aws_ecr_${name}`, (ours, shown) => expect(ours, name).toEqual(shown));
    // The rest covers indexes too, of which ECR says less, or something else.
    for (const name of ['size_in_bytes', 'scan_severity_count', 'scan_completed_at_timestamp_seconds'])
      await family(`aws_ecr_image_${name}`, (ours, shown) =>
        expect(ours, name).toEqual(expect.arrayContaining(shown)),
      );
    // Two words that ours does not tell apart: immutability with exclusions, and KMS in two layers.
    const alike = (line: string) =>
      line.replace('KMS_DSSE', 'KMS').replace(/(IMMUTABLE|MUTABLE)_WITH_EXCLUSION/, 'MUTABLE');
    await family('aws_ecr_repository_info', (ours, shown) => expect(ours).toEqual(shown.map(alike).sort()));
  });
});
