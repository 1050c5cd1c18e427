import type { CloudTrail } from '@aws-sdk/client-cloudtrail';
import type { ECR } from '@aws-sdk/client-ecr';
import type { Inspector2 } from '@aws-sdk/client-inspector2';
import type { ServiceQuotas } from '@aws-sdk/client-service-quotas';
import type { SQS } from '@aws-sdk/client-sqs';
import { defined } from '../../defined.ts';
import type { CollectContext } from '../../provider.ts';
import { explained } from './errors.ts';
import type { EcrOptions } from './options.ts';
import { type Client, keepAnswersWhole, type Watch, watchErrors } from './sdk.ts';
import { createTransport, judge, type Transport } from './transport.ts';

/** What asks AWS. Lives as long as the registry's loop, so that credentials are made anew only when they have to be. */
export interface Aws {
  readonly ecr: ECR;
  readonly inspector: Inspector2;
  readonly quotas: ServiceQuotas;
  region(): Promise<string>;
  /** Lends the HTTP client of a cycle. */
  use(context: Pick<CollectContext, 'http' | 'signal'>): void;
}

/**
 * The domains of AWS' own addresses, VPC endpoints among them, in each partition (`partitions.json` of the SDK): the usual
 * ones, China, the European Sovereign Cloud, and the isolated ones.
 */
const domains = [
  'amazonaws.com',
  'api.aws',
  'amazonaws.com.cn',
  'api.amazonwebservices.com.cn',
  'amazonaws.eu',
  'api.amazonwebservices.eu',
  'c2s.ic.gov',
  'api.aws.ic.gov',
  'sc2s.sgov.gov',
  'api.aws.scloud',
  'cloud.adc-e.uk',
  'api.cloud-aws.adc-e.uk',
  'csp.hci.ic.gov',
  'api.aws.hci.ic.gov',
];
const isAws = ({ hostname }: URL): boolean =>
  domains.some((domain) => hostname === domain || hostname.endsWith(`.${domain}`));

/** Where a service is: as configured, as the environment says, or at ECR's address when that is a stand-in for AWS. */
function addressOf(
  config: EcrOptions,
  service: keyof NonNullable<EcrOptions['endpoints']>,
): string | undefined {
  const own = config.endpoints?.[service];
  if (own) return own.href;
  const variable = `AWS_ENDPOINT_URL_${service === 'serviceQuotas' ? 'SERVICE_QUOTAS' : service.toUpperCase()}`;
  if (process.env[variable] || process.env['AWS_ENDPOINT_URL']) return undefined;
  const { endpoint } = config;
  return endpoint && !isAws(endpoint) ? endpoint.href : undefined;
}

const quiet = { trace() {}, debug() {}, warn() {}, error() {} } as never;

/** Settings of all clients. */
const settingsOf = (config: EcrOptions, transport: Transport) =>
  defined({
    region: config.region,
    profile: config.profile,
    requestHandler: transport.requestHandler,
    // The same steps for each command of a kind, put together once.
    cacheMiddleware: true,
    // Limits and retries are the exporter's own.
    maxAttempts: 1,
    // Without `info` the SDK spares a copy of each answer for the log.
    logger: quiet,
    useFipsEndpoint: config.useFips,
    useDualstackEndpoint: config.useDualStack,
  });

/** The environment's credentials, or those of the role that they may assume. */
async function credentialsOf(config: EcrOptions, transport: Transport) {
  const { fromNodeProviderChain, fromTemporaryCredentials } = await import('@aws-sdk/credential-providers');
  const clientConfig = defined({ ...settingsOf(config, transport), endpoint: addressOf(config, 'sts') });
  const own = fromNodeProviderChain(defined({ clientConfig, logger: quiet, profile: config.profile }));
  if (config.assumeRoleArn === undefined) return own;
  return fromTemporaryCredentials({
    masterCredentials: own,
    clientConfig,
    params: defined({
      RoleArn: config.assumeRoleArn,
      RoleSessionName: 'container-registry-exporter',
      ExternalId: config.externalId,
    }),
  });
}

/** A client whose credentials can be made anew. */
interface Renewable {
  readonly config: { credentials(options: { readonly forceRefresh: boolean }): Promise<unknown> };
}

/** Renews credentials, once for all requests that were refused with the same ones. */
function createRenewal({ config }: Renewable): Pick<Watch, 'generation' | 'renew'> {
  let generation = 0;
  let renewing: Promise<unknown> | undefined;
  return {
    generation: () => generation,
    async renew(refused) {
      if (refused !== generation) return;
      renewing ??= config.credentials({ forceRefresh: true }).finally(() => {
        generation += 1;
        renewing = undefined;
      });
      await renewing;
    },
  };
}

async function connect(config: EcrOptions, transport: Transport): Promise<Aws> {
  const [{ ECR }, { Inspector2 }, { ServiceQuotas }] = await Promise.all([
    import('@aws-sdk/client-ecr'),
    import('@aws-sdk/client-inspector2'),
    import('@aws-sdk/client-service-quotas'),
  ]);
  const settings = settingsOf(config, transport);
  const credentials = await credentialsOf(config, transport);
  const ecr = new ECR(defined({ ...settings, endpoint: config.endpoint?.href, credentials }));
  // The same credentials for all, kept once.
  const shared = { ...settings, credentials: ecr.config.credentials };
  const inspector = new Inspector2(defined({ ...shared, endpoint: addressOf(config, 'inspector2') }));
  const quotas = new ServiceQuotas(defined({ ...shared, endpoint: addressOf(config, 'serviceQuotas') }));
  const use = equip([ecr, inspector, quotas], ecr, { config, transport });
  return { ecr, inspector, quotas, region: () => ecr.config.region(), use };
}

/**
 * Gives clients our transport, whole answers and errors that say what to do.
 * @param first whose credentials all of them share
 * @returns what lends them the HTTP client of a cycle
 */
function equip(
  clients: readonly object[],
  first: Renewable,
  { config, transport }: { readonly config: EcrOptions; readonly transport: Transport },
): Aws['use'] {
  let signal: AbortSignal | undefined;
  const watch: Watch = {
    signal: () => signal,
    explain: (error, operation) => explained(error, operation, config),
    ...createRenewal(first),
  };
  for (const client of clients as readonly Client[]) {
    transport.signLate(client);
    keepAnswersWhole(client);
    watchErrors(client, watch);
  }
  return (context) => {
    signal = context.signal;
    transport.use(context.http({ judge }));
  };
}

/** The region of a queue's address, `https://sqs.eu-west-1.amazonaws.com/123456789012/name`. */
const regionOfQueue = (queue: string | undefined): string | undefined =>
  /^(?:sqs|queue)\.([a-z]{2,}(?:-[a-z0-9]+)+)\.|^([a-z]{2,}(?:-[a-z0-9]+)+)\.queue\./
    .exec(queue ? new URL(queue).hostname : '')
    ?.slice(1)
    .find((region) => region !== undefined);

/** What reads push events of ECR; loaded only where it is configured. */
export interface AwsEvents extends Pick<Aws, 'use'> {
  readonly sqs: SQS;
  readonly cloudTrail: CloudTrail;
}

async function connectEvents(config: EcrOptions, transport: Transport): Promise<AwsEvents> {
  const [{ SQS }, { CloudTrail }] = await Promise.all([
    import('@aws-sdk/client-sqs'),
    import('@aws-sdk/client-cloudtrail'),
  ]);
  const settings = settingsOf(config, transport);
  const credentials = await credentialsOf(config, transport);
  const cloudTrail = new CloudTrail(
    defined({ ...settings, endpoint: addressOf(config, 'cloudTrail'), credentials }),
  );
  const shared = { ...settings, credentials: cloudTrail.config.credentials };
  const region = regionOfQueue(config.pushEvents?.queue) ?? config.region;
  // The queue's address is its endpoint as well. Without the SDK's own check of each body, one odd message does not cost
  // the others that came with it.
  const sqs = new SQS(defined({ ...shared, region, md5: false as const }));
  return { sqs, cloudTrail, use: equip([sqs, cloudTrail], cloudTrail, { config, transport }) };
}

type LentContext = Pick<CollectContext, 'http' | 'session' | 'signal'>;

/** Clients that are made when they are first needed, and made anew where that failed. */
async function kept<T extends Pick<Aws, 'use'>>(
  key: string,
  connectTo: (config: EcrOptions, transport: Transport) => Promise<T>,
  config: EcrOptions,
  context: LentContext,
): Promise<T> {
  const made = context.session.keep(key, () => connectTo(config, createTransport(config)));
  try {
    const clients = await made;
    clients.use(context);
    return clients;
  } catch (error) {
    context.session.forget(key);
    throw explained(error, 'the AWS SDK', config);
  }
}

/** The clients of a registry. */
export const awsOf = (config: EcrOptions, context: LentContext): Promise<Aws> =>
  kept('aws', connect, config, context);

/** Those of its push events. */
export const awsEventsOf = (config: EcrOptions, context: LentContext): Promise<AwsEvents> =>
  kept('aws events', connectEvents, config, context);
