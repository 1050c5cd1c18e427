import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startOciSimulator } from '../simulators/oci.ts';
import { populate } from '../simulators/oci-population.ts';
import { createStore } from '../simulators/oci-store.ts';
import { image, layer } from '../support/oci-image.ts';
import { ociTruth, truthFamilies } from '../support/oci-truth.ts';
import { eventually, freePort, type RunningProgram } from '../support/programs.ts';
import { startExporter } from '../support/real-programs.ts';

/**
 * One exporter process with a healthy registry and one for each way to be bad: what is good stays exported, what
 * failed is told by log, metric and status, and 25 secrets are told nowhere.
 */
const secrets = Array.from(
  { length: 25 },
  (_, number) => `s3cret-${number}-${'xyzzy'.repeat(2)}${number * 7919}`,
);
const secretOf = (number: number): string => secrets[number % secrets.length] as string;

/** Names that a registry should not have, and one that lists them. */
const hostile = [
  'a"b',
  'a{}b',
  'a\nb',
  'a\\b',
  `long/${'x'.repeat(10_000)}`,
  'rtl/\u202eabc',
  '<script>alert(1)</script>',
];

const listen = async (
  answer: RequestListener,
  host = '127.0.0.1',
): Promise<{ server: Server; url: string }> => {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return { server, url: `http://${host}:${(server.address() as AddressInfo).port}` };
};

describe('bad registries beside a good one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cre-bad-'));
  const storage = join(folder, 'storage');
  const servers: Server[] = [];
  const closing: (() => Promise<void>)[] = [];
  const stolen: (string | undefined)[] = [];
  let exporter: RunningProgram;
  let base = '';
  let good: string[] = [];

  /** What each bad registry does, and the reason that its failed polls have to be counted with. */
  const bad: Record<string, { reason: string; url: string; auth?: string }> = {};

  async function add(name: string, reason: string, answer: RequestListener): Promise<void> {
    const { server, url } = await listen(answer);
    servers.push(server);
    bad[name] = { reason, url };
  }

  beforeAll(async () => {
    const store = createStore();
    populate(store, { seed: 4, repositories: 5, now: 1_795_000_000 });
    const healthy = await startOciSimulator({ store, referrers: true, auth: 'bearer' });
    closing.push(healthy.close);
    good = ociTruth(store);

    const thief = await listen((request, response) => {
      stolen.push(request.headers.authorization);
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    }, '127.0.0.2');
    servers.push(thief.server);

    await add('html', 'invalid_response', (_request, response) => response.end('<html>Sign in</html>'));
    await add('cut', 'invalid_response', (_request, response) => response.end('{"repositories":["a'));
    await add('empty', 'invalid_response', (_request, response) => response.end('{}'));
    await add('refusing', 'auth', (_request, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    await add('forbidding', 'forbidden', (_request, response) => response.writeHead(403).end());
    await add('broken', 'server_error', (_request, response) => response.writeHead(500).end('oops'));
    await add('hanging', 'timeout', () => {});
    await add('redirecting', 'auth', (request, response) =>
      response.writeHead(302, { location: `${thief.url}${request.url}` }).end(),
    );
    await add('phishing', 'auth', (_request, response) =>
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${thief.url}/token"` }).end(),
    );
    await add('endless', 'pagination', (_request, response) =>
      response.writeHead(200, { link: '</v2/_catalog?last=z>; rel="next"' }).end('{"repositories":["a"]}'),
    );
    await add('huge', 'too_large', (_request, response) => {
      response.writeHead(200);
      const piece = Buffer.alloc(1_000_000, ' ');
      let left = 60;
      const write = () => {
        while (left > 0 && !response.destroyed) {
          left -= 1;
          if (!response.write(piece)) return void response.once('drain', write);
        }
        response.end();
      };
      write();
    });
    bad['unreachable'] = { reason: 'connect', url: `http://127.0.0.1:${await freePort()}` };

    // A registry with a manifest of 50 MB, one that is not what its digest says, and names that hurt.
    const odd = createStore();
    const now = 1_795_000_000;
    odd.put('fine', image({ layers: [layer('fine')], created: now }), 'v1');
    for (const name of hostile) odd.put(name, image({ layers: [layer(name)], created: now }), 'v1');
    const fat = image({ layers: [layer('fat')], created: now });
    odd.put('fat', { ...fat, bytes: Buffer.concat([fat.bytes, Buffer.alloc(50_000_000, ' ')]) }, 'v1');
    const forged = image({ layers: [layer('forged')], created: now });
    odd.put('forged', { ...forged, bytes: Buffer.concat([forged.bytes, Buffer.from(' ')]) }, 'v1');
    const oddities = await startOciSimulator({ store: odd, referrers: true });
    closing.push(oddities.close);

    const registries = Object.entries(bad).map(
      ([name, { url }], number) =>
        `  - { name: ${name}, type: oci, endpoint: "${url}", http: { timeout: 5s, retries: 0 }, auth: { username: robot, password: "${secretOf(number)}" } }`,
    );
    // The rest of the secrets, each in another place of the configuration, at a registry that answers with errors.
    const file = (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const ways: ((secret: string) => string)[] = [
      (secret) => `token: "${secret}"`,
      (secret) => `tokenFile: "${file('a-token', secret)}"`,
      (secret) => `username: robot, passwordFile: "${file('a-password', secret)}"`,
      (secret) => {
        const auth = Buffer.from(`robot:${secret}`).toString('base64');
        const auths = { [new URL(bad['broken']?.url ?? '').host]: { auth } };
        return `dockerConfigFile: "${file('config.json', JSON.stringify({ auths }))}"`;
      },
    ];
    for (const number of [12, 13, 14, 15, 16, 17, 18, 19, 22, 23, 24])
      registries.push(
        `  - { name: extra-${number}, type: oci, endpoint: "${bad['broken']?.url}", http: { retries: 0 }, auth: { ${ways[number % 4]?.(secretOf(number))} } }`,
      );
    const config = join(folder, 'exporter.yaml');
    writeFileSync(
      config,
      `defaults: { schedule: 1s, timeout: 30s }
registries:
  - name: healthy
    type: oci
    endpoint: ${healthy.url}
    auth: { username: ${healthy.username}, password: ${healthy.password} }
    events: { token: "${secretOf(20)}" }
  - { name: odd, type: oci, endpoint: "${oddities.url}", auth: { token: "${secretOf(21)}" } }
${registries.join('\n')}
`,
    );
    const port = await freePort();
    base = `http://127.0.0.1:${port}`;
    exporter = await startExporter({ config, port, storage });
    await eventually(async () => expect((await fetch(`${base}/-/ready`)).status).toBe(200));
    // Some more polls: what is told once is not to be told with each.
    await eventually(async () => {
      const counts = (await metrics()).filter((line) => line.startsWith('container_registry_polls_total{'));
      for (const line of counts) expect(Number(line.split(' ').at(-1)), line).toBeGreaterThanOrEqual(3);
    });
  });

  afterAll(async () => {
    await exporter?.stop();
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    await Promise.all(closing.map((close) => close()));
    rmSync(folder, { recursive: true });
  });

  const metrics = async (): Promise<string[]> => (await (await fetch(`${base}/metrics`)).text()).split('\n');
  const of = async (registry: string, family: string) =>
    (await metrics()).filter((line) =>
      line.startsWith(`container_registry_${family}{registry="${registry}",`),
    );

  test('the healthy one is as if it were alone', async () => {
    const lines = await Promise.all(truthFamilies.map((family) => of('healthy', family)));
    const own = lines
      .flat()
      .map((line) =>
        line.replace('container_registry_', '').replace(/registry="healthy",provider="oci",?/, ''),
      );
    expect(own.toSorted()).toEqual(good.toSorted());
    expect(await of('healthy', 'up')).toEqual(['container_registry_up{registry="healthy",provider="oci"} 1']);
  });

  test.each([
    'html',
    'cut',
    'empty',
    'refusing',
    'forbidding',
    'broken',
    'hanging',
    'redirecting',
    'phishing',
    'endless',
    'huge',
    'unreachable',
  ])('%s: down, without data, counted by its reason, told in log and status', async (name) => {
    const { reason } = bad[name] as { reason: string };
    expect(await of(name, 'up')).toEqual([`container_registry_up{registry="${name}",provider="oci"} 0`]);
    expect(await of(name, 'repositories')).toEqual([]);
    const counted = (await of(name, 'poll_failures_total')).filter((line) => !line.endsWith(' 0'));
    expect(counted.length).toBe(1);
    expect(counted[0]).toContain(`reason="${reason}"`);
    const status = (await (await fetch(`${base}/api/v1/status`)).json()) as {
      registries: { name: string; state: string; errors: { reason: string; message: string }[] }[];
    };
    const own = status.registries.find((registry) => registry.name === name);
    expect(own).toMatchObject({
      state: 'down',
      errors: expect.arrayContaining([expect.objectContaining({ reason })]),
    });
    // Once, not with each of the polls since.
    const said = exporter
      .output()
      .split('\n')
      .filter((line) => line.includes(`registry=${name} `) && /level=(warn|error)/.test(line));
    expect(said.length).toBe(1);
  });

  test('credentials did not follow to another host', () => {
    expect(stolen.filter((header) => header !== undefined)).toEqual([]);
    expect(stolen.length).toBeGreaterThan(0);
  });

  test('in an odd registry the sound repositories are there, under their names', async () => {
    const names = (await of('odd', 'repository_images')).map(
      (line) => /repository="((?:[^"\\]|\\.)*)"/.exec(line)?.[1],
    );
    const unescaped = names.map((name) =>
      name?.replace(/\\(.)/g, (_, character) => (character === 'n' ? '\n' : character)),
    );
    // A name of 10 KB can be no name of a repository: it is left out, and said.
    const possible = hostile.filter((name) => !name.startsWith('long/'));
    expect(unescaped.toSorted()).toEqual(['fine', ...possible].toSorted());
    expect(exporter.output()).toMatch(
      /registry=odd .*can be no name of a repository|can be no name of a repository.*registry=odd/,
    );
    expect(names).not.toContain('fat');
    expect(names).not.toContain('forged');
    // An image that cannot be read is no failure of its repository: what depends on it is unknown, and it is said.
    const failures = (await of('odd', 'poll_failures_total')).filter((line) => !line.endsWith(' 0'));
    expect(failures).toEqual([]);
    for (const name of ['fat', 'forged'])
      expect(exporter.output()).toMatch(new RegExp(`level=warn.*registry=odd.*repository=${name}`));
    for (const line of await metrics()) expect(line).toMatch(/^(#.*|[a-zA-Z_:][\w:]*(\{.*\})? \S+|)$/u);
    expect(await (await fetch(`${base}/`)).text()).not.toContain('<script>');
  });

  test('no secret is told anywhere', async () => {
    const told = [
      exporter.output(),
      (await metrics()).join('\n'),
      await (await fetch(`${base}/`)).text(),
      await (await fetch(`${base}/api/v1/status`)).text(),
      // Temporary files come and go; they become the others.
      ...readdirSync(storage)
        .filter((name) => !name.endsWith('.tmp'))
        .map((name) => readFileSync(join(storage, name), 'utf8')),
    ].join('\n');
    for (const secret of secrets) {
      expect(told).not.toContain(secret);
      expect(told).not.toContain(Buffer.from(`robot:${secret}`).toString('base64'));
    }
  });
});
