import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { startEcrSimulator } from '../simulators/ecr.ts';
import { startPodIdentity } from '../simulators/pod-identity.ts';
import { give } from '../simulators/sts.ts';
import { useAwsFiles } from '../support/aws.ts';
import { closing, type Setup, setup } from '../support/ecr-setup.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';
import { emptyEstate, image, put } from '../support/uniform-estate.ts';

/** Where credentials come from, what is signed with them, and where requests go. */

function estate() {
  const all = emptyEstate();
  put(all, 'app', image('v1'));
  return all;
}

/** Nothing in the environment but these variables. */
function only(variables: Readonly<Record<string, string>>): void {
  const folder = tempDir();
  closing(() => folder.remove());
  useAwsFiles(folder.path, {});
  Object.assign(process.env, variables);
}

function file(content: string): string {
  const folder = tempDir();
  closing(() => folder.remove());
  const path = join(folder.path, 'token');
  writeFileSync(path, content);
  return path;
}

async function works({ running }: Setup): Promise<void> {
  await running.poll();
  expect(await running.value('up'), running.log()).toBe(1);
  expect(await running.lines('repositories')).toEqual(['repositories{} 1']);
}

describe('credentials', () => {
  test('EKS IRSA: the token of the service account for those of the role, once', async () => {
    const all = await setup({ estate: estate() });
    const { simulator } = all;
    simulator.sts.webTokens.add('kubernetes-token');
    only({ AWS_ROLE_ARN: simulator.roleArn, AWS_WEB_IDENTITY_TOKEN_FILE: file('kubernetes-token') });
    await works(all);
    await works(all);
    expect(simulator.requests.get('AssumeRoleWithWebIdentity')).toBe(1);
    expect(await all.running.requests()).toMatchObject({ 'AssumeRoleWithWebIdentity 200': 1 });
    // The role is of the account: it need not be configured.
    expect(await all.running.lines('info')).toEqual([
      `info{host="${simulator.account}.dkr.ecr.us-east-1.amazonaws.com",account="${simulator.account}",region="us-east-1"} 1`,
    ]);
  });

  test('EKS IRSA with a token that nobody trusts', async () => {
    const { simulator, running } = await setup({ estate: estate() });
    only({ AWS_ROLE_ARN: simulator.roleArn, AWS_WEB_IDENTITY_TOKEN_FILE: file('stolen-token') });
    await running.poll();
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
    expect(running.log()).toContain('InvalidIdentityToken');
    expect(running.log()).not.toContain('stolen-token');
  });

  test('EKS Pod Identity: from the agent on the node', async () => {
    const all = await setup({ estate: estate() });
    const { sts, account } = all.simulator;
    const agent = await startPodIdentity('pod-token', () =>
      give(sts, `arn:aws:sts::${account}:assumed-role/pod/x`),
    );
    closing(agent.close);
    only({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: agent.url,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file('pod-token'),
    });
    await works(all);
    expect(agent.requests()).toBe(1);
    // Those that expire are asked for anew.
    all.simulator.expireTokens();
    await works(all);
    expect(agent.requests()).toBe(2);
  });

  test('IRSA, and from there a role in another account with an external id', async () => {
    const roleArn = 'arn:aws:iam::210987654321:role/registry-reader';
    const all = await setup({ estate: estate() }, { assumeRoleArn: roleArn, externalId: 'team-7' });
    const { simulator } = all;
    simulator.sts.webTokens.add('kubernetes-token');
    simulator.sts.roles.set(roleArn, { externalId: 'team-7' });
    only({ AWS_ROLE_ARN: simulator.roleArn, AWS_WEB_IDENTITY_TOKEN_FILE: file('kubernetes-token') });
    await works(all);
    await works(all);
    expect(Object.fromEntries(simulator.requests)).toMatchObject({
      AssumeRole: 1,
      AssumeRoleWithWebIdentity: 1,
    });
    const forms = simulator.sts.seen.map((form) => [form.get('RoleArn'), form.get('RoleSessionName')]);
    expect(forms[1]).toEqual([roleArn, 'container-registry-exporter']);
  });

  test('a role that may not be assumed: which one, and by whom', async () => {
    const roleArn = 'arn:aws:iam::210987654321:role/registry-reader';
    const { simulator, running } = await setup(
      { estate: estate() },
      { assumeRoleArn: roleArn, externalId: 'wrong' },
    );
    simulator.sts.roles.set(roleArn, { externalId: 'team-7' });
    await running.poll();
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="forbidden"} 1');
    expect(running.log()).toContain(`allow sts:AssumeRole for ${simulator.key.principal}`);
  });

  test('none at all: what to do', async () => {
    const { running } = await setup({ estate: estate() });
    only({});
    await running.poll();
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
    expect(running.log()).toContain('give the pod a role (IRSA or EKS Pod Identity)');
  });
});

describe('signatures', () => {
  test('each attempt is signed when its turn comes: one that waited is not too old', async () => {
    const all = await setup({ estate: estate(), skewMs: 1_500 });
    all.simulator.faults.push({
      operation: 'DescribeRepositories',
      fault: { type: 'throttle', retryAfter: '2.5' },
      times: 1,
    });
    await works(all);
    expect(await all.running.requests()).toMatchObject({
      'DescribeRepositories 200': 1,
      'DescribeRepositories 400': 1,
    });
  });

  test.each([600_000, -600_000])('a clock that is wrong by %i ms is found out', async (clockAheadMs) => {
    await works(await setup({ estate: estate(), clockAheadMs }));
  });

  test('the simulator refuses what AWS refuses', async () => {
    const simulator = await startEcrSimulator({ estate: estate(), region: 'eu-west-1' });
    closing(simulator.close);
    const target = { 'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.DescribeRepositories' };
    const headers = { ...target, 'content-type': 'application/x-amz-json-1.1' };
    const bare = await fetch(simulator.url, { method: 'POST', headers, body: '{}' });
    expect([bare.status, await bare.json()]).toMatchObject([
      400,
      { __type: 'MissingAuthenticationTokenException' },
    ]);
    const { accessKeyId: id, secretAccessKey: secret } = simulator.key;
    const tried = async (keys: { id: string; secret: string }, region: string) => {
      const folder = tempDir();
      closing(() => folder.remove());
      useAwsFiles(folder.path, { default: keys });
      const running = await runLoop(ecr, { endpoint: simulator.url, region });
      closing(() => running.stop());
      await running.poll();
      return running.log();
    };
    expect(await tried({ id, secret: 'another' }, 'eu-west-1')).toContain('does not match the signature');
    expect(await tried({ id: 'AKIASTRANGER', secret }, 'eu-west-1')).toContain('UnrecognizedClientException');
    expect(await tried({ id, secret }, 'us-east-1')).toContain('should be scoped to a valid region');
  });
});

/** A proxy that lets nobody through and remembers where they wanted to go. */
async function proxy() {
  const wanted = new Set<string>();
  const server = createServer();
  server.on('connect', (request, socket) => {
    wanted.add(String(request.url));
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing(() => server.close());
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  closing(() => void delete process.env['HTTPS_PROXY']);
  return wanted;
}

describe('addresses', () => {
  const fake = { AWS_ACCESS_KEY_ID: 'AKIAFAKE', AWS_SECRET_ACCESS_KEY: 'fake' };

  test.each([
    ['a region', { region: 'eu-central-1' }, 'api.ecr.eu-central-1.amazonaws.com'],
    ['China', { region: 'cn-north-1' }, 'api.ecr.cn-north-1.amazonaws.com.cn'],
    ['GovCloud', { region: 'us-gov-west-1' }, 'api.ecr.us-gov-west-1.amazonaws.com'],
    ['FIPS', { region: 'us-east-1', useFips: true }, 'api.ecr-fips.us-east-1.amazonaws.com'],
    [
      'FIPS in GovCloud',
      { region: 'us-gov-east-1', useFips: true },
      'api.ecr-fips.us-gov-east-1.amazonaws.com',
    ],
    ['dual-stack', { region: 'eu-west-1', useDualStack: true }, 'ecr.eu-west-1.api.aws'],
    [
      'a VPC endpoint',
      { endpoint: 'https://vpce-0.api.ecr.us-east-1.vpce.amazonaws.com' },
      'vpce-0.api.ecr.us-east-1.vpce.amazonaws.com',
    ],
  ])('%s, through the proxy of the environment', async (_title, registry, host) => {
    only({ ...fake, AWS_REGION: 'us-east-1' });
    const wanted = await proxy();
    const running = await runLoop(ecr, { ...registry, http: { retries: 0 } });
    closing(() => running.stop());
    await running.poll();
    expect([...wanted]).toEqual([`${host}:443`]);
  });

  type Addressed = [title: string, registry: Readonly<Record<string, unknown>>, host: string];
  const besideEndpoint = (region: string, domain: string): Addressed[] => [
    [
      `beside a VPC endpoint of ${domain}`,
      { region, endpoint: `https://vpce-0.api.ecr.${region}.vpce.${domain}` },
      `sts.${region}.${domain}`,
    ],
  ];
  test.each<Addressed>([
    ['in the region of the registry', {}, 'sts.eu-west-1.amazonaws.com'],
    ['in China', { region: 'cn-northwest-1' }, 'sts.cn-northwest-1.amazonaws.com.cn'],
    ['where it is configured', { endpoints: { sts: 'https://sts.example.com' } }, 'sts.example.com'],
    // Not at ECR's VPC endpoint, in whatever partition that is.
    ...besideEndpoint('us-gov-west-1', 'amazonaws.com'),
    ...besideEndpoint('cn-north-1', 'amazonaws.com.cn'),
    ...besideEndpoint('eusc-de-east-1', 'amazonaws.eu'),
    ...besideEndpoint('us-iso-east-1', 'c2s.ic.gov'),
    ...besideEndpoint('us-isob-east-1', 'sc2s.sgov.gov'),
    ...besideEndpoint('eu-isoe-west-1', 'cloud.adc-e.uk'),
    ...besideEndpoint('us-isof-south-1', 'csp.hci.ic.gov'),
  ])('STS %s', async (_title, registry, host) => {
    only(fake);
    const wanted = await proxy();
    const assumeRoleArn = 'arn:aws:iam::123456789012:role/reader';
    const running = await runLoop(ecr, {
      region: 'eu-west-1',
      assumeRoleArn,
      ...registry,
      http: { retries: 0 },
    });
    closing(() => running.stop());
    await running.poll();
    expect([...wanted]).toEqual([`${host}:443`]);
  });

  test("the environment's address of a service goes before ECR's stand-in", async () => {
    const all = await setup({ estate: estate(), mode: 'enhanced' });
    const other = await startEcrSimulator({ estate: emptyEstate() });
    closing(other.close);
    process.env['AWS_ENDPOINT_URL_SERVICE_QUOTAS'] = other.url;
    await works(all);
    expect([...other.requests.keys()]).toEqual(['ListServiceQuotas']);
    expect(all.simulator.requests.has('ListServiceQuotas')).toBe(false);
    expect(all.simulator.requests.get('ListCoverage')).toBe(1);
  });

  test('no region', async () => {
    only(fake);
    const running = await runLoop(ecr, {});
    closing(() => running.stop());
    await running.poll();
    expect(running.log()).toContain('Region is missing');
  });
});

describe('places', () => {
  const places = async (given: Record<string, unknown>) =>
    (await ecr.places?.(ecr.options.parse(given))?.({} as never))?.map(({ values, options }) => [
      values,
      options,
    ]);
  const role = (account: number) => `arn:aws:iam::${String(account).repeat(12)}:role/reader`;

  test('an entry with a region is one registry as it stands', async () => {
    expect(await places({ region: 'eu-west-1', assumeRoleArn: role(1) })).toBeUndefined();
  });

  test('accounts × regions', async () => {
    const accounts = [{ assumeRoleArn: role(1), externalId: 'x1' }, { assumeRoleArn: role(2) }];
    expect(await places({ regions: ['eu-west-1', 'us-east-1'], accounts, useFips: true })).toEqual([
      [
        { account: '111111111111', region: 'eu-west-1' },
        { region: 'eu-west-1', assumeRoleArn: role(1), externalId: 'x1', useFips: true },
      ],
      [
        { account: '111111111111', region: 'us-east-1' },
        { region: 'us-east-1', assumeRoleArn: role(1), externalId: 'x1', useFips: true },
      ],
      [
        { account: '222222222222', region: 'eu-west-1' },
        { region: 'eu-west-1', assumeRoleArn: role(2), useFips: true },
      ],
      [
        { account: '222222222222', region: 'us-east-1' },
        { region: 'us-east-1', assumeRoleArn: role(2), useFips: true },
      ],
    ]);
  });

  test('regions of one account', async () => {
    expect(await places({ regions: ['eu-west-1', 'us-east-1'], assumeRoleArn: role(1) })).toEqual([
      [{ region: 'eu-west-1' }, { region: 'eu-west-1', assumeRoleArn: role(1) }],
      [{ region: 'us-east-1' }, { region: 'us-east-1', assumeRoleArn: role(1) }],
    ]);
  });
});
