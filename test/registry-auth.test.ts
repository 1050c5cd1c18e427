import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { CollectError } from '../src/errors.ts';
import { createHttpClient } from '../src/http.ts';
import { oci } from '../src/providers/oci.ts';
import {
  type Credentials,
  createRegistryClient,
  dockerConfigCredentials,
  parseChallenges,
} from '../src/registry-auth.ts';
import { tempDir } from './support/programs.ts';
import { runLoop } from './support/running-loop.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Seen {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** A server that answers as told, and what it was asked. */
async function site(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
  host = '127.0.0.1',
): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (data) => (body += String(data)));
    request.on('end', () => {
      seen.push({ path: request.url ?? '', authorization: request.headers.authorization, body });
      answer(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://${host}:${(server.address() as AddressInfo).port}`, seen };
}

function client(endpoint: string, credentials?: Credentials, trustedRealms?: readonly string[]) {
  const http = createHttpClient({
    maxConcurrent: 4,
    timeoutMs: 2000,
    maxBytes: 100_000,
    retries: 0,
    signal: new AbortController().signal,
    userAgent: 'test/1',
    observe: () => {},
  });
  closing.push(() => void http.close());
  const registry = createRegistryClient({
    http,
    endpoint: new URL(endpoint),
    credentials: async () => credentials,
    ...(trustedRealms && { trustedRealms }),
  });
  return (path: string, scope?: string) =>
    registry.request({ url: `${endpoint}${path}`, operation: 'x', ...(scope && { scope }) });
}

const robot = { username: 'robot', password: 'pass:word' };
const basic = `Basic ${Buffer.from('robot:pass:word').toString('base64')}`;

/** A registry with a token server at the same address; tokens are numbered. */
async function bearerRegistry(token: (number: number) => object = (n) => ({ token: `t${n}` })) {
  let given = 0;
  const valid = new Set<string>();
  const registry = await site((request, response) => {
    if (request.url?.startsWith('/token')) {
      given += 1;
      valid.add(`Bearer t${given}`);
      response.end(JSON.stringify(token(given)));
      return;
    }
    if (valid.has(request.headers.authorization ?? '')) return void response.end('ok');
    const error = request.headers.authorization ? ',error="invalid_token"' : '';
    response
      .writeHead(401, {
        'www-authenticate': `Bearer realm="${registry.url}/token",service="s",scope="repository:a:pull"${error}`,
      })
      .end();
  });
  const asked = () => registry.seen.filter(({ path }) => path.startsWith('/token'));
  return { ...registry, asked, expire: () => valid.clear() };
}

describe('challenges', () => {
  test.each<[string, string[], unknown]>([
    [
      'one',
      ['Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push"'],
      [
        [
          'bearer',
          { realm: 'https://auth.example.com/token', service: 'registry', scope: 'repository:a/b:pull,push' },
        ],
      ],
    ],
    [
      'several in one header',
      ['Bearer realm="r", service=s, Basic realm="b"'],
      [
        ['bearer', { realm: 'r', service: 's' }],
        ['basic', { realm: 'b' }],
      ],
    ],
    [
      'several headers',
      ['Negotiate', 'Basic realm="b"'],
      [
        ['negotiate', {}],
        ['basic', { realm: 'b' }],
      ],
    ],
    ['escaped quotes', ['Basic realm="a \\"b\\", c"'], [['basic', { realm: 'a "b", c' }]]],
    ['none', [''], []],
  ])('%s', (_title, headers, expected) => {
    const found = parseChallenges(headers);
    expect(found.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])).toEqual(expected);
  });
});

describe('Basic', () => {
  test('is sent when it is asked for, and from then on', async () => {
    const { url, seen } = await site((request, response) => {
      if (request.headers.authorization === basic) return void response.end('ok');
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    const get = client(url, robot);
    await get('/v2/a');
    await get('/v2/b');
    expect(seen.map(({ authorization }) => authorization)).toEqual([undefined, basic, basic]);
  });

  test('that is refused is an error that says what to do, and is not tried again', async () => {
    const { url, seen } = await site((_request, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    const get = client(url, robot);
    await expect(get('/v2/a')).rejects.toThrow('check that the credentials are right and have not expired');
    expect(seen.length).toBe(2);
  });

  test('without credentials says that they are wanted', async () => {
    const { url } = await site((_request, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    await expect(client(url)('/v2/a')).rejects.toThrow('it wants credentials: give them under auth');
  });
});

describe('Bearer', () => {
  test('one token per scope, asked for with the credentials, kept for the next request', async () => {
    const { url, seen, asked } = await bearerRegistry();
    const get = client(url, robot);
    await get('/v2/a/tags/list', 'repository:a:pull');
    await get('/v2/a/manifests/v1', 'repository:a:pull');
    await get('/v2/b/tags/list', 'repository:b:pull');
    expect(asked().map(({ authorization }) => authorization)).toEqual([basic, basic]);
    expect(asked()[0]?.path).toBe('/token?service=s&scope=repository%3Aa%3Apull&account=robot');
    // The second scope's token is asked for ahead, without a 401.
    expect(seen.map(({ authorization }) => authorization)).toEqual([
      undefined,
      basic,
      'Bearer t1',
      'Bearer t1',
      basic,
      'Bearer t2',
    ]);
  });

  test('many requests at once ask for one token', async () => {
    const { url, asked } = await bearerRegistry();
    const get = client(url, robot);
    await get('/v2/a', 'repository:a:pull');
    await Promise.all([1, 2, 3, 4, 5].map(() => get('/v2/b', 'repository:b:pull')));
    expect(asked().length).toBe(2);
  });

  test('a token that expired is renewed', async () => {
    const { url, expire } = await bearerRegistry();
    const get = client(url, robot);
    await get('/v2/a', 'repository:a:pull');
    expire();
    expect((await get('/v2/a', 'repository:a:pull')).status).toBe(200);
  });

  test('a token is renewed before it expires', async () => {
    const { url, asked } = await bearerRegistry((n) => ({ token: `t${n}`, expires_in: 0.2 }));
    const get = client(url, robot);
    await get('/v2/a', 'repository:a:pull');
    await new Promise((resolve) => setTimeout(resolve, 150));
    await get('/v2/a', 'repository:a:pull');
    expect(asked().length).toBe(2);
  });

  test('access_token is a token too', async () => {
    const { url } = await bearerRegistry((n) => ({ access_token: `t${n}` }));
    expect((await client(url, robot)('/v2/a')).status).toBe(200);
  });

  test('an answer without a token is an error', async () => {
    const { url } = await bearerRegistry(() => ({ expires_in: 60 }));
    await expect(client(url, robot)('/v2/a')).rejects.toThrow('answered without a token');
  });

  test.each([
    ['cut', '{"token":"t0ps3cret'],
    ['no JSON', 'token=t0ps3cret'],
    ['of another shape', '{"token":["t0ps3cret"]}'],
  ])('an answer that is %s is an error that does not repeat the token', async (_title, body) => {
    const registry = await site((request, response) => {
      if (request.url?.startsWith('/token')) return void response.end(body);
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end();
    });
    const error = await client(registry.url, robot)('/v2/a').catch((thrown: Error) => thrown);
    expect((error as CollectError).reason).toBe('invalid_response');
    expect((error as Error).message).toContain(`${registry.url}/token answered something else than JSON`);
    expect(inspect(error)).not.toContain('t0ps3cret');
  });

  test('public registries give tokens without credentials', async () => {
    const { url, asked } = await bearerRegistry();
    expect((await client(url)('/v2/a', 'repository:a:pull')).status).toBe(200);
    expect(asked()[0]?.authorization).toBeUndefined();
  });

  test('an identity token is exchanged by POST', async () => {
    const { url, asked } = await bearerRegistry();
    await client(url, { identityToken: 'id-token' })('/v2/a', 'repository:a:pull');
    expect(asked()[0]).toMatchObject({
      path: '/token',
      body: expect.stringContaining('grant_type=refresh_token'),
    });
    expect(asked()[0]?.body).toContain('refresh_token=id-token');
  });

  test('a token of the configuration is sent as it is', async () => {
    const { url, seen } = await site((_request, response) => response.end());
    await client(url, { token: 'abc' })('/v2/a');
    expect(seen[0]?.authorization).toBe('Bearer abc');
  });

  test('a scope that the credentials do not have is forbidden, not unauthorized', async () => {
    const { url } = await site((request, response) => {
      if (request.url?.startsWith('/token')) return void response.end('{"token":"t"}');
      const error = request.headers.authorization ? ',error="insufficient_scope"' : '';
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${url}/token"${error}` }).end();
    });
    const error = await client(url, robot)('/v2/a').catch((thrown: unknown) => thrown);
    expect((error as CollectError).reason).toBe('forbidden');
  });
});

describe('credentials go to the registry and its own domain only', () => {
  const challenge = (realm: string) =>
    site((_request, response) =>
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end(),
    );

  test('a token server on another host is not given them; the error names it', async () => {
    const thief = await site((_request, response) => response.end('{"token":"t"}'), '127.0.0.2');
    const { url } = await challenge(`${thief.url}/token`);
    const error = await client(url, robot)('/v2/a').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CollectError);
    expect(String(error)).toContain(`add "${new URL(thief.url).host}" to auth.trustedRealms`);
    expect(thief.seen).toEqual([]);
  });

  test('unless it is trusted', async () => {
    const server = await site((_request, response) => response.end('{"token":"t"}'), '127.0.0.2');
    const { url } = await challenge(`${server.url}/token`);
    await client(url, robot, ['127.0.0.2'])('/v2/a').catch(() => {});
    expect(server.seen[0]?.authorization).toBe(basic);
  });

  test('without credentials any token server may be asked', async () => {
    const server = await site((_request, response) => response.end('{"token":"t"}'), '127.0.0.2');
    const { url } = await challenge(`${server.url}/token`);
    await client(url)('/v2/a').catch(() => {});
    expect(server.seen.length).toBe(1);
  });
});

describe("docker's config.json", () => {
  const write = (content: unknown): string => {
    const folder = tempDir();
    closing.push(() => folder.remove());
    const path = join(folder.path, 'config.json');
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  const base64 = (text: string) => Buffer.from(text).toString('base64');

  test.each<[string, object, string, Credentials]>([
    ['user and password', { 'r.example.com': { auth: base64('robot:pass:word') } }, 'r.example.com', robot],
    [
      'under an address',
      { 'https://r.example.com/v2/': { auth: base64('robot:pass:word') } },
      'r.example.com',
      robot,
    ],
    ['in the clear', { 'r.example.com:5000': robot }, 'r.example.com:5000', robot],
    [
      'an identity token',
      { 'r.example.com': { auth: base64('x:'), identitytoken: 'id' } },
      'r.example.com',
      { identityToken: 'id' },
    ],
    [
      "Docker Hub's old address",
      { 'https://index.docker.io/v1/': { auth: base64('robot:pass:word') } },
      'registry-1.docker.io',
      robot,
    ],
  ])('%s', async (_title, auths, host, expected) => {
    expect(await dockerConfigCredentials(write({ auths }), host)).toEqual(expected);
  });

  test('without the host, the error names file and host', async () => {
    const path = write({ auths: { 'other.example.com': { auth: base64('a:b') } } });
    await expect(dockerConfigCredentials(path, 'r.example.com')).rejects.toThrow(
      `the docker configuration ${path} has no credentials for r.example.com under auths`,
    );
  });

  test.each([
    ['that is no JSON', base64('robot:hunter2')],
    ['that is cut', `{"auths":{"r.example.com":{"auth":"${base64('robot:hunter2')}`],
    ['of another shape', '[]'],
  ])('a file %s is an error that names it and repeats nothing of it', async (_title, content) => {
    const path = write(content);
    const error = await dockerConfigCredentials(path, 'r.example.com').catch((thrown: Error) => thrown);
    expect((error as Error).message).toContain(path);
    expect(inspect(error)).not.toContain(base64('robot:hunter2'));
  });

  test('a file that is not there is told as that', async () => {
    await expect(dockerConfigCredentials('/nowhere/config.json', 'r.example.com')).rejects.toThrow('ENOENT');
  });
});

test('a password file that is not there fails the poll for want of credentials, and is named', async () => {
  const auth = { username: 'robot', passwordFile: '/nowhere/password' };
  const running = await runLoop(oci, { endpoint: 'http://127.0.0.1:1', auth });
  await running.poll();
  await running.stop();
  expect(running.loop.status().errors).toMatchObject([
    {
      reason: 'auth',
      message:
        'the secret file /nowhere/password cannot be read: check the path and its mount (setting auth.passwordFile)',
    },
  ]);
  expect(running.log()).toContain('ENOENT');
});
