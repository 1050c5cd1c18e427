import { createHash } from 'node:crypto';
import {
  CreateRepositoryCommand,
  ECRClient,
  PutImageCommand,
  PutRegistryScanningConfigurationCommand,
  StartImageScanCommand,
} from '@aws-sdk/client-ecr';
import { SQS } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { useAwsFiles } from '../support/aws.ts';
import {
  eventually,
  freePort,
  programs,
  type RunningProgram,
  startProgram,
  tempDir,
} from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';

/**
 * A second opinion: ECR as moto speaks it, filled by AWS's SDK as any user fills it. moto is a Python program
 * (`pip install 'moto[server]'`) that no Debian package brings; CI installs it from PyPI.
 * https://github.com/getmoto/moto/tree/5.2.5/moto/ecr
 */
const moto = programs('moto_server');

const region = 'eu-central-1';
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const layer = (seed: string, size: number) => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  size,
  digest: `sha256:${createHash('sha256').update(seed).digest('hex')}`,
});
const manifestOf = (seed: string, size: number) =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { ...layer(`config ${seed}`, size), mediaType: 'application/vnd.oci.image.config.v1+json' },
    layers: [layer(seed, size)],
  });
const indexOf = (...digests: string[]) =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: digests.map((digest) => ({ mediaType: manifestType, digest, size: 400 })),
  });

describe.skipIf(!moto)('ECR as moto speaks it', () => {
  const folder = tempDir();
  let server: RunningProgram;
  let endpoint = '';
  let client: ECRClient;

  beforeAll(async () => {
    const port = await freePort();
    server = await startProgram('moto_server', ['-H', '127.0.0.1', '-p', String(port)], {
      waitFor: /Running on/,
      timeoutMs: 120_000,
    });
    endpoint = `http://127.0.0.1:${port}`;
    useAwsFiles(folder.path, { default: { id: 'AKIAMOTO', secret: 'moto' } });
    client = new ECRClient({ endpoint, region });
  }, 150_000);
  afterAll(async () => {
    await server?.stop();
    folder.remove();
  });

  /** @returns the digest */
  async function push(repositoryName: string, imageManifest: string, imageTag?: string): Promise<string> {
    const { image } = await client.send(
      new PutImageCommand({
        repositoryName,
        imageManifest,
        ...(imageTag !== undefined && { imageTag }),
        imageManifestMediaType: JSON.parse(imageManifest).mediaType,
      }),
    );
    return image?.imageId?.imageDigest ?? '';
  }

  test('repositories, images, platforms, sizes, settings and findings of each push are what was put there', async () => {
    const create = (repositoryName: string, more: object = {}) =>
      client.send(new CreateRepositoryCommand({ repositoryName, ...more }));
    await create('dev/app', { imageScanningConfiguration: { scanOnPush: true } });
    await create('prod/app', {
      imageTagMutability: 'IMMUTABLE',
      encryptionConfiguration: { encryptionType: 'KMS' },
    });
    await create('empty');
    const rule = (scanFrequency: 'SCAN_ON_PUSH', filter: string) => ({
      scanFrequency,
      repositoryFilters: [{ filter, filterType: 'WILDCARD' as const }],
    });
    await client.send(
      new PutRegistryScanningConfigurationCommand({
        scanType: 'BASIC',
        rules: [rule('SCAN_ON_PUSH', 'prod')],
      }),
    );
    const app = await push('dev/app', manifestOf('app', 1000), 'v1');
    await push('dev/app', manifestOf('app', 1000), 'latest');
    await push('dev/app', manifestOf('old', 2000));
    // Promoted, and not scanned there.
    expect(await push('prod/app', manifestOf('app', 1000), 'v1')).toBe(app);
    const platforms = [
      await push('prod/app', manifestOf('amd64', 3000)),
      await push('prod/app', manifestOf('arm64', 4000)),
    ];
    await push('prod/app', indexOf(...platforms), 'v2');
    await client.send(
      new StartImageScanCommand({ repositoryName: 'dev/app', imageId: { imageDigest: app } }),
    );

    const running = await runLoop(ecr, { endpoint, region });
    try {
      await running.poll();
      const first = await running.lines('.*');
      await running.poll();
      const lines = await running.lines(
        'up',
        'info',
        'repositories',
        'quota_used',
        'repository_images',
        'repository_tags',
        'repository_artifacts',
        'repository_size_bytes',
        'repository_practice',
        'repository_image_scans',
        'repository_findings',
      );
      expect(lines.filter((line) => !/ 0$/.test(line) || /practice|images/.test(line))).toEqual([
        'info{host="123456789012.dkr.ecr.eu-central-1.amazonaws.com",account="123456789012",region="eu-central-1"} 1',
        'up{} 1',
        'repositories{} 3',
        'quota_used{quota="repositories",project=""} 3',
        'quota_used{quota="images_per_repository",project=""} 4',
        'repository_images{repository="dev/app",state="tagged"} 1',
        'repository_images{repository="dev/app",state="untagged"} 1',
        'repository_images{repository="empty",state="tagged"} 0',
        'repository_images{repository="empty",state="untagged"} 0',
        'repository_images{repository="prod/app",state="tagged"} 2',
        'repository_images{repository="prod/app",state="untagged"} 0',
        'repository_tags{repository="dev/app"} 2',
        'repository_tags{repository="prod/app"} 2',
        'repository_artifacts{repository="prod/app",kind="platform"} 2',
        // moto states the size of the configuration as that of the image.
        'repository_size_bytes{repository="dev/app"} 3000',
        'repository_size_bytes{repository="prod/app"} 8000',
        // Its only finding is a high one.
        'repository_findings{repository="dev/app",severity="HIGH"} 1',
        'repository_image_scans{repository="dev/app",status="complete"} 1',
        'repository_image_scans{repository="prod/app",status="none"} 2',
        'repository_practice{repository="dev/app",practice="scan_on_push"} 1',
        'repository_practice{repository="dev/app",practice="immutable_tags"} 0',
        'repository_practice{repository="dev/app",practice="customer_managed_key"} 0',
        'repository_practice{repository="empty",practice="scan_on_push"} 0',
        'repository_practice{repository="empty",practice="immutable_tags"} 0',
        'repository_practice{repository="empty",practice="customer_managed_key"} 0',
        'repository_practice{repository="prod/app",practice="scan_on_push"} 1',
        'repository_practice{repository="prod/app",practice="immutable_tags"} 1',
        'repository_practice{repository="prod/app",practice="customer_managed_key"} 1',
      ]);
      // What a poll shows is shown again by the next one.
      const changing = /seconds|polls|requests/;
      const steady = (all: readonly string[]) => all.filter((line) => !changing.test(line));
      expect(steady(await running.lines('.*'))).toEqual(steady(first));
      // moto has no Service Quotas: one capability, named, and nothing else.
      expect(running.loop.status().failing.map(({ capability, reason }) => [capability, reason])).toEqual([
        ['quotas', 'server_error'],
      ]);
    } finally {
      await running.stop();
    }
  });

  test('messages of a queue, sent by the vendor’s SDK, are counted and deleted', async () => {
    const sqs = new SQS({ endpoint, region });
    const { QueueUrl = '' } = await sqs.createQueue({ QueueName: 'exporter' });
    const event = {
      id: 'e1',
      'detail-type': 'ECR Image Action',
      source: 'aws.ecr',
      time: new Date().toISOString(),
      detail: { result: 'SUCCESS', 'repository-name': 'dev/app', 'action-type': 'PUSH' },
    };
    // The second is the same event again, as EventBridge may send it.
    for (const MessageBody of [JSON.stringify(event), JSON.stringify(event), 'not JSON'])
      await sqs.sendMessage({ QueueUrl, MessageBody });
    const running = await runLoop(ecr, { endpoint, region, pushEvents: { queue: QueueUrl } });
    try {
      await running.poll();
      await eventually(async () => {
        const { Attributes } = await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['All'] });
        expect(Attributes).toMatchObject({
          ApproximateNumberOfMessages: '0',
          ApproximateNumberOfMessagesNotVisible: '0',
        });
        expect(await running.counted('pushes_total', 'events_source_up')).toEqual([
          'events_source_up{source="sqs"} 1',
          'pushes_total{repository="dev/app"} 1',
        ]);
      });
    } finally {
      await running.stop();
      sqs.destroy();
    }
  });
});
