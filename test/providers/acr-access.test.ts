import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cloudOf } from '../../src/providers/acr/clouds.ts';
import { resourceName } from '../../src/providers/acr/management.ts';
import { acr } from '../../src/providers/acr.ts';
import { startAcrSimulator } from '../simulators/acr.ts';
import { startResourceManager } from '../simulators/azure-resource-manager.ts';
import { startEntraId } from '../simulators/entra-id.ts';
import { createEstate } from '../simulators/estate.ts';
import { contentFamilies } from '../simulators/estate-truth.ts';
import { azureFixture, down, told, unhurried } from '../support/azure.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';
import { certificate } from '../support/web.ts';

const { start } = azureFixture();
const variables = [
  'AZURE_FEDERATED_TOKEN_FILE',
  'AZURE_CLIENT_ID',
  'AZURE_TENANT_ID',
  'IDENTITY_ENDPOINT',
  'IDENTITY_HEADER',
];
const open: { close(): Promise<unknown> }[] = [];
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'acr-'));
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
  for (const name of variables) Reflect.deleteProperty(process.env, name);
  rmSync(folder, { recursive: true });
});
const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const failures = async (running: RunningLoop) =>
  (await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'));

/** A registry that is read with credentials of its own, or none. */
async function own(registry: object, settings: Readonly<Record<string, unknown>>) {
  const estate = createEstate({ seed: 3, repositories: 4, now: 1_795_000_000 });
  const simulator = await startAcrSimulator({
    loginServer: 'prod.azurecr.io',
    accepts: () => false,
    estate,
    ...registry,
  });
  open.push(simulator);
  const running = await runLoop(acr, {
    ...unhurried,
    loginServer: 'prod.azurecr.io',
    endpoint: simulator.url,
    ...settings,
  });
  open.push({ close: () => running.stop() });
  return { simulator, running, estate };
}

describe("the registry's own credentials", () => {
  test('user and password are exchanged for tokens, as docker does', async () => {
    const { simulator, running } = await own(
      {},
      { auth: { username: 'prod', passwordFile: file('password', 's3cret-Admin-Passw0rd\n') } },
    );
    await running.poll();
    expect(await failures(running)).toEqual([]);
    expect(await running.value('repositories')).toBe(4);
    expect(simulator.requests.get('token')).toBeGreaterThan(0);
    expect(simulator.requests.get('exchange')).toBeUndefined();
    // What Azure's own services know is not asked for, so that it is neither up nor down.
    expect(
      (await running.lines('capability_up')).map((line) => /"(\w+)"/.exec(line)?.[1]).toSorted(),
    ).toEqual(['images', 'practices', 'push_times', 'repositories', 'signatures', 'sizes']);
  });

  test('a wrong password is refused, and never told', async () => {
    const { running } = await own({}, { auth: { username: 'prod', password: 'wr0ng-Passw0rd' } });
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="auth"} 1']);
    expect(told(running, 'check auth.username and the password').length).toBe(1);
    const encoded = Buffer.from('prod:wr0ng-Passw0rd').toString('base64');
    for (const secret of ['wr0ng-Passw0rd', encoded]) expect(running.log()).not.toContain(secret);
  });

  test('a token of the registry may not list the catalog: the repositories are named', async () => {
    const { simulator, running } = await own(
      { permissions: ['metadata', 'pull'] },
      { auth: { username: 'prod', password: 's3cret-Admin-Passw0rd' }, names: ['checkout/api'] },
    );
    await running.poll();
    expect(await running.value('repositories')).toBe(1);
    expect(simulator.requests.get('catalog')).toBeUndefined();
  });
});

describe('a registry whose network rules do not let the exporter in', () => {
  // https://github.com/docker/build-push-action/issues/1214
  const body = JSON.stringify({
    errors: [
      {
        code: 'DENIED',
        message:
          "client with IP '172.214.169.102' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.",
      },
    ],
  });
  const fault = { type: 'status', status: 403, body } as const;
  const advice = "the registry's network rules do not let this address in";

  test.each(['token', 'catalog'])(
    'says so, and nothing of passwords, where it refuses at the %s',
    async (operation) => {
      const { simulator, running } = await own(
        {},
        { auth: { username: 'prod', password: 's3cret-Admin-Passw0rd' } },
      );
      simulator.faults.push({ operation, fault });
      await running.poll();
      expect(await failures(running)).toEqual(['poll_failures_total{reason="forbidden"} 1']);
      expect(told(running, advice).length).toBe(1);
      expect(told(running, "client with IP '172.214.169.102'").length).toBe(1);
      expect(told(running, 'check auth.username').length).toBe(0);
    },
  );

  test('says so, and nothing of roles, to an identity', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.registry.faults.push({ operation: 'exchange', fault });
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="forbidden"} 1']);
    expect(told(running, advice).length).toBe(1);
    expect(told(running, 'AcrPull').length).toBe(0);
  });
});

test('a token that is shown an empty catalog says nothing of the number of repositories, and what to do', async () => {
  const registry = { estate: createEstate({ seed: 3, repositories: 0, now: 1_795_000_000 }) };
  const token = await own(
    { ...registry, username: 'puller' },
    { auth: { username: 'puller', password: 's3cret-Admin-Passw0rd' } },
  );
  await token.running.poll();
  await token.running.poll();
  expect(await token.running.value('repositories')).toBeUndefined();
  expect(await down(token.running)).toEqual(['repositories']);
  expect(told(token.running, 'name those to read under `names`').length).toBe(1);
  // The admin user sees everything.
  const admin = await own(registry, { auth: { username: 'prod', password: 's3cret-Admin-Passw0rd' } });
  await admin.running.poll();
  await admin.running.poll();
  expect(await admin.running.value('repositories')).toBe(0);
  expect(await down(admin.running)).toEqual([]);
});

describe('without credentials', () => {
  test('a registry that allows anonymous pull is read by names', async () => {
    const { running } = await own(
      { anonymousPull: true },
      { anonymous: true, names: ['checkout/api', 'search/api'] },
    );
    await running.poll();
    expect(await failures(running)).toEqual([]);
    expect(await running.value('repositories')).toBe(2);
  });

  test('a registry that allows anonymous pull lists its catalog, as it was recorded', async () => {
    const { simulator, running } = await own({ anonymousPull: true }, { anonymous: true });
    await running.poll();
    expect(await failures(running)).toEqual([]);
    expect(await running.value('repositories')).toBe(4);
    expect(simulator.requests.get('exchange')).toBeUndefined();
  });

  test('one that does not says what to do', async () => {
    const { running } = await own({}, { anonymous: true });
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="auth"} 1']);
    expect(told(running, 'enable anonymous pull').length).toBe(1);
  });
});

describe('an identity of Microsoft Entra ID', () => {
  test('Azure Workload Identity: the federated token of the pod, by the variables of its webhook', async () => {
    const { azure, running } = await start(
      { seed: 3 },
      { clientSecret: undefined, tenantId: undefined, clientId: undefined },
    );
    const { app } = azure.entra;
    process.env['AZURE_FEDERATED_TOKEN_FILE'] = file('token', app.federatedToken);
    process.env['AZURE_CLIENT_ID'] = app.clientId;
    process.env['AZURE_TENANT_ID'] = app.tenantId;
    await running.poll();
    expect(await failures(running)).toEqual([]);
    expect(await running.value('repositories')).toBe(5);
    expect(await down(running)).toEqual([]);
  });

  test('a federated token that nobody trusts', async () => {
    const { azure, running } = await start({ seed: 3 }, { clientSecret: undefined });
    process.env['AZURE_FEDERATED_TOKEN_FILE'] = file('token', `${azure.entra.app.federatedToken}x`);
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="auth"} 1']);
    expect(told(running, 'No matching federated identity record').length).toBeGreaterThan(0);
    expect(running.log()).not.toContain(azure.entra.app.federatedToken);
  });

  test('a secret from a file is read again when it changes', async () => {
    const clientSecretFile = file('secret', 'old~Secret.Value');
    const { azure, running } = await start({ seed: 3 }, { clientSecret: undefined, clientSecretFile });
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="auth"} 1']);
    // What roles the identity has is not the matter.
    expect(told(running, 'Microsoft Entra ID gave no token').length).toBe(1);
    expect(told(running, 'AcrPull').length).toBe(0);
    file('secret', azure.entra.app.clientSecret);
    await running.poll();
    expect(await running.value('up')).toBe(1);
  });

  test('Azure Workload Identity without its client id says what is missing', async () => {
    process.env['AZURE_FEDERATED_TOKEN_FILE'] = file('federated', 'x.y.z');
    const { running } = await start(
      { seed: 3 },
      { clientSecret: undefined, tenantId: undefined, clientId: undefined },
    );
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="auth"} 1']);
    expect(told(running, 'Microsoft Entra ID gave no token for the federated token').length).toBe(1);
    expect(told(running, 'clientId is a required parameter').length).toBe(1);
  });

  test('a managed identity, by the variables of its host', async () => {
    const { azure, running } = await start({ seed: 3 }, { clientSecret: undefined, tenantId: undefined });
    const { app } = azure.entra;
    // https://learn.microsoft.com/en-us/azure/app-service/overview-managed-identity#rest-endpoint-reference
    const host = createServer(async (request, response) => {
      const query = new URL(request.url ?? '', 'http://host').searchParams;
      if (request.headers['x-identity-header'] !== 'header' || query.get('client_id') !== app.clientId)
        return void response.writeHead(400).end('{}');
      const answer = await fetch(`${azure.entra.url}/${app.tenantId}/oauth2/v2.0/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_id: app.clientId,
          client_secret: app.clientSecret,
          scope: `${query.get('resource')}/.default`,
        }),
      });
      const { access_token } = (await answer.json()) as { access_token: string };
      const expires = Math.floor(Date.now() / 1000) + 3600;
      response.end(JSON.stringify({ access_token, expires_on: String(expires), token_type: 'Bearer' }));
    });
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
    open.push({ close: async () => host.close() });
    process.env['IDENTITY_ENDPOINT'] = `http://127.0.0.1:${(host.address() as AddressInfo).port}/msi/token`;
    process.env['IDENTITY_HEADER'] = 'header';
    await running.poll();
    expect(await failures(running)).toEqual([]);
    expect(await running.value('repositories')).toBe(5);
    expect(await down(running)).toEqual([]);
    expect((await running.requests())['managed_identity 200']).toBe(2);
  });

  test('one that Microsoft Entra ID is too busy for is waited for', async () => {
    const { azure, running } = await start({ seed: 3 });
    azure.entra.faults.push({
      fault: { type: 'throttle', retryAfter: '1' },
      operation: 'entra_token',
      times: 1,
    });
    await running.poll();
    expect(await failures(running)).toEqual([]);
  });
});

test('https with a private authority, at the address that the registry has itself', async () => {
  const ca = await certificate('authority', { isAuthority: true });
  const tls = await certificate('registry', { ca });
  const caFile = file('ca.pem', ca.cert);
  const estate = createEstate({ seed: 3, repositories: 4, now: 1_795_000_000 });
  const simulator = await startAcrSimulator({ estate, tls, accepts: () => false });
  open.push(simulator);
  const settings = {
    ...unhurried,
    loginServer: simulator.loginServer,
    auth: { username: 'prod', password: 's3cret-Admin-Passw0rd' },
  };
  const trusting = await runLoop(acr, { ...settings, tls: { caFile } });
  open.push({ close: () => trusting.stop() });
  await trusting.poll();
  expect(await trusting.value('repositories')).toBe(4);
  const doubting = await runLoop(acr, settings);
  open.push({ close: () => doubting.stop() });
  await doubting.poll();
  expect(await failures(doubting)).toEqual(['poll_failures_total{reason="tls"} 1']);
});

describe('one entry for all registries of subscriptions', () => {
  const registry = (
    subscription: string,
    name: string,
    loginServer: string,
    resourceGroup = 'registries',
  ) => ({
    subscription,
    resourceGroup,
    name,
    location: 'westeurope',
    properties: { loginServer },
    usages: [],
    replications: [],
  });
  const failures: unknown[] = [];
  async function places(subscriptions: 'all' | string[], found = true, more: object[] = []) {
    const entra = await startEntraId();
    const arm = await startResourceManager({
      accepts: (authorization) => entra.accepts(authorization, 'https://management.azure.com'),
      findings: () => [],
      registries: [
        registry('sub-1', 'prod', 'prod.azurecr.io'),
        registry('sub-1', 'tools', 'tools-abc123.azurecr.io'),
        registry('sub-2', 'prod', 'prod-xyz.azurecr.io'),
        ...(more as ReturnType<typeof registry>[]),
      ],
      ...(!found && { actions: [] }),
    });
    open.push(entra, arm);
    const { tenantId, clientId, clientSecret } = entra.app;
    const options = acr.options.parse({
      subscriptions,
      tenantId,
      clientId,
      clientSecret,
      authorityHost: entra.url,
      managementEndpoint: arm.url,
    });
    const loop = await runLoop(acr, { loginServer: 'unused.azurecr.io' });
    open.push({ close: () => loop.stop() });
    const { createCycleContext, createSession } = await import('../../src/loop/context.ts');
    const { context, close } = createCycleContext({
      settings: {
        timeoutMs: 5000,
        http: { maxConcurrent: 2, timeoutMs: 500, maxBytes: 2 ** 20, retries: 0 },
        wants: () => true,
      } as never,
      signal: AbortSignal.timeout(5000),
      only: undefined,
      memory: {} as never,
      session: createSession(),
      log: { debug() {}, info() {}, warn() {}, error() {} },
      troubles: {} as never,
      notices: { tell() {}, end() {} },
      userAgent: 'test',
      observe() {},
      progress() {},
    });
    open.push({ close: async () => close() });
    const incomplete = (error: unknown) => void failures.push(error);
    return (await acr.places?.(options)?.({ ...context, incomplete })) ?? [];
  }

  test('each registry is a place, with the subscription and resource group that it needs not be looked for in', async () => {
    const all = await places('all');
    expect(all.map(({ values }) => values)).toEqual([
      { subscription: 'sub-1', registry: 'prod' },
      { subscription: 'sub-1', registry: 'tools' },
      { subscription: 'sub-2', registry: 'prod' },
    ]);
    expect(all[1]?.options).toMatchObject({
      loginServer: 'tools-abc123.azurecr.io',
      subscription: 'sub-1',
      resourceGroup: 'registries',
    });
    expect(all[1]?.options).not.toHaveProperty('subscriptions');
  });

  test('of some subscriptions', async () => {
    expect((await places(['sub-2'])).map(({ values }) => values)).toEqual([
      { subscription: 'sub-2', registry: 'prod' },
    ]);
  });

  test('none at all is what a missing permission looks like', async () => {
    await expect(places('all', false)).rejects.toThrow('assign the role');
  });

  test('one that cannot be understood hides no other, and is told', async () => {
    const odd = registry('sub-1', 'odd', 'odd.azurecr.io', 5 as never);
    const all = await places('all', true, [odd]);
    expect(all.map(({ values }) => values['registry'])).toEqual(['prod', 'tools', 'prod']);
    expect(failures.splice(0).map(String)).toEqual([
      expect.stringContaining('Azure Resource Graph answered 1 that cannot be understood'),
    ]);
  });

  test('an entry of one registry has no places', () => {
    expect(acr.places?.({ loginServer: 'prod.azurecr.io' })).toBeUndefined();
  });
});

test('a next page on another origin is read at the registry itself, which alone gets a token', async () => {
  const elsewhere = await startAcrSimulator({
    estate: createEstate({ seed: 3, repositories: 4, now: 1_795_000_000 }),
    accepts: () => true,
  });
  open.push(elsewhere);
  const { azure, running } = await start({ seed: 3, registry: { pageSize: 2, nextOrigin: elsewhere.url } });
  await running.poll();
  expect(await failures(running)).toEqual([]);
  expect((await running.lines(...contentFamilies)).toSorted()).toEqual(
    azure
      .truth()
      .filter((line) => contentFamilies.some((family) => line.startsWith(`${family}{`)))
      .toSorted(),
  );
  expect(elsewhere.requests.size).toBe(0);
});

test.each([
  ['prod.azurecr.io', 'https://management.azure.com'],
  ['prod-abc123.azurecr.io', 'https://management.azure.com'],
  ['prod.azurecr.us', 'https://management.usgovcloudapi.net'],
  ['prod.azurecr.cn', 'https://management.chinacloudapi.cn'],
  ['registry.example.com', 'https://management.azure.com'],
])('%s belongs to the cloud of %s', (loginServer, management) => {
  expect(cloudOf(undefined, loginServer).management).toBe(management);
  expect(cloudOf('china', loginServer).audience).toBe('https://management.chinacloudapi.cn');
});

test('a login server with what tells it from another of the same name names the same resource', () => {
  expect(['prod.azurecr.io', 'prod-abc123.azurecr.io', 'prod.azurecr.us'].map(resourceName)).toEqual([
    'prod',
    'prod',
    'prod',
  ]);
});

test('a registry of a sovereign cloud is asked for with tokens for that cloud', async () => {
  const { azure, running } = await start(
    {
      seed: 3,
      registry: {
        loginServer: 'prod.azurecr.us',
        accepts: (authorization) =>
          azureOf().entra.accepts(authorization, 'https://management.usgovcloudapi.net'),
      },
      arm: {
        accepts: (authorization) =>
          azureOf().entra.accepts(authorization, 'https://management.usgovcloudapi.net'),
      },
    },
    {},
  );
  const azureOf = () => azure;
  await running.poll();
  expect(await failures(running)).toEqual([]);
  expect(await running.value('repositories')).toBe(5);
  expect(await down(running)).toEqual([]);
});
