import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { startApp } from '../support/app.ts';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

function open(url: string): Socket {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}
const scrape = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n';

test('one connection that sends many scrapes and reads none does not stop the others', async () => {
  const app = await startApp({ maxRequests: 4 });
  for (const requests of [1, 8, 40]) {
    const socket = open(app.url);
    socket.pause();
    socket.write(scrape.repeat(requests));
  }
  for (let turn = 0; turn < 5; turn += 1) expect((await fetch(`${app.url}/metrics`)).status).toBe(200);
  await app.close();
});

test('requests on one connection are answered in order', async () => {
  const app = await startApp({ maxRequests: 1 });
  const socket = open(app.url);
  let text = '';
  socket.on('data', (data) => (text += data.toString()));
  socket.write(`${scrape.repeat(2)}GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['200', '200', '200']);
  expect(text.endsWith('healthy\n')).toBe(true);
  await app.close();
});

test('paths are exact in case', async () => {
  const app = await startApp({});
  const statuses = await Promise.all(
    ['/metrics', '/Metrics', '/-/HEALTHY', '/API/v1/status', '/EVENTS/edge'].map(
      async (path) => (await fetch(app.url + path)).status,
    ),
  );
  expect(statuses).toEqual([200, 404, 404, 404, 404]);
  await app.close();
});
