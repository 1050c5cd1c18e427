import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { createSession } from '../src/loop/context.ts';
import { oci } from '../src/providers/oci.ts';
import { basicHeader, CredentialsRefused, credentialsOf, parseChallenges } from '../src/registry-auth.ts';
import {
  basic,
  basicOf,
  bearerRegistry,
  challenge,
  failure,
  registryClient,
  robot,
  type Site,
  site,
} from './support/registry-site.ts';
import { runLoop } from './support/running-loop.ts';

/** What was sent where. */
const sent = ({ seen }: Site) =>
  seen.map(({ path, authorization = 'nothing' }) => `${path.replace(/\?.*/, '')} ${authorization}`);

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
    [
      'values without quotes',
      ['Bearer realm=https://auth.example.com:5001/token?a=b,service=reg, Basic realm=b'],
      [
        ['bearer', { realm: 'https://auth.example.com:5001/token?a=b', service: 'reg' }],
        ['basic', { realm: 'b' }],
      ],
    ],
    [
      'capitals, spaces around =, and a parameter that comes twice: the first counts',
      ['BEARER Realm = "r", REALM="other"'],
      [['bearer', { realm: 'r' }]],
    ],
    ['an empty value', ['Basic realm=""'], [['basic', { realm: '' }]]],
    ['a parameter before any scheme ends the line', ['realm="r", Basic realm="b"'], []],
    [
      'a quote without an end ends the line',
      ['Basic realm="b", Bearer realm="r'],
      [
        ['basic', { realm: 'b' }],
        ['bearer', {}],
      ],
    ],
    ['none', [''], []],
  ])('%s', (_title, headers, expected) => {
    const found = parseChallenges(headers);
    expect(found.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])).toEqual(expected);
  });
});

describe('the setting auth', () => {
  const endpoint = new URL('https://r.example.com');
  const secret = (value: string) => ({ read: async () => value }) as never;

  test('gives a token, or a user name with its password, or nothing', async () => {
    expect(await credentialsOf({ token: secret('abc') }, endpoint)()).toEqual({ token: 'abc' });
    expect(await credentialsOf({ username: 'robot', password: secret('p') }, endpoint)()).toEqual({
      username: 'robot',
      password: 'p',
    });
    expect(await credentialsOf(undefined, endpoint)()).toBeUndefined();
    expect(await credentialsOf({}, endpoint)()).toBeUndefined();
  });

  test.each(['', ' abc', 'abc\n', 'a b', 'schlüssel'])(
    'gives no token that cannot be sent: %j',
    async (token) => {
      const error = await failure(credentialsOf({ token: secret(token) }, endpoint)());
      expect([error.reason, error.message]).toEqual([
        'auth',
        'the token of auth holds spaces, line breaks or other characters that no token has',
      ]);
    },
  );
});

test('a user name and a password that are not ASCII are sent as UTF-8', () => {
  const header = basicHeader({ username: 'jürgen', password: 'pässword:1' });
  expect(Buffer.from(header.replace(/^Basic /, ''), 'base64').toString('utf8')).toBe('jürgen:pässword:1');
});

test('schemes that are not known are named', async () => {
  const found = await site((_request, response) =>
    challenge(response, 'Negotiate, Digest realm="x", nonce="1"'),
  );
  const { get } = registryClient(found.url, { credentials: robot });
  expect((await failure(get('/v2/a', 'repository:a:pull'))).message).toContain(
    'it wants credentials shown by negotiate, digest, which is not known here',
  );
});

test.each(['Bearer', 'Bearer realm=""', 'Bearer service="registry"'])(
  '%s names no token server: no password is sent anywhere else, and the error says so',
  async (header) => {
    const found = await site((_request, response) => challenge(response, header));
    const { get } = registryClient(found.url, { credentials: robot });
    const { message } = await failure(get('/v2/a', 'repository:a:pull'));
    expect(message).toContain('it wants credentials shown by bearer, which is not known here');
  },
);

describe('Basic', () => {
  const registry = () =>
    site((request, response) =>
      request.headers.authorization === basic ? response.end('ok') : challenge(response, 'Basic realm="x"'),
    );

  test('is asked for at /v2/ once, and sent with every request from the first on', async () => {
    const found = await registry();
    const session = createSession();
    await registryClient(found.url, { credentials: robot, session }).get('/v2/a', 'repository:a:pull');
    const { get } = registryClient(found.url, { credentials: robot, session });
    await get('/v2/a', 'repository:a:pull');
    await get('/v2/b', 'repository:b:pull');
    expect(sent(found)).toEqual(['/v2/ nothing', `/v2/a ${basic}`, `/v2/a ${basic}`, `/v2/b ${basic}`]);
  });

  test('that is refused is an error that says what to do; it is shown at /v2/ once more and no further', async () => {
    const found = await registry();
    const wrong = { username: 'robot', password: 'wrong' };
    const { get } = registryClient(found.url, { credentials: wrong });
    for (const name of ['a', 'b', 'c']) {
      const error = await failure(get(`/v2/${name}`));
      expect(error).toBeInstanceOf(CredentialsRefused);
      expect([error.reason, error.message]).toEqual([
        'auth',
        `${found.url}/v2/ answered 401: check that the credentials are right and have not expired`,
      ]);
    }
    expect(found.paths()).toEqual(['/v2/', '/v2/a', '/v2/', '/v2/b', '/v2/c']);
  });

  test('that is good but not for this is a lack of permission', async () => {
    const { url } = await site((request, response) =>
      request.url === '/v2/' && request.headers.authorization === basic
        ? response.end()
        : challenge(response, 'Basic realm="x"'),
    );
    const error = await failure(
      registryClient(url, { credentials: robot }).get('/v2/a', 'repository:a:pull'),
    );
    expect([error.reason, error.message]).toEqual([
      'forbidden',
      `${url}/v2/a answered 401: the credentials lack a permission for it`,
    ]);
  });

  test('without credentials says that they are wanted', async () => {
    const { url } = await registry();
    const error = await failure(registryClient(url).get('/v2/a'));
    expect([error.reason, error.message]).toEqual([
      'auth',
      `${url}/v2/a answered 401: it wants credentials: give them under auth`,
    ]);
  });

  test('is not sent to another origin', async () => {
    const found = await registry();
    const other = await site((_request, response) => challenge(response, 'Basic realm="x"'));
    const { request } = registryClient(found.url, { credentials: robot });
    await failure(request({ url: `${other.url}/v2/a`, operation: 'x', scope: 'repository:a:pull' }));
    expect(sent(other)).toEqual(['/v2/a nothing']);
  });
});

describe('Bearer', () => {
  test('one token per scope, asked for ahead and with the credentials, kept for the next request', async () => {
    const found = await bearerRegistry();
    const { get } = registryClient(found.url, { credentials: robot });
    await get('/v2/a/tags/list', 'repository:a:pull');
    await get('/v2/a/manifests/v1', 'repository:a:pull');
    await get('/v2/b/tags/list', 'repository:b:pull');
    expect(sent(found)).toEqual([
      '/v2/ nothing',
      `/token ${basic}`,
      '/v2/a/tags/list Bearer t1',
      '/v2/a/manifests/v1 Bearer t1',
      `/token ${basic}`,
      '/v2/b/tags/list Bearer t2',
    ]);
    expect(found.asked()[0]?.path).toBe('/token?service=s&scope=repository%3Aa%3Apull&account=robot');
  });

  test.each([
    ['of one scope', 'repository:a:pull'],
    ['without a scope', undefined],
  ])('eight requests at once %s cost one token', async (_title, scope) => {
    const found = await bearerRegistry();
    const { get } = registryClient(found.url, { credentials: robot });
    await Promise.all(Array.from({ length: 8 }, () => get('/v2/a', scope)));
    const counts = Object.groupBy(found.paths(), (path) => path);
    const cost = Object.fromEntries(Object.entries(counts).map(([path, all]) => [path, all?.length]));
    expect(cost).toEqual({ '/v2/': 1, '/token': 1, '/v2/a': 8 });
  });

  test('tokens are good for the next poll too, but not for other credentials', async () => {
    const found = await bearerRegistry();
    const session = createSession();
    const poll = (credentials: typeof robot | undefined) =>
      registryClient(found.url, { credentials, session }).get('/v2/a', 'repository:a:pull');
    const other = { username: 'robot', password: 'a new one' };
    for (const credentials of [robot, robot, other, undefined, robot]) await poll(credentials);
    expect(sent(found)).toEqual([
      '/v2/ nothing',
      `/token ${basic}`,
      '/v2/a Bearer t1',
      '/v2/a Bearer t1',
      `/token ${basicOf(other)}`,
      '/v2/a Bearer t2',
      '/token nothing',
      '/v2/a Bearer t3',
      '/v2/a Bearer t1',
    ]);
  });

  test('a token that failed fails whoever waits for it, and is not kept', async () => {
    let broken = true;
    const found = await bearerRegistry({
      token: (n) => (broken ? { message: 'the database is down' } : { token: `t${n}` }),
    });
    const session = createSession();
    const get = () => registryClient(found.url, { session }).get('/v2/a', 'repository:a:pull');
    await get().catch(() => {});
    const { get: same } = registryClient(found.url, { session });
    const before = found.asked().length;
    const all = await Promise.all([1, 2, 3, 4].map(() => failure(same('/v2/a', 'repository:a:pull'))));
    expect(all.map(({ reason }) => reason)).toEqual(['auth', 'auth', 'auth', 'auth']);
    expect(found.asked().length - before).toBe(1);
    broken = false;
    expect((await get()).status).toBe(200);
  });

  test('a token that expired is renewed, by one request for all', async () => {
    const found = await bearerRegistry();
    const { get } = registryClient(found.url, { credentials: robot });
    await get('/v2/a', 'repository:a:pull');
    found.expire();
    await Promise.all([1, 2, 3, 4].map(() => get('/v2/a', 'repository:a:pull')));
    expect(found.asked().length).toBe(2);
  });

  test.each([robot, undefined])(
    'so is one after which the registry names another token server',
    async (credentials) => {
      let given = 0;
      let expired = '';
      const found = await site((request, response) => {
        const { authorization } = request.headers;
        if (request.url?.startsWith('/proxy_auth')) {
          given += 1;
          return void response.end(JSON.stringify({ token: `t${given}`, expires_in: 300 }));
        }
        if (authorization === undefined) return challenge(response, 'Bearer realm="/proxy_auth"');
        if (authorization !== expired) return void response.end();
        return challenge(
          response,
          'Bearer realm="https://authn.example.com/token",service="registry",error="invalid_token"',
        );
      });
      const { get } = registryClient(found.url, { credentials });
      await get('/v2/a', 'repository:a:pull');
      expired = 'Bearer t1';
      expect((await get('/v2/a', 'repository:a:pull')).status).toBe(200);
      expect((await get('/v2/a', 'repository:a:pull')).status).toBe(200);
      expect(given).toBe(2);
    },
  );

  test('so is one that is refused without a challenge', async () => {
    let good = 'Bearer t1';
    let given = 0;
    const found = await site((request, response) => {
      if (request.url === '/v2/') return challenge(response, `Bearer realm="/token"`);
      if (request.url?.startsWith('/token')) {
        given += 1;
        return void response.end(JSON.stringify({ token: `t${given}` }));
      }
      return request.headers.authorization === good ? void response.end() : challenge(response);
    });
    const { get } = registryClient(found.url);
    await get('/v2/a', 'repository:a:pull');
    good = 'Bearer t2';
    await get('/v2/a', 'repository:a:pull');
    expect(given).toBe(2);
  });

  test.each([
    ['as expired is renewed three times', ',error="invalid_token"', ['t1', 't2', 't3', 't4'], 'auth'],
    ['without a reason is renewed once', '', ['t1', 't2'], 'auth'],
    ['for its scope is renewed once', ',error="insufficient_scope"', ['t1', 't2'], 'forbidden'],
  ])('a token that is always refused %s', async (_title, error, tokens, reason) => {
    let given = 0;
    const found = await site((request, response) => {
      if (!request.url?.startsWith('/token')) return challenge(response, `Bearer realm="/token"${error}`);
      given += 1;
      return void response.end(JSON.stringify({ token: `t${given}` }));
    });
    expect(await failure(registryClient(found.url).get('/v2/a', 'repository:a:pull'))).toMatchObject({
      reason,
      status: 401,
    });
    expect(sent(found).filter((line) => line.startsWith('/v2/a '))).toEqual(
      tokens.map((token) => `/v2/a Bearer ${token}`),
    );
  });

  test('a token of the configuration that is refused is not exchanged for another', async () => {
    const found = await site((request, response) =>
      request.url === '/v2/a' ? challenge(response, 'Bearer realm="/token"') : response.end(),
    );
    const { get } = registryClient(found.url, { credentials: { token: 'abc' } });
    expect(await failure(get('/v2/a', 'repository:a:pull'))).toMatchObject({ status: 401 });
    expect(sent(found).filter((line) => line.startsWith('/v2/a '))).toEqual(['/v2/a Bearer abc']);
    expect(found.paths()).not.toContain('/token');
  });

  test('a token is renewed before it expires', async () => {
    const found = await bearerRegistry({ token: (n) => ({ token: `t${n}`, expires_in: 0.2 }) });
    const { get } = registryClient(found.url, { credentials: robot });
    await get('/v2/a', 'repository:a:pull');
    await new Promise((resolve) => setTimeout(resolve, 150));
    await get('/v2/a', 'repository:a:pull');
    expect(found.asked().length).toBe(2);
  });

  test.each([400, 403])(
    'one that is answered with %d later is asked for anew, and not at once',
    async (status) => {
      let good = 'Bearer t1';
      let given = 0;
      const found = await site((request, response) => {
        if (request.url === '/v2/') return challenge(response, 'Bearer realm="/token"');
        if (!request.url?.startsWith('/token'))
          return void response.writeHead(request.headers.authorization === good ? 200 : status).end();
        given += 1;
        return void response.end(JSON.stringify({ token: `t${given}`, expires_in: 3600 }));
      });
      const { get } = registryClient(found.url);
      await get('/v2/a', 'repository:a:pull');
      good = 'Bearer t2';
      await expect(get('/v2/a', 'repository:a:pull')).rejects.toMatchObject({ status });
      await expect(get('/v2/a', 'repository:a:pull')).rejects.toMatchObject({ status });
      expect(given).toBe(1);
      vi.useFakeTimers({ toFake: ['performance'] });
      try {
        vi.advanceTimersByTime(30 * 60_000);
        await expect(get('/v2/a', 'repository:a:pull')).rejects.toMatchObject({ status });
        expect((await get('/v2/a', 'repository:a:pull')).status).toBe(200);
      } finally {
        vi.useRealTimers();
      }
      expect(given).toBe(2);
    },
  );

  test('public registries give tokens without credentials', async () => {
    const found = await bearerRegistry();
    expect((await registryClient(found.url).get('/v2/a', 'repository:a:pull')).status).toBe(200);
    expect(found.asked()[0]?.authorization).toBeUndefined();
  });

  test('an identity token is exchanged by POST', async () => {
    const found = await bearerRegistry();
    const credentials = { identityToken: 'id-token' };
    await registryClient(found.url, { credentials }).get('/v2/a', 'repository:a:pull');
    const [asked] = found.asked();
    expect([asked?.method, asked?.path, Object.fromEntries(new URLSearchParams(asked?.body))]).toEqual([
      'POST',
      '/token',
      {
        grant_type: 'refresh_token',
        service: 's',
        client_id: 'container-registry-exporter',
        refresh_token: 'id-token',
        scope: 'repository:a:pull',
      },
    ]);
  });

  test('a token of the configuration is sent as it is', async () => {
    const found = await site((_request, response) => response.end());
    await registryClient(found.url, { credentials: { token: 'abc' } }).get('/v2/a');
    expect(found.seen.at(-1)).toMatchObject({ path: '/v2/a', authorization: 'Bearer abc' });
  });

  test('a scope that the credentials do not have is forbidden, not unauthorized', async () => {
    const { url } = await site((request, response) => {
      if (request.url?.startsWith('/token')) return void response.end('{"token":"t"}');
      const error = request.headers.authorization ? ',error="insufficient_scope"' : '';
      challenge(response, `Bearer realm="${url}/token"${error}`);
    });
    const error = await failure(registryClient(url, { credentials: robot }).get('/v2/a'));
    expect([error.reason, error.status, error.message]).toEqual([
      'forbidden',
      401,
      `${url}/v2/a answered 401: the credentials lack a permission for it`,
    ]);
  });

  test('the scope that a challenge asks for is remembered where it is another than ours', async () => {
    const found = await bearerRegistry({ scope: '*' });
    const session = createSession();
    for (const name of ['a', 'b']) {
      found.expire();
      const { get } = registryClient(found.url, { session });
      await get(`/v2/${name}`, `repository:${name}:pull`);
      await get(`/v2/${name}`, `repository:${name}:pull`);
    }
    const scopes = found.asked().map(({ path }) => new URL(path, found.url).searchParams.get('scope'));
    expect(scopes.slice(0, 1)).toEqual(['repository:a:pull']);
    expect(sent(found).filter((one) => one.includes('nothing'))).toEqual([
      '/v2/ nothing',
      ...scopes.map(() => '/token nothing'),
    ]);
  });
});

/**
 * `getChallenge` of Harbor asks who brings an Authorization for Basic, and anybody at the catalog, which takes no token.
 * https://github.com/goharbor/harbor/blob/main/src/server/middleware/v2auth/auth.go
 */
test("Harbor's catalog takes Basic where all else takes tokens; that is learned once", async () => {
  const found = await site((request, response) => {
    const { authorization } = request.headers;
    const path = request.url ?? '';
    if (path.startsWith('/service/token'))
      return authorization === basic
        ? void response.end('{"token":"good","access_token":"","expires_in":1800}')
        : challenge(response);
    if (path === '/v2/_catalog' ? authorization === basic : authorization === 'Bearer good')
      return void response.end('ok');
    return challenge(
      response,
      authorization || path === '/v2/_catalog'
        ? 'Basic realm="harbor"'
        : `Bearer realm="${found.url}/service/token",service="harbor-registry"`,
    );
  });
  const session = createSession();
  const poll = async () => {
    const { get } = registryClient(found.url, { credentials: robot, session });
    await get('/v2/_catalog', 'registry:catalog:*');
    await get('/v2/a/tags/list', 'repository:a:pull');
  };
  await poll();
  found.seen.splice(0);
  await poll();
  expect(sent(found)).toEqual([`/v2/_catalog ${basic}`, '/v2/a/tags/list Bearer good']);
});

describe('configured credentials are used, whatever is shown to anybody', () => {
  /** GitHub's Docker registry and gcr.io: https://github.com/containers/image/issues/211 */
  test.each([
    ['Basic', 'Basic realm="x"', basic],
    ['Bearer', 'Bearer realm="/token"', 'Bearer good'],
  ])('a registry that has its challenge at /v2/ only: %s', async (_title, text, expected) => {
    const { url } = await site((request, response) => {
      if (request.url?.startsWith('/token')) return void response.end('{"token":"good"}');
      if (request.headers.authorization === expected) return void response.end('private');
      return request.url === '/v2/' ? challenge(response, text) : void response.writeHead(404).end();
    });
    const { get } = registryClient(url, { credentials: robot });
    expect((await get('/v2/a', 'repository:a:pull')).body.toString()).toBe('private');
  });

  /** zot with `anonymousPolicy`: no challenge, a part for anybody, 401 for wrong credentials. */
  const open = () =>
    site((request, response) => {
      const { authorization } = request.headers;
      if (authorization !== undefined && authorization !== basic)
        return challenge(response, 'Basic realm="zot"');
      const repositories = authorization === basic ? ['private/app', 'public/app'] : ['public/app'];
      response.end(
        request.url?.startsWith('/v2/_catalog') ? JSON.stringify({ repositories }) : '{"tags":[]}',
      );
    });
  const pollOpen = async (auth: object | undefined, more: object = {}) => {
    const found = await open();
    const running = await runLoop(oci, {
      endpoint: found.url,
      http: { retries: 0 },
      ...(auth && { auth }),
      ...more,
    });
    await running.poll();
    await running.stop();
    return {
      up: await running.value('up'),
      repositories: await running.value('repositories'),
      running,
      found,
    };
  };

  test('a registry without a challenge is sent them all the same', async () => {
    expect(await pollOpen(robot)).toMatchObject({ up: 1, repositories: 2 });
    expect(await pollOpen(undefined)).toMatchObject({ up: 1, repositories: 1 });
  });

  test.each([
    ['the catalog', {}],
    ['named repositories', { names: ['public/app', 'private/app'] }],
  ])('wrong ones fail the poll, although anybody would see a part of %s', async (_title, more) => {
    const { up, repositories, running, found } = await pollOpen(
      { username: 'robot', password: 'wrong' },
      more,
    );
    expect([up, repositories]).toEqual([0, undefined]);
    expect(running.loop.status().errors).toMatchObject([
      {
        reason: 'auth',
        message: `${found.url}/v2/ answered 401: check that the credentials are right and have not expired`,
      },
    ]);
    expect(found.paths()).toEqual(['/v2/', '/v2/']);
  });

  test('wrong ones fail the poll where the token server refuses them', async () => {
    const found = await bearerRegistry({ strict: true });
    const auth = { username: 'robot', password: 'wrong' };
    const running = await runLoop(oci, {
      endpoint: found.url,
      auth,
      names: ['a', 'b'],
      http: { retries: 0 },
    });
    await running.poll();
    await running.stop();
    expect(running.loop.status().errors).toMatchObject([
      {
        reason: 'auth',
        message: `${found.url}/token answered 401: check that the credentials are right and have not expired`,
      },
    ]);
    // Once for the first repository and once for none.
    expect(found.paths()).toEqual(['/v2/', '/token', '/token']);
  });

  test('ones that are no longer good fail the poll in which that is seen', async () => {
    let good = true;
    const { url } = await site((request, response) => {
      if (!good || request.headers.authorization !== basic) return challenge(response, 'Basic realm="x"');
      response.end('{"tags":[]}');
    });
    const running = await runLoop(oci, {
      endpoint: url,
      auth: robot,
      names: ['a', 'b'],
      http: { retries: 0 },
    });
    await running.poll();
    expect(await running.value('up')).toBe(1);
    good = false;
    await running.poll();
    await running.stop();
    expect(await running.value('up')).toBe(0);
    expect(running.loop.status().errors[0]).toMatchObject({ reason: 'auth' });
  });

  /** So do Azure's scope maps. */
  test('a token server that refuses one scope only fails that repository only', async () => {
    const found = await site((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
      if (pathname === '/token')
        return searchParams.get('scope')?.includes(':secret:')
          ? challenge(response)
          : void response.end(JSON.stringify({ token: 'good' }));
      if (request.headers.authorization !== 'Bearer good')
        return challenge(response, 'Bearer realm="/token"');
      return void response.end('{"tags":[]}');
    });
    const settings = { endpoint: found.url, auth: robot, http: { retries: 0 } };
    const running = await runLoop(oci, { ...settings, names: ['secret', 'a'] });
    await running.poll();
    await running.stop();
    expect(await running.value('up')).toBe(1);
    expect((await running.lines('repository_images')).join()).toContain('repository="a"');
    expect(running.log()).toContain('for repository:secret:pull: the credentials lack a permission for it');
  });

  test('a token of the configuration that /v2/ refuses is refused', async () => {
    const { url } = await site((request, response) =>
      request.headers.authorization === 'Bearer old'
        ? challenge(response, 'Bearer realm="/token"')
        : response.end(),
    );
    const { prove } = registryClient(url, { credentials: { token: 'old' } });
    await expect(prove('registry:catalog:*')).rejects.toThrow(CredentialsRefused);
  });

  test.each([
    ['names another scope', 'Bearer realm="/token",scope="repository:user/image:pull"'],
    ['says that the scope is not enough', 'Bearer realm="/token",error="insufficient_scope"'],
  ])('but not where /v2/ %s: it may be for one repository', async (_title, text) => {
    const { url } = await site((request, response) =>
      request.url === '/v2/' ? challenge(response, text) : response.end(),
    );
    const { prove, get } = registryClient(url, { credentials: { token: 'narrow' } });
    await prove('repository:a:pull');
    expect((await get('/v2/a', 'repository:a:pull')).status).toBe(200);
  });

  test('an identity token that nobody would take is no reading without credentials', async () => {
    const { url } = await open();
    const { prove } = registryClient(url, { credentials: { identityToken: 'id' } });
    await expect(prove('registry:catalog:*')).rejects.toThrow('names no token server');
  });

  test('a registry that answers elsewhere is not read without them', async () => {
    const there = await open();
    const here = await site((request, response) =>
      response.writeHead(307, { location: `${there.url}${request.url}` }).end(),
    );
    const error = await failure(registryClient(here.url, { credentials: robot }).prove('registry:catalog:*'));
    expect([error.reason, error.message]).toEqual([
      'auth',
      `${here.url} redirects to ${there.url}, which is not sent the credentials: if that is the registry, make it the endpoint`,
    ]);
    expect((await registryClient(here.url).get('/v2/_catalog')).body.toString()).toContain('public/app');
  });
});

describe('a registry whose /v2/ is odd is read as if it had not been asked', () => {
  const oddities: Record<string, (response: import('node:http').ServerResponse) => void> = {
    '404': (response) => void response.writeHead(404).end('404 page not found'),
    '403': (response) => void response.writeHead(403).end('<html>no</html>'),
    '401 without a challenge': (response) => challenge(response),
    '401 with a challenge that nobody knows': (response) => challenge(response, 'Negotiate'),
    '200 HTML': (response) => void response.end('<html>log in</html>'),
    '204': (response) => void response.writeHead(204).end(),
    '500': (response) => void response.writeHead(500).end(),
    '503': (response) => void response.writeHead(503, { 'retry-after': '30' }).end(),
    'a redirect to a web site': (response) => void response.writeHead(302, { location: '/login' }).end(),
    'a redirect without end': (response) => void response.writeHead(302, { location: '/v2/' }).end(),
    'a redirect to nowhere': (response) => void response.writeHead(302, { location: 'gopher://x' }).end(),
    'more than any answer': (response) => void response.end('x'.repeat(200_000)),
  };
  const schemes: readonly [string, string | undefined, string | undefined][] = [
    ['nothing', undefined, undefined],
    ['Basic', 'Basic realm="x"', basic],
    ['Bearer', 'Bearer realm="/token"', 'Bearer good'],
  ];
  test.each(
    Object.keys(oddities).flatMap((title) =>
      schemes.map(([name, ...rest]) => [title, name, ...rest] as const),
    ),
  )('%s, and it wants %s', async (title, _name, text, expected) => {
    const found = await site((request, response) => {
      if (request.url === '/v2/') return oddities[title]?.(response);
      if (request.url?.startsWith('/token')) return void response.end('{"token":"good"}');
      if (request.url === '/login') return void response.end('<html>log in</html>');
      return text !== undefined && request.headers.authorization !== expected
        ? challenge(response, text)
        : void response.end('ok');
    });
    const { prove, get } = registryClient(found.url, { credentials: text ? robot : undefined });
    await prove('repository:a:pull');
    expect((await get('/v2/a', 'repository:a:pull')).body.toString()).toBe('ok');
    expect((await get('/v2/b', 'repository:b:pull')).body.toString()).toBe('ok');
    expect(found.paths().filter((path) => path === '/v2/').length).toBeLessThanOrEqual(
      title.includes('redirect without end') ? 6 : 2,
    );
  });

  test('503 is asked again at the next poll, and once in each', async () => {
    let status = 503;
    const found = await site((request, response) =>
      request.url === '/v2/' && status !== 200
        ? response.writeHead(status).end()
        : request.headers.authorization === basic
          ? response.end('ok')
          : challenge(response, 'Basic realm="x"'),
    );
    const session = createSession();
    const poll = async () => {
      const { get } = registryClient(found.url, { session });
      await get('/v2/a').catch(() => {});
      await get('/v2/b').catch(() => {});
    };
    await poll();
    await poll();
    status = 200;
    await poll();
    await poll();
    expect(found.paths().filter((path) => path === '/v2/').length).toBe(3);
  });
});

test.each([
  ['GitLab, Docker Hub: the token lacks the scope', ',error="insufficient_scope"'],
  ['others say nothing of why', ''],
])('a catalog that is refused to good credentials: the hint is `names`. %s', async (_title, error) => {
  const { url } = await site((request, response) => {
    if (request.url?.startsWith('/token')) return void response.end('{"token":"good"}');
    if (request.url === '/v2/' && request.headers.authorization) return void response.end();
    challenge(response, `Bearer realm="${url}/token"${request.headers.authorization ? error : ''}`);
  });
  const running = await runLoop(oci, { endpoint: url, auth: robot, http: { retries: 0 } });
  await running.poll();
  await running.stop();
  expect(running.loop.status().errors).toMatchObject([
    { reason: 'forbidden', message: expect.stringContaining('name the repositories under `names`') },
  ]);
});

test('no error shows what was sent', async () => {
  const found = await bearerRegistry({ strict: true });
  const secret = { username: 'robot', password: 'hunter2-hunter2' };
  const error = await failure(
    registryClient(found.url, { credentials: secret }).get('/v2/a', 'repository:a:pull'),
  );
  for (const part of ['hunter2', basicOf(secret).slice(6)])
    expect(inspect(error, { depth: 9 })).not.toContain(part);
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
