import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { providers } from '../../src/providers/index.ts';
import { oci } from '../../src/providers/oci.ts';
import { startGoogleIdentity } from '../simulators/google-identity.ts';
import { useAwsFiles } from '../support/aws.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';
import { certificate, type KeyPair } from '../support/web.ts';

/** A registry with a certificate that only `tls.caFile` makes trusted, as the configuration of a registry has it. */
const folder = tempDir();
const caFile = join(folder.path, 'ca.pem');
let authority: KeyPair;
let server: Server;
let endpoint = '';
const closing: Server[] = [];

beforeAll(async () => {
  authority = await certificate('authority', { isAuthority: true });
  const own = await certificate('registry', { ca: authority, sans: ['localhost'] });
  server = createServer(own, (_request, response) => response.end('{"repositories":[]}'));
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  endpoint = `https://localhost:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  for (const one of [server, ...closing]) {
    one.close();
    one.closeAllConnections();
  }
  folder.remove();
});

async function poll(tls: object) {
  const running = await runLoop(oci, { endpoint, http: { retries: 0 }, ...tls });
  await running.poll();
  const [error] = running.loop.status().errors;
  const up = await running.value('up');
  await running.stop();
  return { up, reason: error?.reason, message: error?.message ?? '' };
}

test('without the file the registry is not trusted, and the error says what to do', async () => {
  const { up, reason, message } = await poll({});
  expect([up, reason]).toEqual([0, 'tls']);
  expect(message).toContain('give the certificate of its authority as tls.caFile');
});

test('with the file it is; a file that is replaced counts from the next poll on', async () => {
  writeFileSync(caFile, (await certificate('somebody else', { isAuthority: true })).cert);
  const running = await runLoop(oci, { endpoint, http: { retries: 0 }, tls: { caFile } });
  await running.poll();
  expect(await running.value('up')).toBe(0);
  writeFileSync(caFile, authority.cert);
  await running.poll();
  expect(await running.value('up')).toBe(1);
  await running.stop();
});

test('a file that is not there is told by its name', async () => {
  const { up, reason, message } = await poll({ tls: { caFile: '/nowhere/ca.pem' } });
  expect([up, reason]).toEqual([0, 'tls']);
  expect(message).toContain('the CA file /nowhere/ca.pem cannot be read');
});

test('insecureSkipVerify trusts anybody', async () => {
  expect((await poll({ tls: { insecureSkipVerify: true } })).up).toBe(1);
});

describe('a client certificate', () => {
  /** A registry that asks for a certificate of our authority, and whom it knows by it. */
  async function asking(
    answer?: (path: string) => string | undefined,
    protocols: readonly string[] = ['http/1.1'],
  ) {
    const known: string[] = [];
    const own = await certificate('registry', { ca: authority, sans: ['localhost'] });
    const asked = createServer(
      {
        ...own,
        ca: authority.cert,
        requestCert: true,
        rejectUnauthorized: true,
        ALPNProtocols: [...protocols],
      },
      (request, response) => {
        const location = answer?.(request.url ?? '');
        if (location !== undefined) response.writeHead(307, { location }).end();
        else response.end('{"repositories":[]}');
      },
    );
    asked.on('secureConnection', (socket) =>
      known.push(socket.getPeerX509Certificate()?.subject ?? 'nobody'),
    );
    await new Promise<void>((resolve) => asked.listen(0, 'localhost', resolve));
    closing.push(asked);
    return { url: `https://localhost:${(asked.address() as AddressInfo).port}`, known };
  }
  const files = { certFile: join(folder.path, 'client.pem'), keyFile: join(folder.path, 'client.key') };
  async function write(name: string, key?: string): Promise<void> {
    const pair = await certificate(name, { ca: authority });
    writeFileSync(files.certFile, pair.cert);
    writeFileSync(files.keyFile, key ?? pair.key);
    writeFileSync(caFile, authority.cert);
  }
  const tls = { caFile, ...files };

  test('is shown; one that is replaced from the next poll on', async () => {
    const { url, known } = await asking();
    await write('first');
    const running = await runLoop(oci, { endpoint: url, http: { retries: 0 }, tls });
    await running.poll();
    expect([await running.value('up'), new Set(known)]).toEqual([1, new Set(['CN=first'])]);
    known.splice(0);
    await write('second');
    await running.poll();
    await running.stop();
    expect([await running.value('up'), new Set(known)]).toEqual([1, new Set(['CN=second'])]);
  });

  test('without one the registry is not read', async () => {
    const { url, known } = await asking();
    const running = await runLoop(oci, { endpoint: url, http: { retries: 0 }, tls: { caFile } });
    await running.poll();
    await running.stop();
    expect([await running.value('up'), known]).toEqual([0, []]);
  });

  test('is not shown to another origin that the registry redirects to', async () => {
    const there: string[] = [];
    const other = createServer(
      {
        ...(await certificate('other', { ca: authority })),
        ca: authority.cert,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => {
        there.push((request.socket as TLSSocket).getPeerX509Certificate()?.subject ?? 'nobody');
        response.end('{"repositories":[]}');
      },
    );
    await new Promise<void>((resolve) => other.listen(0, 'localhost', resolve));
    closing.push(other);
    const elsewhere = `https://localhost:${(other.address() as AddressInfo).port}`;
    const { url, known } = await asking((path) => (path === '/v2/' ? undefined : `${elsewhere}${path}`));
    await write('client');
    const running = await runLoop(oci, { endpoint: url, http: { retries: 0 }, tls });
    await running.poll();
    await running.stop();
    expect([await running.value('up'), new Set(known), there]).toEqual([
      1,
      new Set(['CN=client']),
      ['nobody'],
    ]);
  });

  test.each<[string, () => Promise<void> | void, string]>([
    [
      'a certificate that is not there',
      () => rmSync(files.certFile),
      'the client certificate CERT cannot be read: check tls.certFile and its mount',
    ],
    [
      'a key that is not there',
      () => rmSync(files.keyFile),
      'the key KEY cannot be read: check tls.keyFile and its mount',
    ],
    [
      'a certificate that is none',
      () => writeFileSync(files.certFile, 'hunter2'),
      'the client certificate CERT is no certificate in PEM',
    ],
    [
      'a key that is none',
      () => writeFileSync(files.keyFile, 'hunter2'),
      'the key KEY is no private key in PEM without a passphrase',
    ],
    [
      'a key of another certificate',
      async () => write('client', (await certificate('x')).key),
      'the key KEY does not go with the client certificate CERT: replace both together',
    ],
  ])('%s is an error that names the file', async (_title, spoil, expected) => {
    await write('client');
    await spoil();
    const { up, reason, message } = await poll({ tls });
    expect([up, reason]).toEqual([0, 'tls']);
    expect(message).toContain(expected.replace('CERT', files.certFile).replace('KEY', files.keyFile));
    expect(message).not.toContain('hunter2');
  });

  test.each([{ certFile: 'c.pem' }, { keyFile: 'k.pem' }])('%j alone is refused', async (half) => {
    await expect(runLoop(oci, { endpoint, tls: half })).rejects.toThrow('certFile and keyFile go together');
  });

  /** The least of each provider's own configuration, its every address at this server. */
  const settingsOf = (url: string, credentialsFile: string): Readonly<Record<string, object>> => ({
    acr: { endpoint: url, loginServer: 'registry.azurecr.io', auth: { username: 'u', password: 'p' } },
    'artifact-registry': {
      projects: ['project'],
      locations: ['europe-west1'],
      endpoint: url,
      containerAnalysisEndpoint: url,
      credentialsFile,
    },
    artifactory: { endpoint: url },
    'docker-hub': { namespaces: ['team'], endpoint: url, authEndpoint: url, registryEndpoint: url },
    ecr: { region: 'eu-central-1', endpoint: url },
    harbor: { endpoint: url },
    oci: { endpoint: url },
  });

  /** Whatever carries its requests: our own client, or the transport of an SDK. */
  test.each(Object.values(providers).map((provider) => [provider.type, provider] as const))(
    'is shown by %s too',
    { timeout: 300_000 },
    async (type, provider) => {
      // gRPC speaks HTTP/2 only; whom it comes from is known before a word is said.
      const { url, known } = await asking(undefined, type === 'artifact-registry' ? ['h2'] : undefined);
      await write('client');
      const identity = await startGoogleIdentity();
      const credentialsFile = join(folder.path, 'google.json');
      writeFileSync(credentialsFile, JSON.stringify(identity.key));
      useAwsFiles(folder.path, { default: { id: 'AKIAEXAMPLE', secret: 'secret' } });
      const running = await runLoop(provider, {
        ...settingsOf(url, credentialsFile)[type],
        timeout: '60s',
        http: { retries: 0, timeout: '5s' },
        tls,
      });
      await running.poll();
      await running.stop();
      await identity.close();
      expect(new Set(known)).toEqual(new Set(['CN=client']));
    },
  );
});
