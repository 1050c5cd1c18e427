import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { generate } from 'selfsigned';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { CollectError } from '../../src/errors.ts';
import { createHttpClient, type HttpClientOptions, json, retryAfterMs } from '../../src/http.ts';
import { tempDir } from '../support/programs.ts';
import { onQuietMachine } from '../support/timing.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Site {
  readonly url: string;
  readonly seen: IncomingMessage[];
  /** Connections that were opened. */
  connections: number;
}

/** A server that answers as told, on loopback. */
async function site(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Site> {
  const seen: IncomingMessage[] = [];
  const server: Server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  const found = { url: '', seen, connections: 0 };
  server.on('connection', () => (found.connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  found.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return found;
}

function client(options: Partial<HttpClientOptions> = {}) {
  const observed: string[] = [];
  const http = createHttpClient({
    maxConcurrent: 4,
    timeoutMs: 400,
    maxBytes: 100_000,
    retries: 2,
    signal: new AbortController().signal,
    userAgent: 'test/1',
    observe: (operation, code) => observed.push(`${operation} ${code}`),
    ...options,
  });
  closing.push(() => void http.close());
  return { http, observed };
}

async function failure(promise: Promise<unknown>): Promise<CollectError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(CollectError);
  return error as CollectError;
}

describe('every call ends within its deadline', () => {
  const stalls: Record<string, (socket: Socket) => void> = {
    'no answer at all': () => {},
    'half a status line': (socket) => void socket.write('HTTP/1.1 20'),
    'headers that never end': (socket) => {
      const timer = setInterval(() => socket.write('x-more: 1\r\n'), 50);
      socket.write('HTTP/1.1 200 OK\r\n');
      socket.once('close', () => clearInterval(timer));
    },
    'headers and no body': (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n'),
    'a body that drips': (socket) => {
      const timer = setInterval(() => socket.write('x'), 50);
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n');
      socket.once('close', () => clearInterval(timer));
    },
    'chunks that never end': (socket) => {
      const timer = setInterval(() => socket.write('1\r\nx\r\n'), 50);
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      socket.once('close', () => clearInterval(timer));
    },
    'a closed direction': (socket) => void socket.end(),
  };
  test.each(Object.entries(stalls))('%s', async (_title, stall) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => stall(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { http } = client({ retries: 0 });
    const began = performance.now();
    const error = await failure(http.request({ url: `http://127.0.0.1:${port}/`, operation: 'x' }));
    const took = performance.now() - began;
    onQuietMachine(() => expect(took).toBeLessThan(400 + 250));
    expect(['timeout', 'connect']).toContain(error.reason);
  });

  test('a TLS handshake that is never answered', async () => {
    const server = createTcpServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { http } = client({ retries: 0 });
    const began = performance.now();
    await failure(http.request({ url: `https://127.0.0.1:${port}/`, operation: 'x' }));
    const took = performance.now() - began;
    onQuietMachine(() => expect(took).toBeLessThan(400 + 250));
  });

  test('the end of the cycle ends a call, a wait and a queue', async () => {
    const { url } = await site(() => {});
    const cycle = new AbortController();
    const { http } = client({ signal: cycle.signal, timeoutMs: 60_000, maxConcurrent: 1 });
    const calls = [1, 2, 3].map(() => http.request({ url, operation: 'x' }).catch((error) => error));
    setTimeout(() => cycle.abort(new Error('the cycle ended')), 50);
    for (const error of await Promise.all(calls)) expect(String(error)).toContain('the cycle ended');
  });
});

describe('an attempt that failed is made again', () => {
  test.each([408, 429, 500, 502, 503, 504])('after %i', async (status) => {
    let count = 0;
    const { url } = await site((_request, response) => {
      count += 1;
      response.writeHead(count < 3 ? status : 200).end('ok');
    });
    const { http, observed } = client();
    expect((await http.request({ url, operation: 'get' })).body.toString()).toBe('ok');
    expect(observed).toEqual([`get ${status}`, `get ${status}`, 'get 200']);
  });

  test.each([400, 401, 403, 404, 405])('but not after %i', async (status) => {
    const { url, seen } = await site((_request, response) => response.writeHead(status).end());
    const error = await failure(client().http.request({ url, operation: 'get' }));
    expect(error.status).toBe(status);
    expect(seen.length).toBe(1);
  });

  test('so often and no more', async () => {
    const { url, seen } = await site((_request, response) => response.writeHead(500).end());
    expect((await failure(client().http.request({ url, operation: 'get' }))).reason).toBe('server_error');
    expect(seen.length).toBe(3);
  });

  test('not when it may have had an effect', async () => {
    const { url, seen } = await site((_request, response) => response.writeHead(500).end());
    await failure(client().http.request({ url, method: 'POST', body: 'x', operation: 'post' }));
    expect(seen.length).toBe(1);
  });

  test('with headers made anew, for signatures that grow old', async () => {
    const { url, seen } = await site((_, response) => {
      response.statusCode = seen.length < 3 ? 503 : 200;
      response.end('{}');
    });
    let signed = 0;
    const headers = async () => {
      signed += 1;
      return { authorization: `signature ${signed}` };
    };
    await client().http.request({ url, operation: 'x', headers });
    expect(seen.map((request) => request.headers.authorization)).toEqual([
      'signature 1',
      'signature 2',
      'signature 3',
    ]);
  });

  test('as late as Retry-After says', async () => {
    let count = 0;
    const { url } = await site((_request, response) => {
      count += 1;
      if (count > 1) response.end('ok');
      else response.writeHead(429, { 'retry-after': '1' }).end();
    });
    const began = performance.now();
    await client().http.request({ url, operation: 'get' });
    expect(performance.now() - began).toBeGreaterThanOrEqual(990);
  });

  test('throttling is waited for until the cycle ends, however often', async () => {
    let count = 0;
    const { url } = await site((_request, response) => {
      count += 1;
      if (count > 6) response.end('ok');
      else response.writeHead(429, { 'retry-after': '0' }).end();
    });
    expect((await client({ retries: 1 }).http.request({ url, operation: 'get' })).status).toBe(200);
  });

  test('but not by what is asked aside, nor is one that hangs', async () => {
    const refusing = await site((_request, response) =>
      response.writeHead(429).end('{"message":"slow down"}'),
    );
    const patient = await site((_request, response) =>
      response.writeHead(429, { 'retry-after': '3600' }).end(),
    );
    const hanging = await site(() => {});
    const { http } = client({ retries: 9, patienceMs: 900 });
    const began = performance.now();
    const ask = ({ url }: Site) => failure(http.request({ url, operation: 'get', aside: true }));
    const [refused, asked, hung] = await Promise.all([ask(refusing), ask(patient), ask(hanging)]);
    expect(performance.now() - began).toBeGreaterThan(800);
    onQuietMachine(() => expect(performance.now() - began).toBeLessThan(1500));
    expect(refused).toMatchObject({ reason: 'throttled', status: 429 });
    expect(refusing.seen.length).toBeGreaterThan(1);
    expect(asked).toMatchObject({ reason: 'throttled', status: 429 });
    expect(hung.reason).toBe('timeout');
    expect(hanging.seen.length).toBeGreaterThan(1);
  });

  test('a vendor that says it in a header of its own is heeded too', async () => {
    const { url, seen } = await site((_, response) => {
      if (seen.length > 1) response.end('{}');
      else response.writeHead(429, { 'x-wait-ms': '300' }).end();
    });
    const { http } = client({
      judge: (response) =>
        response.status === 429
          ? { reason: 'throttled', retryAfterMs: Number(response.header('x-wait-ms')) }
          : undefined,
    });
    const began = performance.now();
    await http.request({ url, operation: 'x' });
    expect(performance.now() - began).toBeGreaterThan(290);
  });

  test.each([
    ['120', 120_000],
    ['0', 0],
    // A Unix time: 2026-11-24T10:00:30Z and an hour before.
    [String(Date.parse('2026-11-24T10:00:30Z') / 1000), 30_000],
    [String(Date.parse('2026-11-24T09:00:00Z') / 1000), 0],
    ['Tue, 24 Nov 2026 10:00:30 GMT', 30_000],
    ['Tue, 24 Nov 2026 09:00:00 GMT', 0],
    ['soon', undefined],
    // Longer than Node's timers can wait, which would fire at once.
    ['9000000', 86_400_000],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400_000],
    [undefined, undefined],
  ])('Retry-After: %s', (value, expected) => {
    expect(retryAfterMs(value, Date.parse('2026-11-24T10:00:00Z'))).toBe(expected);
  });
});

describe('what is answered', () => {
  test.each([
    ['by its length', {}, Buffer.alloc(100_001)],
    ['after it was unpacked', { 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(5_000_000))],
  ])('is refused when it is too large, %s', async (_title, headers, body) => {
    const { url } = await site((_request, response) => response.writeHead(200, headers).end(body));
    expect((await failure(client({ retries: 0 }).http.request({ url, operation: 'x' }))).reason).toBe(
      'too_large',
    );
  });

  // Proxies that compress name the encoding also where they send nothing.
  test.each([
    ['HEAD', 200, 'gzip'],
    ['GET', 304, 'gzip'],
    ['GET', 200, 'gzip'],
    ['HEAD', 200, 'br'],
    ['HEAD', 200, 'zstd'],
  ] as const)('has no body to unpack: %s, %s, %s', async (method, status, encoding) => {
    const { url } = await site((_request, response) =>
      response.writeHead(status, { 'content-encoding': encoding, 'docker-content-digest': 'sha256:1' }).end(),
    );
    const { http } = client({ retries: 0 });
    const response = await http.request({ url, method, operation: 'x', accept: [304] });
    expect([response.status, response.body.length]).toEqual([status, 0]);
    expect(response.header('docker-content-digest')).toBe('sha256:1');
  });

  test.each(['gzip', 'br', 'zstd'])(
    'that is no %s, as it says, is told, and is not empty',
    async (encoding) => {
      const { url } = await site((_request, response) =>
        response.writeHead(200, { 'content-encoding': encoding }).end('{"tags":[]}'),
      );
      const error = await failure(client({ retries: 0 }).http.request({ url, operation: 'x' }));
      expect(error.message).toBe(`${url}/ answered with a body that cannot be decompressed`);
    },
  );

  test('of an error that is no gzip, as it says, leaves the status', async () => {
    const { url } = await site((_request, response) =>
      response.writeHead(404, { 'content-encoding': 'gzip' }).end('{"errors":[]}'),
    );
    const { http } = client({ retries: 0 });
    expect((await http.request({ url, operation: 'x', accept: [404] })).status).toBe(404);
  });

  test('is refused when it is shorter than it says', async () => {
    const { url } = await site((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('short');
      setTimeout(() => response.destroy(), 20);
    });
    expect((await failure(client({ retries: 0 }).http.request({ url, operation: 'x' }))).reason).toBe(
      'connect',
    );
  });

  test.each([
    ['HTML', '<html>login</html>', 'answered no JSON (an HTML page)'],
    ['cut JSON', '{"tags":["a', 'answered no JSON'],
    ['another shape', '{}', 'answered JSON of another shape: tags'],
  ])('%s is no JSON of the right shape', async (_title, body, message) => {
    const { url } = await site((_request, response) => response.end(body));
    const response = await client().http.request({ url, operation: 'x' });
    const read = () => json(response, z.object({ tags: z.array(z.string()) }));
    expect(read).toThrow(message);
    expect(read).toThrow(CollectError);
  });

  test('with headers of 100 KB is read, as policies and cookies of web applications make them', async () => {
    const { url } = await site((_request, response) =>
      response.writeHead(200, { 'content-security-policy': 'x'.repeat(100_000) }).end('good'),
    );
    const { http } = client();
    expect((await http.request({ url, operation: 'test' })).body.toString()).toBe('good');
  });

  test('that is not HTTP', async () => {
    const server = createTcpServer((socket) =>
      socket.once('data', () => socket.end('SSH-2.0-OpenSSH_9.2\r\n')),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const call = client({ retries: 0 }).http.request({ url: `http://127.0.0.1:${port}/`, operation: 'x' });
    expect((await failure(call)).reason).toBe('invalid_response');
  });
});

describe('why there was no answer', () => {
  test('a port that nobody listens on', async () => {
    const { http, observed } = client({ retries: 0 });
    const error = await failure(http.request({ url: 'http://127.0.0.1:1/', operation: 'x' }));
    expect(error.reason).toBe('connect');
    expect(error.message).toContain('GET http://127.0.0.1:1/: connect ECONNREFUSED');
    expect(observed).toEqual(['x connect']);
  });

  test('a host that does not exist', async () => {
    const { http } = client({ retries: 0, timeoutMs: 5000 });
    const error = await failure(http.request({ url: 'http://registry.invalid/', operation: 'x' }));
    expect(error.reason).toBe('dns');
  });

  test.each(['Basic cm9ib3Q6aHVudGVyMg==', 'Bearer abc.def-ghi_123'])(
    'a message never repeats the credentials that a server repeats: %s',
    async (authorization) => {
      const { url } = await site((request, response) => {
        const message = `not allowed with Authorization: ${request.headers.authorization}`;
        response.writeHead(403).end(JSON.stringify({ errors: [{ code: 'DENIED', message }] }));
      });
      const error = await failure(client().http.request({ url, operation: 'x', headers: { authorization } }));
      expect(error.message).toContain('DENIED not allowed');
      expect(error.message).not.toContain(authorization.split(' ')[1]);
    },
  );

  test.each([
    [{ errors: [{ code: 'DENIED', message: 'no' }] }, '(DENIED no)'],
    [{ error: { status: 'PERMISSION_DENIED', message: 'no' } }, '(PERMISSION_DENIED no)'],
    [{ error: 'invalid_client', error_description: 'no such client' }, '(invalid_client no such client)'],
    [{ status: 'error', errorType: 'timeout', error: 'query timed out' }, '(query timed out)'],
    [{ error: '', message: 'object not found' }, '(object not found)'],
  ])('a message tells what the server said: %j', async (body, said) => {
    const { url } = await site((_request, response) => response.writeHead(404).end(JSON.stringify(body)));
    const error = await failure(client().http.request({ url, operation: 'x' }));
    expect(error.message).toBe(`GET ${url}/ answered 404 ${said}`);
  });

  test('a message never repeats a query, which may hold secrets', async () => {
    const { url } = await site((_request, response) => response.writeHead(404).end());
    const error = await failure(client().http.request({ url: `${url}/a?token=s3cret`, operation: 'x' }));
    expect(error.message).toContain(`${url}/a answered 404`);
    expect(error.message).not.toContain('s3cret');
  });
});

describe('redirects', () => {
  test('are followed, but the credentials do not go to another host', async () => {
    const elsewhere = await site((_request, response) => response.end('there'));
    const { url } = await site((_request, response) =>
      response.writeHead(307, { location: `${elsewhere.url}/moved` }).end(),
    );
    const headers = { Authorization: 'Basic c2VjcmV0', cookie: 'sid=secret', accept: 'x/y' };
    const { body } = await client().http.request({ url, operation: 'x', headers });
    expect(body.toString()).toBe('there');
    expect(elsewhere.seen[0]?.headers['authorization']).toBeUndefined();
    expect(elsewhere.seen[0]?.headers['cookie']).toBeUndefined();
    expect(elsewhere.seen[0]?.headers['accept']).toBe('x/y');
  });

  test('keep them on the same host', async () => {
    const { url, seen } = await site((request, response) =>
      request.url === '/' ? response.writeHead(302, { location: '/b' }).end() : response.end(),
    );
    await client().http.request({ url, operation: 'x', headers: { authorization: 'Basic c2VjcmV0' } });
    expect(seen[1]?.headers['authorization']).toBe('Basic c2VjcmV0');
  });

  test.each([
    ['without end', '/'],
    ['to a file', 'file:///etc/passwd'],
  ])('%s are an error', async (_title, location) => {
    const { url } = await site((_request, response) => response.writeHead(302, { location }).end());
    expect((await failure(client().http.request({ url, operation: 'x' }))).reason).toBe('invalid_response');
  });
});

describe('connections', () => {
  test('HEAD keeps them open', async () => {
    const found = await site((_request, response) => response.end());
    const { http } = client({ maxConcurrent: 1 });
    for (let turn = 0; turn < 50; turn += 1)
      await http.request({ url: found.url, method: 'HEAD', operation: 'head' });
    expect(found.connections).toBe(1);
  });

  test('no more requests at once than allowed', async () => {
    let running = 0;
    let most = 0;
    const { url } = await site((_request, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        response.end();
      }, 10);
    });
    const { http } = client({ maxConcurrent: 3 });
    await Promise.all(Array.from({ length: 30 }, () => http.request({ url, operation: 'x' })));
    expect(most).toBe(3);
  });

  test('no more per second than allowed', async () => {
    const { url } = await site((_request, response) => response.end());
    const { http } = client({ maxConcurrent: 10, requestsPerSecond: 50 });
    const began = performance.now();
    await Promise.all(Array.from({ length: 26 }, () => http.request({ url, operation: 'x' })));
    expect(performance.now() - began).toBeGreaterThan(490);
  });

  test('go through the proxy of the environment, but not to those that NO_PROXY names', async () => {
    const { private: key, cert } = await generate([{ name: 'commonName', value: 'registry.invalid' }], {
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'registry.invalid' }] }],
    });
    const secure = createTlsServer({ key, cert }, (_request, response) => response.end('secure'));
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    const { url, seen } = await site((_request, response) => response.end('direct'));
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end('by the proxy');
    });
    proxy.on('connect', (request: IncomingMessage, socket: Socket) => {
      asked.push(`CONNECT ${request.url}`);
      const upstream = connect((secure.address() as AddressInfo).port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.pipe(socket).pipe(upstream);
      });
      for (const one of [upstream, socket]) one.on('error', () => {});
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const folder = tempDir();
    const caFile = join(folder.path, 'ca.pem');
    writeFileSync(caFile, cert);
    const before = { ...process.env };
    closing.push(() => {
      process.env = before;
      folder.remove();
      for (const server of [proxy, secure]) {
        server.close();
        server.closeAllConnections();
      }
    });
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    Object.assign(process.env, { HTTP_PROXY: address, HTTPS_PROXY: address, NO_PROXY: '127.0.0.1' });

    const { http } = client({ caFile, timeoutMs: 5000 });
    const get = async (target: string) =>
      (await http.request({ url: target, operation: 'x' })).body.toString();
    expect(await get('http://registry.invalid:8080/v2/')).toBe('by the proxy');
    expect(await get('https://registry.invalid/v2/')).toBe('secure');
    expect(asked).toEqual(['GET http://registry.invalid:8080/v2/', 'CONNECT registry.invalid:443']);
    expect(await get(url)).toBe('direct');
    expect(asked.length).toBe(2);
    expect(seen.length).toBe(1);

    // Without the file the certificate is unknown; with insecureSkipVerify it does not matter.
    const distrusting = client({ retries: 0, timeoutMs: 5000 }).http;
    const refused = await failure(distrusting.request({ url: 'https://registry.invalid/', operation: 'x' }));
    expect(refused.reason).toBe('tls');
    const careless = client({ insecureSkipVerify: true, timeoutMs: 5000 }).http;
    expect((await careless.request({ url: 'https://registry.invalid/', operation: 'x' })).status).toBe(200);
  });
});
