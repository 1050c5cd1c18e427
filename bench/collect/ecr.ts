import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pMap from 'p-map';
import { Agent, request } from 'undici';
import { ecr } from '../../src/providers/ecr.ts';
import { runCycle } from './exporter.ts';
import { type Amount, concurrency, type Subject } from './subject.ts';

/** `DescribeImages` in pages of 1000, as ECR writes them: 0.7 KB an image. */
const account = '123456789012';
const pageSize = 1000;
const now = 1_795_000_000;
const region = 'us-east-1';

const name = (number: number): string => `team-${number % 97}/service-${number}`;

function detail(number: number): object {
  const digest = createHash('sha256').update(String(number)).digest('hex');
  return {
    artifactMediaType: 'application/vnd.docker.container.image.v1+json',
    imageDigest: `sha256:${digest}`,
    imageManifestMediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    imagePushedAt: now - number * 60,
    imageScanFindingsSummary: {
      findingSeverityCounts: { CRITICAL: number % 3, HIGH: 1 + (number % 7), LOW: 20, MEDIUM: 11 },
      imageScanCompletedAt: now - number * 59,
      vulnerabilitySourceUpdatedAt: now - 100_000,
    },
    imageScanStatus: { description: 'The scan was completed successfully.', status: 'COMPLETE' },
    imageSizeInBytes: 10_000_000 + number * 1234,
    imageStatus: 'ACTIVE',
    imageTags: [`v1.${number}.0`, `sha-${digest.slice(0, 12)}`],
    lastRecordedPullTime: now - number * 10,
    registryId: account,
    repositoryName: 'team-00/service-00000',
  };
}

/** All repositories hold the same images: pages are rendered once. */
async function serve({ repositories, imagesPerRepository }: Amount): Promise<string> {
  const count = Math.ceil(imagesPerRepository / pageSize);
  const pages = Array.from({ length: count }, (_, page) => {
    const size = Math.min(pageSize, imagesPerRepository - page * pageSize);
    const imageDetails = Array.from({ length: size }, (_, at) => detail(page * pageSize + at));
    return Buffer.from(
      JSON.stringify({ imageDetails, ...(page + 1 < count && { nextToken: `page-${page + 1}` }) }),
    );
  });
  const list = Array.from({ length: repositories }, (_, number) => ({
    repositoryName: name(number),
    registryId: account,
    repositoryUri: `${account}.dkr.ecr.${region}.amazonaws.com/${name(number)}`,
    imageTagMutability: 'MUTABLE',
    encryptionConfiguration: { encryptionType: 'AES256' },
  }));
  const json = (value: object) => Buffer.from(JSON.stringify(value));
  const fixed: Readonly<Record<string, Buffer>> = {
    DescribeRepositories: json({ repositories: list }),
    GetRegistryScanningConfiguration: json({
      registryId: account,
      scanningConfiguration: { scanType: 'BASIC', rules: [] },
    }),
    GetAccountSetting: json({ name: 'BASIC_SCAN_TYPE_VERSION', value: 'CLAIR' }),
    ListServiceQuotas: json({ Quotas: [] }),
  };
  const server = createServer((incoming, response) => {
    const operation = String(incoming.headers['x-amz-target']).split('.')[1] ?? '';
    let text = '';
    incoming.on('data', (piece) => (text += piece));
    incoming.on('end', () => {
      const page = Number(/"nextToken":"page-(\d+)"/.exec(text)?.[1] ?? 0);
      const body = fixed[operation] ?? pages[page] ?? Buffer.from('{}');
      response.writeHead(200, {
        'content-type': 'application/x-amz-json-1.1',
        'content-length': body.length,
      });
      response.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

process.env['AWS_ACCESS_KEY_ID'] = 'AKIABENCH00000000000';
process.env['AWS_SECRET_ACCESS_KEY'] = 'bench';

export const subject: Subject = {
  serve,
  targets: { ofBare: 0.25, timesSdk: 0.8 },
  ways: {
    exporter: (url, { compared }) =>
      runCycle(ecr, { endpoint: url, region }, compared ? concurrency : undefined),
    async bare(url, { repositories }) {
      const dispatcher = new Agent({ connections: concurrency });
      const counts = await pMap(
        Array.from({ length: repositories }, (_, number) => name(number)),
        async (repositoryName) => {
          let images = 0;
          for (let nextToken: string | undefined; ; ) {
            const { body } = await request(url, {
              dispatcher,
              method: 'POST',
              headers: {
                'content-type': 'application/x-amz-json-1.1',
                'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.DescribeImages',
              },
              body: JSON.stringify({ repositoryName, maxResults: pageSize, nextToken }),
            });
            const page = JSON.parse(await body.text()) as { imageDetails: object[]; nextToken?: string };
            images += page.imageDetails.length;
            nextToken = page.nextToken;
            if (nextToken === undefined) return images;
          }
        },
        { concurrency },
      );
      await dispatcher.close();
      return counts.reduce((sum, images) => sum + images, 0);
    },
    async sdk(url, { repositories }) {
      const { ECRClient, paginateDescribeImages } = await import('@aws-sdk/client-ecr');
      const client = new ECRClient({ endpoint: url, region });
      const counts = await pMap(
        Array.from({ length: repositories }, (_, number) => name(number)),
        async (repositoryName) => {
          let images = 0;
          for await (const page of paginateDescribeImages({ client, pageSize }, { repositoryName }))
            images += page.imageDetails?.length ?? 0;
          return images;
        },
        { concurrency },
      );
      return counts.reduce((sum, images) => sum + images, 0);
    },
  },
};
