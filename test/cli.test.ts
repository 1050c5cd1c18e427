import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseFlags, usage } from '../src/cli.ts';
import { tempDir } from './support/programs.ts';

describe('flags', () => {
  test('without any', () => {
    expect(parseFlags([])).toEqual({
      configFile: 'exporter.yaml',
      checkOnly: false,
      watchConfig: true,
      listenAddresses: [{ host: undefined, port: 10056 }],
      healthAddresses: [],
      eventsAddresses: [],
      telemetryPath: '/metrics',
      maxRequests: 40,
      webConfigFile: undefined,
      storagePath: undefined,
      logLevel: 'info',
      logFormat: 'logfmt',
    });
  });

  test('all of them', () => {
    expect(
      parseFlags([
        '--config.file=a.yaml',
        '--config.check',
        '--no-config.watch',
        '--web.listen-address=127.0.0.1:1',
        '--web.listen-address=[::1]:2',
        '--web.health-listen-address=:3',
        '--web.events-listen-address=:4',
        '--web.telemetry-path=/m',
        '--web.max-requests=0',
        '--web.config.file=web.yaml',
        '--storage.path=/data',
        '--log.level=debug',
        '--log.format=json',
      ]),
    ).toEqual({
      configFile: 'a.yaml',
      checkOnly: true,
      watchConfig: false,
      listenAddresses: [
        { host: '127.0.0.1', port: 1 },
        { host: '::1', port: 2 },
      ],
      healthAddresses: [{ host: undefined, port: 3 }],
      eventsAddresses: [{ host: undefined, port: 4 }],
      telemetryPath: '/m',
      maxRequests: 0,
      webConfigFile: 'web.yaml',
      storagePath: '/data',
      logLevel: 'debug',
      logFormat: 'json',
    });
  });

  test.each([
    ['--web.listen-address=10056', 'write :10056, 127.0.0.1:10056 or [::1]:10056'],
    ['--web.listen-address=:99999', 'write :10056'],
    ['--web.health-listen-address=x', '--web.health-listen-address=x: write :10056'],
    ['--web.telemetry-path=metrics', 'a path such as /metrics'],
    ['--web.telemetry-path=/', 'not / itself'],
    ['--web.telemetry-path=/metrics*', 'of letters, digits'],
    ['--web.telemetry-path=/:registry', 'of letters, digits'],
    ['--web.telemetry-path=/-/ready', 'other things are there'],
    ['--web.telemetry-path=/events', 'other things are there'],
    ['--web.max-requests=-1', 'a whole number from 0'],
    ['--shard=first', '--shard=first: write a number from 0, or a name that ends with -0, -1, …'],
    ['--shard=-1', 'from 0'],
    ['--shard.peers=http://exporter:10056', 'write an address with {shard} for the number'],
    ['--shard.peers=exporter-{shard}:10056', 'write an address with {shard} for the number'],
    ['--shards=0', '--shards=0: write a number from 1'],
    ['--log.level=loud', 'one of debug, info, warn, error'],
    ['--log.format=xml', 'logfmt or json'],
    ['--storage.path=', '--storage.path is empty: give it a value, or leave it out'],
    ['--config.file=', '--config.file is empty'],
    ['--web.config.file=', '--web.config.file is empty'],
    ['--web.max-requests=', '--web.max-requests is empty'],
    ['--storage.path= ', '--storage.path is empty'],
    ['--web.telemetry-path=/metrics/../x', 'a path such as /metrics'],
    ['--web.listen-address=', 'write :10056'],
    ['--password=x', "Unknown option '--password'"],
    ['extra', 'Unexpected argument'],
  ])('%s is refused', (flag, message) => {
    expect(() => parseFlags([flag])).toThrow(message);
  });

  test('every flag is in the help', () => {
    const flags = [
      'config.file',
      'config.check',
      'web.listen-address',
      'web.telemetry-path',
      'web.max-requests',
    ];
    for (const flag of [...flags, 'web.config.file', 'storage.path', 'log.level', 'log.format', 'version'])
      expect(usage).toContain(`--${flag}`);
  });
});

describe('the program', () => {
  const dir = tempDir();
  afterAll(() => dir.remove());
  const run = (...args: string[]) => {
    const main = join(import.meta.dirname, '..', 'src', 'main.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
    return { status, stdout, stderr };
  };

  test('--version', () => {
    expect(run('--version')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^container-registry-exporter \d+\.\d+\.\d+ \(revision .+, node v\d+/),
    });
  });

  test('--help', () => {
    expect(run('--help')).toEqual({ status: 0, stdout: usage, stderr: '' });
  });

  test('a wrong flag ends with 2 and says why', () => {
    expect(run('--log.level=loud')).toEqual({
      status: 2,
      stdout: '',
      stderr: '--log.level is one of debug, info, warn, error\n',
    });
  });

  test('--config.check of a good file', () => {
    const file = join(dir.path, 'good.yaml');
    writeFileSync(file, 'registries: [{ name: a, type: oci, endpoint: "https://registry.example.com" }]');
    expect(run('--config.check', `--config.file=${file}`)).toEqual({
      status: 0,
      stdout: `${file}: 1 registries, no mistakes\n`,
      stderr: '',
    });
  });

  test('--config.check of a bad one tells every mistake and ends with 1', () => {
    const file = join(dir.path, 'bad.yaml');
    writeFileSync(file, 'registries:\n  - name: a\n    type: oci\n    timeout: soon\n');
    expect(run('--config.check', `--config.file=${file}`)).toEqual({
      status: 1,
      stdout: '',
      stderr: `${file}:2:5: registries[0].endpoint: is missing: it has to be text
${file}:4:5: registries[0].timeout: "soon" is no duration: write one such as 30s, 5m, 12h or 7d
`,
    });
  });

  test('--config.check finds files that are missing or empty', () => {
    const file = join(dir.path, 'files.yaml');
    const empty = join(dir.path, 'empty');
    writeFileSync(empty, '');
    writeFileSync(
      file,
      `registries:
  - name: a
    type: oci
    endpoint: https://registry.example.com
    tls: { caFile: ${dir.path} }
    auth: { username: robot, passwordFile: /nowhere/password }
    events: { tokenFile: ${empty} }
`,
    );
    expect(run('--config.check', `--config.file=${file}`)).toEqual({
      status: 1,
      stdout: '',
      stderr: `${file}:5:12: registries[0].tls.caFile: ${dir.path} is a folder
${file}:6:30: registries[0].auth.passwordFile: there is no file /nowhere/password
${file}:7:15: registries[0].events.tokenFile: ${empty} is empty
`,
    });
  });

  test('--config.check finds files that are there and cannot be used', () => {
    const file = join(dir.path, 'odd-files.yaml');
    const written = (name: string, text: string) => {
      writeFileSync(join(dir.path, name), text);
      return join(dir.path, name);
    };
    const [token, text] = [written('token', 'short\n'), written('text', 'no certificate')];
    writeFileSync(
      file,
      `registries:
  - name: a
    type: oci
    endpoint: https://registry.example.com
    tls: { caFile: ${text}, certFile: ${text}, keyFile: ${text} }
    auth: { dockerConfigFile: ${text} }
    events: { tokenFile: ${token} }
`,
    );
    expect(run('--config.check', `--config.file=${file}`)).toEqual({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(
        [
          `${file}:5:12: registries\\[0\\].tls.caFile: the CA file ${text} holds no certificate in PEM: check tls.caFile`,
          `${file}:5:\\d+: registries\\[0\\].tls.keyFile: the client certificate ${text} is no certificate in PEM: check tls.certFile`,
          `${file}:6:13: registries\\[0\\].auth.dockerConfigFile: ${text} is no JSON`,
          `${file}:7:15: registries\\[0\\].events.tokenFile: the secret file ${token} holds 5 characters: a secret of at least 16 is needed here`,
        ].join('\n'),
      ),
    });
  });

  test('--config.check finds data that would be missing between two polls, and another encoding', () => {
    const file = join(dir.path, 'stale.yaml');
    const text =
      'registries:\n  - { name: ä, type: oci, endpoint: "https://r.example", schedule: 1h, staleAfter: 5m }\n';
    writeFileSync(file, text, 'latin1');
    expect(run('--config.check', `--config.file=${file}`)).toMatchObject({
      status: 1,
      stderr: `${file}: is no UTF-8 text: save it as UTF-8\n`,
    });
    writeFileSync(file, text.replace('ä', 'a'));
    expect(run('--config.check', `--config.file=${file}`)).toMatchObject({
      status: 1,
      stderr: `${file}:2:72: registries[0].staleAfter: data would be left out before the next poll: staleAfter has to be at least the 3600 s between two polls\n`,
    });
  });

  test('--config.check looks at the web configuration too', () => {
    const file = join(dir.path, 'good.yaml');
    const web = join(dir.path, 'web.yml');
    writeFileSync(web, 'basic_auth_users: { alice: secret }\n');
    expect(run('--config.check', `--config.file=${file}`, `--web.config.file=${web}`)).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/web\.yml:1:21: basic_auth_users\.alice: is no bcrypt hash/),
    });
  });

  test('an address that is taken ends with 1 and says which, without a stack', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const { status, stderr } = run(
      `--config.file=${join(dir.path, 'good.yaml')}`,
      `--web.listen-address=${address}`,
    );
    other.close();
    expect(status).toBe(1);
    expect(stderr).toBe(
      `--web.listen-address=${address}: listen EADDRINUSE: address already in use ${address}\n`,
    );
  });

  test('a start with a bad configuration ends with 1 and the same words', () => {
    const file = join(dir.path, 'bad.yaml');
    expect(run(`--config.file=${file}`, '--web.listen-address=127.0.0.1:0')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('registries[0].timeout: "soon" is no duration'),
    });
  });
});
