import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { walkPages } from '../../http/pages.ts';
import { json } from '../../http.ts';
import type { Practice, Quota, RegistryFacts, Replication } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, countedList, expected, list, optional, text } from '../../wire.ts';
import type { Azure } from './azure.ts';
import { quoted, type ResourceGraph } from './resource-graph.ts';

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

/** The path of the resource. */
export const resourceId = ({ subscription, resourceGroup, name }: Location): string =>
  `/subscriptions/${subscription}/resourceGroups/${resourceGroup}/providers/Microsoft.ContainerRegistry/registries/${name}`;

/** The name of the resource: the login server's first label, without what tells two of the same name apart (`name-abc123`). */
export const resourceName = (loginServer: string): string =>
  loginServer.split('.')[0]?.split('-')[0] ?? loginServer;

/** What goes into addresses and other queries is bounded like any name. */
const registryRow = z.object({
  name: text,
  resourceGroup: text,
  subscriptionId: text,
  loginServer: z.string().max(255),
});

const registriesQuery = (loginServer: string | undefined): string => `resources
| where type =~ 'microsoft.containerregistry/registries'${loginServer === undefined ? '' : ` and properties.loginServer =~ ${quoted(loginServer)}`}
| project id, name, resourceGroup, subscriptionId, loginServer = tostring(properties.loginServer)
| order by id asc`;

/**
 * Registries that the identity may see, of one login server or all, in some subscriptions or all.
 * @param options.onOdd told of those that cannot be understood, which are left out
 */
export async function findRegistries(
  graph: ResourceGraph,
  options: {
    readonly loginServer?: string;
    readonly subscriptions?: readonly string[];
    onOdd(error: CollectError): void;
  },
): Promise<FoundRegistry[]> {
  const registries: FoundRegistry[] = [];
  let odd = 0;
  for await (const page of graph.rows(() => registriesQuery(options.loginServer), options.subscriptions))
    for (const entry of page) {
      const { data } = registryRow.safeParse(entry);
      if (!data) odd += 1;
      // One that is being created has no login server yet.
      else if (data.loginServer) {
        const { name, resourceGroup, subscriptionId: subscription, loginServer } = data;
        registries.push({ name, resourceGroup, subscription, loginServer });
      }
    }
  if (odd > 0)
    options.onOdd(
      new CollectError(
        'invalid_response',
        `Azure Resource Graph answered ${odd} that cannot be understood, where it lists registries`,
      ),
    );
  return registries;
}

/** What Azure Resource Manager tells of a registry. */
export interface Management {
  settings(): Promise<{
    readonly region: string | undefined;
    readonly practices: Readonly<Partial<Record<Practice, boolean>>>;
  }>;
  usages(): Promise<Pick<RegistryFacts, 'storageBytes' | 'quotas'>>;
  /** Copies in other regions; `left` are those that cannot be understood. */
  replications(region: string | undefined): Promise<{
    readonly copies: readonly Replication[];
    readonly left: number;
  }>;
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

/** https://learn.microsoft.com/en-us/rest/api/containerregistry/ */
const version = { 'api-version': '2025-11-01' };

/** `Enabled` or `Disabled`, however they are written. */
const enabled = z
  .string()
  .toLowerCase()
  .pipe(z.enum(['enabled', 'disabled']))
  .transform((word) => word === 'enabled');

/** Fields as the service answers them for every tier; only `networkRuleSet` is Premium's. */
const registryAnswer = z.object({
  location: expected('location', text),
  properties: z.object({
    loginServer: text,
    adminUserEnabled: expected('adminUserEnabled', z.boolean()),
    anonymousPullEnabled: expected('anonymousPullEnabled', z.boolean()),
    publicNetworkAccess: expected('publicNetworkAccess', enabled),
    networkRuleSet: optional(
      'networkRuleSet',
      z.object({
        defaultAction: z
          .string()
          .toLowerCase()
          .pipe(z.enum(['allow', 'deny'])),
      }),
    ),
    encryption: expected('encryption', z.object({ status: enabled })),
    policies: expected(
      'policies',
      z.object({ retentionPolicy: expected('retentionPolicy', z.object({ status: enabled })) }),
    ),
  }),
});

/** A limit of -1 is none. */
const unlimited = z.literal(-1).transform(() => undefined);
const usagesAnswer = z.object({
  value: list(
    'value',
    z.object({ name: text, currentValue: count, limit: expected('limit', z.union([unlimited, count])) }),
  ),
});

const replicationsAnswer = z.object({
  value: countedList(
    'value',
    z.object({
      location: text,
      properties: expected(
        'properties',
        z.object({
          provisioningState: optional('provisioningState', text),
          // Absent while the copy is being created.
          status: optional('status', z.object({ displayStatus: optional('displayStatus', text) })),
        }),
      ),
    }),
  ),
  nextLink: optional('nextLink', text),
});

/** Whether a copy works, by its provisioning; https://learn.microsoft.com/en-us/rest/api/containerregistry/replications/list */
function isUp(
  state: string | undefined,
  display: string | undefined,
  tell: CollectContext['tell'],
): boolean | undefined {
  if (state === 'Failed' || state === 'Canceled') return false;
  if (state === 'Succeeded') return display === undefined || !/fail|error|unavailable|offline/i.test(display);
  if (!['Creating', 'Updating', 'Deleting'].includes(state ?? ''))
    tell(
      `replication state ${state}`,
      { state: state?.slice(0, 100) },
      'a replication has a state that is not known here, or none: whether it works is unknown',
    );
  return undefined;
}

/** Practices that the settings of a registry tell; those that cannot be understood are left out. */
function practicesOf({ properties }: z.infer<typeof registryAnswer>): Partial<Record<Practice, boolean>> {
  const { adminUserEnabled, anonymousPullEnabled, publicNetworkAccess, networkRuleSet } = properties;
  const not = (value: boolean | undefined) => (value === undefined ? undefined : !value);
  const facts: Partial<Record<Practice, boolean | undefined>> = {
    no_admin_account: not(adminUserEnabled),
    no_anonymous_pull: not(anonymousPullEnabled),
    private: networkRuleSet?.defaultAction === 'deny' || not(publicNetworkAccess),
    customer_managed_key: properties.encryption?.status,
    retention_policy: properties.policies?.retentionPolicy?.status,
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** The address of the next page as Azure names it: only its query counts, as of other lists. */
const queryOf = (link: string): Readonly<Record<string, string>> =>
  Object.fromEntries(URL.canParse(link) ? new URL(link).searchParams : []);

export function createManagement(azure: Azure, location: Location, tell: CollectContext['tell']): Management {
  const path = resourceId(location);

  /** Says which role is missing, and where. */
  async function ask<Schema extends z.ZodType>(
    [operation, action, below]: readonly [operation: string, action: string, below: string],
    schema: Schema,
    query: Readonly<Record<string, string>> = version,
  ): Promise<z.infer<Schema>> {
    try {
      return json(await azure.get(operation, `${path}${below}`, query), schema);
    } catch (error) {
      if (!(error instanceof CollectError) || error.reason !== 'forbidden') throw error;
      throw new CollectError(
        'forbidden',
        `the identity lacks Microsoft.ContainerRegistry/registries/${action}: assign the role "Container Registry Configuration Reader and Data Access Configuration Reader" or Reader on ${path}: ${error.message}`,
        { cause: error },
      );
    }
  }

  return {
    async settings() {
      const registry = await ask(['registry', 'read', ''], registryAnswer);
      return { region: registry.location, practices: practicesOf(registry) };
    },
    async usages() {
      const { value } = await ask(['usages', 'listUsages/read', '/listUsages'], usagesAnswer);
      const quotas = value.map(
        ({ name: usage, currentValue: used, limit }): Quota => ({
          quota: quotaName(usage),
          used,
          limit,
        }),
      );
      const used = quotas.find(({ quota }) => quota === 'storage')?.used;
      if (used === undefined)
        tell('usage Size', {}, 'Azure Resource Manager answered no used storage: storage_bytes is unknown');
      return { quotas, storageBytes: used };
    },
    async replications(region) {
      const copies: Replication[] = [];
      let left = 0;
      const same = (place: string) => place.replaceAll(' ', '').toLowerCase();
      const pages = walkPages({
        what: `${azure.origin}${path}/replications`,
        first: version as Readonly<Record<string, string>>,
        placeOf: (query) => JSON.stringify(query),
        async read(query) {
          const page = await ask(
            ['replications', 'replications/read', '/replications'],
            replicationsAnswer,
            query,
          );
          left += page.value.left;
          return {
            items: page.value.items,
            next: page.nextLink === undefined ? undefined : queryOf(page.nextLink),
          };
        },
      });
      for await (const page of pages)
        for (const { location: place, properties } of page) {
          // The home region is listed too.
          if (region !== undefined && same(place) === same(region)) continue;
          const up = isUp(properties?.provisioningState, properties?.status?.displayStatus, tell);
          copies.push({ destination: place, up });
        }
      return { copies, left };
    },
  };
}
