import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';
import { certificate, type KeyPair } from '../support/web.ts';

/** A registry with a certificate that only `tls.caFile` makes trusted, as the configuration of a registry has it. */
const folder = tempDir();
const caFile = join(folder.path, 'ca.pem');
let authority: KeyPair;
let server: Server;
let endpoint = '';

beforeAll(async () => {
  authority = await certificate('authority', { isAuthority: true });
  const own = await certificate('registry', { ca: authority, sans: ['localhost'] });
  server = createServer(own, (_request, response) => response.end('{"repositories":[]}'));
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  endpoint = `https://localhost:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
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
