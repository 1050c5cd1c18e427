import { describe, expect, test } from 'vitest';
import { parseConfig } from '../src/config.ts';
import { providers } from '../src/providers/index.ts';
import { targetOf } from '../src/target.ts';

/** The target of a registry, from its part of the configuration. */
function target(registry: string): string {
  const { registries } = parseConfig(`registries: [{ name: edge, ${registry} }]`, {
    file: 'test.yaml',
    providers,
    env: { SECRET: 'a-secret-of-the-environment' },
  });
  const [config] = registries;
  if (!config) throw new Error('no registry');
  const { type, options } = config;
  const identity = providers[type]?.identity(options) ?? {};
  return targetOf({ type, options, identity });
}

describe('another target is', () => {
  const others: [string, string, string][] = [
    [
      'another address',
      'type: oci, endpoint: "https://a.example.com"',
      'type: oci, endpoint: "https://b.example.com"',
    ],
    [
      'another scheme',
      'type: oci, endpoint: "https://a.example.com"',
      'type: oci, endpoint: "http://a.example.com"',
    ],
    ['another port', 'type: harbor, endpoint: "https://a:1"', 'type: harbor, endpoint: "https://a:2"'],
    [
      'another path',
      'type: artifactory, endpoint: "https://a/x"',
      'type: artifactory, endpoint: "https://a/y"',
    ],
    ['another type', 'type: oci, endpoint: "https://a"', 'type: harbor, endpoint: "https://a"'],
    ['another region', 'type: ecr, region: eu-west-1', 'type: ecr, region: eu-west-2'],
    [
      'another account',
      'type: ecr, region: eu-west-1, profile: a',
      'type: ecr, region: eu-west-1, profile: b',
    ],
    ['another login server', 'type: acr, loginServer: a.azurecr.io', 'type: acr, loginServer: b.azurecr.io'],
    [
      'another project',
      'type: artifact-registry, projects: [one-1], locations: [us]',
      'type: artifact-registry, projects: [two-2], locations: [us]',
    ],
    ['other namespaces', 'type: docker-hub, namespaces: [a, b]', 'type: docker-hub, namespaces: [a, c]'],
  ];
  test.each(others)('%s', (_what, one, other) => {
    expect(target(one)).not.toBe(target(other));
    expect(target(one)).toBe(target(one));
  });
});

describe('the same target is one with', () => {
  const endpoint = 'type: oci, endpoint: "https://a.example.com"';
  test.each([
    ['other credentials', `${endpoint}, auth: { username: robot, password: "\${SECRET}" }`],
    ['other limits', `${endpoint}, http: { maxConcurrent: 2 }, schedule: 1h`],
    ['other repositories', `${endpoint}, names: [app], repositories: { include: ["a/**"] }`],
  ])('%s', (_what, other) => {
    expect(target(other)).toBe(target(endpoint));
  });
});

test('no secret is part of a target', () => {
  const fromEnvironment = `"\${SECRET}"`;
  const secret = `auth: { username: robot, password: ${fromEnvironment} }`;
  for (const registry of [
    `type: oci, endpoint: "https://a", ${secret}`,
    `type: harbor, endpoint: "https://a", ${secret}`,
    `type: artifactory, endpoint: "https://a", ${secret}`,
    `type: acr, loginServer: a.azurecr.io, ${secret}`,
    `type: acr, loginServer: a.azurecr.io, tenantId: t, clientId: c, clientSecret: ${fromEnvironment}`,
    `type: docker-hub, namespaces: [a], ${secret}`,
  ])
    expect(target(registry)).not.toMatch(/secret/i);
});
