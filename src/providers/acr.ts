import { z } from 'zod';
import { CollectError } from '../errors.ts';
import { createFailing } from '../failing.ts';
import { duration, endpointUrl, secretOf } from '../options.ts';
import { type CollectContext, defineProvider, type Place, type PlacesSearch } from '../provider.ts';
import { fileSecret, plainSecret } from '../secret.ts';
import { readSideBySide } from '../side-by-side.ts';
import { type Access, createAccess, loginServerOf } from './acr/access.ts';
import { groupedAssessments } from './acr/findings.ts';
import { logsSource } from './acr/logs.ts';
import { findRegistries, resourceName } from './acr/management.ts';
import { pushMetricsSource } from './acr/push-metrics.ts';
import { createRegistry, type Registry } from './acr/registry.ts';
import { readRepository } from './acr/repository.ts';
import { createResourceGraph } from './acr/resource-graph.ts';
import { asksAzure, readSurroundings } from './acr/surroundings.ts';

const text = (description: string) => z.string().min(1).describe(description);

const options = z.strictObject({
  pushEvents: z
    .strictObject({
      metrics: z
        .boolean()
        .describe('Count failed pushes of the registry as a whole, as Azure Monitor does; needs no set-up')
        .optional(),
      logs: z
        .boolean()
        .describe(
          'Count failed pushes by repository and reason, from the log ContainerRegistryRepositoryEvents in Log Analytics; needs a diagnostic setting',
        )
        .optional(),
      interval: duration.describe('How often it is asked (default 1m)').optional(),
    })
    .describe('Push events that are read by asking, with no port to open')
    .optional(),
  loginServer: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?$/, 'a login server is a host such as prod.azurecr.io')
    .describe('Login server of the registry, such as prod.azurecr.io')
    .optional(),
  endpoint: endpointUrl
    .describe('Where the registry is reached, if not at its login server: a proxy, a private endpoint')
    .optional(),
  subscription: text('Subscription that holds the registry; found by the login server otherwise').optional(),
  resourceGroup: text('Resource group of the registry; found by the login server otherwise').optional(),
  subscriptions: z
    .union([z.literal('all'), z.array(z.string().min(1)).min(1)])
    .describe(
      'Instead of loginServer: all registries of these subscriptions, or `all` that the identity may see',
    )
    .optional(),
  cloud: z
    .enum(['public', 'us-government', 'china'])
    .describe("Azure's cloud; told from the login server's name otherwise")
    .optional(),
  tenantId: text('Tenant of the identity; default AZURE_TENANT_ID').optional(),
  clientId: text(
    'Client ID of the managed identity, workload identity or app; default AZURE_CLIENT_ID',
  ).optional(),
  clientSecret: text('Secret of the app clientId; better from clientSecretFile or the environment')
    .transform(plainSecret)
    .optional(),
  clientSecretFile: text('File that holds the secret; read again when it changes')
    .transform((path) => fileSecret(path, { setting: 'clientSecretFile' }))
    .optional(),
  auth: z
    .strictObject({
      username: text('Admin user, or name of a token of the registry'),
      password: text('Password; better from passwordFile or the environment').optional(),
      passwordFile: text('File that holds the password; read again when it changes').optional(),
    })
    .transform(({ username, password, passwordFile }, context) => {
      const secret = secretOf(password, passwordFile, 'auth.passwordFile');
      if (secret && !(password !== undefined && passwordFile !== undefined))
        return { username, password: secret };
      const message = secret ? 'is given besides password: keep one of the two' : 'username needs a password';
      context.addIssue({ code: 'custom', message, path: [secret ? 'passwordFile' : 'username'] });
      return z.NEVER;
    })
    .describe("The registry's own credentials instead of an identity of Microsoft Entra ID")
    .optional(),
  anonymous: z.boolean().describe('Read without credentials, where the registry allows it').optional(),
  names: z
    .array(z.string().min(1))
    .min(1)
    .describe('Repositories to read, for credentials that may not list the catalog')
    .optional(),
  findings: z
    .strictObject({
      source: z
        .enum(['defender', 'none'])
        .describe('Where findings come from: Microsoft Defender for Cloud (the default), or none')
        .optional(),
      assessmentKeys: z
        .array(z.guid())
        .describe('Assessments with a sub-assessment for each finding, where they are still published')
        .optional(),
    })
    .optional(),
  managementEndpoint: endpointUrl
    .describe('Where Azure Resource Manager is reached, if not as usual')
    .optional(),
  logsEndpoint: endpointUrl.describe('Where Log Analytics is reached, if not as usual').optional(),
  authorityHost: endpointUrl.describe('Where Microsoft Entra ID is reached, if not as usual').optional(),
});
type Options = z.infer<typeof options>;

/** Repositories as they are found: configured, or page by page of the catalog. */
async function* repositories(
  settings: Options,
  access: Access,
  registry: Registry,
  context: CollectContext,
): AsyncGenerator<string> {
  // An event may name what the configuration does not.
  const named = context.only?.filter((name) => settings.names?.includes(name) ?? true) ?? settings.names;
  if (named) {
    const wanted = named.filter((name) => context.wants(name));
    if (!context.only) access.client.announce(wanted);
    yield* wanted;
    return;
  }
  let listed = 0;
  try {
    for await (const page of registry.catalog()) {
      listed += page.length;
      const wanted = page.filter((name) => context.wants(name));
      access.client.announce(wanted);
      yield* wanted;
    }
  } catch (error) {
    if (error instanceof CollectError && error.reason === 'forbidden' && error.status === 401)
      throw new CollectError(
        error.reason,
        `${error.message}; repositories cannot be listed: assign the role, or name them under \`names\``,
        { cause: error, status: error.status },
      );
    throw error;
  }
  if (listed === 0) sayUnlisted(settings, access, context);
}

/**
 * A token is shown the whole catalog or nothing: an empty one says nothing of the repositories that its scope map names.
 * https://github.com/Azure/acr/issues/751
 */
function sayUnlisted({ auth }: Options, { loginServer }: Access, context: CollectContext): void {
  // The admin user is called like the registry, and sees everything.
  if (!auth || auth.username.toLowerCase() === resourceName(loginServer)) return;
  const nothing = `the catalog shows nothing to ${auth.username}, as to each token whose scope map is not for all repositories (*): name those to read under \`names\``;
  context.degraded('repositories', new CollectError('forbidden', nothing));
  context.absent('repositories');
}

async function placesOf(settings: Options, context: PlacesSearch): Promise<readonly Place<Options>[]> {
  const { subscriptions, ...rest } = settings;
  let odd: CollectError | undefined;
  const registries = await findRegistries(
    createResourceGraph(await createAccess(settings, context).azure()),
    {
      ...(Array.isArray(subscriptions) && { subscriptions }),
      onOdd: (error) => {
        odd = error;
        context.incomplete(error);
      },
    },
  );
  if (registries.length === 0 && !odd)
    throw new CollectError(
      'forbidden',
      'Azure Resource Graph shows the identity no registry in these subscriptions: assign the role "Container Registry Configuration Reader and Data Access Configuration Reader" or Reader',
    );
  return registries.map(({ subscription, resourceGroup, name, loginServer }) => ({
    values: { subscription, registry: name },
    options: { ...rest, loginServer, subscription, resourceGroup },
  }));
}

interface Mistake {
  readonly path: string[];
  readonly message: string;
}

function mistakesOfPushEvents(settings: Options): Mistake[] {
  const { pushEvents: { metrics, logs } = {}, subscriptions } = settings;
  const mistakes: Mistake[] = [];
  if (metrics && logs)
    mistakes.push({
      path: ['pushEvents', 'logs'],
      message: 'is given besides metrics, and both count the same failures: keep one of the two',
    });
  if ((metrics || logs) && !subscriptions && !asksAzure(settings))
    mistakes.push({
      path: ['pushEvents'],
      message: 'needs an identity of Azure: `auth` and `anonymous` have none, unless `subscription` is given',
    });
  return mistakes;
}

function mistakesOf(settings: Options) {
  const {
    subscriptions,
    loginServer,
    endpoint,
    subscription,
    resourceGroup,
    auth: own,
    anonymous,
  } = settings;
  const mistakes = mistakesOfPushEvents(settings);
  const refuse = (key: keyof Options, message: string) => mistakes.push({ path: [key], message });
  if (!subscriptions && !loginServerOf(settings))
    refuse('loginServer', 'is missing: the registry, or all of them by `subscriptions`');
  if (subscriptions)
    for (const [key, value] of Object.entries({ loginServer, endpoint, subscription, resourceGroup }))
      if (value !== undefined)
        refuse(
          key as keyof Options,
          'is for one registry, and `subscriptions` for all of them: keep one of the two',
        );
  if (own && anonymous) refuse('anonymous', 'is given besides auth: keep one of the two');
  if (settings.clientSecret && settings.clientSecretFile)
    refuse('clientSecretFile', 'is given besides clientSecret: keep one of the two');
  return mistakes;
}

/** https://learn.microsoft.com/en-us/rest/api/containerregistry/ */
export const acr = defineProvider<typeof options>({
  type: 'acr',
  label: 'acr',
  options,
  capabilities: {
    repositories: 'The catalog, or the names in the configuration where it may not be listed.',
    images: 'The manifests of each repository, tagged or not; the platforms of an index, once per digest.',
    sizes: 'As the registry states them for each manifest; unknown for a moment after the push.',
    push_times: 'The time at which the registry created the manifest.',
    findings:
      'Microsoft Defender for Cloud through Azure Resource Graph. It tells of no image that is clean: one without a finding is unknown.',
    signatures: "Notary Project's signatures by what they refer to, and cosign's tags.",
    storage: 'The usage that Azure Resource Manager states; it lags behind.',
    quotas: 'Storage, webhooks, copies and the other limits of the tier, from Azure Resource Manager.',
    practices:
      'The admin user, anonymous pull, network access, encryption, retention and copies, from Azure Resource Manager; and `no_latest_tag`.',
    replication: 'Whether each copy in another region is provisioned; not how far it is behind.',
    events:
      'Webhooks and Event Grid tell of pushes; of those that failed, Azure Monitor for the registry as a whole, or Log Analytics by repository (`pushEvents`).',
  },
  // Reads are limited to 1,000, 3,000 and 10,000 a minute by the tier, and pulls count too: the middle one is taken,
  // and slower where the registry throttles. https://learn.microsoft.com/en-us/azure/container-registry/container-registry-skus
  http: { maxConcurrent: 8, requestsPerSecond: 50 },
  placeValues: ['subscription', 'registry'],
  eventSources: (settings) => [
    ...(settings.pushEvents?.metrics ? [pushMetricsSource(settings)] : []),
    ...(settings.pushEvents?.logs ? [logsSource(settings)] : []),
  ],
  check: mistakesOf,
  places: (settings) => (settings.subscriptions ? (context) => placesOf(settings, context) : undefined),
  identity: (settings) => {
    const host = loginServerOf(settings);
    return {
      ...(host && { host }),
      account: settings.subscription,
    };
  },
  async *collect(settings, context) {
    const access = createAccess(settings, context);
    const assessmentKeys = settings.findings?.assessmentKeys ?? groupedAssessments;
    const surroundings = asksAzure(settings)
      ? readSurroundings({ ...settings, findings: { ...settings.findings, assessmentKeys } }, access, context)
      : undefined;
    const unasked = ['storage', 'quotas', 'replication', 'findings'] as const;
    for (const capability of unasked)
      if (!surroundings || (capability === 'findings' && settings.findings?.source === 'none'))
        context.absent(capability);
    // Its failure is thrown where it is waited for, which a failing poll never comes to.
    surroundings?.catch(() => {});
    const failing = createFailing(context);
    const registry = await createRegistry({ ...access, signal: context.signal });
    yield* readSideBySide(
      context,
      repositories(settings, access, registry, context),
      async function* (repository) {
        const around = await surroundings;
        const scope = {
          context,
          registry,
          failing,
          practices: around?.practices ?? {},
          findings: around?.findings,
        };
        yield* readRepository(scope, repository);
      },
    );
    const around = await surroundings;
    for (const [capability, error] of around?.failures ?? []) context.degraded(capability, error);
    if (around) yield { type: 'identity', identity: { host: access.loginServer, ...around.identity } };
    if (around && !context.only) yield { type: 'registry', facts: around.facts };
  },
});
