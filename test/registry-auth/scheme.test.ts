import { describe, expect, test } from 'vitest';
import { isSame, type Scheme } from '../../src/registry-auth/scheme.ts';
import { repositoryOf } from '../../src/registry-auth/scope.ts';
import { catalogScope, pullScope } from '../../src/registry-auth.ts';
import { challenge, failure, registryClient, robot, site } from '../support/registry-site.ts';

describe('scopes', () => {
  test('are written as registries know them', () => {
    expect([catalogScope, pullScope('team/app')]).toEqual(['registry:catalog:*', 'repository:team/app:pull']);
  });

  /** Credentials of a file are chosen by the repository that a request is about. */
  test.each([
    ['of a repository', 'repository:team/app:pull', 'team/app'],
    ['with several actions', 'repository:team/app:pull,push', 'team/app'],
    ['with no action', 'repository:team/app:', 'team/app'],
    ['of a registry with its port', 'repository:registry:5000/team/app:pull', 'registry:5000/team/app'],
    ['of the catalog', catalogScope, undefined],
    ['of something that only looks like it', 'my-repository:team/app:pull', undefined],
    ['without a name', 'repository::pull', undefined],
    ['that is none', undefined, undefined],
  ])('a scope %s', (_title, scope, repository) => {
    expect(repositoryOf(scope)).toBe(repository);
  });
});

/** Only what differs is remembered for each scope: a registry may have many thousand of them. */
describe('two ways of showing credentials are the same for a scope', () => {
  const bearer = (realm: string, service: string, scope?: string): Scheme => ({
    kind: 'bearer',
    server: { realm, service },
    ...(scope !== undefined && { scope }),
  });
  const basic: Scheme = { kind: 'basic' };
  const own = 'repository:a:pull';
  test.each<[string, Scheme | undefined, Scheme | undefined, boolean]>([
    ['where both are Basic', basic, basic, true],
    ['where there is none', undefined, undefined, true],
    ['but not Basic and none', basic, undefined, false],
    ['but not Basic and a token', basic, bearer('/t', 's'), false],
    ['but not a token and none', bearer('/t', 's'), undefined, false],
    ['where the token server is', bearer('/t', 's'), bearer('/t', 's'), true],
    ['but not of another address', bearer('/t', 's'), bearer('/u', 's'), false],
    ['but not of another service', bearer('/t', 's'), bearer('/t', 'z'), false],
    ['where one names that scope', bearer('/t', 's'), bearer('/t', 's', own), true],
    ['whichever names it', bearer('/t', 's', own), bearer('/t', 's'), true],
    ['but not where one names another', bearer('/t', 's'), bearer('/t', 's', '*'), false],
    ['whichever names the other', bearer('/t', 's', '*'), bearer('/t', 's'), false],
  ])('%s', (_title, one, other, expected) => {
    expect(isSame(one, other, own)).toBe(expected);
  });
});

test('a token server that has no service is asked for none', async () => {
  const found = await site((request, response) =>
    request.url?.startsWith('/token')
      ? response.end('{"token":"good"}')
      : request.headers.authorization === 'Bearer good'
        ? response.end()
        : challenge(response, 'Bearer realm="/token"'),
  );
  await registryClient(found.url).get('/v2/a', 'repository:a:pull');
  expect(found.seen.map(({ path }) => path)).toContain('/token?scope=repository%3Aa%3Apull');
});

test('of schemes that nobody knows only so many are named that a line of the log stays readable', async () => {
  const { url } = await site((_request, response) => challenge(response, `Negotiate, ${'x'.repeat(2000)}`));
  const { message } = await failure(registryClient(url, { credentials: robot }).get('/v2/a'));
  expect(message).toContain('shown by negotiate, xxx');
  expect(message.length).toBeLessThan(400);
});
