import { describe, expect, test } from 'vitest';
import { CredentialsRefused } from '../../src/registry-auth.ts';
import { basic, basicOf, challenge, failure, registryClient, robot, site } from '../support/registry-site.ts';

/** A registry whose token server answers by scope; null stands for a token without one. */
const withTokenServer = (statusFor: (scope: string | null) => number) =>
  site((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    if (pathname === '/token') {
      const status = statusFor(searchParams.get('scope'));
      return void response.writeHead(status).end(status === 200 ? '{"token":"good"}' : '');
    }
    return request.headers.authorization === 'Bearer good'
      ? void response.end('ok')
      : challenge(response, 'Bearer realm="/token",service="s"');
  });

describe('a token server that gives no token for a scope, but one without', () => {
  test.each([401, 403])('lacks a permission where it answers %i to credentials', async (status) => {
    const { url } = await withTokenServer((scope) => (scope === null ? 200 : status));
    const error = await failure(
      registryClient(url, { credentials: robot }).get('/v2/a', 'repository:a:pull'),
    );
    expect(error).toMatchObject({
      reason: 'forbidden',
      status: 401,
      message: `the token server of ${url} answered ${status} for repository:a:pull: the credentials lack a permission for it`,
      cause: { status },
    });
  });

  test('and where nobody showed any, wants them', async () => {
    const { url } = await withTokenServer((scope) => (scope === null ? 200 : 401));
    expect(await failure(registryClient(url).get('/v2/a', 'repository:a:pull'))).toMatchObject({
      reason: 'auth',
      message: `${url}/token answered 401: it wants credentials: give them under auth`,
    });
  });

  /** So do servers that check the form of what they are asked: a name that is too long, a kind that they do not know. */
  test.each([400, 404, 405, 406, 410, 422, 501])(
    'does not know the scope where it answers %i',
    async (status) => {
      const { url } = await withTokenServer((scope) => (scope === null ? 200 : status));
      expect(await failure(registryClient(url).get('/v2/a', 'repository:a:pull'))).toMatchObject({
        reason: 'forbidden',
        status: 401,
        message: `the token server of ${url} answered ${status} for repository:a:pull: it gives no token for that scope`,
        cause: { status },
      });
    },
  );

  test('or refuses that one for the credentials alone: it is a token server all the same', async () => {
    const { url } = await withTokenServer((scope) => (scope === null ? 401 : 400));
    expect(await failure(registryClient(url).get('/v2/a', 'repository:a:pull'))).toMatchObject({
      reason: 'forbidden',
      message: expect.stringContaining('it gives no token for that scope'),
    });
  });
});

test.each([404, 405])('an address that answers %i to everything is no token server', async (status) => {
  const { url } = await withTokenServer(() => status);
  const error = await failure(registryClient(url, { credentials: robot }).get('/v2/a', 'repository:a:pull'));
  expect(error).toMatchObject({
    reason: 'auth',
    message: `GET ${url}/token answered ${status}, whatever it is asked for: the registry names this address as the realm of its tokens. Check that setting of the registry`,
    cause: { status },
  });
});

test.each([500, 418])(
  'a token server that answers %i is told as that, and is not asked for more',
  async (status) => {
    const found = await withTokenServer(() => status);
    const error = await failure(
      registryClient(found.url, { credentials: robot }).get('/v2/a', 'repository:a:pull'),
    );
    expect(error.message).toContain(`${found.url}/token answered ${status}`);
    expect(found.paths()).toEqual(['/v2/', '/token']);
  },
);

describe('a request that is refused', () => {
  test('by a server that the registry redirects to says nothing of the credentials, which it never saw', async () => {
    const store = await site((_request, response) => challenge(response, 'Basic realm="store"'));
    const { url } = await site((request, response) =>
      request.url === '/v2/'
        ? response.end()
        : response.writeHead(307, { location: `${store.url}/blob` }).end(),
    );
    const error = await failure(registryClient(url, { credentials: robot }).get('/v2/a'));
    expect([error.reason, error.status, error.message]).toEqual([
      'auth',
      401,
      `${store.url}/blob answered 401: the registry redirects there, and its credentials are not sent to other servers`,
    ]);
    expect(store.seen.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  test('where /v2/ is no word about credentials leaves open whether they are good', async () => {
    const { url } = await site((request, response) =>
      request.url === '/v2/' ? response.writeHead(404).end() : challenge(response, 'Basic realm="x"'),
    );
    const error = await failure(registryClient(url, { credentials: robot }).get('/v2/a'));
    expect(error).not.toBeInstanceOf(CredentialsRefused);
    expect([error.reason, error.status, error.message]).toEqual([
      'auth',
      401,
      `${url}/v2/a answered 401: check that the credentials are right and have not expired`,
    ]);
  });

  test('is answered as it is where the caller takes 401', async () => {
    const { url } = await site((_request, response) => challenge(response, 'Basic realm="x"'));
    const { request } = registryClient(url);
    expect((await request({ url: `${url}/v2/a`, operation: 'x', accept: [401] })).status).toBe(401);
  });
});

describe('credentials of one path', () => {
  const ofTeam = { username: 'team', password: 'old' };
  const settings = {
    credentials: robot,
    credentialsFor: (repository: string) => (repository.startsWith('team/') ? ofTeam : undefined),
  };

  test('that are refused say nothing of the rest of the registry', async () => {
    const found = await site((request, response) =>
      request.headers.authorization === basic ? response.end('ok') : challenge(response, 'Basic realm="x"'),
    );
    const { get } = registryClient(found.url, settings);
    const error = await failure(get('/v2/team/app', 'repository:team/app:pull'));
    expect(error).not.toBeInstanceOf(CredentialsRefused);
    expect([error.reason, error.message]).toEqual([
      'auth',
      `${found.url}/v2/team/app answered 401: check that the credentials are right and have not expired`,
    ]);
    expect((await get('/v2/other', 'repository:other:pull')).body.toString()).toBe('ok');
  });

  test('are not known to be wrong where the registry cannot be asked', async () => {
    const found = await site((request, response) => {
      const isWrong = request.headers.authorization === basicOf(ofTeam);
      if (request.url === '/v2/' && isWrong) return void response.destroy();
      return challenge(response, 'Basic realm="x"');
    });
    const { get } = registryClient(found.url, settings);
    const error = await failure(get('/v2/team/app', 'repository:team/app:pull'));
    expect([error.reason, error.message]).toEqual([
      'connect',
      expect.stringContaining(`GET ${found.url}/v2/: `),
    ]);
  });
});
