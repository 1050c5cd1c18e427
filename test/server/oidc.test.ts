import { createSign, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { providers } from '../../src/providers/index.ts';
import { createOidcCheck } from '../../src/server/oidc.ts';
import { recordingLog } from '../support/web.ts';

/** Tokens that Google signs for a Pub/Sub push subscription: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions */

const pair = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
const [google, somebody, next] = [pair(), pair(), pair()];
const pem = ({ publicKey }: ReturnType<typeof pair>) =>
  String(publicKey.export({ type: 'spki', format: 'pem' }));
const audience = 'https://exporter.example.com/events/google';
const email = 'push@project.iam.gserviceaccount.com';

/** Google's certificates by the id of their key. */
const published: Record<string, string> = { one: pem(google) };
let asked = 0;
let status = 200;
const server = createServer((_, response) => {
  asked += 1;
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'public, max-age=19845',
  });
  response.end(JSON.stringify(published));
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => void server.close());

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
function signed(claims: object, key = google, header: object = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const text = `${encoded({ alg: 'RS256', kid: 'one', typ: 'JWT', ...header })}.${encoded({
    ...{ aud: audience, azp: '1', email, email_verified: true, sub: '1' },
    ...{ exp: now + 3000, iat: now - 10, iss: 'https://accounts.google.com' },
    ...claims,
  })}`;
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key.privateKey, 'base64url')}`;
}

/** The setting as the configuration has it. */
function senderOf() {
  const { port } = server.address() as AddressInfo;
  const oidc = { audience, email, certificates: `http://127.0.0.1:${port}/certs` };
  const entry = { name: 'google', type: 'artifact-registry', projects: ['shop-prod'], events: { oidc } };
  const { registries } = parseConfig(JSON.stringify({ registries: [entry] }), {
    file: 'test.yaml',
    providers,
  });
  const [{ eventsOidc } = { eventsOidc: undefined }] = registries;
  if (!eventsOidc) throw new Error('no setting');
  return eventsOidc;
}
const { log, lines } = recordingLog();
const check = createOidcCheck(log as never);
const enters = (token: string, by = check) =>
  by.mayEnter({ get: () => `Bearer ${token}` } as never, senderOf());

test('a token of the service account for this exporter is let in; the certificates are fetched once', async () => {
  expect(await enters(signed({}))).toBe(true);
  expect(await enters(signed({ iss: 'accounts.google.com' }))).toBe(true);
  expect(asked).toBe(1);
});

const hour = 3600;
const now = () => Math.floor(Date.now() / 1000);
test.each<[string, () => string]>([
  ['another audience', () => signed({ aud: 'https://other.example.com' })],
  ['another service account', () => signed({ email: 'other@project.iam.gserviceaccount.com' })],
  ['an address that nobody checked', () => signed({ email_verified: false })],
  ['no address', () => signed({ email: undefined })],
  ['another issuer', () => signed({ iss: 'https://evil.example.com' })],
  ['a token that has expired', () => signed({ iat: now() - 3 * hour, exp: now() - 2 * hour })],
  ['a token of the future', () => signed({ iat: now() + 2 * hour, exp: now() + 3 * hour })],
  ['a token that never expires', () => signed({ exp: now() + 1e9 })],
  ['another key', () => signed({}, somebody)],
  ['a key that Google does not have', () => signed({}, somebody, { kid: 'two' })],
  ['a name of every object for a key', () => signed({}, somebody, { kid: '__proto__' })],
  ['no signature', () => `${signed({}, google, { alg: 'none' }).split('.').slice(0, 2).join('.')}.`],
  ['no algorithm', () => signed({}, somebody, { alg: 'none' })],
  [
    'other claims under a good signature',
    () => {
      const [header, , signature] = signed({}).split('.');
      return `${header}.${encoded({ aud: audience, email })}.${signature}`;
    },
  ],
  ['no token', () => 'x.y.z'],
  ['a long text', () => `${'a'.repeat(9_000)}.b.c`],
])('%s is refused', async (_, token) => {
  expect(await enters(token())).toBe(false);
});

test('no token is in the log', () => {
  expect(lines.join('\n')).not.toContain(signed({}).split('.')[0]);
});

test('a new key of Google is found, and asked for once a minute at most', async () => {
  const fresh = createOidcCheck(log as never);
  expect(await enters(signed({}), fresh)).toBe(true);
  const before = asked;
  for (let tried = 0; tried < 5; tried += 1)
    expect(await enters(signed({}, next, { kid: 'new' }), fresh)).toBe(false);
  expect(asked).toBe(before);
  published['new'] = pem(next);
  const later = createOidcCheck(log as never);
  expect(await enters(signed({}, next, { kid: 'new' }), later)).toBe(true);
});

test('without the certificates nobody is let in', async () => {
  status = 503;
  const fresh = createOidcCheck(log as never);
  const before = asked;
  expect(await Promise.all([enters(signed({}), fresh), enters(signed({}), fresh)])).toEqual([false, false]);
  expect(await enters(signed({}), fresh)).toBe(false);
  // One request and its repetition, for all three.
  expect(asked - before).toBe(2);
  status = 200;
});
