import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startOciSimulator } from '../simulators/oci.ts';
import { createStore } from '../simulators/oci-store.ts';
import { parseExposition } from '../support/exposition-text.ts';
import { image, layer } from '../support/oci-image.ts';
import { eventually, freePort, type RunningProgram, tempDir } from '../support/programs.ts';
import { startExporter } from '../support/real-programs.ts';

/** The exporter as a process that is killed while registries send: an event counts once, whatever happens. */

const folder = tempDir();
const token = 'a-token-of-enough-length';
const rounds = process.env['LONG'] === '1' ? 100 : 6;
const senders = 24;
let port: number;
let simulator: Awaited<ReturnType<typeof startOciSimulator>>;
let exporter: RunningProgram;

const startAgain = async () => {
  exporter = await startExporter({
    config: join(folder.path, 'exporter.yaml'),
    port,
    storage: join(folder.path, 'storage'),
  });
};

beforeAll(async () => {
  const store = createStore();
  store.put('team/app', image({ layers: [layer('one')], created: 1_750_000_000 }), 'v1');
  simulator = await startOciSimulator({ store });
  port = await freePort();
  writeFileSync(
    join(folder.path, 'exporter.yaml'),
    `registries: [{ name: edge, type: oci, endpoint: "${simulator.url}", events: { token: ${token} } }]\n`,
  );
  await startAgain();
  await eventually(async () => {
    expect((await fetch(`http://127.0.0.1:${port}/-/ready`)).status).toBe(200);
  });
});
afterAll(async () => {
  await exporter.stop();
  await simulator.close();
  folder.remove();
});

/** Sends one event; whether it was answered with 202. */
async function send(id: string): Promise<boolean> {
  const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', repository: 'team/app' };
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/events/edge`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ events: [{ id, action: 'push', target }] }),
    });
    await answer.arrayBuffer();
    return answer.status === 202;
  } catch {
    return false;
  }
}

/** All of a counter's samples. */
async function sum(family: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return parseExposition(text)
    .filter(({ name }) => name === `container_registry_${family}`)
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((total, { value }) => total + value, 0);
}

test(`${rounds} times kill -9 while events come: what was answered is counted, and what is sent again counts once`, {
  timeout: 120_000 + rounds * 20_000,
}, async () => {
  let sent = 0;
  let answered = 0;
  let sendingMs = 0;
  for (let round = 0; round < rounds; round += 1) {
    let killed = false;
    const open: string[] = [];
    const begun = performance.now();
    const sending = Array.from({ length: senders }, async () => {
      while (!killed) {
        const id = `event-${sent}`;
        sent += 1;
        if (await send(id)) answered += 1;
        else open.push(id);
      }
    });
    await sleep(200 + Math.random() * 800);
    killed = true;
    exporter.process.kill('SIGKILL');
    sendingMs += performance.now() - begun;
    await Promise.all(sending);
    await exporter.stop();
    await startAgain();
    const counted = await sum('events_total', { outcome: 'accepted' });
    expect(counted).toBeGreaterThanOrEqual(answered);
    expect(counted).toBeLessThanOrEqual(sent);
    // As a registry does, with the ids that it used before.
    for (const id of open) expect(await send(id)).toBe(true);
    answered += open.length;
    expect(await sum('events_total', { outcome: 'accepted' })).toBe(sent);
  }
  expect(answered).toBe(sent);
  await eventually(async () =>
    expect([await sum('pushes_total', { repository: 'team/app' }), await sum('pushes_total')]).toEqual([
      sent,
      sent,
    ]),
  );
  console.log(`${sent} events, ${rounds} kills, ${Math.round(sent / (sendingMs / 1000))} events/s`);
});
