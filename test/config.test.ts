// biome-ignore-all lint/suspicious/noTemplateCurlyInString: that is the configuration's own syntax of a variable
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ConfigError, configJsonSchema, loadConfig, parseConfig } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';

const file = 'exporter.yaml';
/** As a message lists them. */
const types = Object.keys(providers).join(', ');
const parse = (text: string, env: NodeJS.ProcessEnv = {}) => parseConfig(text, { file, providers, env });

/** A document with one registry that is right but for the lines given. */
const withRegistry = (...lines: string[]): string =>
  ['registries:', '  - name: edge', '    type: oci', '    endpoint: https://registry.example.com']
    .concat(lines.map((line) => `    ${line}`))
    .join('\n');

function mistakes(text: string, env: NodeJS.ProcessEnv = {}): string[] {
  try {
    parse(text, env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message.split('\n');
  }
  return [];
}

test('an entry may take over another by a merge key', () => {
  const text = `registries:
  - &first
    name: edge
    type: oci
    endpoint: https://registry.example.com
    timeout: 30s
  - <<: *first
    name: other`;
  expect(parse(text).registries.map(({ name, timeoutMs }) => [name, timeoutMs])).toEqual([
    ['edge', 30_000],
    ['other', 30_000],
  ]);
});

describe('each mistake is told with file, line, path, what is wrong and what would be right', () => {
  test.each<[string, string, string]>([
    [
      'a setting that does not exist',
      withRegistry('shedule: 5m'),
      'exporter.yaml:5:5: registries[0].shedule: there is no setting "shedule" here (did you mean "schedule"?)',
    ],
    [
      'a setting that does not exist, deeper',
      withRegistry('auth: { usrname: robot }'),
      'exporter.yaml:5:13: registries[0].auth.usrname: there is no setting "usrname" here (did you mean "username"?)',
    ],
    [
      'a setting of the document that does not exist',
      `${withRegistry()}\ndefault: {}`,
      'exporter.yaml:5:1: default: there is no setting "default" here (did you mean "defaults"?)',
    ],
    [
      'no endpoint',
      'registries:\n  - name: edge\n    type: oci',
      'exporter.yaml:2:5: registries[0].endpoint: is missing: it has to be text',
    ],
    [
      'settings that exclude each other',
      'registries:\n  - { name: all, type: ecr, region: eu-west-1, regions: [us-east-1] }',
      'exporter.yaml:2:48: registries[0].regions: is given besides region: keep one of the two',
    ],
    [
      'a setting that goes with another one',
      'registries:\n  - { name: all, type: ecr, externalId: team-7 }',
      'exporter.yaml:2:29: registries[0].externalId: is what a role asks for: it goes with assumeRoleArn, or with each of accounts',
    ],
    [
      'a type that does not exist',
      'registries:\n  - name: edge\n    type: ocj',
      `exporter.yaml:3:5: registries[0].type: is none of the types of registry: ${types} (did you mean "oci"?)`,
    ],
    [
      'no type',
      'registries:\n  - name: edge\n',
      `exporter.yaml:2:5: registries[0].type: is none of the types of registry: ${types}`,
    ],
    [
      'a cron expression that is none',
      withRegistry('schedule: "61 * * * *"'),
      'exporter.yaml:5:5: registries[0].schedule: "61 * * * *" is no schedule: write a cron expression such as "*/5 * * * *", or an interval of at least 1s such as 5m',
    ],
    [
      'an interval that is too short',
      withRegistry('schedule: 10ms'),
      'exporter.yaml:5:5: registries[0].schedule: "10ms" is no schedule: write a cron expression such as "*/5 * * * *", or an interval of at least 1s such as 5m',
    ],
    [
      'a duration in words',
      withRegistry('timeout: 4 minutes'),
      'exporter.yaml:5:5: registries[0].timeout: "4 minutes" is no duration: write one such as 30s, 5m, 12h or 7d',
    ],
    [
      'a number where a duration has to be',
      withRegistry('timeout: 4'),
      'exporter.yaml:5:5: registries[0].timeout: is a number and has to be text: a duration has a unit, such as 4s or 4m',
    ],
    [
      'a setting without a value',
      withRegistry('timeout:'),
      'exporter.yaml:5:5: registries[0].timeout: is empty and has to be text',
    ],
    [
      'a size in other units',
      withRegistry('http: { maxBytes: 3MB }'),
      'exporter.yaml:5:13: registries[0].http.maxBytes: "3MB" is no size: write one such as 32MiB, or a whole number of bytes',
    ],
    [
      'no bytes at all',
      withRegistry('http: { maxBytes: 0 }'),
      'exporter.yaml:5:13: registries[0].http.maxBytes: has to be more than 0',
    ],
    [
      'half a byte',
      withRegistry('http: { maxBytes: 1.5 }'),
      'exporter.yaml:5:13: registries[0].http.maxBytes: is no size: write one such as 32MiB, or a whole number of bytes',
    ],
    [
      'nothing of what there has to be some',
      withRegistry('http: { requestsPerSecond: 0 }'),
      'exporter.yaml:5:13: registries[0].http.requestsPerSecond: has to be more than 0',
    ],
    [
      'more than any number',
      withRegistry('http: { requestsPerSecond: .inf }'),
      'exporter.yaml:5:13: registries[0].http.requestsPerSecond: is a number and has to be a finite one',
    ],
    [
      'an empty text',
      withRegistry('tls: { caFile: "" }'),
      'exporter.yaml:5:12: registries[0].tls.caFile: is empty and has to be text',
    ],
    [
      'a list without entries',
      withRegistry('names: []'),
      'exporter.yaml:5:5: registries[0].names: has to be at least 1 entry',
    ],
    [
      'a negative count',
      withRegistry('images: { perRepository: -1 }'),
      'exporter.yaml:5:15: registries[0].images.perRepository: has to be at least 0',
    ],
    [
      'an address that is none',
      withRegistry().replace('https://registry.example.com', 'registry.example.com'),
      'exporter.yaml:4:5: registries[0].endpoint: the address is no address: write one such as https://registry.example.com',
    ],
    [
      'an address of another scheme',
      withRegistry().replace('https:', 'ftp:'),
      'exporter.yaml:4:5: registries[0].endpoint: the address has another scheme than http or https',
    ],
    [
      'a password in an address, which is not repeated',
      withRegistry().replace('https://', 'https://bob:hunter2@'),
      'exporter.yaml:4:5: registries[0].endpoint: the address holds a user or password: put them under auth',
    ],
    [
      'a password twice',
      withRegistry('auth: { username: robot, password: a, passwordFile: /b }'),
      'exporter.yaml:5:43: registries[0].auth.passwordFile: is given besides password: keep one of the two',
    ],
    [
      'a user without a password',
      withRegistry('auth: { username: robot }'),
      'exporter.yaml:5:5: registries[0].auth.password: username and password (or passwordFile) go together',
    ],
    [
      'two ways to log in',
      withRegistry('auth: { username: robot, password: a, token: b }'),
      'exporter.yaml:5:13: registries[0].auth.username: more than one of password, token and dockerConfigFile is given: keep one',
    ],
    [
      'a token of events that can be guessed',
      withRegistry('events: { token: secret }'),
      'exporter.yaml:5:15: registries[0].events.token: has to be at least 16 characters',
    ],
    [
      'a token of events twice',
      withRegistry('events: { token: sixteen-letters-and-more, tokenFile: /b }'),
      'exporter.yaml:5:48: registries[0].events.tokenFile: is given besides token: keep one of the two',
    ],
    [
      'a deadline that no timer can keep',
      withRegistry('http: { timeout: 30d }'),
      'exporter.yaml:5:13: registries[0].http.timeout: is too long for a deadline: 24d at most',
    ],
    [
      'events without a token',
      withRegistry('events: {}'),
      'exporter.yaml:5:5: registries[0].events: events need a token or tokenFile',
    ],
    [
      'a name that is no label of a registry',
      withRegistry().replace('name: edge', 'name: "the edge"'),
      'exporter.yaml:2:5: registries[0].name: a name has up to 63 letters, digits, dots, dashes and underscores',
    ],
    [
      'a name twice',
      `${withRegistry()}\n  - { name: edge, type: oci, endpoint: "https://other.example.com" }`,
      'exporter.yaml:5:7: registries[1].name: registries[0] has this name too: names are unique',
    ],
    [
      'a variable that is not set',
      withRegistry('auth: { token: "${REGISTRY_TOKEN}" }'),
      'exporter.yaml:5:20: registries[0].auth.token: the environment variable REGISTRY_TOKEN is not set: set it, or write ${REGISTRY_TOKEN:-default}',
    ],
    [
      'YAML that does not parse',
      'registries:\n  - {name: edge',
      'exporter.yaml:2:16: Flow map in block collection must be sufficiently indented and end with a }',
    ],
    [
      'a key twice',
      withRegistry('timeout: 1m', 'timeout: 2m'),
      'exporter.yaml:6:5: this setting is given twice: keep one',
    ],
    [
      'an alias without its anchor',
      withRegistry('names: [app, *more]'),
      'exporter.yaml:5:18: registries[0].names[1]: there is no anchor &more before this: write it, or the value itself',
    ],
    [
      'aliases that unfold without end',
      `a: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nregistries: [${'*b,'.repeat(20)}]`,
      'exporter.yaml:1:1: the aliases (*name) unfold to too much, write out what is needed: Excessive alias count indicates a resource exhaustion attack',
    ],
    [
      'a cron expression without quotes',
      withRegistry('schedule: */5 * * * *'),
      'exporter.yaml:5:15: registries[0].schedule: a value that begins with * has to be in quotes: "*/5 * * * *"',
    ],
    [
      'two documents',
      `${withRegistry()}\n---\nregistries: []`,
      'exporter.yaml:5:1: the file holds more than one document: everything from the second `---` on has to go',
    ],
    [
      'a number where text is meant',
      withRegistry().replace('edge', '7'),
      'exporter.yaml:2:5: registries[0].name: is a number and has to be text: put it in quotes',
    ],
    [
      'a number in quotes',
      withRegistry('maxSeries: "100"'),
      'exporter.yaml:5:5: registries[0].maxSeries: is text and has to be a number: write it without quotes, and not as ${NAME}, which is text',
    ],
    [
      'a registry by its common name',
      'registries:\n  - name: edge\n    type: gar',
      `exporter.yaml:3:5: registries[0].type: is none of the types of registry: ${types} (did you mean "artifact-registry"?)`,
    ],
    [
      'an address without its scheme',
      withRegistry().replace('https://', ''),
      'exporter.yaml:4:5: registries[0].endpoint: the address is no address: write one such as https://registry.example.com',
    ],
    [
      'an address with a port and without its scheme',
      withRegistry().replace('https://registry.example.com', 'registry.example.com:5000'),
      'exporter.yaml:4:5: registries[0].endpoint: the address has no scheme: put https:// before it',
    ],
    [
      'a list of no patterns',
      withRegistry('repositories: { include: [] }'),
      'exporter.yaml:5:21: registries[0].repositories.include: no repository would be read: give at least one pattern, or leave it out',
    ],
    [
      'a reference of a shell',
      withRegistry('auth: { username: a, password: "${PASSWORD:?is missing}" }'),
      'exporter.yaml:5:36: registries[0].auth.password: holds a ${ that is no reference to a variable: write ${NAME} or ${NAME:-default}, or $${ for the characters themselves',
    ],
    [
      'a reference that does not end',
      withRegistry('auth: { username: a, password: "${PASSWORD" }'),
      'exporter.yaml:5:36: registries[0].auth.password: holds a ${ that is no reference to a variable: write ${NAME} or ${NAME:-default}, or $${ for the characters themselves',
    ],
    [
      'a reference within braces',
      withRegistry('images: { perRepository: ${COUNT} }'),
      'exporter.yaml:5:31: a reference to a variable within { } or [ ] has to be in quotes: "${NAME}"',
    ],
    [
      'a line that is indented too far',
      withRegistry('  timeout: 30s'),
      'exporter.yaml:4:15: this line does not fit those beside it: settings of one entry begin in the same column, a space follows each colon, and text that holds a colon and a space is in quotes',
    ],
    [
      'text with a colon within braces',
      withRegistry('auth: { username: a, password: b: c }'),
      'exporter.yaml:5:36: text that holds a colon and a space has to be in quotes',
    ],
    [
      'a password that begins with @',
      withRegistry('auth: { username: a, password: @b }'),
      'exporter.yaml:5:36: Plain value cannot start with reserved character @: put the value in quotes',
    ],
    [
      'one pattern where a list of them is meant',
      withRegistry('repositories: { include: team/* }'),
      'exporter.yaml:5:21: registries[0].repositories.include: is text and has to be a list: write ["…"]',
    ],
    [
      'a day that never comes',
      withRegistry('schedule: "0 0 31 2 *"'),
      'exporter.yaml:5:5: registries[0].schedule: "0 0 31 2 *" is no schedule: write a cron expression such as "*/5 * * * *", or an interval of at least 1s such as 5m',
    ],
    [
      'a variable that names of places do not have',
      'registries:\n  - { name: a, type: ecr, regions: [us-east-1], nameTemplate: "{zone}" }',
      'exporter.yaml:2:49: registries[0].nameTemplate: there is no {zone}: use {name}, {account}, {region}',
    ],
    [
      'an Azure registry that is not named',
      'registries:\n  - { name: a, type: acr }',
      'exporter.yaml:2:5: registries[0].loginServer: is missing: the registry, or all of them by `subscriptions`',
    ],
    [
      'one Azure registry and all of them',
      'registries:\n  - { name: a, type: acr, subscriptions: all, loginServer: x.azurecr.io }',
      'exporter.yaml:2:47: registries[0].loginServer: is for one registry, and `subscriptions` for all of them: keep one of the two',
    ],
    ['no registries', 'registries: []', 'exporter.yaml:1:1: registries: at least one registry'],
    ['an empty file', '', 'exporter.yaml:1:1: the document is empty: it needs `registries:`'],
    ['a list', '- edge', 'exporter.yaml:1:1: the document is a list: it needs `registries:`'],
  ])('%s', (_title, text, message) => {
    expect(mistakes(text)).toContain(message);
  });

  test('a mistake that makes the parser stumble several times is told once', () => {
    expect(mistakes(withRegistry('schedule: */5 * * * *'))).toHaveLength(1);
  });

  test('all at once', () => {
    const text = `defaults: { timeout: soon }
registries:
  - { name: a b, type: oci, endpoint: nowhere, foo: 1 }
  - { name: b, type: oci }
`;
    expect(mistakes(text).map((line) => line.split(': ')[1])).toEqual([
      'defaults.timeout',
      'registries[0].name',
      'registries[0].endpoint',
      'registries[0].foo',
      'registries[1].endpoint',
    ]);
  });

  test('a file that is not there', async () => {
    await expect(loadConfig('/nowhere/exporter.yaml', providers)).rejects.toThrow(
      '/nowhere/exporter.yaml: cannot be read: there is no such file',
    );
  });
});

describe('what is right', () => {
  test('has defaults for all that is not said', () => {
    const [registry] = parse(withRegistry()).registries;
    expect(registry).toMatchObject({
      name: 'edge',
      type: 'oci',
      when: { cron: '*/5 * * * *' },
      intervalMs: 300_000,
      timeoutMs: 240_000,
      staleAfterMs: 900_000,
      maxSeries: 200_000,
      http: { maxConcurrent: 8, timeoutMs: 30_000, retries: 4, maxBytes: 33_554_432 },
    });
    expect(registry?.images.perRepository).toBe(3);
  });

  test('data is believed for three intervals, and at least 15 minutes', () => {
    const stale = (line: string) => parse(withRegistry(line)).registries[0]?.staleAfterMs;
    expect(stale('schedule: 1m')).toBe(900_000);
    expect(stale('schedule: 1h')).toBe(3 * 3_600_000);
    // Of a cron expression the longest gap counts: a night without a poll is no failure.
    expect(stale('schedule: "0 8-18 * * *"')).toBe(3 * 14 * 3_600_000);
    expect(stale('schedule: "*/5 8-18 * * 1-5"')).toBeGreaterThan(3 * 60 * 3_600_000);
    expect(stale('staleAfter: 90s')).toBe(90_000);
  });

  test('a duration is a whole number of milliseconds, as deadlines have to be', () => {
    const [registry] = parse(withRegistry('timeout: 1.2345s', 'http: { timeout: 0.1ms }')).registries;
    expect([registry?.timeoutMs, registry?.http.timeoutMs]).toEqual([1235, 1]);
  });

  test('a registry overrides the defaults, setting by setting', () => {
    const text = `defaults: { schedule: 10m, images: { perRepository: 1, tags: ["v*"] } }\n${withRegistry('images: { perRepository: 7 }')}`;
    const [registry] = parse(text).registries;
    expect(registry).toMatchObject({ when: { everyMs: 600_000 }, images: { perRepository: 7 } });
    expect(registry?.images.matches('v1.2')).toBe(true);
  });

  test('repositories are included and excluded by patterns', () => {
    const [registry] = parse(
      withRegistry('repositories: { include: ["team-*/**"], exclude: ["**/cache"] }'),
    ).registries;
    expect(
      ['team-a/app', 'team-a/deep/app', 'team-a/cache', 'other/app'].filter((n) => registry?.wants(n)),
    ).toEqual(['team-a/app', 'team-a/deep/app']);
  });

  test('variables stand in values: their value, a default, or a dollar sign', () => {
    const text = withRegistry('names: ["${A}", "${B:-two}", "$${C}", "$D", "x-${A}-y"]');
    expect(parse(text, { A: 'one' }).registries[0]?.options).toMatchObject({
      names: ['one', 'two', '${C}', '$D', 'x-one-y'],
    });
  });

  test('a secret in a file is read again when it changes; it never shows itself', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cre-config-'));
    const path = join(folder, 'password');
    writeFileSync(path, 'first\n');
    const [registry] = parse(withRegistry(`auth: { username: robot, passwordFile: ${path} }`)).registries;
    const { auth } = (registry as NonNullable<typeof registry>).options as {
      auth: { password: { read(): Promise<string> } };
    };
    expect(await auth.password.read()).toBe('first');
    writeFileSync(path, 'second, and longer');
    expect(await auth.password.read()).toBe('second, and longer');
    expect(JSON.stringify(auth)).toBe('{"username":"robot","password":"<secret>"}');
    rmSync(folder, { recursive: true });
    await expect(auth.password.read()).rejects.toThrow(`the secret file ${path} cannot be read`);
  });
});

describe('the JSON schema', () => {
  const schema = z.fromJSONSchema(configJsonSchema(providers) as never);
  const object = (extra: object) => ({
    registries: [{ name: 'edge', type: 'oci', endpoint: 'https://registry.example.com', ...extra }],
  });

  test.each([
    {},
    { schedule: '5m', images: { perRepository: 0, tags: ['v*'] } },
    { auth: { username: 'robot', passwordFile: '/secret' }, http: { maxBytes: '1MiB' } },
  ])('accepts %j', (extra) => {
    expect(schema.safeParse(object(extra)).success).toBe(true);
  });

  test.each([
    { shedule: '5m' },
    { type: 'ocj' },
    { name: 'a b' },
    { images: { perRepository: -1 } },
    { http: { retries: 'many' } },
    { auth: { usrname: 'robot' } },
  ])('refuses %j', (extra) => {
    expect(schema.safeParse(object(extra)).success).toBe(false);
  });

  test('describes every setting, and docs/configuration.md, docs/in-use.md or the page of a provider explains it', () => {
    const folder = join(import.meta.dirname, '..', 'docs');
    const documents = [
      'configuration.md',
      'in-use.md',
      ...Object.keys(providers).map((type) => `providers/${type}.md`),
    ]
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n');
    const missing: string[] = [];
    const walk = (node: unknown): void => {
      if (node === null || typeof node !== 'object') return;
      const { properties } = node as { properties?: Record<string, { description?: string; type?: string }> };
      for (const [name, property] of Object.entries(properties ?? {})) {
        if (!new RegExp(`\\b${name}\\b`).test(documents)) missing.push(name);
        if (
          property.type !== 'object' &&
          !('const' in property) &&
          !('items' in property) &&
          !property.description
        )
          missing.push(`${name}: no description`);
      }
      for (const value of Object.values(node)) walk(value);
    };
    walk(configJsonSchema(providers));
    expect(missing).toEqual([]);
  });
});
