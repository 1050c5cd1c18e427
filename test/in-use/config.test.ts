import { expect, test } from 'vitest';
import { ConfigError, parseConfig } from '../../src/config.ts';
import { sourceKinds } from '../../src/in-use/sources/index.ts';
import { oci } from '../../src/providers/oci.ts';

/** `inUse:` of the configuration: what is taken, and what is wrong with it in words. */

const registries = [{ name: 'edge', type: 'oci', endpoint: 'https://registry.example.com' }];
const parse = (inUse: unknown, registry: object = {}) =>
  parseConfig(JSON.stringify({ registries: [{ ...registries[0], ...registry }], inUse }), {
    file: 'test.yaml',
    providers: { oci },
    env: {},
  });
function mistakes(inUse: unknown, registry: object = {}): string {
  try {
    parse(inUse, registry);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return '';
}
const prometheus = { name: 'fleet', type: 'prometheus', address: 'http://thanos:9090' };

test('defaults: each minute, five minutes old at most, two thousand images', () => {
  expect(parse({ sources: [prometheus, { name: 'hosts', type: 'file', path: '/x' }] }).inUse).toMatchObject({
    maxImages: 2000,
    sources: [
      { name: 'fleet', type: 'prometheus', intervalMs: 60_000, timeoutMs: 50_000, staleAfterMs: 300_000 },
      { name: 'hosts', type: 'file', staleAfterMs: 3_600_000 },
    ],
  });
  expect(parse({ sources: [{ ...prometheus, interval: '10m' }] }).inUse?.sources[0]?.staleAfterMs).toBe(
    1_800_000,
  );
  expect(parse(undefined).inUse).toBeUndefined();
});

test.each([
  ['no source', { sources: [] }, 'inUse.sources: at least one source'],
  [
    'a misspelt type',
    { sources: [{ ...prometheus, type: 'prometeus' }] },
    'is none of the types of source: prometheus, kubernetes, file (did you mean "prometheus"?)',
  ],
  [
    'a misspelt setting',
    { sources: [{ ...prometheus, qurey: 'x' }] },
    'there is no setting "qurey" here (did you mean "query"?)',
  ],
  [
    'two of one name',
    { sources: [prometheus, prometheus] },
    'inUse.sources[1].name: another source has this name too',
  ],
  [
    'the name of the scanners',
    { sources: [{ ...prometheus, name: 'scanner' }] },
    "is what the registries' own scanners are called",
  ],
  [
    'no address',
    { sources: [{ name: 'fleet', type: 'prometheus' }] },
    'inUse.sources[0].address: is missing',
  ],
  [
    'an address with a password',
    { sources: [{ ...prometheus, address: 'http://u:p@x' }] },
    'holds a user or password: put them under auth',
  ],
  [
    'half a user',
    { sources: [{ ...prometheus, auth: { username: 'u' } }] },
    'username and password (or passwordFile) go together',
  ],
  [
    'two ways in',
    { sources: [{ ...prometheus, auth: { token: 'a', tokenFile: 'b' } }] },
    'is given besides token',
  ],
  [
    'half a certificate',
    { sources: [{ ...prometheus, tls: { certFile: '/x' } }] },
    'certFile and keyFile go together',
  ],
  [
    'data that vanishes in between',
    { sources: [{ ...prometheus, staleAfter: '10s' }] },
    'is shorter than the time between two readings',
  ],
  ['a label that is none', { sources: [{ ...prometheus, clusterLabel: 'a-b' }] }, 'is no name of a label'],
])('%s', (_, inUse, message) => {
  expect(mistakes(inUse)).toContain(message);
});

test.each([
  ['an address instead of a host', ['https://x.example.com'], 'is no host'],
  ['a slash at the end', [{ from: 'x.example.com', to: 'a/' }], 'has a slash at its beginning or end'],
])('hosts: %s', (_, hosts, message) => {
  expect(mistakes(undefined, { hosts })).toContain(message);
});

test('a pod trusts the certificates of its cluster, and what the configuration names instead', () => {
  const { kubernetes } = sourceKinds;
  const open = (options: object) => kubernetes?.open(kubernetes.options.parse(options) as never).caFile;
  expect(open({})).toBe('/var/run/secrets/kubernetes.io/serviceaccount/ca.crt');
  expect(open({ address: 'https://elsewhere:6443' })).toBeUndefined();
});
