import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { alternativeNames } from '../../src/server/client-certificates.ts';
import { eventually, tempDir } from '../support/programs.ts';
import { certificate, getTls, type KeyPair, listenWith } from '../support/web.ts';

const folder = tempDir();
const inFolder = (name: string) => join(folder.path, name);
let ca: KeyPair;
let known: KeyPair;
let stranger: KeyPair;

beforeAll(async () => {
  ca = await certificate('authority', { isAuthority: true });
  const server = await certificate('first', {});
  known = await certificate('prometheus', { ca, sans: ['prometheus.example'], ips: ['2001:db8::1'] });
  stranger = await certificate('stranger');
  writeFileSync(inFolder('server.crt'), server.cert);
  writeFileSync(inFolder('server.key'), server.key);
  writeFileSync(inFolder('ca.crt'), ca.cert);
});
afterAll(() => folder.remove());

const tls = (more = '') => `tls_server_config: { cert_file: server.crt, key_file: server.key${more} }\n`;

async function outcome(url: string, options: object): Promise<string> {
  return getTls(url, options).then(
    ({ status, body }) => `${status} ${body}`,
    () => 'refused at handshake',
  );
}

test('TLS from files beside the configuration; plain HTTP to the same port gets no answer', async () => {
  const server = await listenWith(folder.path, tls());
  const answer = await getTls(server.url);
  expect(answer).toMatchObject({ status: 200, body: 'hello', protocol: 'TLSv1.3', subject: 'CN=first' });
  await expect(fetch(server.url.replace('https:', 'http:'))).rejects.toThrow();
  await server.close();
});

test('certificate and key inline', async () => {
  const inline = await certificate('inline');
  const yaml = JSON.stringify({ tls_server_config: { cert: inline.cert, key: inline.key } });
  const server = await listenWith(folder.path, yaml);
  expect(await getTls(server.url)).toMatchObject({ status: 200, subject: 'CN=inline' });
  await server.close();
});

describe('handshakes that the configuration does not allow', () => {
  test.each([
    [
      'a TLS 1.1 client where nothing is said',
      '',
      { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' },
      'refused at handshake',
    ],
    ['a TLS 1.2 client where nothing is said', '', { maxVersion: 'TLSv1.2' }, '200 hello'],
    [
      'a TLS 1.2 client where 1.3 is the least',
      ', min_version: TLS13',
      { maxVersion: 'TLSv1.2' },
      'refused at handshake',
    ],
    [
      'a TLS 1.3 client where 1.2 is the most',
      ', max_version: TLS12',
      { minVersion: 'TLSv1.3' },
      'refused at handshake',
    ],
    [
      'any client where the least is above the most',
      ', min_version: TLS13, max_version: TLS12',
      {},
      'refused at handshake',
    ],
    [
      'a client without a common cipher suite',
      ', max_version: TLS12, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]',
      { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
      'refused at handshake',
    ],
    [
      'a TLS 1.3 client where only suites of 1.2 are named',
      ', cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]',
      { minVersion: 'TLSv1.3' },
      '200 hello',
    ],
    [
      'a TLS 1.2 client where only suites of 1.3 are named',
      ', cipher_suites: [TLS_AES_128_GCM_SHA256]',
      { maxVersion: 'TLSv1.2' },
      'refused at handshake',
    ],
    [
      'a client without a common curve',
      ', curve_preferences: [CurveP521]',
      { ecdhCurve: 'P-384' },
      'refused at handshake',
    ],
    ['a client with the same curve', ', curve_preferences: [CurveP521]', { ecdhCurve: 'P-521' }, '200 hello'],
  ] as const)('%s: %s', async (_title, more, client, expected) => {
    const server = await listenWith(folder.path, tls(more));
    expect(await outcome(server.url, client)).toBe(expected);
    await server.close();
  });
});

test.each([
  [true, 'ECDHE-ECDSA-AES128-GCM-SHA256'],
  [false, 'ECDHE-ECDSA-AES256-GCM-SHA384'],
])('prefer_server_cipher_suites: %s chooses %s', async (prefer, expected) => {
  const suites = 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384';
  const more = `, max_version: TLS12, cipher_suites: [${suites}], prefer_server_cipher_suites: ${prefer}`;
  const server = await listenWith(folder.path, tls(more));
  const ciphers = 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256';
  expect((await getTls(server.url, { ciphers })).cipher).toBe(expected);
  await server.close();
});

describe('client certificates: none, one of a stranger, one of our authority', () => {
  const refused = 'refused at handshake';
  const ok = '200 hello';
  test.each([
    ['NoClientCert', '', ok, ok, ok],
    ['RequestClientCert', '', ok, ok, ok],
    ['RequestClientCert', ', client_ca_file: ca.crt', ok, ok, ok],
    ['RequireAnyClientCert', '', refused, ok, ok],
    ['RequireAnyClientCert', ', client_ca_file: ca.crt', refused, ok, ok],
    ['VerifyClientCertIfGiven', '', ok, refused, refused],
    ['VerifyClientCertIfGiven', ', client_ca_file: ca.crt', ok, refused, ok],
    ['RequireAndVerifyClientCert', '', refused, refused, refused],
    ['RequireAndVerifyClientCert', ', client_ca_file: ca.crt', refused, refused, ok],
    [
      'RequireAndVerifyClientCert',
      ', client_ca_file: ca.crt, client_allowed_sans: [prometheus.example]',
      refused,
      refused,
      ok,
    ],
    [
      'RequireAndVerifyClientCert',
      ', client_ca_file: ca.crt, client_allowed_sans: [127.0.0.1]',
      refused,
      refused,
      ok,
    ],
    [
      'RequireAndVerifyClientCert',
      ', client_ca_file: ca.crt, client_allowed_sans: [grafana.example]',
      refused,
      refused,
      refused,
    ],
    ['RequestClientCert', ', client_allowed_sans: [prometheus.example]', refused, refused, ok],
    [
      'VerifyClientCertIfGiven',
      ', client_ca_file: ca.crt, client_allowed_sans: ["2001:db8::1"]',
      refused,
      refused,
      ok,
    ],
    ['RequireAnyClientCert', ', client_allowed_sans: []', refused, refused, refused],
    ['NoClientCert', ', client_allowed_sans: [grafana.example]', ok, ok, ok],
  ])('%s%s: %s, %s, %s', async (type, more, none, ofStranger, ofOurs) => {
    const server = await listenWith(folder.path, tls(`, client_auth_type: ${type}${more}`));
    const got = await Promise.all([{}, stranger, known].map((client) => outcome(server.url, client)));
    expect(got).toEqual([none, ofStranger, ofOurs]);
    await server.close();
  });
});

test.each([
  [
    'DNS:a.example, IP Address:2001:DB8:0:0:0:0:0:1, email:x@a.example',
    ['a.example', '2001:db8::1', 'x@a.example'],
  ],
  ['URI:"spiffe://a, DNS:evil.example", DNS:b.example', ['spiffe://a, DNS:evil.example', 'b.example']],
  [undefined, []],
])('names in a certificate: %s', (text, names) => {
  expect(alternativeNames(text)).toEqual(names);
});

test('by default no cipher suite exchanges keys by RSA', async () => {
  const rsa = await certificate('rsa', { keyType: 'rsa' });
  writeFileSync(inFolder('rsa.crt'), rsa.cert);
  writeFileSync(inFolder('rsa.key'), rsa.key);
  const server = await listenWith(
    folder.path,
    'tls_server_config: { cert_file: rsa.crt, key_file: rsa.key }',
  );
  const old = { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256:AES256-GCM-SHA384' };
  expect(await outcome(server.url, old)).toBe('refused at handshake');
  expect(await outcome(server.url, { maxVersion: 'TLSv1.2' })).toBe('200 hello');
  await server.close();
});

test('a key of another type than the certificate is refused, not every handshake', async () => {
  const rsa = await certificate('rsa', { keyType: 'rsa' });
  writeFileSync(inFolder('other.key'), rsa.key);
  const yaml = 'tls_server_config: { cert_file: server.crt, key_file: other.key }';
  await expect(listenWith(folder.path, yaml)).rejects.toThrow('the key belongs to another certificate');
});

describe('while it runs', () => {
  test('the first connection after a change of the authority is held to the new one', async () => {
    const server = await listenWith(
      folder.path,
      tls(', client_auth_type: RequireAndVerifyClientCert, client_ca_file: changing.crt'),
      { 'changing.crt': ca.cert },
    );
    expect(await outcome(server.url, known)).toBe('200 hello');
    const other = await certificate('other authority', { isAuthority: true });
    writeFileSync(inFolder('changing.crt'), other.cert);
    expect(await outcome(server.url, known)).toBe('refused at handshake');
    await server.close();
  });

  test('a certificate renewed under load, file by file, fails no request', async () => {
    const server = await listenWith(folder.path, tls());
    const subjects = new Set<string>();
    const failures: unknown[] = [];
    let stop = false;
    const clients = Array.from({ length: 4 }, async () => {
      while (!stop)
        await getTls(server.url).then(
          ({ status, subject }) => (status === 200 ? subjects.add(subject) : failures.push(status)),
          (error) => failures.push(error),
        );
    });
    for (const name of ['second', 'third']) {
      const next = await certificate(name);
      writeFileSync(inFolder('server.crt'), next.cert);
      // Certificate and key do not belong together now: the watch sees it in this state.
      await eventually(() => expect(server.lines.join('\n')).toContain('the old ones stay in use'));
      writeFileSync(inFolder('server.key'), next.key);
      await eventually(() => expect(subjects).toContain(`CN=${name}`));
      expect(server.lines.at(-1)).toContain('was read again');
      server.lines.length = 0;
    }
    stop = true;
    await Promise.all(clients);
    await server.close();
    expect(failures).toEqual([]);
    expect([...subjects].at(-1)).toBe('CN=third');
  });

  test('client certificates can be asked for without a restart', async () => {
    const server = await listenWith(folder.path, tls());
    expect(await outcome(server.url, {})).toBe('200 hello');
    writeFileSync(server.file, tls(', client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt'));
    await eventually(async () => expect(await outcome(server.url, {})).toBe('refused at handshake'));
    expect(await outcome(server.url, stranger)).toBe('refused at handshake');
    expect(await outcome(server.url, known)).toBe('200 hello');
    await server.close();
  });

  test('TLS taken out of the file stays until a restart, and the log says so', async () => {
    const server = await listenWith(folder.path, tls(', client_auth_type: RequireAnyClientCert'));
    writeFileSync(server.file, '# nothing\n');
    await eventually(async () => {
      await outcome(server.url, known);
      expect(server.lines.join('\n')).toContain('TLS was switched on or off: that takes a restart');
    });
    expect(await outcome(server.url, {})).toBe('refused at handshake');
    expect(await outcome(server.url, known)).toBe('200 hello');
    await server.close();
  });
});

describe('a client that never ends what it began is cut off', () => {
  /** What a connection to the server is answered until it is closed. */
  async function untilClosed(
    url: string,
    begin: (socket: Socket) => NodeJS.Timeout | undefined,
  ): Promise<string> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => (answer += data.toString('latin1')));
    socket.on('error', () => {});
    const timer = begin(socket);
    await once(socket, 'close');
    clearInterval(timer);
    return answer;
  }

  test('its headers', async () => {
    const server = await listenWith(folder.path, '');
    const answer = await untilClosed(server.url, (socket) => {
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n');
      return setInterval(() => socket.write('X-Slow: 1\r\n'), 500);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    await server.close();
  });

  test('its handshake', async () => {
    const server = await listenWith(folder.path, tls());
    await untilClosed(server.url, () => undefined);
    await server.close();
  });
});
