import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { forbidden, toCollectError } from '../../src/providers/artifact-registry/errors.ts';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';

/** What Google and its token servers say when they refuse, and what somebody on call is told to do. */

const open: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const close of open.splice(0).reverse()) await close();
});

const url = new URL('https://artifactregistry.googleapis.com/v1/projects/p/locations/us/repositories');

/** The body of a 403, as https://cloud.google.com/apis/design/errors#error_model has it. */
const bodyOf = (message: string, details?: readonly object[]) =>
  Buffer.from(JSON.stringify({ error: { code: 403, message, status: 'PERMISSION_DENIED', details } }));

// Recorded in public issues: jfrog/jfrog-credentials-provider#70, GoogleCloudPlatform/dlp-pdf-redaction#25,
// cloudquery/cloudquery#1062, googleapis/google-api-php-client#2422 and firezone/firezone#7711.
const refusals: readonly (readonly [
  reason: string,
  message: string,
  metadata: Record<string, string>,
  hint: RegExp,
])[] = [
  [
    'ACCESS_TOKEN_SCOPE_INSUFFICIENT',
    'Request had insufficient authentication scopes.',
    { service: 'artifactregistry.googleapis.com' },
    /: the token has too few scopes, which no role changes: .*Workload Identity$/,
  ],
  [
    'SERVICE_DISABLED',
    'Your application is authenticating by using local Application Default Credentials. The artifactregistry.googleapis.com API requires a quota project, which is not set by default.',
    { consumer: 'projects/764086051850', service: 'artifactregistry.googleapis.com' },
    /: a user's credentials need a project to charge: gcloud auth application-default set-quota-project/,
  ],
  [
    'SERVICE_DISABLED',
    'Artifact Registry API has not been used in project 12 before or it is disabled.',
    { consumer: 'projects/12', service: 'artifactregistry.googleapis.com' },
    /: enable artifactregistry\.googleapis\.com in the project$/,
  ],
  [
    'SECURITY_POLICY_VIOLATED',
    "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: eYhDkf",
    { service: 'artifactregistry.googleapis.com', consumer: 'projects/12' },
    /: a perimeter of VPC Service Controls forbids it: /,
  ],
  ['CONSUMER_INVALID', 'Project #1234567899 has been deleted.', {}, /: the project is not there any more/],
  [
    'BILLING_DISABLED',
    'This API method requires billing to be enabled.',
    {},
    /: enable billing for the project$/,
  ],
  [
    'USER_PROJECT_DENIED',
    'Caller does not have required permission to use project p9.',
    { consumer: 'projects/p9' },
    /roles\/serviceusage\.serviceUsageConsumer gives$/,
  ],
  [
    'LOCATION_POLICY_VIOLATED',
    "Permission denied on 'locations/me-central2' (or it may not exist).",
    { location: 'me-central2' },
    /: Google gives this location to other customers only$/,
  ],
  [
    'IAM_PERMISSION_DENIED',
    "Permission 'artifactregistry.repositories.list' denied on resource '//x' (or it may not exist).",
    { permission: 'artifactregistry.repositories.list' },
    /: the account lacks artifactregistry\.repositories\.list, which roles\/artifactregistry\.reader gives$/,
  ],
];

test.each(refusals)('%s (%s), over both transports', (reason, message, metadata, hint) => {
  const help = { '@type': 'type.googleapis.com/google.rpc.Help', links: [] };
  const info = { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'x', metadata };
  const byRest = forbidden('ListRepositories', { url, body: bodyOf(message, [help, info]) } as never);
  const byGrpc = toCollectError(
    'ListRepositories',
    url.host,
    Object.assign(new Error(message), { code: 7, details: message, reason, errorInfoMetadata: metadata }),
  );
  for (const error of [byRest, byGrpc])
    expect(error).toMatchObject({ reason: 'forbidden', message: expect.stringMatching(hint) });
});

test('a refusal without details, and one that no API of Google wrote', () => {
  const bare = forbidden('ListRepositories', {
    url,
    body: bodyOf('The caller does not have permission'),
  } as never);
  expect(bare.message).toMatch(/The caller does not have permission: the account lacks a permission/);
  const page = forbidden('ListRepositories', { url, body: Buffer.from('<html>Blocked</html>') } as never);
  expect(page.message).toMatch(/answered 403 \(an HTML page\): that is none of Google's APIs: /);
});

/** The message of a poll that found no token. */
async function failureOf(
  answer: (path: string) => readonly [status: number, body: string],
  registry: (origin: string) => Readonly<Record<string, unknown>> = () => ({}),
) {
  const server = createServer((request, response) => {
    request.resume();
    const [status, body] = answer(String(request.url));
    response.writeHead(status, { 'metadata-flavor': 'Google', 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const folder = tempDir();
  open.push(() => folder.remove());
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', '');
  vi.stubEnv('CLOUDSDK_CONFIG', folder.path);
  vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present');
  vi.stubEnv('GCE_METADATA_HOST', `127.0.0.1:${port}`);
  const running = await runLoop(artifactRegistry, {
    projects: ['p'],
    locations: ['us'],
    transport: 'rest',
    timeout: '20s',
    http: { retries: 0 },
    ...registry(`http://127.0.0.1:${port}`),
  });
  open.push(() => running.stop());
  await running.poll();
  const { reason, message } = running.loop.status().errors.at(-1) ?? {};
  return { reason, message, log: running.log() };
}

const token = JSON.stringify({ access_token: 'ya29.secret', expires_in: 3600, token_type: 'Bearer' });

describe('a metadata server', () => {
  // https://github.com/camunda/camunda/issues/31106
  test('that may not act as the service account says so before all else', async () => {
    const { reason, message } = await failureOf(() => [
      403,
      "Unable to generate access token; IAM returned 403 Forbidden: Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).\nThis error could be caused by a missing IAM policy binding on the target IAM service account.\n",
    ]);
    expect(reason).toBe('auth');
    expect(message).toMatch(
      /^no credentials for Google: Could not refresh access token: Unable to generate access token; IAM returned 403 .*: let the workload act as the service account: roles\/iam\.workloadIdentityUser on it/,
    );
  });

  test('that knows no service account', async () => {
    const { message } = await failureOf(() => [404, 'Not Found\n']);
    expect(message).toMatch(/Not Found: the machine or pod has no service account: give it one/);
  });

  test('that fails is none of the credentials', async () => {
    const { reason, message } = await failureOf(() => [500, 'GKE Metadata Server: Internal Server Error']);
    expect(reason).toBe('server_error');
    expect(message).toMatch(/: the token server did not answer as it should: the next poll asks it again/);
  });

  test('that answers with something else is not quoted: it may be a token', async () => {
    const { reason, message, log } = await failureOf(() => [200, 'ya29.secret']);
    expect(reason).toBe('auth');
    expect(message).toMatch(/^no credentials for Google: what answers as token server is none: /);
    expect(log).not.toContain('ya29.secret');
  });
});

describe('impersonation that is refused', () => {
  const reader = 'reader@other.iam.gserviceaccount.com';
  test.each([
    [
      'ACCESS_TOKEN_SCOPE_INSUFFICIENT',
      'Request had insufficient authentication scopes.',
      /: the token has too few scopes/,
    ],
    [
      'SERVICE_DISABLED',
      'IAM Service Account Credentials API has not been used',
      /: enable iamcredentials\.g/,
    ],
    [
      'IAM_PERMISSION_DENIED',
      "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
      /: reader@other\.iam\.gserviceaccount\.com cannot be impersonated: grant roles\/iam\.serviceAccountTokenCreator/,
    ],
  ])('%s', async (reason, said, hint) => {
    const metadata = { service: 'iamcredentials.googleapis.com' };
    const failure = await failureOf(
      (path) =>
        path.includes('generateAccessToken')
          ? [403, String(bodyOf(said, [{ reason, metadata }]))]
          : [200, token],
      (origin) => ({ impersonatedServiceAccount: reader, iamCredentialsEndpoint: origin }),
    );
    expect(failure).toMatchObject({ reason: 'auth', message: expect.stringMatching(hint) });
    expect(failure.message).toContain(said);
  });
});

test('a user whose session ended is told by what the token server says', async () => {
  const folder = tempDir();
  open.push(() => folder.remove());
  const { reason, message } = await failureOf(
    () => [400, '{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)"}'],
    (origin) => {
      const credentialsFile = join(folder.path, 'user.json');
      const user = { type: 'authorized_user', client_id: 'c', client_secret: 's', refresh_token: 'r' };
      writeFileSync(credentialsFile, JSON.stringify({ ...user, token_uri: `${origin}/token` }));
      return { credentialsFile };
    },
  );
  expect(reason).toBe('auth');
  expect(message).toBe(
    'no credentials for Google: invalid_grant reauth related error (invalid_rapt): the token server refuses these credentials: renew or replace them, or mend the federation, see docs/providers/artifact-registry.md',
  );
});
