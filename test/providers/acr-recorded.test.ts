import { expect, test } from 'vitest';
import { azureFixture, told } from '../support/azure.ts';

/** What recorded sessions of the service show; the sources are listed in docs/providers/acr.md, "Checked against". */

const { start } = azureFixture();

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
