import { CollectError, type FailureReason, reasonOf } from '../../errors.ts';
import { explanation } from '../../http/failure.ts';
import type { EcrOptions } from './options.ts';

/** An answer as the transport gives it to the SDK. */
export interface SdkResponse {
  /** What was asked. */
  readonly operation: string;
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** The JSON of the body, where it is the JSON of a success. */
  readonly json?: unknown;
}

/** What is used of the SDK's errors. */
interface SdkError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly clockSkewCorrected?: boolean };
  readonly $response?: Partial<SdkResponse>;
}

/**
 * Errors that all services share, and those of STS:
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
 * https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
 */
const reasons: Readonly<Record<string, FailureReason>> = {
  AccessDenied: 'forbidden',
  NotAuthorized: 'forbidden',
  OptInRequired: 'forbidden',
  RegionDisabled: 'forbidden',
  SubscriptionRequired: 'forbidden',
  UnauthorizedOperation: 'forbidden',
  CredentialsProviderError: 'auth',
  ExpiredToken: 'auth',
  IDPCommunicationError: 'auth',
  IDPRejectedClaim: 'auth',
  IncompleteSignature: 'auth',
  InvalidClientTokenId: 'auth',
  InvalidIdentityToken: 'auth',
  InvalidSignature: 'auth',
  MissingAuthenticationToken: 'auth',
  RequestExpired: 'auth',
  SignatureDoesNotMatch: 'auth',
  TokenProviderError: 'auth',
  UnrecognizedClient: 'auth',
  ImageNotFound: 'not_found',
  RepositoryNotFound: 'not_found',
  ScanNotFound: 'not_found',
};

const renewable = new Set(['ExpiredToken', 'InvalidClientTokenId', 'UnrecognizedClient']);

/** Some services and versions of the SDK add `Exception` to the same names, and others do not. */
const bare = (name: string | undefined): string => name?.replace(/Exception$/, '') ?? '';

export const nameOf = (error: unknown): string | undefined =>
  error instanceof CollectError ? nameOf(error.cause) : error instanceof Error ? error.name : undefined;

/** Whether newer credentials may be taken. */
export const isExpired = (error: unknown): boolean => renewable.has(bare(nameOf(error)));

/** Whether the SDK learned from the answer that the clock here is wrong, and would sign with the right time now. */
export const isSkewed = (error: unknown): boolean =>
  (error as SdkError | undefined)?.$metadata?.clockSkewCorrected === true;

/** What of the configuration advice depends on. */
type Given = Pick<EcrOptions, 'profile' | 'endpoint'>;

const notAws =
  "what answers there does not speak AWS's API: check `endpoint`, and proxies or gateways on the way";

/** What to do about an answer, by its status, that no AWS service gave. */
const byStatus: Readonly<Record<number, string>> = {
  401: 'a proxy or gateway on the way wants credentials of its own',
  403: `the role lacks a permission (see docs/providers/ecr.md), or ${notAws}`,
  407: 'the proxy wants credentials: give them in HTTPS_PROXY',
};

/** What to do about a request that was not answered by AWS. */
function networkAdvice({ reason, status }: CollectError, { endpoint }: Given): string {
  // https://github.com/localstack/localstack/issues/10137
  if (status === 501) return 'what answers there does not have this operation: check `endpoint`';
  if (reason === 'dns')
    return endpoint
      ? 'check `endpoint`, and that its name resolves here'
      : "check `region`, and that AWS's names resolve here";
  if (reason === 'connect' || reason === 'timeout')
    return endpoint
      ? 'check `endpoint` and whether it is http or https, and that it can be reached from here'
      : 'check that AWS can be reached from here: egress rules, a proxy (HTTPS_PROXY), or a VPC endpoint as `endpoint`';
  if (reason === 'server_error')
    return 'AWS, or what stands before it, failed; the next poll tries again, https://health.aws.amazon.com tells of outages';
  if (reason === 'invalid_response') return notAws;
  return '';
}

const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(': ');

/** An error of the transport, with the operation that it befell. */
export function named(error: CollectError, operation: string, config: Given): CollectError {
  const { reason, status, retryAfterMs, cause } = error;
  return new CollectError(reason, joined(operation, error.message, networkAdvice(error, config)), {
    cause,
    status,
    retryAfterMs,
  });
}

/** What to do, from what IAM says: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html */
function adviceOfIam(message: string): string {
  // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
  if (/^Not authorized to perform sts:AssumeRoleWithWebIdentity/.test(message))
    return "the role's trust policy has to name the cluster's OIDC provider and this service account (`sub`), see docs/providers/ecr.md";
  const [, who, action] =
    /(arn:aws[\w-]*:(?:iam|sts)::\d*:\S+) is not authorized to perform: ([\w-]+:\w+)/.exec(message) ?? [];
  if (!action) return '';
  const [, denying] = /with an explicit deny in an? ([\w -]+?(?:policy|boundary))/.exec(message) ?? [];
  if (denying)
    return `the ${denying} denies it, whatever else allows it: ${action} has to be let out of that`;
  const [, silent] = /because no ([\w -]+?(?:policy|boundary)) allows/.exec(message) ?? [];
  if (silent && silent !== 'identity-based policy')
    return `the ${silent} has to allow ${action} too, besides the policy of the role`;
  return `allow ${action} for ${who}, see docs/providers/ecr.md`;
}

/** What to do where the SDK found no credentials. */
function adviceOnCredentials({ message }: Error, { profile }: Given): string {
  if (/aws sso login|multi-factor/.test(message))
    return 'a daemon cannot log in: give it a role, or a profile that works without somebody';
  if ((profile ?? process.env['AWS_PROFILE']) !== undefined)
    return 'check that the profile stands in ~/.aws/config or ~/.aws/credentials (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE), and that what it names (keys, source_profile, credential_process) gives credentials';
  // https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html; the SDK keeps what the agent said.
  if (process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'])
    return 'the agent of AWS_CONTAINER_CREDENTIALS_FULL_URI gave none: check the pod identity association of the service account, the log of eks-pod-identity-agent on the node, and egress to it';
  return 'give the pod a role (IRSA or EKS Pod Identity), or the process credentials as the AWS CLI takes them';
}

/** What to do about an error of AWS or its SDK. */
function advice(reason: FailureReason, error: Error, config: Given): string {
  const name = bare(error.name);
  const ofIam = adviceOfIam(error.message);
  if (ofIam) return ofIam;
  if (isWithoutRegion(error))
    return 'set `region`, AWS_REGION in the environment, or a region in the profile';
  // https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html
  if (name === 'RegionDisabled')
    return 'enable the region in the account, and STS in it (account settings of IAM), or name another STS as `endpoints.sts`';
  if (name === 'InvalidIdentityToken')
    return "check the OIDC provider of the cluster in the role's account, and the audience of the token, which is sts.amazonaws.com";
  if (reason === 'forbidden') return 'the role lacks a permission, see docs/providers/ecr.md';
  if (name === 'CredentialsProviderError') return adviceOnCredentials(error, config);
  // The SDK corrects a clock by what AWS says, once it has seen an answer.
  if (/\bsignature (expired|not yet current)\b|\brequest has expired\b/i.test(error.message))
    return "check this machine's clock, and that of what stands before AWS: a signature is good for five minutes";
  if (reason === 'auth') return 'check the credentials, and whether the account has the region enabled';
  if (name === 'UnknownOperation') return notAws;
  return '';
}

/** The SDK has no class for it. */
const isWithoutRegion = ({ message }: Error): boolean => /^Region is missing/.test(message);

/** Without the SDK's hints for programmers. */
const oneLine = (text: string): string =>
  (text.split('Deserialization error: to see the raw response')[0] ?? '')
    .slice(0, 2_000)
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 500);

function reasonOfSdk(error: Error, status: number | undefined): FailureReason {
  const reason = reasons[bare(error.name)];
  if (reason) return reason;
  if (isWithoutRegion(error)) return 'configuration';
  if (status === undefined) return reasonOf(error);
  if (status === 401 || status === 407) return 'auth';
  if (status === 403) return 'forbidden';
  return status >= 500 ? 'server_error' : 'invalid_response';
}

/** An error of which the name is none of AWS's was read from something that is none of AWS's answers. */
const isForeign = ({ name }: Error): boolean =>
  !/^[A-Z][A-Za-z]{2,}/.test(name) || /^((Syntax|Range|Type|Unknown)?Error|Unknown)$/.test(name);

/** Any error of the SDK with its reason and the operation. What the transport throws has both already. */
export function explained(error: unknown, operation: string, config: Given): CollectError {
  if (error instanceof CollectError) return error;
  if (!(error instanceof Error)) return new CollectError('internal', `${operation}: ${String(error)}`);
  const { $metadata, $response } = error as SdkError;
  const status = $metadata?.httpStatusCode ?? $response?.statusCode;
  const reason = reasonOfSdk(error, status);
  if (status !== undefined && isForeign(error)) {
    const said = explanation(Buffer.from(($response?.body ?? '') as string));
    const what = `answered ${status}${said}`;
    return new CollectError(
      reason,
      joined($response?.operation ?? operation, what, byStatus[status] ?? notAws),
      { status },
    );
  }
  const name = error.name === 'Error' ? '' : error.name;
  return new CollectError(
    reason,
    joined(operation, name, oneLine(error.message), advice(reason, error, config)),
    { cause: error, status },
  );
}
