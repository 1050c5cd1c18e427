import { type AcrSimulator, type AcrSimulatorOptions, startAcrSimulator } from './acr.ts';
import { estateTruth } from './acr-estate.ts';
import {
  type ArmRegistry,
  type ResourceManager,
  type ResourceManagerOptions,
  startResourceManager,
} from './azure-resource-manager.ts';
import { type EntraId, startEntraId } from './entra-id.ts';
import { createEstate, type Estate } from './estate.ts';
import { type LogAnalytics, startLogAnalytics } from './log-analytics.ts';
import { defenderFindings } from './resource-graph.ts';

/** A registry with all that surrounds it in Azure. */
export interface SimulatedAzure {
  readonly estate: Estate;
  readonly registry: AcrSimulator;
  readonly arm: ResourceManager;
  readonly entra: EntraId;
  readonly logs: LogAnalytics;
  /** The registry as a resource; may be changed. */
  readonly resource: ArmRegistry;
  /** The provider's part of the configuration, with an app and its secret. */
  readonly settings: Readonly<Record<string, unknown>>;
  truth(): string[];
  /** Changes the population as a day of work does; says what. */
  step(): string;
  close(): Promise<void>;
}

export async function startAzure(options: {
  readonly seed: number;
  readonly repositories?: number;
  readonly now?: number;
  readonly images?: number;
  /** Settings of the registry's simulator. */
  readonly registry?: Partial<AcrSimulatorOptions>;
  readonly arm?: Partial<ResourceManagerOptions>;
  readonly model?: 'individual' | 'grouped';
  readonly named?: boolean;
}): Promise<SimulatedAzure> {
  const { seed, repositories = 5, now = 1_795_000_000, model = 'individual', named = true } = options;
  const loginServer = options.registry?.loginServer ?? 'prod.azurecr.io';
  const estate = createEstate({
    seed,
    repositories,
    now,
    ...(options.images !== undefined && { images: options.images }),
  });
  const entra = await startEntraId();
  const registry = await startAcrSimulator({
    loginServer,
    accepts: (authorization) => entra.accepts(authorization, 'https://containerregistry.azure.net'),
    ...options.registry,
    estate,
  });
  const resource: ArmRegistry = {
    subscription: '11111111-2222-4333-8444-555555555555',
    resourceGroup: 'registries',
    name: 'prod',
    location: 'westeurope',
    properties: {
      loginServer,
      provisioningState: 'Succeeded',
      adminUserEnabled: false,
      anonymousPullEnabled: false,
      publicNetworkAccess: 'Enabled',
      networkRuleSet: { defaultAction: 'Allow', ipRules: [] },
      encryption: { status: 'disabled' },
      policies: {
        quarantinePolicy: { status: 'disabled' },
        retentionPolicy: { days: 7, lastUpdatedTime: '2026-09-10T06:44:47.3095127+00:00', status: 'enabled' },
      },
    },
    usages: [
      { name: 'Size', currentValue: 123_456_789_012 + seed, limit: 536_870_912_000, unit: 'Bytes' },
      { name: 'Webhooks', currentValue: 3, limit: 500, unit: 'Count' },
      { name: 'Geo-replications', currentValue: 2, limit: -1, unit: 'Count' },
      { name: 'IPRules', currentValue: 0, limit: 100, unit: 'Count' },
      { name: 'VNetRules', currentValue: 0, limit: 100, unit: 'Count' },
      { name: 'PrivateEndpointConnections', currentValue: 0, limit: 200, unit: 'Count' },
      { name: 'ScopeMaps', currentValue: 1, limit: 50_000, unit: 'Count' },
      { name: 'Tokens', currentValue: 1, limit: 50_000, unit: 'Count' },
    ],
    replications: ['westeurope', 'northeurope'].map((location) => ({
      location,
      properties: {
        provisioningState: 'Succeeded',
        status: { displayStatus: 'Ready', timestamp: '2026-09-10T06:46:27.080289Z' },
        regionEndpointEnabled: true,
        zoneRedundancy: 'Disabled',
      },
    })),
  };
  const arm = await startResourceManager({
    accepts: (authorization) => entra.accepts(authorization, 'https://management.azure.com'),
    findings: () =>
      defenderFindings(estate, {
        loginServer,
        resource: '/subscriptions/x/providers/microsoft.containerregistry/registries/prod',
        model,
        named,
      }),
    ...options.arm,
    registries: [resource],
  });
  const { subscription, resourceGroup, name } = resource;
  const logs = await startLogAnalytics({
    accepts: (authorization) => entra.accepts(authorization, 'https://api.loganalytics.io'),
    resource: `/subscriptions/${subscription}/resourceGroups/${resourceGroup}/providers/Microsoft.ContainerRegistry/registries/${name}`,
  });
  const { tenantId, clientId, clientSecret } = entra.app;
  return {
    estate,
    registry,
    arm,
    entra,
    logs,
    resource,
    settings: {
      loginServer,
      endpoint: registry.url,
      managementEndpoint: arm.url,
      logsEndpoint: logs.url,
      authorityHost: entra.url,
      tenantId,
      clientId,
      clientSecret,
    },
    truth() {
      const { properties, usages } = resource;
      return estateTruth(estate, {
        storageBytes: usages[0]?.currentValue ?? 0,
        practices: {
          no_admin_account: properties['adminUserEnabled'] === false,
          no_anonymous_pull: properties['anonymousPullEnabled'] === false,
          private: properties['publicNetworkAccess'] === 'Disabled',
          customer_managed_key: (properties['encryption'] as { status: string }).status === 'enabled',
          retention_policy: true,
          replicated: resource.replications.length > 1,
        },
      });
    },
    step: () => estate.step(),
    async close() {
      await Promise.all([registry.close(), arm.close(), entra.close(), logs.close()]);
    },
  };
}
