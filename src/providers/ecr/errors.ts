import { CollectError, type FailureReason } from '../../errors.ts';

/** What is used of the SDK's errors. */
interface SdkError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly clockSkewCorrected?: boolean };
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

/** What to do, from what IAM says: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html */
function advice(reason: FailureReason, error: Error): string {
  const [, who, action] =
    /(arn:aws[\w-]*:(?:iam|sts)::\d*:\S+) is not authorized to perform: ([\w-]+:\w+)/.exec(error.message) ??
    [];
  if (action) return `allow ${action} for ${who}, see docs/providers/ecr.md`;
  if (reason === 'forbidden') return 'the role lacks a permission, see docs/providers/ecr.md';
  if (error.name === 'CredentialsProviderError')
    return 'give the pod a role (IRSA or EKS Pod Identity), or the process credentials as the AWS CLI takes them';
  if (reason === 'auth') return 'check the credentials, and whether the account has the region enabled';
  return '';
}

const oneLine = (text: string): string =>
  (text.split('Deserialization error: to see the raw response')[0] ?? '')
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 500);

/** Any error of the SDK with its reason. What the transport throws has one already. */
export function explained(error: unknown, operation: string): CollectError {
  if (error instanceof CollectError) return error;
  if (!(error instanceof Error)) return new CollectError('internal', `${operation}: ${String(error)}`);
  const status = (error as SdkError).$metadata?.httpStatusCode;
  const reason =
    reasons[bare(error.name)] ??
    (status === 403
      ? 'forbidden'
      : status === 401
        ? 'auth'
        : status === undefined
          ? 'internal'
          : 'invalid_response');
  const what = advice(reason, error);
  return new CollectError(
    reason,
    `${operation}: ${error.name}: ${oneLine(error.message)}${what ? `: ${what}` : ''}`,
    { cause: error, ...(status !== undefined && { status }) },
  );
}
