import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { useAwsFiles } from '../support/aws.ts';
import { closing, setup } from '../support/ecr-setup.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';
import { emptyEstate, image, put } from '../support/uniform-estate.ts';

/** Failures of which AWS did not write the answer, or to which there is none: their reason, operation and advice. */

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Anything that speaks HTTP. */
const answering = (answer: (response: ServerResponse) => void) =>
  listening(createServer((request, response) => void request.resume().once('end', () => answer(response))));

const keys = { default: { id: 'AKIAFAKE', secret: 'fake' } };

/** The reason and the message of a poll that failed. */
async function failureOf(
  registry: Readonly<Record<string, unknown>>,
  profiles: Parameters<typeof useAwsFiles>[1] = keys,
) {
  const folder = tempDir();
  closing(() => folder.remove());
  useAwsFiles(folder.path, profiles);
  const running = await runLoop(ecr, { http: { retries: 0, timeout: '5s' }, timeout: '8s', ...registry });
  closing(() => running.stop());
  await running.poll();
  const { reason, message } = running.loop.status().errors.at(-1) ?? {};
  return { reason, message };
}

const region = 'us-east-1';
const html = '<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>';
const notAws =
  "what answers there does not speak AWS's API: check `endpoint`, and proxies or gateways on the way";
const failedThere =
  'AWS, or what stands before it, failed; the next poll tries again, https://health.aws.amazon.com tells of outages';

test.each<[string, number, string, string, string]>([
  [
    'a page for people as success',
    200,
    html,
    'invalid_response',
    `HOST answered no JSON (an HTML page): ${notAws}`,
  ],
  ['nothing as success', 200, '', 'invalid_response', `HOST answered no JSON: ${notAws}`],
  ['a page for people', 400, html, 'invalid_response', `answered 400 (an HTML page): ${notAws}`],
  [
    'text',
    400,
    'Client sent an HTTP request to an HTTPS server.',
    'invalid_response',
    `answered 400 (Client sent an HTTP request to an HTTPS server.): ${notAws}`,
  ],
  ["another API's error", 400, '{"error":"nope"}', 'invalid_response', `answered 400 (nope): ${notAws}`],
  [
    'an error whose name is none',
    400,
    '{"__type":5}',
    'invalid_response',
    `answered 400 ({"__type":5}): ${notAws}`,
  ],
  ['an error that is a list', 400, '[]', 'invalid_response', `answered 400 ([]): ${notAws}`],
  ['a redirect to a sign-in', 302, '', 'invalid_response', `answered 302: ${notAws}`],
  ['a page that is not there', 404, html, 'invalid_response', `answered 404 (an HTML page): ${notAws}`],
  ['a method that is not allowed', 405, '', 'invalid_response', `answered 405: ${notAws}`],
  ['too large a request', 413, html, 'invalid_response', `answered 413 (an HTML page): ${notAws}`],
  ['too long an address', 414, html, 'invalid_response', `answered 414 (an HTML page): ${notAws}`],
  [
    'a gateway that wants credentials',
    401,
    html,
    'auth',
    'answered 401 (an HTML page): a proxy or gateway on the way wants credentials of its own',
  ],
  [
    'a gateway that refuses',
    403,
    html,
    'forbidden',
    `answered 403 (an HTML page): the role lacks a permission (see docs/providers/ecr.md), or ${notAws}`,
  ],
  [
    'a proxy that wants credentials',
    407,
    '',
    'auth',
    'answered 407: the proxy wants credentials: give them in HTTPS_PROXY',
  ],
  [
    'a gateway without its backend',
    502,
    html,
    'server_error',
    `POST HOST answered 502 (an HTML page): ${failedThere}`,
  ],
  [
    'a service that is down',
    503,
    '{"message":"Service Unavailable"}',
    'server_error',
    `POST HOST answered 503 (Service Unavailable): ${failedThere}`,
  ],
  [
    'a stand-in that lacks an operation',
    501,
    `{"__type":"InternalFailure","message":"API for service 'ecr' not yet implemented"}`,
    'server_error',
    "POST HOST answered 501 (API for service 'ecr' not yet implemented): what answers there does not have this operation: check `endpoint`",
  ],
  [
    'a clock that is wrong',
    400,
    '{"__type":"InvalidSignatureException","message":"Signature expired: 20200101T000000Z is now earlier than 20200101T000500Z"}',
    'auth',
    "InvalidSignatureException: Signature expired: 20200101T000000Z is now earlier than 20200101T000500Z: check this machine's clock, and that of what stands before AWS: a signature is good for five minutes",
  ],
  [
    'an operation that a stand-in does not have',
    400,
    '{"__type":"UnknownOperationException"}',
    'invalid_response',
    `UnknownOperationException: UnknownError: ${notAws}`,
  ],
])('%s (%i)', async (_title, status, body, reason, message) => {
  const port = await answering((response) => {
    response.writeHead(status, status === 302 ? { location: 'https://login.example.com/' } : {});
    response.end(body);
  });
  const endpoint = `http://127.0.0.1:${port}`;
  expect(await failureOf({ endpoint, region })).toEqual({
    reason,
    message: `DescribeRepositories: ${message.replace('HOST', `${endpoint}/`)}`,
  });
});

const who = 'arn:aws:sts::123456789012:assumed-role/exporter/session';
const denied = `User: ${who} is not authorized to perform: ecr:DescribeRepositories on resource: arn:aws:ecr:us-east-1:123456789012:repository/*`;
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
test.each([
  [
    ' because no identity-based policy allows the ecr:DescribeRepositories action',
    `allow ecr:DescribeRepositories for ${who}, see docs/providers/ecr.md`,
  ],
  [
    ' with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o-1/service_control_policy/p-1',
    'the service control policy denies it, whatever else allows it: ecr:DescribeRepositories has to be let out of that',
  ],
  [
    ' with an explicit deny in a permissions boundary',
    'the permissions boundary denies it, whatever else allows it: ecr:DescribeRepositories has to be let out of that',
  ],
  [
    ' because no VPC endpoint policy allows the ecr:DescribeRepositories action',
    'the VPC endpoint policy has to allow ecr:DescribeRepositories too, besides the policy of the role',
  ],
])('a refusal of IAM names the policy that it comes from: %s', async (why, advice) => {
  const body = JSON.stringify({ __type: 'AccessDeniedException', message: `${denied}${why}` });
  const port = await answering((response) => response.writeHead(400).end(body));
  expect(await failureOf({ endpoint: `http://127.0.0.1:${port}`, region })).toEqual({
    reason: 'forbidden',
    message: `DescribeRepositories: AccessDeniedException: ${denied}${why}: ${advice}`,
  });
});

test.each([
  [
    'RegionDisabledException',
    'STS is not activated in this region for account:123456789012.',
    'forbidden',
    /: enable the region in the account, and STS in it /,
  ],
  [
    'AccessDenied',
    'Not authorized to perform sts:AssumeRoleWithWebIdentity',
    'forbidden',
    /: the role's trust policy has to name the cluster's OIDC provider and this service account/,
  ],
  [
    'InvalidIdentityToken',
    'No OpenIDConnect provider found in your account for https://oidc.eks.us-east-1.amazonaws.com/id/A',
    'auth',
    /: check the OIDC provider of the cluster in the role's account/,
  ],
])('STS refuses: %s', async (code, said, reason, advice) => {
  const port = await answering((response) =>
    response
      .writeHead(403, { 'content-type': 'text/xml' })
      .end(
        `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${said}</Message></Error></ErrorResponse>`,
      ),
  );
  const assumeRoleArn = 'arn:aws:iam::123456789012:role/reader';
  const failure = await failureOf({ region, assumeRoleArn, endpoint: `http://127.0.0.1:${port}` });
  expect(failure).toEqual({ reason, message: expect.stringMatching(advice) });
  expect(failure.message).toContain(said);
});

test('an error body without end is read as far as its message needs, and told in one line', async () => {
  const port = await answering((response) => {
    response.writeHead(400);
    response.end(`{"__type":"AccessDeniedException","message":"${'no\\n'.repeat(100_000)}"}`);
  });
  const { message = '' } = await failureOf({ endpoint: `http://127.0.0.1:${port}`, region });
  expect(message.length).toBeLessThan(1_000);
  expect(message).not.toMatch(/\n/);
});

describe('addresses that do not answer', () => {
  const silent = () =>
    listening(createTcpServer((socket) => void socket.once('data', () => socket.resetAndDestroy())));
  test.each<[string, () => Promise<string>, string, RegExp]>([
    [
      'https where http is spoken',
      async () => `https://127.0.0.1:${await answering((response) => response.end('{}'))}`,
      'tls',
      /: what answers there does not speak TLS: use http:\/\/ if that is meant$/,
    ],
    [
      'a connection that is reset',
      async () => `http://127.0.0.1:${await silent()}`,
      'connect',
      /: check `endpoint` and whether it is http or https, and that it can be reached from here$/,
    ],
    [
      'a name that does not resolve',
      async () => 'http://nowhere.invalid',
      'dns',
      /: check `endpoint`, and that its name resolves here$/,
    ],
  ])('%s', async (_title, address, reason, message) => {
    const failure = await failureOf({ endpoint: await address(), region });
    expect(failure).toEqual({ reason, message: expect.stringMatching(message) });
    expect(failure.message).toMatch(/^DescribeRepositories: POST http/);
  });
});

describe('configuration of AWS that is missing', () => {
  test('a region', async () => {
    expect(await failureOf({})).toEqual({
      reason: 'configuration',
      message:
        'DescribeRepositories: Region is missing: set `region`, AWS_REGION in the environment, or a region in the profile',
    });
  });

  test('the profile that is named', async () => {
    const { reason, message } = await failureOf({ region, profile: 'nope', endpoint: 'http://127.0.0.1:1' });
    expect(reason).toBe('auth');
    expect(message).toContain(': check that the profile stands in ~/.aws/config or ~/.aws/credentials');
  });

  test('any credentials', async () => {
    const { reason, message } = await failureOf({ region, endpoint: 'http://127.0.0.1:1' }, {});
    expect(reason).toBe('auth');
    expect(message).toContain(': give the pod a role (IRSA or EKS Pod Identity)');
  });

  test('the credentials of an agent that gives none', async () => {
    const port = await answering((response) =>
      response.writeHead(400).end('(ResourceNotFoundException): Failed to fetch credentials'),
    );
    const failing = failureOf({ region, endpoint: 'http://127.0.0.1:1' }, {});
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `http://127.0.0.1:${port}/v1/credentials`);
    closing(() => vi.unstubAllEnvs());
    const { reason, message } = await failing;
    expect(reason).toBe('auth');
    expect(message).toContain(': the agent of AWS_CONTAINER_CREDENTIALS_FULL_URI gave none: ');
  });

  test('a session that somebody has to log in for', async () => {
    const { message } = await failureOf(
      { region, profile: 'sso', endpoint: 'http://127.0.0.1:1' },
      {
        sso: {
          sso_start_url: 'https://a.awsapps.com/start',
          sso_region: region,
          sso_account_id: '1',
          sso_role_name: 'r',
        },
      },
    );
    expect(message).toContain(': a daemon cannot log in: give it a role');
  });
});

test('a role that a gateway answers for: the operation of STS is named, not the one that waits for it', async () => {
  const port = await answering((response) => response.writeHead(400).end(html));
  const assumeRoleArn = 'arn:aws:iam::123456789012:role/reader';
  const { message } = await failureOf({ region, assumeRoleArn, endpoint: `http://127.0.0.1:${port}` });
  expect(message).toBe(`AssumeRole: answered 400 (an HTML page): ${notAws}`);
});

test.each<[string, (response: ServerResponse) => void, string]>([
  ['hang', () => {}, 'timeout'],
  [
    'refuse everything for its rate',
    (response) =>
      response
        .writeHead(429, { 'x-amzn-errortype': 'ThrottlingException' })
        .end('{"message":"Rate exceeded"}'),
    'throttled',
  ],
])(
  'services beside ECR that %s take their capabilities, and not the time of the poll',
  async (_title, answer, reason) => {
    const estate = emptyEstate();
    put(estate, 'app', image('v1'));
    const stranger = `http://127.0.0.1:${await answering(answer)}`;
    const { running } = await setup(
      { estate, mode: 'enhanced' },
      { endpoints: { inspector2: stranger, serviceQuotas: stranger }, timeout: '8s' },
    );
    await running.poll();
    expect(await running.lines('up', 'repositories', 'repository_tags')).toEqual([
      'up{} 1',
      'repositories{} 1',
      'repository_tags{repository="app"} 1',
    ]);
    expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([
      'capability_up{capability="findings"} 0',
      'capability_up{capability="quotas"} 0',
    ]);
    expect(running.loop.status().failing.map((one) => one.reason)).toEqual([reason, reason]);
  },
);

test('a Service Quotas out of reach is waited for once in an hour, and down all the while', async () => {
  const estate = emptyEstate();
  put(estate, 'app', image('v1'));
  let asked = 0;
  const port = await answering(() => {
    asked += 1;
  });
  const { running } = await setup(
    { estate },
    {
      endpoints: { serviceQuotas: `http://127.0.0.1:${port}` },
      timeout: '4s',
      http: { timeout: '500ms', retries: 0 },
    },
  );
  await running.poll();
  await running.poll();
  await running.poll();
  expect(asked).toBe(1);
  expect(await running.lines('up')).toEqual(['up{} 1']);
  expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([
    'capability_up{capability="quotas"} 0',
  ]);
  expect(running.log().match(/level=warn.*quotas could not be read/g)).toHaveLength(1);
});

test('a service beside ECR that answers with a page takes its capability, and nothing else', async () => {
  const estate = emptyEstate();
  put(estate, 'app', image('v1'));
  const port = await answering((response) => response.writeHead(404).end(html));
  const stranger = `http://127.0.0.1:${port}`;
  const { running } = await setup(
    { estate, mode: 'enhanced' },
    { endpoints: { inspector2: stranger, serviceQuotas: stranger } },
  );
  await running.poll();
  expect((await running.lines('capability_up')).filter((line) => line.endsWith(' 0'))).toEqual([
    'capability_up{capability="findings"} 0',
    'capability_up{capability="quotas"} 0',
  ]);
  expect(await running.lines('up', 'repository_images')).toEqual([
    'up{} 1',
    'repository_images{repository="app",state="tagged"} 1',
    'repository_images{repository="app",state="untagged"} 0',
  ]);
  for (const { message } of running.loop.status().failing)
    expect(message).toMatch(
      /^List\w+: answered 404 \(an HTML page\): what answers there does not speak AWS's API/,
    );
});
