import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/**
 * Signature version 4, checked as AWS does, in code of its own:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** The role that it stands for, as errors name it. */
  readonly principal: string;
  /** Milliseconds; a key of a role ends. */
  readonly expiresAt?: number;
  readonly since: number;
}

/** The name and the message of an error of AWS. */
export interface Refusal {
  readonly name:
    | 'MissingAuthenticationTokenException'
    | 'IncompleteSignatureException'
    | 'UnrecognizedClientException'
    | 'ExpiredTokenException'
    | 'InvalidSignatureException';
  readonly message: string;
}

const hash = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

const headerShape =
  /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([a-z0-9-]+)\/([a-z0-9.-]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/;

/** The service that a request is signed for, as its header says. */
export const scopeOf = (request: IncomingMessage): string | undefined =>
  headerShape.exec(request.headers.authorization ?? '')?.[4];

/** The key that a request is signed with, or why it is refused. */
export function verify(
  request: IncomingMessage,
  body: Buffer,
  expected: {
    readonly region: string;
    readonly service: string;
    readonly keys: ReadonlyMap<string, Key>;
    /** How far the time of a signature may be off. */
    readonly skewMs?: number;
    /** The time at AWS. */
    readonly now?: number;
  },
): Key | Refusal {
  const { region, service, keys, skewMs = 300_000, now = Date.now() } = expected;
  const { authorization } = request.headers;
  if (authorization === undefined)
    return { name: 'MissingAuthenticationTokenException', message: 'Missing Authentication Token' };
  const [, id = '', day = '', signedRegion, signedService, signed = '', signature] =
    headerShape.exec(authorization) ?? [];
  const date = String(request.headers['x-amz-date'] ?? '');
  if (!signature || !/^\d{8}T\d{6}Z$/.test(date) || !date.startsWith(day))
    return {
      name: 'IncompleteSignatureException',
      message: 'Authorization header requires Credential, SignedHeaders, Signature and a date.',
    };
  const key = keys.get(id);
  if (!key || key.sessionToken !== request.headers['x-amz-security-token'])
    return {
      name: 'UnrecognizedClientException',
      message: 'The security token included in the request is invalid.',
    };
  if (signedRegion !== region || signedService !== service)
    return {
      name: 'InvalidSignatureException',
      message: `Credential should be scoped to a valid region, not '${signedRegion}', and to correct service: '${service}'.`,
    };
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  // The time has whole seconds.
  if (now - at > skewMs + 1000)
    return {
      name: 'InvalidSignatureException',
      message: `Signature expired: ${date} is now earlier than ${new Date(now - skewMs).toISOString()}`,
    };
  if (at - now > skewMs)
    return { name: 'InvalidSignatureException', message: `Signature not yet current: ${date}` };
  const names = signed.split(';');
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://simulated');
  const query = [...searchParams]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const canonical = [
    request.method,
    pathname.split('/').map(encode).join('/'),
    query,
    ...names.map(
      (name) =>
        `${name}:${String(request.headers[name] ?? '')
          .trim()
          .replace(/\s+/g, ' ')}`,
    ),
    '',
    signed,
    hash(body),
  ].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', date, `${day}/${region}/${service}/aws4_request`, hash(canonical)].join(
    '\n',
  );
  const signingKey = [day, region, service, 'aws4_request'].reduce<string | Buffer>(
    hmac,
    `AWS4${key.secretAccessKey}`,
  );
  if (!names.includes('host') || hmac(signingKey, toSign).toString('hex') !== signature)
    return {
      name: 'InvalidSignatureException',
      message: 'The request signature we calculated does not match the signature you provided.',
    };
  if (key.expiresAt !== undefined && key.expiresAt <= Date.now())
    return {
      name: 'ExpiredTokenException',
      message: 'The security token included in the request is expired',
    };
  return key;
}

export const isRefusal = (verdict: Key | Refusal): verdict is Refusal => 'name' in verdict;
