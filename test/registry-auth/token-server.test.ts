import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { CollectError } from '../../src/errors.ts';
import type { HttpResponse } from '../../src/http.ts';
import { oci } from '../../src/providers/oci.ts';
import { tokenServerUrl } from '../../src/registry-auth/token-server.ts';
import { parseToken } from '../../src/registry-auth.ts';
import { makeJwt } from '../simulators/jwt.ts';
import { tempDir } from '../support/programs.ts';
import { atEnd, basic, challenge, registryClient, robot, site } from '../support/registry-site.ts';
import { runLoop } from '../support/running-loop.ts';
import { certificate } from '../support/web.ts';

const answered = '2026-09-10T06:44:47Z';
const answer = (body: string) =>
  ({
    url: new URL('https://auth.example.com/token?secret'),
    body: Buffer.from(body),
    header: (name: string) => (name === 'date' ? new Date(answered).toUTCString() : undefined),
  }) as HttpResponse;
/** A token that is good for an hour, as Azure's are: `iat` lies a quarter of an hour back. */
const jwt = (claims: object) => {
  const at = Date.parse(answered) / 1000;
  return makeJwt({ iat: at - 900, exp: at + 3_600, ...claims });
};

describe('answers', () => {
  test.each<[string, object, { value: string; seconds: number }]>([
    ['the usual', { token: 'a.b-c_d~e+f/g=', expires_in: 300 }, { value: 'a.b-c_d~e+f/g=', seconds: 300 }],
    ['access_token', { access_token: 't' }, { value: 't', seconds: 60 }],
    // https://github.com/goharbor/harbor/blob/v2.14.0/src/common/models/token.go has no `omitempty`.
    [
      "Harbor's",
      { token: 't', access_token: '', expires_in: 1800, issued_at: '' },
      { value: 't', seconds: 1800 },
    ],
    ['an empty token', { token: '', access_token: 't', expires_in: 0 }, { value: 't', seconds: 60 }],
    [
      'null',
      { token: 't', access_token: null, expires_in: null, issued_at: null },
      { value: 't', seconds: 60 },
    ],
    ['a lifetime as text', { token: 't', expires_in: '300' }, { value: 't', seconds: 300 }],
    ['no lifetime at all', { token: 't', expires_in: 'soon', issued_at: 7 }, { value: 't', seconds: 60 }],
    ['a negative lifetime', { token: 't', expires_in: -1 }, { value: 't', seconds: 60 }],
    ['a lifetime of ages', { token: 't', expires_in: 1e308 }, { value: 't', seconds: 86_400 }],
    [
      'a lifetime that the token alone says, by the clock of the server',
      { access_token: jwt({}) },
      { value: jwt({}), seconds: 3_600 },
    ],
    [
      'another lifetime than the token says',
      { token: jwt({}), expires_in: 300 },
      { value: jwt({}), seconds: 300 },
    ],
    [
      'a token that says something odd of its life',
      { token: jwt({ exp: 'soon' }) },
      { value: jwt({ exp: 'soon' }), seconds: 60 },
    ],
    ['a token that has expired', { token: jwt({ exp: 1 }) }, { value: jwt({ exp: 1 }), seconds: 60 }],
    ['a lifetime that is a list', { token: 't', expires_in: [300] }, { value: 't', seconds: 60 }],
    [
      'a token of another type beside a good one',
      { token: 7, access_token: 't' },
      { value: 't', seconds: 60 },
    ],
  ])('%s', (_title, body, expected) => {
    expect(parseToken(answer(JSON.stringify(body)))).toEqual(expected);
  });

  test.each([
    ['cut', '{"token":"t0ps3cret', 'invalid_response'],
    ['no JSON', 'token=t0ps3cret', 'invalid_response'],
    ['a list', '["t0ps3cret"]', 'invalid_response'],
    ['null', 'null', 'invalid_response'],
    ['a token that is a list', '{"token":["t0ps3cret"]}', 'invalid_response'],
    ['a token with a line break', '{"token":"t0ps3cret\\r\\nx-more: 1"}', 'invalid_response'],
    ['a token that no header holds', `{"token":"${'t0ps3cret'.repeat(10_000)}"}`, 'invalid_response'],
    ['nothing', '{}', 'auth'],
    ['an empty token', '{"token":"","expires_in":60}', 'auth'],
  ])('%s is an error that names the server and repeats nothing of it', (_title, body, reason) => {
    let error: CollectError | undefined;
    try {
      parseToken(answer(body));
    } catch (thrown) {
      error = thrown as CollectError;
    }
    expect(error?.reason).toBe(reason);
    expect(error?.message).toContain('https://auth.example.com/token answered');
    expect(inspect(error, { depth: 9 })).not.toMatch(/t0ps3cret|\?secret/);
  });
});

describe('which token servers are asked', () => {
  const ask = (endpoint: string, realm: string, withCredentials: boolean, trustedRealms: string[] = []) => {
    try {
      const asked = { endpoint: new URL(endpoint), realm, withCredentials, trustedRealms };
      return tokenServerUrl(asked).url.href;
    } catch (error) {
      return (error as CollectError).message.match(/another host|over http|is no address/)?.[0];
    }
  };
  const https = 'https://registry.example.com';
  test.each<[string, string, string, string | undefined, string | undefined]>([
    // endpoint, realm, with credentials, without
    ['of the registry', https, `${https}/token`, `${https}/token`, `${https}/token`],
    ['by its path alone', https, '/token', `${https}/token`, `${https}/token`],
    ['on another port', https, `${https}:5001/t`, `${https}:5001/t`, `${https}:5001/t`],
    [
      'of its domain',
      https,
      'https://auth.example.com/t',
      'https://auth.example.com/t',
      'https://auth.example.com/t',
    ],
    ['of another domain', https, 'https://auth.example.net/t', 'another host', 'https://auth.example.net/t'],
    [
      'of a neighbour',
      'https://a.github.io',
      'https://b.github.io/t',
      'another host',
      'https://b.github.io/t',
    ],
    ['of another country', 'https://a.co.uk', 'https://b.co.uk/t', 'another host', 'https://b.co.uk/t'],
    ['of another domain over http', https, 'http://auth.example.net/t', 'another host', 'another host'],
    ['at an address', https, 'https://169.254.169.254/t', 'another host', 'another host'],
    ['inside the cluster', https, 'https://vault.vault.svc/t', 'another host', 'another host'],
    ['inside the cloud', https, 'http://metadata.google.internal/t', 'another host', 'another host'],
    ['on this machine', https, 'https://localhost/t', 'another host', 'another host'],
    ['at an address as a number', https, 'https://2852039166/t', 'another host', 'another host'],
    ['with http, of the registry', https, 'http://registry.example.com/t', `${https}/t`, `${https}/t`],
    [
      'with http, on another port',
      https,
      'http://registry.example.com:8080/t',
      'over http',
      'http://registry.example.com:8080/t',
    ],
    [
      'with http, of its domain',
      https,
      'http://auth.example.com/t',
      'over http',
      'http://auth.example.com/t',
    ],
    [
      'of an http registry',
      'http://registry:5000',
      'http://registry:5001/t',
      'http://registry:5001/t',
      'http://registry:5001/t',
    ],
    ['with a user in it', https, 'https://u:p@registry.example.com/t', `${https}/t`, `${https}/t`],
    ['that is a file', https, 'file:///etc/passwd', 'is no address', 'is no address'],
    ['that is none', https, 'https://[', 'is no address', 'is no address'],
    [
      'of Docker Hub',
      'https://registry-1.docker.io',
      'https://auth.docker.io/token',
      'https://auth.docker.io/token',
      'https://auth.docker.io/token',
    ],
    [
      'of Scaleway',
      'https://rg.fr-par.scw.cloud',
      'https://api.scaleway.com/t',
      'https://api.scaleway.com/t',
      'https://api.scaleway.com/t',
    ],
    [
      'of Scaleway, for another of its hosts',
      'https://a.fr-par.scw.cloud',
      'https://api.scaleway.com/t',
      'another host',
      'https://api.scaleway.com/t',
    ],
  ])('%s', (_title, endpoint, realm, withCredentials, without) => {
    expect([ask(endpoint, realm, true), ask(endpoint, realm, false)]).toEqual([withCredentials, without]);
  });

  test('trusted ones, by host, with their port or without; http is not made good by that', () => {
    expect(ask(https, 'https://a.internal:8443/t', true, ['a.internal'])).toBe('https://a.internal:8443/t');
    expect(ask(https, 'https://a.internal:8443/t', true, ['a.internal:8443'])).toBe(
      'https://a.internal:8443/t',
    );
    expect(ask(https, 'https://a.internal:8444/t', true, ['a.internal:8443'])).toBe('another host');
    expect(ask(https, 'http://a.internal/t', true, ['a.internal'])).toBe('over http');
    expect(ask(https, 'http://a.internal/t', false, ['a.internal'])).toBe('http://a.internal/t');
  });
});

describe('credentials go to the registry and its own domain only', () => {
  const naming = (realm: string) =>
    site((_request, response) => challenge(response, `Bearer realm="${realm}",service="s"`));

  test.each([
    ['the credentials', robot],
    ['a token', undefined],
  ])('a token server on another host is not asked for %s; the error names it', async (what, credentials) => {
    const thief = await site((_request, response) => response.end('{"token":"t"}'), { host: '127.0.0.2' });
    const { url, seen } = await naming(`${thief.url}/token`);
    await expect(registryClient(url, { credentials }).get('/v2/a')).rejects.toThrow(
      `${url} asks for ${what} at ${thief.url}, another host: if that is right, add "${new URL(thief.url).host}" to auth.trustedRealms`,
    );
    expect(thief.seen).toEqual([]);
    expect(seen.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  test('unless it is trusted', async () => {
    const server = await site((_request, response) => response.end('{"token":"t"}'), { host: '127.0.0.2' });
    const { url } = await naming(`${server.url}/token`);
    const { get } = registryClient(url, { credentials: robot, trustedRealms: ['127.0.0.2'] });
    await get('/v2/a').catch(() => {});
    expect(server.seen[0]?.authorization).toBe(basic);
  });

  test('what a token server elsewhere answers after a redirect is not shown to the registry', async () => {
    const metadata = await site(
      (_request, response) => response.end('{"access_token":"secret-of-the-cloud"}'),
      { host: '127.0.0.2' },
    );
    const registry = await site((request, response) =>
      request.url?.startsWith('/token')
        ? response.writeHead(302, { location: `${metadata.url}/latest` }).end()
        : challenge(response, 'Bearer realm="/token"'),
    );
    for (const credentials of [undefined, robot])
      await expect(registryClient(registry.url, { credentials }).get('/v2/a')).rejects.toThrow(
        `${registry.url}/token redirects to ${metadata.url}, another host`,
      );
    expect(JSON.stringify(registry.seen)).not.toContain('secret-of-the-cloud');
    // What was asked there was asked without the password.
    expect(metadata.seen.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
  });
});

test.each([
  [403, undefined],
  [403, robot],
  [500, undefined],
  [500, robot],
])(
  'what a token server of another origin says is not repeated, only its status: %i',
  async (status, credentials) => {
    const other = await site((_request, response) =>
      response.writeHead(status).end('AKIA-secret-of-the-cloud'),
    );
    const { url } = await site((_request, response) => challenge(response, `Bearer realm="${other.url}/x"`));
    const error = await registryClient(url, { credentials })
      .get('/v2/a')
      .catch((thrown: Error) => thrown);
    expect((error as Error).message).toContain(`${other.url}/x answered ${status}`);
    expect(inspect(error, { depth: 9 })).not.toContain('AKIA-secret-of-the-cloud');
  },
);

describe('a registry over https', () => {
  async function secure(realm: (url: string) => string) {
    const folder = tempDir();
    atEnd(() => folder.remove());
    const authority = await certificate('authority', { isAuthority: true });
    const tls = await certificate('registry', { ca: authority });
    const caFile = join(folder.path, 'ca.pem');
    writeFileSync(caFile, authority.cert);
    const registry = await site(
      (request, response) =>
        request.url?.startsWith('/token')
          ? response.end('{"token":"good"}')
          : request.headers.authorization === 'Bearer good'
            ? response.end('ok')
            : challenge(response, `Bearer realm="${realm(registry.url)}"`),
      { tls },
    );
    return { registry, caFile };
  }

  test('that names its own token server with http is asked over https', async () => {
    const { registry, caFile } = await secure((url) => `${url.replace('https:', 'http:')}/token`);
    const { get } = registryClient(registry.url, { credentials: robot, caFile });
    expect((await get('/v2/a')).body.toString()).toBe('ok');
    expect(registry.seen.filter(({ path }) => path.startsWith('/token'))[0]?.authorization).toBe(basic);
  });

  test('sends no password to a token server over http, trusted or not; the words are about that', async () => {
    const plain = await site((_request, response) => response.end('{"token":"good"}'));
    const { registry, caFile } = await secure(() => `${plain.url}/token`);
    for (const trustedRealms of [[], [new URL(plain.url).host]])
      await expect(
        registryClient(registry.url, { credentials: robot, trustedRealms, caFile }).get('/v2/a'),
      ).rejects.toThrow(
        `${registry.url} asks for the credentials at ${plain.url}, over http without encryption: they are not sent. Let the registry name its token server with https`,
      );
    expect(plain.seen).toEqual([]);
  });

  test('is not followed to http', async () => {
    const plain = await site((_request, response) => response.end('{"repositories":["stolen"]}'));
    const folder = tempDir();
    atEnd(() => folder.remove());
    const authority = await certificate('authority', { isAuthority: true });
    const caFile = join(folder.path, 'ca.pem');
    writeFileSync(caFile, authority.cert);
    const registry = await site(
      (request, response) =>
        request.url === '/v2/'
          ? response.end()
          : response.writeHead(307, { location: `${plain.url}${request.url}` }).end(),
      { tls: await certificate('registry', { ca: authority }) },
    );
    for (const credentials of [undefined, robot])
      await expect(registryClient(registry.url, { credentials, caFile }).get('/v2/_catalog')).rejects.toThrow(
        `${registry.url}/v2/_catalog redirects to http:, which is not followed`,
      );
    expect(plain.seen).toEqual([]);
  });
});

/** A registry that sends the exporter to servers which only the exporter reaches. */
describe('of what a server inside the network answers, nothing is told', () => {
  const secret = 'AKIA-secret-of-the-cloud';
  test.each<[string, number, string]>([
    ['no JSON', 200, secret],
    ['JSON of another shape', 200, `{"${secret}":1,"repositories":"${secret}"}`],
    ['names that are none', 200, `{"repositories":[{"${secret}":1}]}`],
    ['an error', 403, `{"errors":[{"code":"DENIED","message":"${secret}"}]}`],
    ['an error of the server', 500, secret],
    ['another challenge', 401, secret],
    ['nothing of the kind', 404, `<html>${secret}</html>`],
  ])('%s', async (_title, status, body) => {
    const inner = await site(
      (_request, response) =>
        response
          .writeHead(status, status === 401 ? { 'www-authenticate': `Bearer realm="/${secret}"` } : {})
          .end(body),
      { host: '127.0.0.2' },
    );
    const hostile = await site((request, response) =>
      request.url === '/v2/'
        ? response.end()
        : response.writeHead(302, { location: `${inner.url}/latest/credentials` }).end(),
    );
    const settings = { endpoint: hostile.url, http: { retries: 0 } };
    for (const more of [{}, { names: ['team/app'] }, { auth: robot }]) {
      const running = await runLoop(oci, { ...settings, ...more });
      await running.poll();
      await running.stop();
      expect(running.log()).toMatch(/level=(warn|error)/);
      const told = [running.log(), await running.text(), JSON.stringify(running.loop.status())].join('\n');
      expect(told).not.toContain(secret);
    }
    expect(inner.seen.every(({ authorization }) => authorization === undefined)).toBe(true);
    expect(JSON.stringify(hostile.seen)).not.toContain(secret);
  });
});
