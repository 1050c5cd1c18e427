import { execFile } from 'node:child_process';
import { createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { hash } from 'bcryptjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import { image, layer, writeOciLayout } from '../support/oci-image.ts';
import { freePort, programs, type RunningProgram, tempDir } from '../support/programs.ts';
import { startDistribution } from '../support/real-programs.ts';
import { basicOf, challenge, type Site, site } from '../support/registry-site.ts';
import { runLoop } from '../support/running-loop.ts';
import { certificate, type KeyPair } from '../support/web.ts';

/** The real distribution registry with credentials, as its users set it up; skopeo fills it and is asked too. */

const passwords: Readonly<Record<string, string>> = { admin: 'Admin:1', 'robot-a': 'A', 'robot-b': 'B' };
const userOf = (username: string) => ({ username, password: passwords[username] ?? '' });
const wrong = { username: 'admin', password: 'wrong' };
const credentials = (username: string): string => `${username}:${passwords[username]}`;

const folder = tempDir();
const running: RunningProgram[] = [];
afterAll(async () => {
  await Promise.all(running.map((one) => one.stop()));
  folder.remove();
});

/** Not waited for in a blocking way: the token server that it asks runs in this process. */
const skopeo = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)('skopeo', args)).stdout;

async function push(port: number, repository: string): Promise<void> {
  const layout = join(folder.path, `layout-${repository.replace('/', '-')}`);
  writeOciLayout(layout, image({ layers: [layer(repository)], created: 1_750_000_000 }), 'v1');
  const flags = ['--insecure-policy', '--dest-tls-verify=false', '--dest-creds', credentials('admin')];
  await skopeo('copy', ...flags, `oci:${layout}:v1`, `docker://127.0.0.1:${port}/${repository}:v1`);
}

/** One poll: what it says of itself, and the repositories in which it found one tagged image. */
async function poll(registry: object) {
  const loop = await runLoop(oci, { http: { retries: 0 }, ...registry });
  await loop.poll();
  await loop.stop();
  const [error] = loop.loop.status().errors;
  const images = (await loop.lines('repository_images')).flatMap(
    (line) => /repository="([^"]+)".*state="tagged".* 1$/.exec(line)?.[1] ?? [],
  );
  return { up: await loop.value('up'), images, reason: error?.reason, message: error?.message };
}

describe.skipIf(!programs('docker-registry', 'skopeo'))('with htpasswd', () => {
  let endpoint = '';
  let registry: RunningProgram;
  /** What the access log says from there on: status and path. */
  const requests = (from: number) =>
    [
      ...registry
        .output()
        .slice(from)
        .matchAll(/"(?:GET|HEAD) (\S+) HTTP[^"]*" (\d{3})/g),
    ].map(([, path, status]) => `${status} ${path?.replace(/\?.*/, '')}`);

  beforeAll(async () => {
    const port = await freePort();
    endpoint = `http://127.0.0.1:${port}`;
    const file = join(folder.path, 'htpasswd');
    writeFileSync(file, `admin:${await hash(passwords['admin'] ?? '', 4)}\n`);
    const auth = { htpasswd: { realm: 'Registry', path: file } };
    registry = await startDistribution({ folder: join(folder.path, 'basic'), port, auth });
    running.push(registry);
    await push(port, 'org-a/app');
    await push(port, 'org-b/web');
  });

  test('one request is refused: the one that asks how credentials are wanted', async () => {
    const from = registry.output().length;
    const images = ['org-a/app', 'org-b/web'];
    expect(await poll({ endpoint, auth: userOf('admin') })).toMatchObject({ up: 1, images });
    const seen = requests(from);
    expect(seen.slice(0, 3)).toEqual(['401 /v2/', '200 /v2/', '200 /v2/_catalog']);
    expect(seen.filter((one) => one.startsWith('401'))).toEqual(['401 /v2/']);
  });

  test('wrong credentials, and none', async () => {
    expect(await poll({ endpoint, auth: wrong })).toMatchObject({
      up: 0,
      reason: 'auth',
      message: `${endpoint}/v2/ answered 401: check that the credentials are right and have not expired`,
    });
    expect(await poll({ endpoint })).toMatchObject({
      up: 0,
      reason: 'auth',
      message: `${endpoint}/v2/_catalog answered 401: it wants credentials: give them under auth`,
    });
  });
});

describe.skipIf(!programs('docker-registry', 'skopeo'))('with a token server', () => {
  let endpoint = '';
  let tokens: Site;
  let signer: KeyPair;

  /** As the specification has it: https://distribution.github.io/distribution/spec/auth/jwt/ */
  function tokenOf(user: string, scopes: readonly string[]): string {
    const now = Math.floor(Date.now() / 1000);
    const may = (name: string) => user === 'admin' || name.startsWith(`${user.replace('robot', 'org')}/`);
    const access = scopes.flatMap((scope) => {
      const [, type, name = '', actions] = /^([^:]+):(.+):([^:]+)$/.exec(scope) ?? [];
      return may(name) ? [{ type, name, actions: actions?.split(',') }] : [];
    });
    const x5c = [new X509Certificate(signer.cert).raw.toString('base64')];
    const times = { iat: now, nbf: now - 10, exp: now + 300 };
    const signed = [
      { typ: 'JWT', alg: 'ES256', x5c },
      { iss: 'issuer', aud: 'registry', sub: user, ...times, access },
    ]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const key = { key: createPrivateKey(signer.key), dsaEncoding: 'ieee-p1363' } as const;
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
  }

  const startTokenServer = () =>
    site(
      (request, response) => {
        const { authorization } = request.headers;
        const user = Object.keys(passwords).find((name) => basicOf(userOf(name)) === authorization);
        if (authorization !== undefined && user === undefined) return challenge(response);
        const scopes = new URL(request.url ?? '', 'http://x').searchParams.getAll('scope');
        // As Go servers answer: what is not set is there all the same.
        const token = tokenOf(user ?? 'nobody', scopes);
        response.end(JSON.stringify({ token, access_token: '', expires_in: 300, issued_at: null }));
      },
      { keep: true },
    );

  beforeAll(async () => {
    signer = await certificate('token server', { isAuthority: true });
    const rootcertbundle = join(folder.path, 'signer.pem');
    writeFileSync(rootcertbundle, signer.cert);
    const port = await freePort();
    endpoint = `http://127.0.0.1:${port}`;
    tokens = await startTokenServer();
    const realm = `${tokens.url}/token`;
    const auth = { token: { realm, service: 'registry', issuer: 'issuer', rootcertbundle } };
    running.push(await startDistribution({ folder: join(folder.path, 'bearer'), port, auth }));
    await push(port, 'org-a/app');
    await push(port, 'org-b/web');
  });

  test('one token for the catalog and one for each repository; the next poll asks for none', async () => {
    const loop = await runLoop(oci, { endpoint, auth: userOf('admin'), http: { retries: 0 } });
    const from = tokens.seen.length;
    await loop.poll();
    expect([await loop.value('up'), await loop.value('repositories')]).toEqual([1, 2]);
    const asked = tokens.seen
      .slice(from)
      .map(({ path }) => new URL(path, endpoint).searchParams.get('scope') ?? '');
    expect(asked.toSorted()).toEqual([
      'registry:catalog:*',
      'repository:org-a/app:pull',
      'repository:org-b/web:pull',
    ]);
    await loop.poll();
    await loop.stop();
    const requests = await loop.requests();
    expect(requests).toMatchObject({ 'version 401': 1, 'token 200': 3 });
    expect(Object.keys(requests).filter((key) => key.endsWith(' 401'))).toEqual(['version 401']);
  });

  test('wrong credentials fail the poll', async () => {
    expect(await poll({ endpoint, auth: wrong })).toMatchObject({
      up: 0,
      reason: 'auth',
      message: `${tokens.url}/token answered 401: check that the credentials are right and have not expired`,
    });
  });

  test('credentials that may not list the catalog: the hint is `names`', async () => {
    const { up, reason, message } = await poll({ endpoint, auth: userOf('robot-a') });
    expect([up, reason]).toEqual([0, 'forbidden']);
    expect(message).toContain('name the repositories under `names`');
  });

  test('a robot for each organisation in one config.json, which skopeo reads in the same way', async () => {
    const { host } = new URL(endpoint);
    const file = join(folder.path, 'auth.json');
    const auth = (user: string) => ({ auth: Buffer.from(credentials(user)).toString('base64') });
    const auths = { [`${host}/org-a`]: auth('robot-a'), [`${host}/org-b`]: auth('robot-b') };
    writeFileSync(file, JSON.stringify({ auths }));
    const names = ['org-a/app', 'org-b/web'];
    for (const name of names) {
      const flags = ['--tls-verify=false', '--authfile', file];
      expect(JSON.parse(await skopeo('list-tags', ...flags, `docker://${host}/${name}`)).Tags).toEqual([
        'v1',
      ]);
    }
    const found = await poll({ endpoint, names, auth: { dockerConfigFile: file } });
    expect(found).toMatchObject({ up: 1, images: names });
  });
});
