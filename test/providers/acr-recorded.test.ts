import { describe, expect, test } from 'vitest';
import { grantsOf, validUntil } from '../../src/providers/acr/token-claims.ts';
import { makeJwt } from '../simulators/jwt.ts';
import { azureFixture, told } from '../support/azure.ts';

/** What recorded sessions of the service show; the sources are listed in docs/providers/acr.md, "Checked against". */

const { start } = azureFixture();

describe('a token of the registry', () => {
  const repository = (Name: string, ...Actions: string[]) => ({ Type: 'repository', Name, Actions });
  const token = (...access: object[]) => makeJwt({ exp: 2_000_000_000, access });

  test('names what it is good for with capital letters', () => {
    const grants = grantsOf(token(repository('shop/cart', 'metadata_read'), repository('shop/pay')));
    expect(grants('repository:shop/cart:metadata_read')).toBe(true);
    expect(grants('repository:shop/cart:pull')).toBe(false);
    expect(grants('repository:shop/pay:metadata_read')).toBe(false);
  });

  test('names it with small letters in the documentation', () => {
    const grants = grantsOf(token({ type: 'registry', name: 'catalog', actions: ['*'] }));
    expect(grants('registry:catalog:*')).toBe(true);
  });

  test('is for pulls from everywhere when it is anonymous, and reads metadata', () => {
    const grants = grantsOf(token(repository('*', 'pull')));
    expect(grants('repository:shop/cart:pull')).toBe(true);
    expect(grants('repository:shop/cart:metadata_read')).toBe(true);
    expect(grants('repository:shop/cart:delete')).toBe(false);
    expect(grants('registry:catalog:*')).toBe(false);
  });

  test('is used until a minute before it expires by the clock of the registry, whatever `iat` says', () => {
    const answered = Date.parse('2026-09-10T06:44:47Z') / 1000;
    const made = makeJwt({ iat: answered - 900, nbf: answered - 900, exp: answered + 3_600 });
    const seconds = (validUntil(made, 'Thu, 10 Sep 2026 06:44:47 GMT') - performance.now()) / 1000;
    expect(Math.round(seconds / 60)).toBe(59);
  });

  test('is used for half a minute when it says nothing of itself', () => {
    const seconds = (validUntil('opaque', undefined) - performance.now()) / 1000;
    expect(Math.round(seconds)).toBe(30);
  });

  test('that says something odd of its scopes is used for as long as it says', () => {
    const made = makeJwt({ exp: Date.now() / 1000 + 3_600, access: 'all' });
    expect(validUntil(made, undefined) - performance.now()).toBeGreaterThan(3_000_000);
    expect(grantsOf(made)('registry:catalog:*')).toBe(false);
  });
});

test('a registry of the tier Basic has no rules for networks: its practices are all known, and nothing is told', async () => {
  const { azure, running } = await start({ seed: 3, repositories: 1 });
  azure.resource.tier = 'Basic';
  await running.poll();
  const practices = (await running.lines('repository_practice')).map((line) =>
    line.replace(/^.*practice="(\w+)"} /, '$1 '),
  );
  expect(practices.toSorted()).toEqual([
    'customer_managed_key 0',
    'no_admin_account 1',
    'no_anonymous_pull 1',
    'no_latest_tag 1',
    'private 0',
    'replicated 1',
    'retention_policy 1',
  ]);
  expect(told(running, 'is unknown')).toEqual([]);
});

test('a copy that is being created has a status without a word: unknown, and nothing odd', async () => {
  const { azure, running } = await start({ seed: 3, repositories: 1 });
  azure.resource.replications.push({
    location: 'centralus',
    properties: {
      provisioningState: 'Creating',
      status: { timestamp: '2026-09-10T06:44:50.9988435Z' },
      regionEndpointEnabled: true,
      zoneRedundancy: 'Disabled',
    },
  });
  await running.poll();
  expect(await running.lines('replication_up')).toEqual(['replication_up{destination="northeurope"} 1']);
  expect(told(running, 'replication')).toEqual([]);
});

test('the usages of the tier Premium, of which copies have no limit', async () => {
  const { running } = await start({ seed: 3, repositories: 1 });
  await running.poll();
  const named = (await running.lines('quota_used')).map((line) => /quota="(\w+)"/.exec(line)?.[1]);
  expect(named.toSorted()).toEqual([
    'geo_replications',
    'ip_rules',
    'private_endpoint_connections',
    'scope_maps',
    'storage',
    'tokens',
    'vnet_rules',
    'webhooks',
  ]);
  const limited = (await running.lines('quota_limit')).join();
  expect(limited).toContain('quota="ip_rules"');
  expect(limited).not.toContain('geo_replications');
});
