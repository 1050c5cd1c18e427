import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { createPageGuard } from '../../http.ts';
import type { Practice, Quota, RegistryFacts, Replication } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Cloud } from './clouds.ts';
import type { TokenCredential } from './credential.ts';
import { quoted, type ResourceGraph } from './resource-graph.ts';
import type { AzureHttpClient } from './transport.ts';

/** Where a registry is among Azure's resources. */
export interface Location {
  readonly subscription: string;
  readonly resourceGroup: string;
  readonly name: string;
}

/** A registry that a subscription holds. */
export interface FoundRegistry extends Location {
  readonly loginServer: string;
}

const resourceId = ({ subscription, resourceGroup, name }: Location): string =>
  `/subscriptions/${subscription}/resourceGroups/${resourceGroup}/providers/Microsoft.ContainerRegistry/registries/${name}`;

/** The name of the resource: the login server's first label, without what tells two of the same name apart (`name-abc123`). */
export const resourceName = (loginServer: string): string =>
  loginServer.split('.')[0]?.split('-')[0] ?? loginServer;

const registryRow = z.object({
  id: z.string(),
  name: z.string(),
  resourceGroup: z.string(),
  subscriptionId: z.string(),
  loginServer: z.string(),
});

const registriesQuery = (loginServer: string | undefined): string => `resources
| where type =~ 'microsoft.containerregistry/registries'${loginServer === undefined ? '' : ` and properties.loginServer =~ ${quoted(loginServer)}`}
| project id, name, resourceGroup, subscriptionId, loginServer = tostring(properties.loginServer)
| order by id asc`;

/** Registries that the identity may see, of one login server or all, in some subscriptions or all. */
export async function findRegistries(
  graph: ResourceGraph,
  options: { readonly loginServer?: string; readonly subscriptions?: readonly string[] },
): Promise<FoundRegistry[]> {
  const found: FoundRegistry[] = [];
  for await (const page of graph.rows(() => registriesQuery(options.loginServer), options.subscriptions))
    for (const one of page) {
      const { data } = registryRow.safeParse(one);
      if (!data)
        throw new CollectError(
          'invalid_response',
          'Azure Resource Graph answered a registry of another shape',
        );
      const { name, resourceGroup, subscriptionId: subscription, loginServer } = data;
      // One that is being created has none yet.
      if (loginServer) found.push({ name, resourceGroup, subscription, loginServer });
    }
  return found;
}

/** What Azure Resource Manager tells of a registry. */
export interface Management {
  settings(): Promise<{
    readonly region: string | undefined;
    readonly practices: Readonly<Partial<Record<Practice, boolean>>>;
  }>;
  usages(): Promise<Pick<RegistryFacts, 'storageBytes' | 'quotas'>>;
  /** Copies in other regions. */
  replications(region: string | undefined): Promise<readonly Replication[]>;
}

/** Quotas by the names of the service; https://learn.microsoft.com/en-us/rest/api/containerregistry/registries/list-usages */
function quotaName(usage: string): string {
  if (usage === 'Size') return 'storage';
  return usage
    .replace(/([a-z])([A-Z])|([A-Z]{2,})(?=[A-Z][a-z])/g, (_, before, after, word) =>
      word === undefined ? `${before}_${after}` : `${word}_`,
    )
    .replace(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase();
}

const is = (value: unknown, wanted: string): boolean | undefined =>
  typeof value === 'string' ? value.toLowerCase() === wanted : undefined;

const isAmount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

export async function createManagement(options: {
  readonly credential: TokenCredential;
  readonly cloud: Cloud;
  readonly httpClient: AzureHttpClient;
  readonly location: Location;
  readonly tell: CollectContext['tell'];
}): Promise<Management> {
  const { cloud, location, tell } = options;
  const { resourceGroup, name } = location;
  const { ContainerRegistryManagementClient } = await import('@azure/arm-containerregistry');
  const client = new ContainerRegistryManagementClient(options.credential, location.subscription, {
    endpoint: cloud.management,
    credentials: { scopes: [`${cloud.management}/.default`] },
    httpClient: options.httpClient,
    retryOptions: { maxRetries: 0 },
  });

  /** Says which role is missing, and where. */
  async function permitted<T>(action: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof CollectError) || error.reason !== 'forbidden') throw error;
      throw new CollectError(
        'forbidden',
        `the identity lacks Microsoft.ContainerRegistry/registries/${action}: assign the role "Container Registry Configuration Reader and Data Access Configuration Reader" or Reader on ${resourceId(location)}: ${error.message}`,
        { cause: error },
      );
    }
  }

  /** Whether a copy works, by its provisioning; https://learn.microsoft.com/en-us/rest/api/containerregistry/replications/list */
  function stateOf(state: string | undefined, display: string | undefined): boolean | undefined {
    if (state === 'Failed' || state === 'Canceled') return false;
    if (state === 'Succeeded')
      return display === undefined || !/fail|error|unavailable|offline/i.test(display);
    if (!['Creating', 'Updating', 'Deleting'].includes(state ?? ''))
      tell(
        `replication state ${state}`,
        { state: state?.slice(0, 100) },
        'a replication has a state that is not known here, or none: whether it works is unknown',
      );
    return undefined;
  }

  return {
    async settings() {
      const registry = await permitted('read', () => client.registries.get(resourceGroup, name));
      if (typeof registry.loginServer !== 'string')
        throw new CollectError(
          'invalid_response',
          `${cloud.management} answered a registry without its login server`,
        );
      const closed =
        registry.networkRuleSet?.defaultAction === 'Deny' || is(registry.publicNetworkAccess, 'disabled');
      const facts: Partial<Record<Practice, boolean | undefined>> = {
        no_admin_account: registry.adminUserEnabled === undefined ? undefined : !registry.adminUserEnabled,
        no_anonymous_pull:
          registry.anonymousPullEnabled === undefined ? undefined : !registry.anonymousPullEnabled,
        private: closed,
        customer_managed_key: is(registry.encryption?.status, 'enabled'),
        retention_policy: is(registry.policies?.retentionPolicy?.status, 'enabled'),
      };
      for (const [practice, value] of Object.entries(facts))
        if (value === undefined)
          tell(
            `setting ${practice}`,
            { practice },
            'Azure Resource Manager does not tell a setting of the registry: its practice is unknown',
          );
      return {
        region: typeof registry.location === 'string' ? registry.location : undefined,
        practices: Object.fromEntries(
          Object.entries(facts).filter(([, value]) => value !== undefined),
        ) as Partial<Record<Practice, boolean>>,
      };
    },
    async usages() {
      const { value } = await permitted('listUsages/read', () =>
        client.registries.listUsages(resourceGroup, name),
      );
      if (!Array.isArray(value))
        throw new CollectError('invalid_response', `${cloud.management} answered usages without their list`);
      const quotas = value.flatMap(({ name: usage, currentValue, limit }): Quota[] => {
        if (typeof usage !== 'string' || !isAmount(currentValue)) {
          tell(
            `usage ${usage}`,
            { usage: String(usage).slice(0, 100) },
            'Azure Resource Manager answered a usage without its name or value: it is left out',
          );
          return [];
        }
        // Below 0: without a limit.
        return [{ quota: quotaName(usage), used: currentValue, ...(isAmount(limit) && { limit }) }];
      });
      const used = quotas.find(({ quota }) => quota === 'storage')?.used;
      if (used === undefined)
        tell('usage Size', {}, 'Azure Resource Manager answered no used storage: storage_bytes is unknown');
      return { quotas, storageBytes: used };
    },
    replications: (region) =>
      permitted('replications/read', async () => {
        const guard = createPageGuard(cloud.management);
        const copies: Replication[] = [];
        const same = (text: string) => text.replaceAll(' ', '').toLowerCase();
        for await (const page of client.replications.list(resourceGroup, name).byPage()) {
          for (const { location: place, provisioningState, status } of page) {
            // The home region is listed too.
            if (region !== undefined && same(place) === same(region)) continue;
            const up = stateOf(provisioningState, status?.displayStatus);
            copies.push({ destination: place, up });
          }
          const { continuationToken: next } = page;
          if (next) guard(new URL(next, cloud.management));
        }
        return copies;
      }),
  };
}
