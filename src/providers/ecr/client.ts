import type { ECRClient } from '@aws-sdk/client-ecr';
import type { Inspector2Client } from '@aws-sdk/client-inspector2';
import type { ServiceQuotasClient } from '@aws-sdk/client-service-quotas';
import type { CollectContext } from '../../provider.ts';
import { explained } from './errors.ts';
import type { EcrOptions } from './options.ts';
import { type Client, keepAnswersWhole, watchErrors } from './sdk.ts';
import { createTransport, judge, type Transport } from './transport.ts';

/** What asks AWS. Lives as long as the registry's loop, so that credentials are made anew only when they have to be. */
export interface Aws {
  readonly ecr: ECRClient;
  readonly inspector: Inspector2Client;
  readonly quotas: ServiceQuotasClient;
  region(): Promise<string>;
  /** Lends the HTTP client of a cycle. */
  use(context: Pick<CollectContext, 'http' | 'signal'>): void;
}

/** Where a service is: as configured, as the environment says, or at ECR's address when that is a stand-in for AWS. */
function addressOf(given: EcrOptions, service: 'inspector2' | 'serviceQuotas' | 'sts'): string | undefined {
  const own = given.endpoints?.[service];
  if (own) return own.href;
  const variable = `AWS_ENDPOINT_URL_${service === 'serviceQuotas' ? 'SERVICE_QUOTAS' : service.toUpperCase()}`;
  if (process.env[variable] || process.env['AWS_ENDPOINT_URL']) return undefined;
  const { endpoint } = given;
  const isAws = /(^|\.)(amazonaws\.com(\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)$/;
  return endpoint && !isAws.test(endpoint.hostname) ? endpoint.href : undefined;
}

const quiet = { trace() {}, debug() {}, warn() {}, error() {} };

async function connect(given: EcrOptions, transport: Transport): Promise<Aws> {
  const [{ ECRClient }, { Inspector2Client }, { ServiceQuotasClient }, credentialProviders] =
    await Promise.all([
      import('@aws-sdk/client-ecr'),
      import('@aws-sdk/client-inspector2'),
      import('@aws-sdk/client-service-quotas'),
      import('@aws-sdk/credential-providers'),
    ]);
  const { fromNodeProviderChain, fromTemporaryCredentials } = credentialProviders;
  const common = {
    ...(given.region !== undefined && { region: given.region }),
    ...(given.profile !== undefined && { profile: given.profile }),
    requestHandler: transport.requestHandler,
    // The same steps for each command of a kind, put together once.
    cacheMiddleware: true,
    // Limits and retries are the exporter's own.
    maxAttempts: 1,
    // Without `info` the SDK spares a copy of each answer for the log.
    logger: quiet as never,
    ...(given.useFips && { useFipsEndpoint: true }),
    ...(given.useDualStack && { useDualstackEndpoint: true }),
  };
  const at = (address: string | undefined) => (address === undefined ? {} : { endpoint: address });
  const clientConfig = { ...common, ...at(addressOf(given, 'sts')) };
  const own = fromNodeProviderChain({
    clientConfig,
    logger: quiet as never,
    ...(given.profile !== undefined && { profile: given.profile }),
  });
  const { assumeRoleArn, externalId } = given;
  const credentials =
    assumeRoleArn === undefined
      ? own
      : fromTemporaryCredentials({
          masterCredentials: own,
          clientConfig,
          params: {
            RoleArn: assumeRoleArn,
            RoleSessionName: 'container-registry-exporter',
            ...(externalId !== undefined && { ExternalId: externalId }),
          },
        });
  const ecr = new ECRClient({ ...common, ...at(given.endpoint?.href), credentials });
  // The same credentials for all, kept once.
  const shared = { ...common, credentials: ecr.config.credentials };
  const inspector = new Inspector2Client({ ...shared, ...at(addressOf(given, 'inspector2')) });
  const quotas = new ServiceQuotasClient({ ...shared, ...at(addressOf(given, 'serviceQuotas')) });

  let generation = 0;
  let renewing: Promise<unknown> | undefined;
  /** Makes new credentials, once for all who were refused with the same ones. */
  async function renew(seen: number): Promise<void> {
    if (seen !== generation) return;
    renewing ??= ecr.config.credentials({ forceRefresh: true }).finally(() => {
      generation += 1;
      renewing = undefined;
    });
    await renewing;
  }

  let signal: AbortSignal | undefined;
  for (const client of [ecr, inspector, quotas] as unknown as Client[]) {
    transport.signLate(client);
    keepAnswersWhole(client);
    watchErrors(client, {
      signal: () => signal,
      generation: () => generation,
      renew,
      explain: (error, operation) => explained(error, operation, given),
    });
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
  given: EcrOptions,
  context: Pick<CollectContext, 'http' | 'session' | 'signal'>,
): Promise<Aws> {
  const made = context.session.keep('aws', () => connect(given, createTransport(given)));
  try {
    const aws = await made;
    aws.use(context);
    return aws;
  } catch (error) {
    context.session.forget('aws');
    throw explained(error, 'the AWS SDK', given);
  }
}
