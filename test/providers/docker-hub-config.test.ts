import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { parseConfig } from '../../src/config.ts';
import { dockerHub } from '../../src/providers/docker-hub.ts';
import { hubs } from '../support/docker-hub-running.ts';
import { tempDir } from '../support/programs.ts';

/** The provider's part of the configuration, and what is said of mistakes in it. */
const { start } = hubs();

function problem(more: object): string {
  const text = stringify({ registries: [{ name: 'hub', type: 'docker-hub', ...more }] });
  try {
    parseConfig(text, { file: 'test.yaml', providers: { 'docker-hub': dockerHub }, env: {} });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

test.each([
  ['nothing: the pull limit of the address', {}],
  ['a user and a token', { auth: { username: 'ci', token: 'dckr_pat_x' } }],
  ['a user and a password', { namespaces: ['acme'], auth: { username: 'ci', password: 'x' } }],
  ['several namespaces', { namespaces: ['acme', 'library'] }],
  ["docker's own configuration", { auth: { dockerConfigFile: '/config.json' } }],
])('%s is right', (_title, more) => {
  expect(problem(more)).toBe('');
});

test.each([
  ['a token without its user', { auth: { token: 'x' } }, 'auth.username: is missing: the user'],
  ['a user alone', { auth: { username: 'ci' } }, 'auth.username: goes together with a token'],
  ['two secrets', { auth: { username: 'ci', token: 'x', passwordFile: '/x' } }, 'keep one of the two'],
  ['two ways', { auth: { username: 'ci', dockerConfigFile: '/x' } }, 'keep one of the two'],
  ['no namespace', { namespaces: [] }, 'namespaces'],
  ['a repository as namespace', { namespaces: ['acme/app'] }, 'a namespace has small letters'],
])('%s is refused', (_title, more, message) => {
  expect(problem(more)).toContain(message);
});

describe("docker's own configuration", () => {
  const dir = tempDir();
  const file = join(dir.path, 'config.json');
  const key = 'https://index.docker.io/v1/';
  const write = (entry: object) => writeFileSync(file, JSON.stringify({ auths: { [key]: entry } }));

  test('has the user and the token, as `docker login` stores them', async () => {
    write({ auth: Buffer.from('ci-reader:dckr_pat_124509ugsdjga93').toString('base64') });
    const hub = await start({}, { auth: { dockerConfigFile: file } });
    await hub.running.poll();
    expect(await hub.running.value('repositories')).toBe(5);
  });

  test('with an identity token is refused with what to do', async () => {
    write({ identitytoken: 'x' });
    const hub = await start({}, { auth: { dockerConfigFile: file } });
    await hub.running.poll();
    expect(await hub.running.value('up')).toBe(0);
    expect(hub.warnings().join()).toContain('use an access token');
    dir.remove();
  });
});

test('a secret file is read again when it changes', async () => {
  const dir = tempDir();
  const tokenFile = join(dir.path, 'token');
  writeFileSync(tokenFile, 'dckr_pat_old\n');
  const hub = await start({}, { auth: { username: 'ci-reader', tokenFile } });
  await hub.running.poll();
  expect(await hub.running.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
  writeFileSync(tokenFile, 'dckr_pat_124509ugsdjga93\n');
  await hub.running.poll();
  expect(await hub.running.value('up')).toBe(1);
  dir.remove();
});
