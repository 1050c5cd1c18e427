import { createHash } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { createRequire } from 'node:module';
import type { AddressInfo, Server } from 'node:net';
import gax, { type protobuf } from 'google-gax';
import pMap from 'p-map';
import { Agent, request } from 'undici';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import { runCycle } from './exporter.ts';
import { type Amount, concurrency, type Subject } from './subject.ts';

/**
 * `ListDockerImages` in pages of 1000, by gRPC for the exporter and the SDK, and with the same content as JSON for the
 * bare reader: 0.8 KB an image.
 */
const pageSize = 1000;
const now = 1_795_000_000;
const place = { project: 'bench', location: 'europe-west3' };
const parent = `projects/${place.project}/locations/${place.location}`;
const repositoryName = (number: number): string => `${parent}/repositories/team-${number}`;

function image(number: number): object {
  const digest = createHash('sha256').update(String(number)).digest('hex');
  const seconds = now - number * 60;
  return {
    name: `${repositoryName(0)}/dockerImages/service@sha256:${digest}`,
    uri: `${place.location}-docker.pkg.dev/${place.project}/team-0/service@sha256:${digest}`,
    tags: [`v1.${number}.0`, `sha-${digest.slice(0, 12)}`],
    imageSizeBytes: 10_000_000 + number * 1234,
    uploadTime: { seconds, nanos: 123_456_000 },
    buildTime: { seconds: seconds - 300, nanos: 0 },
    updateTime: { seconds: seconds + 1, nanos: 987_654_000 },
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
  };
}

const frame = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

/** All repositories hold the same images: pages are rendered once. */
async function serve({ repositories, imagesPerRepository }: Amount): Promise<string> {
  const root = gax.protobuf.Root.fromJSON(
    createRequire(import.meta.url)(
      '@google-cloud/artifact-registry/build/protos/protos.json',
    ) as protobuf.INamespace,
  );
  const type = (name: string) => root.lookupType(`google.devtools.artifactregistry.v1.${name}`);
  const Images = type('ListDockerImagesResponse');
  const count = Math.ceil(imagesPerRepository / pageSize);
  const pages = Array.from({ length: count }, (_, page) => {
    const size = Math.min(pageSize, imagesPerRepository - page * pageSize);
    const message = Images.fromObject({
      dockerImages: Array.from({ length: size }, (_each, at) => image(page * pageSize + at)),
      nextPageToken: page + 1 < count ? `page-${page + 1}` : '',
    });
    return {
      grpc: frame(Images.encode(message).finish()),
      json: Buffer.from(JSON.stringify(gax.serializer.toProto3JSON(message as never))),
    };
  });
  const Repositories = type('ListRepositoriesResponse');
  const list = frame(
    Repositories.encode(
      Repositories.fromObject({
        repositories: Array.from({ length: repositories }, (_, number) => ({
          name: repositoryName(number),
          format: 'DOCKER',
          mode: 'STANDARD_REPOSITORY',
        })),
      }),
    ).finish(),
  );
  const nothing = frame(new Uint8Array());

  // Plain JSON on the port of HTTP/1.1, whose address tells the one of gRPC.
  const rest = createHttpServer((incoming, response) => {
    const asked = incoming.url ?? '';
    const page = pages[Number(/pageToken=page-(\d+)/.exec(asked)?.[1] ?? 0)];
    // Container Analysis knows nothing of any image.
    const json = (asked.includes('/dockerImages') && page?.json) || Buffer.from('{}');
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': json.length });
    response.end(json);
  });
  const grpc = createServer();
  grpc.on('stream', (started, headers) => {
    const stream = started as ServerHttp2Stream;
    const asked: Buffer[] = [];
    stream.on('data', (piece: Buffer) => asked.push(piece));
    stream.on('error', () => {});
    stream.on('end', () => {
      const path = headers[':path'] ?? '';
      const page = Number(/page-(\d+)/.exec(Buffer.concat(asked).toString('latin1'))?.[1] ?? 0);
      const body = path.endsWith('/ListRepositories')
        ? list
        : path.endsWith('/ListDockerImages')
          ? pages[page]?.grpc
          : undefined;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(body ?? nothing);
    });
  });
  const listen = async (server: Server) => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };
  return `http://127.0.0.1:${await listen(grpc)}/?json=${await listen(rest)}`;
}

const grpcOf = (url: string): string => new URL(url).origin;
const jsonOf = (url: string): string => `http://127.0.0.1:${new URL(url).searchParams.get('json')}`;
const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
const names = ({ repositories }: Amount): string[] =>
  Array.from({ length: repositories }, (_, number) => repositoryName(number));

export const subject: Subject = {
  serve,
  // Google's SDK makes an object of every field: see docs/performance.md.
  targets: { ofBare: 0.15, gapMs: 40 },
  ways: {
    exporter: (url) =>
      runCycle(artifactRegistry, {
        projects: [place.project],
        locations: [place.location],
        endpoint: grpcOf(url),
        containerAnalysisEndpoint: jsonOf(url),
      }),
    async bare(url, amount) {
      const dispatcher = new Agent({ connections: concurrency });
      const counts = await pMap(
        names(amount),
        async (name) => {
          let images = 0;
          for (let token = ''; ; ) {
            const { body } = await request(
              `${jsonOf(url)}/v1/${name}/dockerImages?pageSize=${pageSize}&pageToken=${token}`,
              { dispatcher },
            );
            const page = JSON.parse(await body.text()) as { dockerImages: object[]; nextPageToken?: string };
            images += page.dockerImages.length;
            if (!page.nextPageToken) return images;
            token = page.nextPageToken;
          }
        },
        { concurrency },
      );
      await dispatcher.close();
      return sum(counts);
    },
    async sdk(url, amount) {
      const { ArtifactRegistryClient } = await import('@google-cloud/artifact-registry');
      const { PassThroughClient } = await import('google-auth-library');
      const { hostname, port } = new URL(url);
      // Its warning is of its own making.
      process.removeAllListeners('warning');
      const client = new ArtifactRegistryClient({
        apiEndpoint: hostname,
        port: Number(port),
        sslCreds: gax.grpc.credentials.createInsecure(),
        authClient: new PassThroughClient(),
        projectId: place.project,
      });
      const counts = await pMap(
        names(amount),
        async (name) => {
          let images = 0;
          for await (const one of client.listDockerImagesAsync({ parent: name, pageSize }))
            images += one.name ? 1 : 0;
          return images;
        },
        { concurrency },
      );
      await client.close();
      return sum(counts);
    },
  },
};
