import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { eventually, freePort } from '../test/support/programs.ts';
import { startExporter } from '../test/support/real-programs.ts';

/**
 * Push events per second, each answered when its count is on disk: one sender that waits for each answer, as the
 * distribution registry does, and many at once. The exporter is a process of its own.
 */

const seconds = 5;
const token = 'a-token-of-enough-length';
const folder = mkdtempSync(join(tmpdir(), 'bench-events-'));
const registry = createServer((incoming, response) => {
  response.setHeader('content-type', 'application/json');
  const path = incoming.url ?? '';
  if (path.startsWith('/v2/_catalog')) response.end('{"repositories":[]}');
  else response.writeHead(path === '/v2/' ? 200 : 404).end('{}');
});
await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
const port = await freePort();
const config = join(folder, 'exporter.yaml');
writeFileSync(
  config,
  `registries:
  - { name: edge, type: oci, endpoint: "http://127.0.0.1:${(registry.address() as AddressInfo).port}", events: { token: ${token} } }
`,
);
const exporter = await startExporter({ config, port, storage: join(folder, 'storage') });
await eventually(async () => {
  const ready = await fetch(`http://127.0.0.1:${port}/-/ready`);
  if (ready.status !== 200) throw new Error('not ready');
});

/** CPU time of the exporter so far, in milliseconds: ticks of 10 ms, https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function cpuMs(): number {
  const fields = readFileSync(`/proc/${exporter.process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function run(senders: number): Promise<void> {
  const dispatcher = new Agent({ connections: senders });
  const took: number[] = [];
  let refused = 0;
  const cpuBefore = cpuMs();
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: senders }, async (_, sender) => {
      for (let at = 0; performance.now() < end; at += 1) {
        const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', repository: 'team/app' };
        const began = performance.now();
        const { statusCode, body } = await request(`http://127.0.0.1:${port}/events/edge`, {
          method: 'POST',
          dispatcher,
          headers: { authorization: `Bearer ${token}` },
          body: JSON.stringify({ events: [{ id: `${senders}-${sender}-${at}`, action: 'push', target }] }),
        });
        await body.dump();
        if (statusCode === 202) took.push(performance.now() - began);
        else refused += 1;
      }
    }),
  );
  await dispatcher.close();
  took.sort((a, b) => a - b);
  const at = (share: number) => `${(took[Math.floor(took.length * share)] ?? Number.NaN).toFixed(1)} ms`;
  console.log(
    `${senders} senders: ${Math.round(took.length / seconds)} events/s, median ${at(0.5)}, p99 ${at(0.99)}, refused ${refused}, ${((cpuMs() - cpuBefore) / (took.length + refused)).toFixed(2)} ms of CPU each`,
  );
}

console.log(
  `file system of ${folder}: ${execFileSync('stat', ['-f', '-c', '%T', folder], { encoding: 'utf8' }).trim()}`,
);
for (const senders of [1, 8, 32, 120]) await run(senders);
await exporter.stop();
registry.close();
rmSync(folder, { recursive: true });
