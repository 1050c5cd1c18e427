import type { ECR } from '@aws-sdk/client-ecr';
import type { Inspector2 } from '@aws-sdk/client-inspector2';
import type { ServiceQuotas } from '@aws-sdk/client-service-quotas';
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

/** Where a service is: as configured, as the environment says, or at ECR's address when that is a stand-in for AWS. */
function addressOf(config: EcrOptions, service: 'inspector2' | 'serviceQuotas' | 'sts'): string | undefined {
  const own = config.endpoints?.[service];
  if (own) return own.href;
  const variable = `AWS_ENDPOINT_URL_${service === 'serviceQuotas' ? 'SERVICE_QUOTAS' : service.toUpperCase()}`;
  if (process.env[variable] || process.env['AWS_ENDPOINT_URL']) return undefined;
  const { endpoint } = config;
  const isAws = /(^|\.)(amazonaws\.com(\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)$/;
  return endpoint && !isAws.test(endpoint.hostname) ? endpoint.href : undefined;
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

/** Renews credentials, once for all requests that were refused with the same ones. */
function createRenewal({ config }: ECR): Pick<Watch, 'generation' | 'renew'> {
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

  let signal: AbortSignal | undefined;
  const watch: Watch = {
    signal: () => signal,
    explain: (error, operation) => explained(error, operation, config),
    ...createRenewal(ecr),
  };
  for (const client of [ecr, inspector, quotas] as unknown as Client[]) {
    transport.signLate(client);
    keepAnswersWhole(client);
    watchErrors(client, watch);
  }
  return {
    ecr,
    inspector,
    quotas,
    region: () => ecr.config.region(),
    use(context) {
      signal = context.signal;
      transport.use(context.http({ judge }));
    },
  };
}

/** The clients of a registry, made when they are first needed. */
export async function awsOf(
  config: EcrOptions,
  context: Pick<CollectContext, 'http' | 'session' | 'signal'>,
): Promise<Aws> {
  const made = context.session.keep('aws', () => connect(config, createTransport(config)));
  try {
    const aws = await made;
    aws.use(context);
    return aws;
  } catch (error) {
    context.session.forget('aws');
    throw explained(error, 'the AWS SDK', config);
  }
}
