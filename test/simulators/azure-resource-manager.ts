import { type AzureServer, startAzureServer, type Tls } from './azure-server.ts';
import { answerQuery, type GraphTables } from './resource-graph.ts';

/** A registry as a resource. */
export interface ArmRegistry {
  readonly subscription: string;
  readonly resourceGroup: string;
  readonly name: string;
  readonly location: string;
  /** Premium when absent. Basic has no rules for networks, and does not tell of them. */
  tier?: 'Basic' | 'Standard' | 'Premium';
  /** `properties` of the resource. */
  properties: Record<string, unknown>;
  usages: { name: string; currentValue: number; limit: number; unit: string }[];
  replications: { location: string; properties: Record<string, unknown> }[];
  /** Pushes that Azure Monitor counted, by the minute (Unix seconds); a number that is not there yet is absent. */
  pushes?: { readonly minute: number; total?: number; successful?: number }[];
}

/** Actions of roles, as far as they are needed here; `defender` shows what Security Reader shows. */
export type ArmAction = 'read' | 'listUsages/read' | 'replications/read' | 'metrics/read' | 'defender';

export interface ResourceManagerOptions {
  readonly registries: readonly ArmRegistry[];
  /** Whether a token is good for the management API. */
  accepts(authorization: string | undefined): boolean;
  findings(): ReturnType<GraphTables['findings']>;
  readonly plan?: string;
  readonly actions?: readonly ArmAction[];
  readonly pageRows?: number;
  readonly skipTokens?: boolean;
  readonly endlessPaging?: boolean;
  readonly tls?: Tls;
  readonly port?: number;
}

export interface ResourceManager extends AzureServer {
  readonly actions: Set<ArmAction>;
}

const error = (code: string, message: string): string => JSON.stringify({ error: { code, message } });
const registryPath =
  /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/providers\/Microsoft\.ContainerRegistry\/registries\/([^/]+)(\/listUsages|\/replications|\/providers\/Microsoft\.Insights\/metrics)?$/i;

function route(method: string, path: string) {
  if (method === 'POST' && /^\/providers\/Microsoft\.ResourceGraph\/resources$/i.test(path))
    return { operation: 'resource_graph' };
  const [, , , , tail] = registryPath.exec(path) ?? [];
  if (method !== 'GET' || !registryPath.test(path)) return undefined;
  if (tail === undefined) return { operation: 'registry' };
  if (tail.toLowerCase().endsWith('/metrics')) return { operation: 'metrics' };
  return { operation: tail.toLowerCase() === '/listusages' ? 'usages' : 'replications' };
}

/** Azure Monitor's answer: a number for each minute of the span. https://learn.microsoft.com/rest/api/monitor/metrics/list */
function metricsOf(query: URLSearchParams, pushes: NonNullable<ArmRegistry['pushes']>): object {
  const [from = 0, to = 0] = (query.get('timespan') ?? '').split('/').map((time) => Date.parse(time) / 1000);
  const minutes = Array.from(
    { length: Math.ceil((to - from) / 60) },
    (_, at) => Math.floor(from / 60 + at) * 60,
  );
  const series = (of: 'total' | 'successful') =>
    minutes.map((minute) => ({
      timeStamp: new Date(minute * 1000).toISOString(),
      total:
        pushes.find((one) => one.minute === minute)?.[of] ??
        (pushes.some((one) => one.minute === minute) ? undefined : 0),
    }));
  return {
    cost: 59,
    timespan: query.get('timespan'),
    interval: query.get('interval'),
    value: (query.get('metricnames') ?? '').split(',').map((value) => ({
      name: { value, localizedValue: value },
      type: 'Microsoft.Insights/metrics',
      unit: 'Count',
      timeseries: [{ metadatavalues: [], data: series(value === 'TotalPushCount' ? 'total' : 'successful') }],
    })),
    namespace: 'Microsoft.ContainerRegistry/registries',
  };
}

/**
 * Azure Resource Manager and Azure Resource Graph, which is a part of it, as far as registries go.
 * https://learn.microsoft.com/en-us/rest/api/containerregistry/ and
 * https://learn.microsoft.com/en-us/rest/api/azureresourcegraph/resourcegraph/resources/resources; registries, usages and
 * copies as they were recorded: docs/providers/acr.md, "Checked against".
 */
export async function startResourceManager(options: ResourceManagerOptions): Promise<ResourceManager> {
  const actions = new Set<ArmAction>(
    options.actions ?? ['read', 'listUsages/read', 'replications/read', 'metrics/read', 'defender'],
  );
  const idOf = ({ subscription, resourceGroup, name }: ArmRegistry) =>
    `/subscriptions/${subscription}/resourceGroups/${resourceGroup}/providers/Microsoft.ContainerRegistry/registries/${name}`;
  const tables: GraphTables = {
    registries: () =>
      actions.has('read')
        ? options.registries.map((registry) => ({
            id: idOf(registry),
            name: registry.name,
            resourceGroup: registry.resourceGroup,
            subscriptionId: registry.subscription,
            loginServer: String(registry.properties['loginServer']),
          }))
        : [],
    findings: () => (actions.has('defender') ? options.findings() : []),
    plan: () => (actions.has('defender') ? (options.plan ?? 'Standard') : undefined),
  };
  const needed: Readonly<Record<string, ArmAction>> = {
    registry: 'read',
    usages: 'listUsages/read',
    replications: 'replications/read',
    metrics: 'metrics/read',
  };
  const server = await startAzureServer({
    tls: options.tls,
    port: options.port,
    route,
    error,
    throttleHeaders: { 'x-ms-user-quota-remaining': '0', 'x-ms-user-quota-resets-after': '00:00:01' },
    answer({ path, url, body, authorization, send }, { operation }) {
      if (!options.accepts(authorization))
        return send(401, error('InvalidAuthenticationToken', 'the access token is invalid'), {
          'www-authenticate':
            'Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token"',
        });
      if (!/^\d{4}-\d\d-\d\d(-preview)?$/.test(url.searchParams.get('api-version') ?? ''))
        return send(400, error('MissingApiVersionParameter', 'the api-version query parameter is required'));
      if (operation === 'resource_graph') {
        const answer = answerQuery(body, tables, {
          ...(options.pageRows !== undefined && { pageRows: options.pageRows }),
          ...(options.skipTokens !== undefined && { skipTokens: options.skipTokens }),
          ...(options.endlessPaging && { endless: true }),
        });
        return send(answer.status, answer.body, {
          'x-ms-user-quota-remaining': '14',
          'x-ms-user-quota-resets-after': '00:00:05',
        });
      }
      const [, subscription, group = '', name = ''] = registryPath.exec(path) ?? [];
      const action = needed[operation] as ArmAction;
      if (!actions.has(action))
        return send(
          403,
          error(
            'AuthorizationFailed',
            `The client does not have authorization to perform action 'Microsoft.ContainerRegistry/registries/${action}' over scope '${path}' or the scope is invalid.`,
          ),
        );
      const found = options.registries.find(
        (registry) =>
          registry.subscription === subscription &&
          registry.resourceGroup.toLowerCase() === group.toLowerCase() &&
          registry.name.toLowerCase() === name.toLowerCase(),
      );
      if (!found) return send(404, error('ResourceNotFound', `the resource ${name} was not found`));
      const { location, tier = 'Premium', properties, usages, replications } = found;
      const id = idOf(found);
      if (operation === 'metrics') return send(200, metricsOf(url.searchParams, found.pushes ?? []));
      if (operation === 'usages') return send(200, { value: usages });
      if (operation === 'replications')
        return send(200, {
          value: replications.map((copy) => ({
            id: `${id}/replications/${copy.location}`,
            name: copy.location,
            type: 'Microsoft.ContainerRegistry/registries/replications',
            ...copy,
          })),
        });
      send(200, {
        id,
        name: found.name,
        type: 'Microsoft.ContainerRegistry/registries',
        location,
        tags: {},
        sku: { name: tier, tier },
        properties: tier === 'Basic' ? { ...properties, networkRuleSet: undefined } : properties,
      });
    },
  });
  return { ...server, actions };
}
