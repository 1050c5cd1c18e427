import { randomBytes } from 'node:crypto';
import type { Key } from './aws-signature.ts';
import { AwsError } from './ecr-actions.ts';

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html, query protocol and XML. */
export interface StsState {
  readonly account: string;
  /** Keys by their id: what STS gives out is put here. */
  readonly keys: Map<string, Key>;
  /** Roles by ARN, with the external id that they ask for. */
  readonly roles: Map<string, { readonly externalId?: string }>;
  /** Tokens of Kubernetes that are trusted. */
  readonly webTokens: Set<string>;
  readonly tokenSeconds: number;
  /** Requests by action. */
  readonly seen: URLSearchParams[];
}

const xml = (
  action: string,
  credentials: Key,
  arn: string,
): string => `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <${action}Result>
    <Credentials>
      <AccessKeyId>${credentials.accessKeyId}</AccessKeyId>
      <SecretAccessKey>${credentials.secretAccessKey}</SecretAccessKey>
      <SessionToken>${credentials.sessionToken}</SessionToken>
      <Expiration>${new Date(credentials.expiresAt ?? 0).toISOString()}</Expiration>
    </Credentials>
    <AssumedRoleUser><Arn>${arn}</Arn><AssumedRoleId>AROA:session</AssumedRoleId></AssumedRoleUser>
  </${action}Result>
  <ResponseMetadata><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ResponseMetadata>
</${action}Response>`;

export function give(state: Pick<StsState, 'keys' | 'tokenSeconds'>, principal: string): Key {
  const now = Date.now();
  const key: Key = {
    accessKeyId: `ASIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(20).toString('hex'),
    sessionToken: randomBytes(40).toString('base64'),
    principal,
    since: now,
    expiresAt: now + state.tokenSeconds * 1000,
  };
  state.keys.set(key.accessKeyId, key);
  return key;
}

/** @param signer who signed; `AssumeRoleWithWebIdentity` is not signed */
export function answerSts(state: StsState, form: URLSearchParams, signer: Key | undefined): string {
  state.seen.push(form);
  const action = form.get('Action') ?? '';
  if (form.get('Version') !== '2011-06-15')
    throw new AwsError('NoSuchVersion', 'The requested version is not supported');
  if (action !== 'AssumeRole' && action !== 'AssumeRoleWithWebIdentity')
    throw new AwsError('InvalidAction', `Could not find operation ${action}`);
  const arn = form.get('RoleArn') ?? '';
  const session = form.get('RoleSessionName') ?? '';
  if (!/^[\w+=,.@-]{2,64}$/.test(session))
    throw new AwsError('ValidationError', 'RoleSessionName is malformed');
  const role = state.roles.get(arn);
  if (action === 'AssumeRoleWithWebIdentity') {
    if (!state.webTokens.has(form.get('WebIdentityToken') ?? ''))
      throw new AwsError('InvalidIdentityToken', 'Token signature key not found');
    if (!role)
      throw new AwsError('AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity', 403);
  } else if (!role || role.externalId !== (form.get('ExternalId') ?? undefined))
    throw new AwsError(
      'AccessDenied',
      `User: ${signer?.principal} is not authorized to perform: sts:AssumeRole on resource: ${arn}`,
      403,
    );
  const assumed = `${arn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/${session}`;
  return xml(action, give(state, assumed), assumed);
}
