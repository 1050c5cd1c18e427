import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createHttpClient } from '../../src/http.ts';
import { sourceKinds } from '../../src/in-use/sources/index.ts';
import { Counting } from '../../src/in-use/tally.ts';
import { recordingLog } from '../support/web.ts';

/** A cluster that a kubeconfig leads to: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ */

const folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
const file = join(folder, 'config');
const seen: { authorization: string | undefined; certificate: string | undefined }[] = [];
const certificateOf = (commonName: string) =>
  generate([{ name: 'commonName', value: commonName }], {
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  });
let server: ReturnType<typeof createServer>;
let ca: string;
let client: { readonly private: string; readonly cert: string };
beforeAll(async () => {
  const own = await certificateOf('kubernetes');
  client = await certificateOf('exporter');
  ca = own.cert;
  server = createServer(
    { key: own.private, cert: own.cert, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const { subject } = (request.socket as TLSSocket).getPeerCertificate();
      seen.push({
        authorization: request.headers.authorization,
        certificate: subject?.CN as string | undefined,
      });
      response.setHeader('content-type', 'application/json');
      response.end('{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}');
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const base64 = (text: string) => Buffer.from(text).toString('base64');
/** A kubeconfig with one context; JSON is YAML. */
const write = (user: object, cluster: object = { 'certificate-authority-data': base64(ca) }) =>
  writeFileSync(
    file,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      clusters: [
        {
          name: 'c',
          cluster: { server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, ...cluster },
        },
      ],
      users: [{ name: 'u', user }],
      contexts: [
        { name: 'here', context: { cluster: 'c', user: 'u' } },
        { name: 'lost', context: { cluster: 'x', user: 'u' } },
      ],
    }),
  );

async function read(more: object = {}): Promise<number> {
  const kind = sourceKinds['kubernetes'];
  if (!kind) throw new Error('no kind');
  const source = kind.open(kind.options.parse({ kubeconfigFile: file, ...more }) as never);
  const { signal } = new AbortController();
  const { log } = recordingLog();
  const { counted } = await source.read({
    ...{ signal, log },
    count: () => new Counting(),
    http: (pem) =>
      createHttpClient({
        ...{
          maxConcurrent: 1,
          retries: 0,
          timeoutMs: 10_000,
          maxBytes: 2 ** 20,
          userAgent: 'test',
          signal,
          pem,
        },
        observe() {},
      }),
  });
  return counted.tally().containers;
}

test('a token, over the certificate of the cluster', async () => {
  write({ token: 'from-the-kubeconfig' });
  expect(await read()).toBe(0);
  expect(seen.at(-1)).toEqual({ authorization: 'Bearer from-the-kubeconfig', certificate: undefined });
});

test('a client certificate with its key, in the kubeconfig and in files beside it', async () => {
  write({ 'client-certificate-data': base64(client.cert), 'client-key-data': base64(client.private) });
  expect(await read()).toBe(0);
  expect(seen.at(-1)).toEqual({ authorization: undefined, certificate: 'exporter' });
  writeFileSync(join(folder, 'client.crt'), client.cert);
  writeFileSync(join(folder, 'client.key'), client.private);
  writeFileSync(join(folder, 'ca.crt'), ca);
  write(
    { 'client-certificate': 'client.crt', 'client-key': 'client.key' },
    { 'certificate-authority': 'ca.crt' },
  );
  expect(await read()).toBe(0);
  expect(seen.at(-1)?.certificate).toBe('exporter');
});

test('a file with the token beside it', async () => {
  writeFileSync(join(folder, 'token'), 'from-a-file\n');
  write({ tokenFile: 'token' });
  await read();
  expect(seen.at(-1)?.authorization).toBe('Bearer from-a-file');
});

test.each<[string, () => unknown, object, RegExp]>([
  ['another certificate', () => write({ token: 't' }, {}), {}, /certificate/],
  [
    'a context that is not there',
    () => write({ token: 't' }),
    { context: 'none' },
    /the context of the kubeconfig .* "none" is not there/,
  ],
  [
    'a cluster that is not there',
    () => write({ token: 't' }),
    { context: 'lost' },
    /the cluster of the kubeconfig .* "x" is not there/,
  ],
  ['a program for the token', () => write({ exec: { command: 'aws' } }), {}, /runs a program for its token/],
  ['no YAML', () => writeFileSync(file, '{{{'), {}, /is no YAML/],
  ['something else', () => writeFileSync(file, 'clusters: 5'), {}, /is none: clusters/],
  ['no file', () => rmSync(file), {}, /cannot be read/],
])('%s is a named error', async (_, change, more, message) => {
  change();
  await expect(read(more)).rejects.toThrow(message);
});
