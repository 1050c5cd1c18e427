import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { packTotals } from '../../src/totals.ts';
import { startApp, totalsOf, viewOf } from './app.ts';

/**
 * Run as a process of its own by test/server/slow-readers.test.ts: serves about 11 MB to so many clients that never
 * read, and prints by how much the resident memory grew.
 */
const clients = Number(process.argv[2]);
const app = await startApp({ maxRequests: 0 });
const repositories = new Map(
  Array.from({ length: 44_000 }, (_, number) => {
    const name = `team/a-rather-long-name-of-a-repository-number-${number}`;
    return [name, { totals: packTotals(totalsOf(name)) }];
  }),
);
await app.exposition.publish('edge', { view: viewOf('edge'), repositories });
const port = Number(new URL(app.url).port);
const whole = await (await fetch(`${app.url}/metrics`)).arrayBuffer();
// Asked for, the plain text is kept from the next publish on.
await app.exposition.publish('edge', { view: viewOf('edge'), repositories });
// As a process that has been scraped for a while: its heap has the size that scrapes need.
for (let turn = 0; turn < 60; turn += 1) await (await fetch(`${app.url}/metrics`)).arrayBuffer();
globalThis.gc?.();
await sleep(500);
const before = process.memoryUsage.rss();
// The clients live in a process of their own, so that their memory is not counted.
const client = `
  const { connect } = require('node:net');
  for (let left = ${clients}; left > 0; left -= 1) {
    const socket = connect({ port: ${port}, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.pause();
    socket.write('GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\nAccept-Encoding: identity\\r\\n\\r\\n');
  }`;
const child = spawn(process.execPath, ['--eval', client], { stdio: 'inherit' });
let most = before;
for (let turn = 0; turn < 30; turn += 1) {
  await sleep(100);
  most = Math.max(most, process.memoryUsage.rss());
}
const startedAt = performance.now();
const others = await (await fetch(`${app.url}/metrics`)).arrayBuffer();
const scrapeMs = performance.now() - startedAt;
console.log(
  JSON.stringify({
    bodyBytes: whole.byteLength,
    grownBytes: most - before,
    scrapeMs,
    complete: others.byteLength >= whole.byteLength * 0.99,
  }),
);
child.kill();
process.exit(0);
