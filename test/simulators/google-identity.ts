import { createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * Google's token servers on one address: the OAuth token endpoint for keys
 * (https://developers.google.com/identity/protocols/oauth2/service-account#httprest), the metadata server of GKE and
 * Compute Engine (https://cloud.google.com/compute/docs/access/authenticate-workloads), the Security Token Service
 * (https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token) and the IAM credentials API
 * (https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken).
 */
export interface GoogleIdentity {
  readonly url: string;
  /** A key file of a service account that the token endpoint knows. */
  readonly key: Readonly<Record<string, string>>;
  /** The same with a private key that it does not know. */
  readonly wrongKey: Readonly<Record<string, string>>;
  /** What a workload would find in a projected volume. */
  readonly subjectToken: string;
  /** A configuration of workload identity federation whose token lies in the file. */
  federation(file: string): Readonly<Record<string, unknown>>;
  /** Whom a token was given to; undefined for one that is unknown or has expired. */
  principalOf(token: string): string | undefined;
  /** Makes tokens invalid that are older than this. */
  expire(olderThanMs: number): void;
  /** Requests so far by what was asked. */
  readonly asked: Map<string, number>;
  /** Who may act as whom. */
  readonly mayImpersonate: Set<string>;
  /** While true, nothing is answered at all. */
  silent: boolean;
  close(): Promise<void>;
}

const account = 'exporter@tests.iam.gserviceaccount.com';
const usualTokenUrl = 'https://oauth2.googleapis.com/token';
const cloudPlatform = 'https://www.googleapis.com/auth/cloud-platform';

const pair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
// Making them takes longer than everything else; they are the same for all simulators of a process.
const known = pair();
const other = pair();

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

/** The claims of a signed assertion, or what is wrong with it. */
function claimsOf(assertion: string): Record<string, unknown> | string {
  const [header = '', body = '', signature = ''] = assertion.split('.');
  const key = createPublicKey(known.publicKey);
  if (!verify('RSA-SHA256', Buffer.from(`${header}.${body}`), key, Buffer.from(signature, 'base64url')))
    return 'Invalid JWT Signature.';
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
  if (claims['iss'] !== account) return 'Invalid grant: account not found';
  if (claims['aud'] !== usualTokenUrl) return 'Invalid JWT: Failed audience check';
  if (Number(claims['exp']) < Date.now() / 1000) return 'Invalid JWT: Token must be a short-lived token';
  return claims;
}

export async function startGoogleIdentity(): Promise<GoogleIdentity> {
  const tokens = new Map<string, { readonly principal: string; readonly givenAt: number }>();
  const asked = new Map<string, number>();
  const mayImpersonate = new Set<string>();
  const subjectToken = `subject.${randomUUID()}`;
  const give = (principal: string): string => {
    const token = `ya29.${randomUUID()}`;
    tokens.set(token, { principal, givenAt: performance.now() });
    return token;
  };
  const state = { silent: false };

  async function answer(
    path: string,
    request: IncomingMessage,
  ): Promise<readonly [status: number, body: object]> {
    const count = (what: string) => asked.set(what, (asked.get(what) ?? 0) + 1);
    const form = async () => new URLSearchParams(await read(request));
    if (path === '/token' && request.method === 'POST') {
      count('token');
      const given = await form();
      if (given.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer')
        return [400, { error: 'unsupported_grant_type', error_description: 'Invalid grant_type' }];
      const claims = claimsOf(given.get('assertion') ?? '');
      if (typeof claims === 'string') return [400, { error: 'invalid_grant', error_description: claims }];
      if (claims['scope'] !== cloudPlatform)
        return [400, { error: 'invalid_scope', error_description: 'Invalid OAuth scope' }];
      return [200, { access_token: give(account), expires_in: 3599, token_type: 'Bearer' }];
    }
    if (path === '/v1/token' && request.method === 'POST') {
      count('sts');
      const given = await form();
      if (given.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange')
        return [400, { error: 'unsupported_grant_type', error_description: 'Invalid grant_type' }];
      if (given.get('subject_token') !== subjectToken)
        return [400, { error: 'invalid_grant', error_description: 'The subject token is not known' }];
      const body = { access_token: give('federated'), expires_in: 3599, token_type: 'Bearer' };
      return [200, { ...body, issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' }];
    }
    const [, target] = /^\/v1\/projects\/-\/serviceAccounts\/([^/]+):generateAccessToken$/.exec(path) ?? [];
    if (target !== undefined && request.method === 'POST') {
      count('impersonation');
      const principal = tokens.get((request.headers.authorization ?? '').replace(/^Bearer /, ''))?.principal;
      if (!principal)
        return [401, { error: { code: 401, status: 'UNAUTHENTICATED', message: 'Invalid credentials' } }];
      if (!mayImpersonate.has(decodeURIComponent(target)))
        return [
          403,
          {
            error: {
              code: 403,
              status: 'PERMISSION_DENIED',
              message:
                "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
            },
          },
        ];
      const expireTime = new Date(Date.now() + 3_600_000).toISOString();
      return [200, { accessToken: give(decodeURIComponent(target)), expireTime }];
    }
    if (path.startsWith('/computeMetadata/v1/')) {
      count('metadata');
      if (request.headers['metadata-flavor'] !== 'Google') return [403, { error: 'missing Metadata-Flavor' }];
      if (path === '/computeMetadata/v1/instance/service-accounts/default/token')
        return [200, { access_token: give('workload'), expires_in: 3599, token_type: 'Bearer' }];
      return [path === '/computeMetadata/v1/instance' ? 200 : 404, {}];
    }
    return [404, { error: 'not found' }];
  }

  const server = createServer(async (request, response) => {
    if (state.silent) return;
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const [status, body] = await answer(pathname, request);
    response.writeHead(status, { 'content-type': 'application/json', 'metadata-flavor': 'Google' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const keyOf = (privateKey: string) => ({
    type: 'service_account',
    project_id: 'tests',
    private_key_id: 'key-1',
    private_key: privateKey,
    client_email: account,
    client_id: '1',
    token_uri: `${url}/token`,
  });
  return Object.assign(state, {
    url,
    key: keyOf(known.privateKey),
    wrongKey: keyOf(other.privateKey),
    subjectToken,
    federation: (file: string) => ({
      type: 'external_account',
      audience:
        '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `${url}/v1/token`,
      credential_source: { file },
    }),
    principalOf: (token: string) => tokens.get(token)?.principal,
    expire(olderThanMs: number) {
      for (const [token, { givenAt }] of tokens)
        if (performance.now() - givenAt > olderThanMs) tokens.delete(token);
    },
    asked,
    mayImpersonate,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}
