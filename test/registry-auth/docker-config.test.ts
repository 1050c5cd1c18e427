import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { type Credentials, openDockerConfig } from '../../src/registry-auth.ts';
import { tempDir } from '../support/programs.ts';

const folder = tempDir();
afterAll(() => folder.remove());

let files = 0;
const write = (content: unknown): string => {
  files += 1;
  const path = join(folder.path, `config-${files}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
};
const base64 = (text: string) => Buffer.from(text).toString('base64');
const robot = { username: 'robot', password: 'pass:word' };
const entry = { auth: base64('robot:pass:word') };

describe('entries of auths', () => {
  test.each<[string, object, string, Credentials]>([
    ['user and password', { 'r.example.com': entry }, 'https://r.example.com', robot],
    ['under an address', { 'https://r.example.com/v2/': entry }, 'https://r.example.com', robot],
    [
      'under an address with a path, which stands for its host',
      { 'https://r.example.com/some/path': entry },
      'https://r.example.com',
      robot,
    ],
    ['in the clear', { 'r.example.com:5000': robot }, 'https://r.example.com:5000', robot],
    ["with the scheme's own port", { 'r.example.com:443': entry }, 'https://r.example.com', robot],
    ["with http's own port", { 'r.example.com:80': entry }, 'http://r.example.com', robot],
    [
      "with a port that begins like the scheme's own",
      { 'r.example.com:8080': entry },
      'http://r.example.com:8080',
      robot,
    ],
    ['under an address with http', { 'http://r.example.com/v2': entry }, 'http://r.example.com', robot],
    [
      'under the address of the old protocol',
      { 'https://r.example.com/v1': entry },
      'https://r.example.com',
      robot,
    ],
    [
      'with a password that docker padded, and a NUL byte of its own',
      { 'r.example.com': { auth: base64('robot:pass\0word\0\0\0') } },
      'https://r.example.com',
      { username: 'robot', password: 'pass\0word' },
    ],
    [
      'with a user name in the clear and the password beside it',
      { 'r.example.com': { ...entry, username: 'robot' } },
      'https://r.example.com',
      robot,
    ],
    [
      'with an empty password in the clear',
      { 'r.example.com': { username: 'robot', password: '' } },
      'https://r.example.com',
      { username: 'robot', password: '' },
    ],
    ['after a byte order mark', { 'r.example.com': entry }, 'https://r.example.com', robot],
    ['in capitals', { 'R.Example.com': entry }, 'https://r.example.com', robot],
    [
      'an identity token',
      { 'r.example.com': { auth: base64('x:'), identitytoken: 'id' } },
      'https://r.example.com',
      { identityToken: 'id' },
    ],
    [
      "Docker Hub's old address",
      { 'https://index.docker.io/v1/': entry },
      'https://registry-1.docker.io',
      robot,
    ],
    [
      'an empty one beside it, as docker leaves it there for its credential store',
      { 'https://r.example.com': {}, 'r.example.com': entry },
      'https://r.example.com',
      robot,
    ],
    [
      'one that is none beside it',
      { 'r.example.com': 'robot', 'r.example.com:443': entry },
      'https://r.example.com',
      robot,
    ],
  ])('%s', async (title, auths, endpoint, expected) => {
    const text = `${title.includes('mark') ? '\uFEFF' : ''}${JSON.stringify({ auths })}`;
    expect(await openDockerConfig(write(text)).credentials(new URL(endpoint))).toEqual(expected);
  });

  test.each([
    ['no user name', { auth: base64(':pass') }],
    ['no colon', { auth: base64('robot') }],
    ['a password alone', { password: 'pass' }],
  ])('with %s is none', async (_title, none) => {
    const config = openDockerConfig(write({ auths: { 'r.example.com': none } }));
    await expect(config.credentials(new URL('https://r.example.com'))).rejects.toMatchObject({
      reason: 'auth',
      message: expect.stringContaining('has no credentials for r.example.com under auths'),
    });
  });

  test('port 443 of an http registry is another registry', async () => {
    const config = openDockerConfig(write({ auths: { 'r.example.com:443': entry } }));
    await expect(config.credentials(new URL('http://r.example.com'))).rejects.toThrow('no credentials for');
  });
});

// https://kubernetes.io/docs/concepts/containers/images/#config-json
describe('a `*` in a host stands for characters of one part of its name, as for the kubelet', () => {
  test.each([
    ['*.kubernetes.io', 'abc.kubernetes.io', true],
    ['*.kubernetes.io', 'kubernetes.io', false],
    ['*.kubernetes.io', 'abc.def.kubernetes.io', false],
    ['*.*.kubernetes.io', 'abc.kubernetes.io', false],
    ['*.*.kubernetes.io', 'abc.def.kubernetes.io', true],
    ['prefix.*.io', 'prefix.kubernetes.io', true],
    ['*-good.kubernetes.io', 'prefix-good.kubernetes.io', true],
    ['*.dkr.ecr.*.amazonaws.com', '111122223333.dkr.ecr.eu-west-1.amazonaws.com', true],
    ['*.kubernetes.io:5000', 'abc.kubernetes.io:5000', true],
    ['*.kubernetes.io', 'abc.kubernetes.io:5000', false],
    ['*.kubernetes.io:*', 'abc.kubernetes.io:5000', true],
    ['https://*.kubernetes.io/v2/', 'abc.kubernetes.io', true],
  ])('%s and %s: %s', async (key, host, matches) => {
    const read = openDockerConfig(write({ auths: { [key]: entry } })).credentials(new URL(`https://${host}`));
    if (matches) expect(await read).toEqual(robot);
    else await expect(read).rejects.toThrow('no credentials for');
  });

  const of = (name: string) => ({ auth: base64(`${name}:p`) });
  test.each([
    ['a host by its own name goes first', ['*.example.com/team', 'r.example.com'], 'r.example.com'],
    ['then the longest path', ['*.example.com', '*.example.com/team'], '*.example.com/team'],
    ['then the longest pattern', ['*.*.com', '*.example.com'], '*.example.com'],
  ])('%s', async (_title, keys, expected) => {
    const auths = Object.fromEntries(keys.map((key) => [key, of(key)]));
    const config = openDockerConfig(write({ auths }));
    expect(await config.credentials(new URL('https://r.example.com'), 'team/app')).toMatchObject({
      username: expected,
    });
  });
});

describe('entries with a path are for what lies below it, the longest first', () => {
  const of = (name: string) => ({ auth: base64(`${name}:p`) });
  const auths = {
    'r.example.com/org-a': of('org-a'),
    'r.example.com/org-a/team': of('team'),
    'r.example.com': of('host'),
    'r.example.com/org-b': {},
    'other.example.com/org-c': of('other'),
  };
  test.each([
    ['org-a/app', 'org-a'],
    ['org-a', 'org-a'],
    ['org-a/team/app', 'team'],
    ['org-a/teams/app', 'org-a'],
    ['org-ab/app', 'host'],
    ['org-b/app', 'host'],
    ['org-c/app', 'host'],
    [undefined, 'host'],
  ])('%s: %s', async (repository, username) => {
    const config = openDockerConfig(write({ auths }));
    expect(await config.credentials(new URL('https://r.example.com'), repository)).toEqual({
      username,
      password: 'p',
    });
  });

  test('also below the path that the registry lies under', async () => {
    const config = openDockerConfig(write({ auths: { 'r.example.com/docker/org-a': of('org-a') } }));
    expect(await config.credentials(new URL('https://r.example.com/docker/'), 'org-a/app')).toMatchObject({
      username: 'org-a',
    });
  });

  test('without one for the repository, the error names file and repository', async () => {
    const path = write({ auths: { 'r.example.com/org-a': of('org-a') } });
    await expect(
      openDockerConfig(path).credentials(new URL('https://r.example.com'), 'org-b/app'),
    ).rejects.toThrow(
      `the docker configuration ${path} has no credentials for r.example.com/org-b/app under auths`,
    );
  });
});

test('without the host, the error names file and host', async () => {
  const path = write({ auths: { 'other.example.com': { auth: base64('a:b') } } });
  await expect(openDockerConfig(path).credentials(new URL('https://r.example.com'))).rejects.toThrow(
    `the docker configuration ${path} has no credentials for r.example.com under auths`,
  );
});

test('a file that changed is read again', async () => {
  const path = write({ auths: { 'r.example.com': entry } });
  const config = openDockerConfig(path);
  const endpoint = new URL('https://r.example.com');
  expect(await config.credentials(endpoint)).toEqual(robot);
  writeFileSync(
    path,
    JSON.stringify({ auths: { 'r.example.com': { auth: base64('robot:a new password') } } }),
  );
  expect(await config.credentials(endpoint)).toEqual({ username: 'robot', password: 'a new password' });
});

describe('errors', () => {
  test.each([
    ['that is no JSON', base64('robot:hunter2')],
    ['that is cut', `{"auths":{"r.example.com":{"auth":"${base64('robot:hunter2')}`],
    ['of another shape', '[]'],
  ])('a file %s is named, and nothing of it repeated', async (_title, content) => {
    const path = write(content);
    const error = await openDockerConfig(path)
      .credentials(new URL('https://r.example.com'))
      .catch((thrown: Error) => thrown);
    expect(error).toMatchObject({
      reason: 'auth',
      message: expect.stringContaining(`${path} cannot be read as JSON with auths`),
    });
    expect(inspect(error)).not.toContain(base64('robot:hunter2'));
  });

  test('a file that is not there is told as that', async () => {
    const config = openDockerConfig('/nowhere/config.json');
    await expect(config.credentials(new URL('https://r.example.com'))).rejects.toThrow(
      'the docker configuration /nowhere/config.json cannot be read: check the path and its mount',
    );
  });
});

describe('credential helpers', () => {
  const endpoint = new URL('https://r.example.com');
  /** Each is asked once within half a minute: every test has one of its own. */
  let helpers = 0;
  function helper(script: string): string {
    helpers += 1;
    const name = `test-${process.pid}-${helpers}`;
    writeFileSync(join(folder.path, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return name;
  }
  const path = process.env['PATH'];
  process.env['PATH'] = `${folder.path}:${path}`;
  afterAll(() => {
    process.env['PATH'] = path;
  });
  const log = () => join(folder.path, 'asked');
  /** Answers for one server only, as the helpers of the clouds do, and writes down that it was asked. */
  const answering = (server: string, answer: object) =>
    helper(
      `read asked; echo "$1 $asked" >>${log()}; [ "$asked" = "${server}" ] && echo '${JSON.stringify(answer)}' && exit\n` +
        `echo "credentials not found in native keychain"; exit 1`,
    );
  const found = { ServerURL: 'r.example.com', Username: 'robot', Secret: 'pass:word' };

  test('are not run, but named, where that is not allowed', async () => {
    const name = answering('r.example.com', found);
    for (const given of [
      { credHelpers: { 'r.example.com': name } },
      { credsStore: name, auths: { 'r.example.com': {} } },
    ])
      await expect(openDockerConfig(write(given)).credentials(endpoint)).rejects.toThrow(
        `they are with the credential helper docker-credential-${name}, a program that is run where auth.allowCredentialHelpers is true`,
      );
  });

  test('an entry of the file serves where they may not be run', async () => {
    const config = openDockerConfig(write({ auths: { 'r.example.com': entry }, credsStore: 'desktop' }));
    expect(await config.credentials(endpoint)).toEqual(robot);
  });

  test('of the host', async () => {
    const name = answering('r.example.com', found);
    const config = openDockerConfig(write({ credHelpers: { 'r.example.com': name } }), true);
    expect(await config.credentials(endpoint)).toEqual(robot);
    await expect(config.credentials(new URL('https://other.example.com'))).rejects.toThrow('no credentials');
  });

  test('of the store, asked for the name that docker left in auths', async () => {
    const name = answering('https://r.example.com/v2/', found);
    const auths = { 'https://r.example.com/v2/': {} };
    expect(await openDockerConfig(write({ auths, credsStore: name }), true).credentials(endpoint)).toEqual(
      robot,
    );
  });

  test('an identity token', async () => {
    const name = answering('r.example.com', { Username: '<token>', Secret: 'id' });
    const config = openDockerConfig(write({ credsStore: name }), true);
    expect(await config.credentials(endpoint)).toEqual({ identityToken: 'id' });
  });

  test('are asked once for many requests', async () => {
    const name = helper(`cat >/dev/null; echo x >>${folder.path}/count; echo '${JSON.stringify(found)}'`);
    const config = openDockerConfig(write({ credsStore: name }), true);
    await Promise.all(Array.from({ length: 20 }, () => config.credentials(endpoint, 'team/app')));
    expect(readFileSync(join(folder.path, 'count'), 'utf8')).toBe('x\n');
  });

  test.each<[string, string, string]>([
    ['has none', 'echo "credentials not found in native keychain"; exit 1', 'has none either'],
    ['fails', 'echo "the secret is hunter2"; exit 3', 'ended with 3, asked for r.example.com'],
    ['answers no JSON', 'echo hunter2', 'answered something else than JSON with Username and Secret'],
    ['answers without end', 'yes hunter2', 'answered with more than 65536 characters'],
    ['does not read', `exec <&-; echo '{"Username":"","Secret":""}'`, 'answered something else'],
  ])('one that %s is told by its name, and nothing of it repeated', async (_title, script, expected) => {
    const name = helper(script);
    const error = await openDockerConfig(write({ credsStore: name }), true)
      .credentials(endpoint)
      .catch((thrown: Error) => thrown);
    expect((error as Error).message).toContain(`docker-credential-${name}`);
    expect((error as Error).message).toContain(expected);
    expect(inspect(error)).not.toContain('hunter2');
  });

  test('one that is not there is told as that', async () => {
    const config = openDockerConfig(write({ credsStore: 'not-there' }), true);
    await expect(config.credentials(endpoint)).rejects.toThrow(
      'the credential helper docker-credential-not-there is not on the PATH',
    );
  });

  test('no other program is run', async () => {
    const config = openDockerConfig(write({ credsStore: '/../../bin/sh' }), true);
    await expect(config.credentials(endpoint)).rejects.toThrow('a credential helper that is no name');
  });

  test('one that waits for a person is ended', async () => {
    const name = helper('sleep 600; echo');
    const config = openDockerConfig(write({ credsStore: name }), true);
    await expect(config.credentials(endpoint)).rejects.toThrow('did not answer within 10 s');
  });
});
