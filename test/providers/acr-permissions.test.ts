import { describe, expect, test } from 'vitest';
import { azureFixture, down, told } from '../support/azure.ts';

const { start } = azureFixture();
const resource =
  '/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/registries/providers/Microsoft.ContainerRegistry/registries/prod';

describe('a permission that is missing costs its capability and nothing else', () => {
  test('listUsages: no storage and no quotas', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.arm.actions.delete('listUsages/read');
    await running.poll();
    await running.poll();
    expect(await down(running)).toEqual(['storage', 'quotas']);
    expect(await running.lines('storage_bytes', 'quota_used')).toEqual([]);
    expect(await running.lines('replication_up')).toEqual(['replication_up{destination="northeurope"} 1']);
    expect((await running.lines('repository_findings')).length).toBeGreaterThan(0);
    const lines = told(running, 'Microsoft.ContainerRegistry/registries/listUsages/read');
    // One line for each of the two, in two polls.
    expect(lines.length).toBe(2);
    expect(lines[0]).toContain(
      'Container Registry Configuration Reader and Data Access Configuration Reader',
    );
    expect(lines[0]).toContain(resource);
  });

  test('replications: not whether copies work', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.arm.actions.delete('replications/read');
    await running.poll();
    await running.poll();
    expect(await down(running)).toEqual(['replication']);
    expect(await running.lines('replication_up')).toEqual([]);
    expect(await running.lines('storage_bytes')).toEqual(['storage_bytes{} 123456789015']);
    const practices = await running.lines('repository_practice');
    expect(practices.some((line) => line.includes('replicated'))).toBe(false);
    expect(practices.some((line) => line.includes('no_admin_account'))).toBe(true);
    expect(told(running, 'replications/read').length).toBe(1);
  });

  test('registries/read: nothing that Azure Resource Manager knows, and that with one cause', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.arm.actions.delete('read');
    await running.poll();
    await running.poll();
    expect((await down(running)).toSorted()).toEqual([
      'findings',
      'practices',
      'quotas',
      'replication',
      'storage',
    ]);
    expect(await running.value('up')).toBe(1);
    expect(await running.value('repositories')).toBe(5);
    const lines = told(running, 'Azure Resource Graph shows the identity no registry prod.azurecr.io');
    expect(lines.length).toBe(5);
    expect(lines[0]).toContain('Reader on the registry');
  });

  test('settings alone: the registry is named, so that it need not be looked for', async () => {
    const { azure, running } = await start(
      { seed: 3 },
      { subscription: '11111111-2222-4333-8444-555555555555', resourceGroup: 'registries' },
    );
    azure.arm.actions.delete('read');
    await running.poll();
    expect((await down(running)).toSorted()).toEqual(['practices', 'replication']);
    expect(await running.lines('storage_bytes')).toEqual(['storage_bytes{} 123456789015']);
    expect(told(running, `Reader on ${resource}`).length).toBe(2);
  });

  test('Security Reader: Resource Graph shows nothing then, which is not taken for clean', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.arm.actions.delete('defender');
    await running.poll();
    await running.poll();
    expect(await down(running)).toEqual(['findings']);
    expect(await running.lines('repository_findings', 'repository_vulnerable_images')).toEqual([]);
    expect(await running.lines('repository_image_scans')).toEqual([]);
    const lines = told(running, 'Security Reader');
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain('on the subscription 11111111-2222-4333-8444-555555555555');
  });

  test('pull: what is signed is unknown, and so are artifacts; images are told all the same', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.registry.permissions.delete('pull');
    await running.poll();
    await running.poll();
    expect(await down(running)).toEqual(['signatures']);
    const kinds = (lines: readonly string[]) =>
      lines
        .filter((line) => line.startsWith('repository_images') || line.includes('kind="platform"'))
        .toSorted();
    expect(kinds(await running.lines('repository_images', 'repository_artifacts'))).toEqual(
      kinds(azure.truth()),
    );
    const lines = told(running, 'so that what is signed is unknown');
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain('AcrPull');
  });

  test('a capability that works again is told, and has its numbers', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.arm.actions.delete('listUsages/read');
    await running.poll();
    azure.arm.actions.add('listUsages/read');
    await running.poll();
    expect(await down(running)).toEqual([]);
    expect(await running.lines('quota_limit')).toEqual([
      'quota_limit{quota="storage",project=""} 536870912000',
      'quota_limit{quota="webhooks",project=""} 500',
      'quota_limit{quota="ip_rules",project=""} 100',
      'quota_limit{quota="vnet_rules",project=""} 100',
      'quota_limit{quota="private_endpoint_connections",project=""} 200',
      'quota_limit{quota="scope_maps",project=""} 50000',
      'quota_limit{quota="tokens",project=""} 50000',
    ]);
    expect(told(running, 'the capability storage works again').length).toBe(1);
  });
});

test('without the permission to list the catalog, the poll fails and says what to do', async () => {
  const { azure, running } = await start({ seed: 3 });
  azure.registry.permissions.delete('catalog');
  await running.poll();
  expect((await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'))).toEqual([
    'poll_failures_total{reason="forbidden"} 1',
  ]);
  expect(told(running, 'Container Registry Repository Catalog Lister').length).toBe(1);
  expect(told(running, 'name them under `names`').length).toBe(1);
});

test('names are read without a catalog', async () => {
  const { azure, running } = await start(
    { seed: 3, repositories: 4 },
    { names: ['checkout/api', 'search/api'] },
  );
  azure.registry.permissions.delete('catalog');
  await running.poll();
  expect(await running.value('repositories')).toBe(2);
  expect(azure.registry.requests.get('catalog')).toBeUndefined();
});

describe('faults of Azure Resource Manager cost details only', () => {
  test.each([
    ['registry', ['practices', 'replication']],
    ['usages', ['storage', 'quotas']],
    ['replications', ['replication']],
    ['resource_graph', ['storage', 'quotas', 'practices', 'replication', 'findings']],
  ] as const)('%s', async (operation, capabilities) => {
    const { azure, running } = await start({ seed: 3 });
    azure.arm.faults.push({ fault: { type: 'status', status: 500 }, operation });
    await running.poll();
    expect((await down(running)).toSorted()).toEqual(capabilities.toSorted());
    expect(await running.value('up')).toBe(1);
    expect(await running.value('repositories')).toBe(5);
  });

  test.each([
    ['registry', '{}'],
    ['usages', '{}'],
    ['replications', '{}'],
    ['resource_graph', '{}'],
    ['registry', '{"loginServer'],
    ['resource_graph', '<html></html>'],
  ])('%s answered %s', async (operation, body) => {
    const { azure, running } = await start({ seed: 3 });
    azure.arm.faults.push({ fault: { type: 'body', body }, operation });
    await running.poll();
    expect((await down(running)).length).toBeGreaterThan(0);
    expect(await running.value('up')).toBe(1);
    expect((await running.lines('poll_failures_total')).every((line) => line.endsWith(' 0'))).toBe(true);
  });
});

test('a list of usages that no registry has is too large, and costs what it tells alone', async () => {
  const { azure, running } = await start({ seed: 3 });
  azure.resource.usages = Array.from({ length: 10_000 }, (_, at) => ({
    name: `Usage${at}`,
    currentValue: at,
    limit: -1,
    unit: 'Count',
  }));
  await running.poll();
  expect(await down(running)).toEqual(['storage', 'quotas']);
  expect(await running.lines('quota_used')).toEqual([]);
  expect(told(running, 'reason=too_large').length).toBe(2);
});

test('an Azure Resource Manager that never answers does not hold up the contents', async () => {
  const { azure, running } = await start(
    { seed: 3 },
    { timeout: '60s', http: { timeout: '1s', retries: 9 } },
  );
  azure.arm.faults.push({ fault: { type: 'stall', at: 'before-headers' } });
  await running.poll();
  expect(await running.value('up')).toBe(1);
  expect(await running.value('repositories')).toBe(5);
  expect((await down(running)).toSorted()).toEqual([
    'findings',
    'practices',
    'quotas',
    'replication',
    'storage',
  ]);
  azure.arm.faults.length = 0;
  await running.poll();
  expect(await down(running)).toEqual([]);
});

test('a replication that failed is down; a state that nobody knows is unknown, and told once', async () => {
  const { azure, running } = await start({ seed: 3 });
  azure.resource.replications = [
    { location: 'West Europe', properties: { provisioningState: 'Succeeded' } },
    { location: 'eastus', properties: { provisioningState: 'Failed' } },
    { location: 'japaneast', properties: { provisioningState: 'Creating' } },
    {
      location: 'uksouth',
      properties: { provisioningState: 'Succeeded', status: { displayStatus: 'Failing' } },
    },
    { location: 'brazilsouth', properties: { provisioningState: 'Hibernating' } },
  ];
  await running.poll();
  await running.poll();
  expect(await running.lines('replication_up')).toEqual([
    'replication_up{destination="eastus"} 0',
    'replication_up{destination="uksouth"} 0',
  ]);
  expect(told(running, 'Hibernating').length).toBe(1);
});

test('settings become practices of every repository', async () => {
  const { azure, running } = await start({ seed: 3, repositories: 1 });
  Object.assign(azure.resource.properties, {
    adminUserEnabled: true,
    anonymousPullEnabled: true,
    publicNetworkAccess: 'Disabled',
    encryption: { status: 'enabled' },
    policies: {},
  });
  azure.resource.replications = azure.resource.replications.slice(0, 1);
  await running.poll();
  expect(
    (await running.lines('repository_practice')).filter((line) => !line.includes('no_latest_tag')),
  ).toEqual([
    'repository_practice{repository="checkout/api",practice="private"} 1',
    'repository_practice{repository="checkout/api",practice="no_anonymous_pull"} 0',
    'repository_practice{repository="checkout/api",practice="replicated"} 0',
    'repository_practice{repository="checkout/api",practice="customer_managed_key"} 1',
    'repository_practice{repository="checkout/api",practice="no_admin_account"} 0',
  ]);
  expect(await running.lines('info')).toEqual([
    'info{host="prod.azurecr.io",account="11111111-2222-4333-8444-555555555555",region="westeurope"} 1',
  ]);
});
