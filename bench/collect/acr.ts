import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pMap from 'p-map';
import { Agent, request } from 'undici';
import { acr } from '../../src/providers/acr.ts';
import { runCycle } from './exporter.ts';
import { type Amount, concurrency, type Subject } from './subject.ts';

/** `_manifests` in pages of 1000, as the registry writes them: 0.5 KB a manifest. */
const pageSize = 1000;
const emptyPage = Buffer.from('{"repositories":[],"manifests":[]}');
const loginServer = 'bench.azurecr.io';
const now = 1_795_000_000;

const name = (number: number): string => `team-${number % 97}/service-${number}`;

function manifest(number: number): object {
  const digest = createHash('sha256').update(String(number)).digest('hex');
  const time = new Date((now - number * 60) * 1000).toISOString().replace('000Z', '1234567Z');
  return {
    digest: `sha256:${digest}`,
    imageSize: 10_000_000 + number * 1234,
    createdTime: time,
    lastUpdateTime: time,
    architecture: 'amd64',
    os: 'linux',
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    configMediaType: 'application/vnd.docker.container.image.v1+json',
    tags: [`v1.${number}.0`, `sha-${digest.slice(0, 12)}`],
    changeableAttributes: { deleteEnabled: true, writeEnabled: true, readEnabled: true, listEnabled: true },
  };
}

/** All repositories hold the same images: pages are rendered once. */
async function serve({ repositories, imagesPerRepository }: Amount): Promise<string> {
  const count = Math.ceil(imagesPerRepository / pageSize);
  const pages = Array.from({ length: count }, (_, page) => {
    const size = Math.min(pageSize, imagesPerRepository - page * pageSize);
    const manifests = Array.from({ length: size }, (_, at) => manifest(page * pageSize + at));
    return Buffer.from(
      JSON.stringify({ registry: loginServer, imageName: 'team-00/service-00000', manifests }),
    );
  });
  const catalog = Buffer.from(
    JSON.stringify({ repositories: Array.from({ length: repositories }, (_, number) => name(number)) }),
  );
  const server = createServer((incoming, response) => {
    const url = incoming.url ?? '';
    const last = new URL(url, 'http://localhost').searchParams.get('last');
    // After the last name or manifest of a full page, which has no link, there is none.
    const page = last === null ? 0 : Number(/^page-(\d+)$/.exec(last)?.[1] ?? count);
    const all = url.startsWith('/acr/v1/_catalog') ? [catalog] : pages;
    const body = all[page] ?? emptyPage;
    const next = page + 1 < all.length;
    response.writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': body.length,
      ...(next && { link: `<${url.split('?')[0]}?last=page-${page + 1}&n=${pageSize}>; rel="next"` }),
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const names = ({ repositories }: Amount): string[] =>
  Array.from({ length: repositories }, (_, number) => name(number));
const sum = (counts: readonly number[]): number => counts.reduce((total, images) => total + images, 0);

export const subject: Subject = {
  serve,
  targets: { ofBare: 0.12, timesSdk: 0.5, gapMs: 40 },
  ways: {
    exporter: (url) =>
      runCycle(acr, { loginServer, endpoint: url, auth: { username: 'bench', password: 'bench' } }),
    async bare(url, amount) {
      const dispatcher = new Agent({ connections: concurrency });
      const counts = await pMap(
        names(amount),
        async (repository) => {
          let images = 0;
          let next = `/acr/v1/${encodeURIComponent(repository)}/_manifests?n=${pageSize}`;
          while (next) {
            const { body, headers } = await request(`${url}${next}`, { dispatcher });
            const page = JSON.parse(await body.text()) as { manifests: object[] };
            images += page.manifests.length;
            next = /<([^>]+)>/.exec(String(headers['link'] ?? ''))?.[1] ?? '';
          }
          return images;
        },
        { concurrency },
      );
      await dispatcher.close();
      return sum(counts);
    },
    async sdk(url, amount) {
      const { ContainerRegistryClient } = await import('@azure/container-registry');
      const client = new ContainerRegistryClient(`https://${loginServer}`, {
        // It sends no token over plain http, so that it is led there behind its back.
        additionalPolicies: [
          {
            position: 'perRetry',
            policy: {
              name: 'plain',
              sendRequest(asked, send) {
                asked.url = asked.url.replace(`https://${loginServer}`, url);
                asked.allowInsecureConnection = true;
                return send(asked);
              },
            },
          },
        ],
      });
      const counts = await pMap(
        names(amount),
        async (repository) => {
          let images = 0;
          const pages = client
            .getRepository(repository)
            .listManifestProperties()
            .byPage({ maxPageSize: pageSize });
          for await (const page of pages) images += page.length;
          return images;
        },
        { concurrency },
      );
      return sum(counts);
    },
  },
};
