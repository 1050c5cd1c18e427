import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect as connectSocket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { artifactRegistry } from '../../src/providers/artifact-registry.ts';
import {
  digest,
  estateOf,
  type GoogleProject,
  type ProjectOptions,
  startProject,
} from '../support/artifact-registry.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/** Who the exporter is to Google, by all the ways that clusters have; and the ways to Google itself. */

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const one of open.splice(0).reverse()) await one.close();
});

const app = { digest: digest('app'), tags: ['v1'] };

async function project(options: ProjectOptions = {}): Promise<GoogleProject> {
  const started = await startProject({ estate: estateOf({ 'a/app': [app] }), ...options });
  open.push(started);
  return started;
}

async function polled(registry: Readonly<Record<string, unknown>>): Promise<RunningLoop> {
  const running = await runLoop(artifactRegistry, { timeout: '10s', ...registry });
  open.push({ close: () => running.stop() });
  await running.poll();
  return running;
}

/** No credentials but those that the test gives. */
function nowhere(google: GoogleProject): void {
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', '');
  vi.stubEnv('CLOUDSDK_CONFIG', google.file('none', ''));
  vi.stubEnv('METADATA_SERVER_DETECTION', 'none');
}

describe.each(['grpc', 'rest'] as const)('over %s', (transport) => {
  test('GKE Workload Identity: tokens of the metadata server', async () => {
    const google = await project({ transport });
    nowhere(google);
    vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present');
    vi.stubEnv('GCE_METADATA_HOST', google.identity.url.replace('http://', ''));
    const running = await polled(google.reach);
    expect(await running.value('up'), running.log()).toBe(1);
    expect(google.identity.asked).toEqual(new Map([['metadata', 1]]));
  });

  test('workload identity federation: a token of another issuer is exchanged', async () => {
    const google = await project({ transport });
    nowhere(google);
    const tokenFile = google.file('token', google.identity.subjectToken);
    vi.stubEnv(
      'GOOGLE_APPLICATION_CREDENTIALS',
      google.file('federation.json', google.identity.federation(tokenFile)),
    );
    const running = await polled(google.reach);
    expect(await running.value('up'), running.log()).toBe(1);
    expect(google.identity.asked).toEqual(new Map([['sts', 1]]));
    // Counted like everything else.
    expect((await running.requests())['token 200']).toBe(1);
  });

  test('a key file from the environment', async () => {
    const google = await project({ transport });
    nowhere(google);
    vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', google.file('key.json', google.identity.key));
    const running = await polled(google.reach);
    expect(await running.value('up'), running.log()).toBe(1);
  });

  test('impersonation: the token of another service account', async () => {
    const google = await project({ transport });
    const reader = 'reader@other.iam.gserviceaccount.com';
    const registry = {
      ...google.registry,
      impersonatedServiceAccount: reader,
      iamCredentialsEndpoint: google.identity.url,
    };
    const refused = await polled(registry);
    expect(await refused.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
    expect(refused.log()).toContain('grant roles/iam.serviceAccountTokenCreator');
    google.identity.mayImpersonate.add(reader);
    const running = await polled(registry);
    await running.poll();
    expect(await running.value('up'), running.log()).toBe(1);
    expect((await running.requests())['impersonation 200']).toBe(1);
    const [, token = ''] = String(google.simulator.lastHeaders['authorization']).split(' ');
    expect(google.identity.principalOf(token)).toBe(reader);
  });

  test('without any credentials the poll says what to set', async () => {
    const google = await project({ transport });
    nowhere(google);
    const running = await polled(google.reach);
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
    expect(running.log()).toContain('workload identity');
  });

  test('a plain address, as of an emulator, is sent no credentials', async () => {
    const google = await project({ transport, plain: transport });
    const running = await polled(google.registry);
    expect(await running.value('up'), running.log()).toBe(1);
    expect(await running.lines('repository_tags')).toEqual(['repository_tags{repository="a/app"} 1']);
    expect(google.simulator.lastHeaders['authorization']).toBeUndefined();
    expect(google.identity.asked.size).toBe(0);
  });

  test('a file that is no JSON is not quoted', async () => {
    const google = await project({ transport });
    const credentialsFile = google.file('broken.json', 's3cr3t-key-material {');
    const running = await polled({ ...google.reach, credentialsFile });
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="auth"} 1');
    expect(running.log()).not.toContain('s3cr3t');
  });

  test('a key file that is replaced is read again once its tokens are refused', async () => {
    const google = await project({ transport });
    const credentialsFile = google.file('key.json', google.identity.key);
    const running = await polled({ ...google.reach, credentialsFile });
    const tokenFile = google.file('token', google.identity.subjectToken);
    google.file('key.json', google.identity.federation(tokenFile));
    google.identity.expire(0);
    await running.poll();
    expect(await running.value('up'), running.log()).toBe(1);
    expect(google.identity.asked.get('sts')).toBe(1);
  });

  test('a token server that does not answer ends by the deadline, and is asked again', async () => {
    const google = await project({ transport });
    google.identity.silent = true;
    const running = await polled({
      ...google.registry,
      timeout: '4s',
      http: { timeout: '300ms', retries: 0 },
    });
    expect(await running.lines('poll_failures_total')).toContain('poll_failures_total{reason="timeout"} 1');
    google.identity.silent = false;
    await running.poll();
    expect(await running.value('up'), running.log()).toBe(1);
  });

  test('the proxy of the environment is used', async () => {
    const google = await project({ transport });
    const tunnels: string[] = [];
    const proxy: Server = createServer();
    proxy.on('connect', (request, socket) => {
      tunnels.push(request.url ?? '');
      const { port } = new URL(`http://${request.url}`);
      const onward = connectSocket(Number(port), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        onward.pipe(socket).pipe(onward);
      });
      onward.on('error', () => socket.destroy());
      socket.on('error', () => onward.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    open.push({
      close: () =>
        new Promise((resolve) => {
          proxy.closeAllConnections();
          proxy.close(() => resolve());
        }),
    });
    vi.stubEnv('HTTPS_PROXY', `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    vi.stubEnv('https_proxy', undefined);
    const running = await polled(google.registry);
    expect(await running.value('up'), running.log()).toBe(1);
    expect(tunnels).toContain(google.simulator.url.replace('https://', ''));
  });
});
