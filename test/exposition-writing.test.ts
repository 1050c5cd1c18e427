import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as realSleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createExposition, negotiate, writeBody } from '../src/exposition.ts';
import type { PackedView } from '../src/metrics.ts';
import { packTotals } from '../src/totals.ts';
import { totalsOf, viewOf } from './support/app.ts';

const open: (() => void)[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const close of open.splice(0)) close();
});

describe('what a client asks for', () => {
  test.each([
    // Of two that are wanted alike, OpenMetrics and gzip.
    ['application/openmetrics-text;version=1.0.0;q=0.5, text/plain;version=0.0.4;q=0.5', 'openmetrics'],
    ['text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.5', 'openmetrics'],
    ['text/plain;q=0.6, application/openmetrics-text;version=1.0.0;q=0.5', 'text'],
    // The best of several lines for one format, in whatever order.
    [
      'application/openmetrics-text;q=0.9, text/plain;q=0.5, application/openmetrics-text;q=0.1',
      'openmetrics',
    ],
    ['text/plain;q=0.9, application/openmetrics-text;q=0.5, text/plain;q=0.1', 'text'],
    ['application/openmetrics-text;version="1.0.0"', 'openmetrics'],
    ['application/openmetrics-text ; version = "1.0.0" ; q = 0.9, text/plain;q=0.5', 'openmetrics'],
    ['application/openmetrics-text;version="1.0.0"x', 'text'],
    ['text/plain;version=0.0.5, application/openmetrics-text;q=0.5', 'openmetrics'],
    ['application/openmetrics-text;q=0', 'text'],
    ['application/openmetrics-text;q=nonsense', 'text'],
    ['', 'text'],
  ])('Accept: %s → %s', (accept, format) => {
    expect(negotiate(accept, undefined).format).toBe(format);
  });

  test.each([
    ['gzip;q=0.5, identity;q=0.5', 'gzip'],
    ['gzip;q=0.4, identity;q=0.5', 'identity'],
    ['identity;q=0.5, *;q=0.6', 'gzip'],
    ['x-gzip', 'gzip'],
    ['gzip;q=0', 'identity'],
    ['*;q=0', 'identity'],
    ['br', 'identity'],
  ])('Accept-Encoding: %s → %s', (acceptEncoding, encoding) => {
    expect(negotiate(undefined, acceptEncoding).encoding).toBe(encoding);
  });
});

describe('a body', () => {
  const bytes = Buffer.alloc(64 * 2 ** 20, 'x');

  /** A server that writes a body larger than any socket's buffers, and a client that asked for it and does not read. */
  async function requested() {
    const begun = Promise.withResolvers<{ readonly socket: Socket; readonly written: Promise<void> }>();
    const server = createServer((request, response) => {
      const written = writeBody(response, { headers: {}, length: bytes.length, buffers: () => [bytes] });
      begun.resolve({ socket: request.socket, written });
    });
    open.push(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
    open.push(() => client.destroy());
    client.on('error', () => {});
    client.pause();
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    const { socket, written } = await begun.promise;
    // Until the buffers in between are full.
    for (let before = -1; before !== socket.bytesWritten || vi.getTimerCount() === 0; ) {
      before = socket.bytesWritten;
      await realSleep(300);
    }
    return { client, written };
  }

  test('is cut off for a client that takes nothing for 15 seconds, and not a moment before', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { client, written } = await requested();
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    let ended = false;
    void written.then(() => {
      ended = true;
    });
    vi.advanceTimersByTime(14_999);
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toBe(false);
    vi.advanceTimersByTime(1);
    await written;
    client.resume();
    await closed;
    expect(client.bytesRead).toBeLessThan(bytes.length);
  });

  test('is written to its end for one that begins to read in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { client, written } = await requested();
    vi.advanceTimersByTime(14_999);
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    client.resume();
    await Promise.all([written, closed]);
    expect(client.bytesRead).toBeGreaterThan(bytes.length);
    // Nothing is left that would cut off whoever comes next on this connection.
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('plain text', () => {
  const repositories = new Map<string, PackedView>(
    Array.from({ length: 300 }, (_, at) => [`app-${at}`, { totals: packTotals(totalsOf(`app-${at}`)) }]),
  );
  const buffers = async (exposition: ReturnType<typeof createExposition>): Promise<Buffer[]> => {
    const all: Buffer[] = [];
    for await (const buffer of exposition.body('text', 'identity', '').buffers()) all.push(buffer);
    return all;
  };

  test('is kept while somebody asks for it, and given up ten minutes after', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const exposition = createExposition();
    const publish = () => exposition.publish('edge', { view: viewOf('edge'), repositories });
    const shared = (one: Buffer[], other: Buffer[]) => one.filter((buffer) => other.includes(buffer)).length;
    await publish();
    const first = await buffers(exposition);
    await publish();
    const second = await buffers(exposition);
    // The headers are always plain; those of the registry itself are made anew.
    expect(shared(first, second)).toBeGreaterThan(10);
    vi.advanceTimersByTime(600_000);
    await publish();
    const third = await buffers(exposition);
    expect(Buffer.concat(third).equals(Buffer.concat(second))).toBe(true);
    expect(shared(second, third)).toBeLessThan(shared(first, second));
  });
});
