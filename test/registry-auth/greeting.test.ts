import { describe, expect, test } from 'vitest';
import { createSession } from '../../src/loop/context.ts';
import {
  basic,
  challenge,
  failure,
  registryClient,
  robot,
  type Site,
  site,
} from '../support/registry-site.ts';
import { certificate } from '../support/web.ts';

const greetings = ({ paths }: Site) => paths().filter((path) => path === '/v2/').length;

/** A registry that wants `Bearer good`, whose `/v2/` says what the test says. */
const wanting = (greet: (response: import('node:http').ServerResponse, number: number) => void) => {
  let asked = 0;
  return site((request, response) => {
    if (request.url?.startsWith('/token')) return void response.end('{"token":"good"}');
    if (request.url === '/v2/') {
      asked += 1;
      return greet(response, asked);
    }
    return request.headers.authorization === 'Bearer good'
      ? void response.end('ok')
      : challenge(response, 'Bearer realm="/token"');
  });
};

describe('what the network says at /v2/ is true of all requests, and fails them', () => {
  test('a name that nobody has', async () => {
    const error = await failure(registryClient('http://registry.invalid').get('/v2/a'));
    expect([error.reason, error.message]).toEqual([
      'dns',
      expect.stringContaining('GET http://registry.invalid/v2/: '),
    ]);
  });

  test('a certificate that is not trusted', async () => {
    const { url, seen } = await site((_request, response) => response.end(), {
      tls: await certificate('registry'),
    });
    const error = await failure(registryClient(url).get('/v2/a'));
    expect([error.reason, error.message]).toEqual(['tls', expect.stringContaining(`GET ${url}/v2/: `)]);
    expect(seen).toEqual([]);
  });

  test('no answer in time', async () => {
    const found = await site((request, response) => {
      if (request.url !== '/v2/') response.end();
    });
    const error = await failure(registryClient(found.url, { timeoutMs: 100 }).get('/v2/a'));
    expect(error.reason).toBe('timeout');
    expect(found.paths()).toEqual(['/v2/']);
  });

  test('a host that throttles until the poll ends', async () => {
    const ending = new AbortController();
    const found = await site((request, response) => {
      if (request.url !== '/v2/') return void response.end();
      if (found.seen.length > 1) return ending.abort(new Error('the poll ended'));
      response.writeHead(429).end();
    });
    const error = await failure(registryClient(found.url, { signal: ending.signal }).get('/v2/a'));
    expect(error.reason).toBe('throttled');
    expect(found.paths()).toEqual(['/v2/', '/v2/']);
  });

  test('a connection that breaks; it is asked again when it is needed next', async () => {
    const found = await wanting((response, number) =>
      number === 1 ? void response.destroy() : challenge(response, 'Bearer realm="/token"'),
    );
    const { get } = registryClient(found.url);
    expect((await failure(get('/v2/a', 'repository:a:pull'))).reason).toBe('connect');
    expect((await get('/v2/a', 'repository:a:pull')).body.toString()).toBe('ok');
    expect(found.paths()).toEqual(['/v2/', '/v2/', '/token', '/v2/a']);
  });
});

test('a host that throttles at /v2/ is asked again, so that no password is shown where a token is wanted', async () => {
  const found = await wanting((response, number) =>
    number === 1
      ? void response.writeHead(429, { 'retry-after': '0' }).end()
      : challenge(response, 'Bearer realm="/token"'),
  );
  await registryClient(found.url, { credentials: robot }).get('/v2/a', 'repository:a:pull');
  expect(found.paths()).toEqual(['/v2/', '/v2/', '/token', '/v2/a']);
});

test.each(['', '/', '//'])(
  '/v2/ lies below the path of the endpoint, ended with "%s" or not',
  async (end) => {
    const found = await site((_request, response) => response.end());
    await registryClient(`${found.url}/registry${end}`, { credentials: robot }).prove('repository:a:pull');
    expect(found.paths()).toEqual(['/registry/v2/', '/registry/v2/']);
  },
);

describe('an answer at /v2/ is kept for all polls', () => {
  test.each([
    [204, 1],
    [403, 1],
    [404, 1],
    [500, 3],
    [503, 3],
  ])('%i: of three polls with two requests each, it is asked %i times', async (status, times) => {
    const found = await site((request, response) =>
      response.writeHead(request.url === '/v2/' ? status : 200).end(),
    );
    const session = createSession();
    for (let poll = 0; poll < 3; poll += 1) {
      const { get } = registryClient(found.url, { session });
      await get('/v2/a');
      await get('/v2/b');
    }
    expect(greetings(found)).toBe(times);
  });

  test('each registry has its own', async () => {
    const session = createSession();
    const one = await wanting((response) => challenge(response, 'Bearer realm="/token"'));
    const other = await wanting((response) => challenge(response, 'Bearer realm="/token"'));
    for (const { url } of [one, other])
      await registryClient(url, { credentials: robot, session }).get('/v2/a', 'repository:a:pull');
    expect(other.paths()).toEqual(['/v2/', '/token', '/v2/a']);
  });

  test('what another request taught where /v2/ says nothing is known for all others', async () => {
    const found = await wanting((response) => void response.end());
    const { get } = registryClient(found.url);
    await get('/v2/a', 'repository:a:pull');
    await get('/v2/b', 'repository:b:pull');
    expect(found.paths()).toEqual(['/v2/', '/v2/a', '/token', '/v2/a', '/token', '/v2/b']);
  });
});

describe('a token server that cannot be used may have been the word of a gateway', () => {
  test('so /v2/ is asked anew at the next request', async () => {
    const found = await wanting((response, number) =>
      challenge(response, `Bearer realm="${number === 1 ? 'gopher://gateway' : '/token'}"`),
    );
    const { get } = registryClient(found.url);
    expect((await failure(get('/v2/a', 'repository:a:pull'))).message).toContain('that is no address');
    expect((await get('/v2/b', 'repository:b:pull')).body.toString()).toBe('ok');
  });

  test('but once in each poll only', async () => {
    const found = await wanting((response) => challenge(response, 'Bearer realm="gopher://gateway"'));
    const session = createSession();
    for (const times of [2, 3]) {
      const { get } = registryClient(found.url, { session });
      for (const name of ['a', 'b', 'c', 'd']) await failure(get(`/v2/${name}`, `repository:${name}:pull`));
      expect(greetings(found)).toBe(times);
    }
  });

  test('one that refuses the credentials is asked for none the less: that is its word', async () => {
    const found = await site((request, response) =>
      challenge(response, request.url?.startsWith('/token') ? undefined : 'Bearer realm="/token"'),
    );
    const { get } = registryClient(found.url);
    for (const name of ['a', 'b']) await failure(get(`/v2/${name}`, `repository:${name}:pull`));
    expect(greetings(found)).toBe(1);
  });
});

describe('where /v2/ redirects to another host', () => {
  test.each(['/v2', '/v2/', '/mirror/v2/'])(
    'whose %s is a registry, the credentials are not shown',
    async (to) => {
      const there = await site((_request, response) => response.end());
      const here = await site((request, response) =>
        request.url === '/v2/'
          ? response.writeHead(307, { location: `${there.url}${to}` }).end()
          : response.end('ok'),
      );
      const error = await failure(registryClient(here.url, { credentials: robot }).get('/v2/a'));
      expect(error.message).toContain(`${here.url} redirects to ${there.url}`);
      expect(here.paths()).toEqual(['/v2/']);
    },
  );

  test.each(['/login', '/v2/login'])(
    'whose %s is a page for people, that is no word about them',
    async (to) => {
      const there = await site((_request, response) => challenge(response, 'Basic realm="people"'));
      const here = await site((request, response) =>
        request.url === '/v2/'
          ? response.writeHead(302, { location: `${there.url}${to}` }).end()
          : response.end('ok'),
      );
      const { prove, get } = registryClient(here.url, { credentials: robot });
      await prove('repository:a:pull');
      expect((await get('/v2/a', 'repository:a:pull')).body.toString()).toBe('ok');
      expect(here.seen.at(-1)?.authorization).toBe(basic);
      expect(there.seen.every(({ authorization }) => authorization === undefined)).toBe(true);
    },
  );
});
