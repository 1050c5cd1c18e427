import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { createSession } from '../../src/loop/context.ts';
import { CredentialsRefused } from '../../src/registry-auth.ts';
import {
  basic,
  bearerRegistry,
  challenge,
  failure,
  registryClient,
  robot,
  site,
} from '../support/registry-site.ts';

const scope = 'repository:a:pull';

/** Proofs of as many polls of one registry, each after a step of the test. */
const polls = (url: string, credentials: typeof robot | { readonly token: string } = robot) => {
  const session = createSession();
  return (wanted = scope) => registryClient(url, { credentials, session }).prove(wanted);
};

describe('credentials that were taken are not shown for proof again', () => {
  test('by a token server, though the next poll begins with another repository', async () => {
    const found = await bearerRegistry();
    const prove = polls(found.url);
    await prove('repository:a:pull');
    await prove('repository:b:pull');
    expect(found.paths()).toEqual(['/v2/', '/token']);
  });

  test('by the registry', async () => {
    const found = await site((request, response) =>
      request.headers.authorization === basic ? response.end() : challenge(response, 'Basic realm="x"'),
    );
    const prove = polls(found.url);
    await prove();
    await prove();
    expect(found.paths()).toEqual(['/v2/', '/v2/']);
  });
});

describe('credentials that were refused are shown again at the next poll', () => {
  test.each([
    [401, 'Basic realm="x"'],
    [401, 'Bearer realm="/token"'],
    [403, 'Bearer realm="/token"'],
  ])('with %i and the challenge %s', async (status, text) => {
    let good = false;
    const { url } = await site((request, response) => {
      const isTokenServer = request.url?.startsWith('/token');
      if (good && isTokenServer) return void response.end('{"token":"good"}');
      if (good && request.headers.authorization) return void response.end();
      return isTokenServer ? void response.writeHead(status).end() : challenge(response, text);
    });
    const prove = polls(url);
    const error = await failure(prove());
    expect(error).toBeInstanceOf(CredentialsRefused);
    expect([error.reason, error.status]).toEqual(['auth', 401]);
    good = true;
    await prove();
  });
});

/** What is no verdict must not pass for one: else wrong credentials would never be seen. */
describe('where a poll cannot tell whether credentials are good, the next one asks again', () => {
  const wantsBasic = (response: ServerResponse) => challenge(response, 'Basic realm="x"');
  const wantsTokens = (response: ServerResponse) => challenge(response, 'Bearer realm="/token"');
  const isToken = (request: IncomingMessage) => request.url?.startsWith('/token');
  test.each<[string, (request: IncomingMessage, response: ServerResponse) => void]>([
    ['/v2/ is broken', (_request, response) => response.writeHead(503).end()],
    [
      '/v2/ breaks when they are shown',
      (request, response) => response.writeHead(request.headers.authorization ? 500 : 200).end(),
    ],
    [
      '/v2/ answers with more than any registry does when they are shown',
      (request, response) => response.end(request.headers.authorization ? 'x'.repeat(200_000) : ''),
    ],
  ])('%s', async (_title, first) => {
    let answer = first;
    const { url } = await site((request, response) => answer(request, response));
    const prove = polls(url);
    await prove();
    answer = (_request, response) => wantsBasic(response);
    expect(await failure(prove())).toBeInstanceOf(CredentialsRefused);
  });

  test('the token server is broken; it is asked for one token only', async () => {
    let status = 500;
    const found = await site((request, response) =>
      isToken(request) ? void response.writeHead(status).end() : wantsTokens(response),
    );
    const prove = polls(found.url);
    await prove();
    expect(found.paths()).toEqual(['/v2/', '/token']);
    status = 401;
    expect(await failure(prove())).toBeInstanceOf(CredentialsRefused);
  });

  test('a token of the configuration is for other scopes', async () => {
    let scoped = ',scope="repository:b:pull"';
    const { url } = await site((_request, response) => challenge(response, `Bearer realm="/token"${scoped}`));
    const prove = polls(url, { token: 'narrow' });
    await prove();
    scoped = '';
    expect(await failure(prove())).toBeInstanceOf(CredentialsRefused);
  });
});

describe('a refusal is one of the credentials', () => {
  test('where a registry that takes no tokens refuses a token', async () => {
    const { url } = await site((_request, response) => challenge(response, 'Basic realm="x"'));
    const error = await failure(registryClient(url, { credentials: { token: 'any' } }).prove(scope));
    expect(error).toBeInstanceOf(CredentialsRefused);
    expect(error.message).toContain(`${url}/v2/ answered 401`);
  });

  test('but not where only who shows some is refused at a /v2/ that is not there', async () => {
    const { url } = await site((request, response) =>
      request.headers.authorization
        ? challenge(response, 'Basic realm="x"')
        : void response.writeHead(404).end(),
    );
    await registryClient(url, { credentials: robot }).prove(scope);
  });

  test('but not where the token server refuses one scope and breaks when it is asked for none', async () => {
    const { url } = await site((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
      if (pathname !== '/token') return challenge(response, 'Bearer realm="/token"');
      response.writeHead(searchParams.has('scope') ? 401 : 500).end();
    });
    const error = await failure(registryClient(url, { credentials: robot }).get('/v2/a', scope));
    expect(error).not.toBeInstanceOf(CredentialsRefused);
    expect([error.reason, error.message]).toEqual([
      'auth',
      `${url}/token answered 401: check that the credentials are right and have not expired`,
    ]);
  });
});

test('what is refused for a scope is asked for once more without, and not twice', async () => {
  const found = await bearerRegistry({ strict: true });
  const wrong = { username: 'robot', password: 'wrong' };
  const error = await failure(registryClient(found.url, { credentials: wrong }).get('/v2/a', scope));
  expect(error).toBeInstanceOf(CredentialsRefused);
  expect(found.asked().map(({ path }) => new URL(path, found.url).searchParams.get('scope'))).toEqual([
    scope,
    null,
  ]);
});

/** A part for anybody, and a token server for who has a name. */
describe('a registry that names its token server only to who shows credentials', () => {
  const openWith = (status: number) =>
    site((request, response) => {
      if (request.url?.startsWith('/token')) return void response.writeHead(status).end('{"token":"good"}');
      return request.headers.authorization === basic
        ? challenge(response, 'Bearer realm="/token"')
        : void response.end();
    });

  test('has them proven there', async () => {
    const found = await openWith(200);
    await registryClient(found.url, { credentials: robot }).prove(scope);
    expect(found.paths()).toEqual(['/v2/', '/v2/', '/token']);
  });

  test('and refused there', async () => {
    const { url } = await openWith(401);
    const error = await failure(registryClient(url, { credentials: robot }).prove(scope));
    expect(error).toBeInstanceOf(CredentialsRefused);
    expect(error.message).toContain(`${url}/token answered 401`);
  });
});

test('an identity token that no token server would take fails for want of credentials', async () => {
  const { url } = await site((_request, response) => response.end());
  const error = await failure(registryClient(url, { credentials: { identityToken: 'id' } }).prove(scope));
  expect([error.reason, error.message]).toEqual(['auth', expect.stringContaining('use a user and password')]);
});
