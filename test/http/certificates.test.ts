import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates, clientCertificate } from '../../src/http/tls.ts';
import { createHttpClient, type HttpClientOptions } from '../../src/http.ts';
import { tempDir } from '../support/programs.ts';
import { atEnd, failure } from '../support/registry-site.ts';
import { certificate, type KeyPair } from '../support/web.ts';

/** Certificates that a client trusts and shows, from files and as texts. */

const folder = tempDir();
const file = (name: string, content: string): string => {
  const path = join(folder.path, name);
  writeFileSync(path, content);
  return path;
};
let authority: KeyPair;
let own: KeyPair;
beforeAll(async () => {
  authority = await certificate('authority', { isAuthority: true });
  own = await certificate('client', { ca: authority });
});
afterAll(() => folder.remove());

/** A server that asks for a certificate of our authority, and whom it knows by it. */
async function asking() {
  const known: string[] = [];
  let connections = 0;
  const pair = await certificate('registry', { ca: authority });
  const server = createServer(
    { ...pair, ca: authority.cert, requestCert: true, rejectUnauthorized: false },
    (_request, response) => response.end('ok'),
  );
  server.on('secureConnection', (socket) => {
    known.push(socket.authorized ? (socket.getPeerX509Certificate()?.subject ?? '') : 'nobody');
    connections += 1;
    socket.once('close', () => {
      connections -= 1;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, known, connections: () => connections };
}

function client(options: Partial<HttpClientOptions>) {
  const http = createHttpClient({
    maxConcurrent: 1,
    timeoutMs: 20_000,
    maxBytes: 1000,
    retries: 0,
    signal: new AbortController().signal,
    userAgent: 'test/1',
    observe() {},
    ...options,
  });
  atEnd(() => void http.close());
  const get = (url: string, stranger = false) => http.request({ url, operation: 'x', stranger });
  return { http, get };
}

describe('certificates as texts', () => {
  test('make a server trusted, and without them it is not', async () => {
    const { url, known } = await asking();
    expect((await client({ pem: { ca: authority.cert } }).get(url)).status).toBe(200);
    expect(known).toEqual(['nobody']);
    for (const pem of [undefined, {}, { ca: own.cert }])
      expect((await failure(client({ pem }).get(url))).reason).toBe('tls');
    expect((await client({ pem: { insecureSkipVerify: true } }).get(url)).status).toBe(200);
  });

  test('are shown, with their key only', async () => {
    const { url, known } = await asking();
    const ca = authority.cert;
    await client({ pem: { ca, ...own } }).get(url);
    await client({ pem: { ca, cert: own.cert } }).get(url);
    await client({ pem: { ca, key: own.key } }).get(url);
    expect(known).toEqual(['CN=client', 'nobody', 'nobody']);
  });
});

test('a stranger is shown no certificate, on connections of its own, which the end closes too', async () => {
  const { url, known, connections } = await asking();
  const { get, http } = client({ pem: { ca: authority.cert, ...own } });
  for (const stranger of [false, true, true, false]) await get(url, stranger);
  expect([known, connections()]).toEqual([['CN=client', 'nobody'], 2]);
  await http.close();
  while (connections() > 0) await sleep(1);
});

test('where there is no certificate to show, a stranger is asked on the same connections', async () => {
  const { url, known, connections } = await asking();
  const { get, http } = client({ pem: { ca: authority.cert } });
  for (const stranger of [false, true]) await get(url, stranger);
  expect(known).toEqual(['nobody']);
  await http.close();
  while (connections() > 0) await sleep(1);
});

describe('files', () => {
  test('are trusted beside what is trusted already, with words and keys around the certificates', () => {
    for (const text of [authority.cert, `# of us\n${authority.cert}\n${own.key}\n${own.cert}`]) {
      const all = certificates(file('ca.pem', text));
      expect(all.at(-1)).toBe(text);
      expect(all.length).toBeGreaterThan(1);
    }
  });

  test.each([
    ['no certificate', () => 'hello'],
    ['nothing', () => ''],
    ['nothing but a key', () => own.key],
    ['one that is damaged', () => authority.cert.replace(/\n.{9}/, '\n!')],
    ['one that is cut', () => authority.cert.slice(0, -60)],
    // OpenSSL would trust the first, and say nothing of the others.
    ['one that is cut after a good one', () => `${authority.cert}\n${own.cert.slice(0, 200)}`],
  ])('of authorities that hold %s are told by their name', (_title, content) => {
    const caFile = file('bad.pem', content());
    expect(() => certificates(caFile)).toThrow(
      expect.objectContaining({
        reason: 'tls',
        message: `the CA file ${caFile} holds no certificate in PEM: check tls.caFile`,
        cause: expect.any(Error),
      }),
    );
  });

  test('that are not there are told with their setting, and why', () => {
    const missing = (setting: string, what: string) =>
      expect.objectContaining({
        reason: 'tls',
        message: `the ${what} /nowhere/x.pem cannot be read: check ${setting} and its mount`,
        cause: expect.objectContaining({ code: 'ENOENT' }),
      });
    const certFile = file('cert.pem', own.cert);
    expect(() => certificates('/nowhere/x.pem')).toThrow(missing('tls.caFile', 'CA file'));
    expect(() => clientCertificate({ certFile: '/nowhere/x.pem', keyFile: certFile })).toThrow(
      missing('tls.certFile', 'client certificate'),
    );
    expect(() => clientCertificate({ certFile, keyFile: '/nowhere/x.pem' })).toThrow(
      missing('tls.keyFile', 'key'),
    );
  });

  test('of a client are a certificate with its key, or none', () => {
    const files = { certFile: file('cert.pem', own.cert), keyFile: file('key.pem', own.key) };
    expect(clientCertificate(files)).toEqual({ cert: own.cert, key: own.key });
    expect(clientCertificate({ certFile: files.certFile })).toBeUndefined();
    expect(clientCertificate({ keyFile: files.keyFile })).toBeUndefined();
  });
});
