import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { holding, scripted, until } from './loop/scripted.ts';
import { startDaemon } from './support/running-daemon.ts';
import { onQuietMachine } from './support/timing.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});
const folder = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'daemon-'));
  open.push(() => rm(path, { recursive: true, force: true }));
  return path;
};
const registries = (...lines: string[]) =>
  `registries:\n${lines.map((line) => `  - { type: scripted, schedule: 24h, ${line} }\n`).join('')}`;

async function start(config: string) {
  const running = await startDaemon({ scripted: scripted(holding('app')).provider }, config);
  open.push(() => running.stop());
  const { daemon, text, reload } = running;
  const successful = async () => (await running.own()).match(/config_last_reload_successful (\d)$/m)?.[1];
  // Polled and published: nothing changes by itself from here on.
  await until(() => daemon.loops().every((loop) => loop.status().series > 0));
  await until(async () => (await running.labels('repository_tags')).length === daemon.loops().length);
  return { daemon, text, reload, successful };
}

test('a reload leaves an unchanged registry running, ends a removed one, and starts a new one', async () => {
  const { daemon, text, reload } = await start(registries('name: stays', 'name: goes'));
  const [before] = daemon.loops();
  expect(await text()).toContain('registry="goes"');
  await reload(registries('name: stays', 'name: comes'));
  expect(daemon.loops().map(({ name }) => name)).toEqual(['stays', 'comes']);
  expect(daemon.loops()[0]).toBe(before);
  expect(await text()).not.toContain('registry="goes"');
  expect(await text()).toMatch(/repository_tags\{registry="stays",.*\} 1/);
  await until(async () => /repository_tags\{registry="comes",/.test(await text()));
});

test('a configuration with a mistake is refused, the old one runs on, and the metric says 0', async () => {
  const { daemon, text, reload, successful } = await start(registries('name: stays'));
  const before = await text();
  expect(await successful()).toBe('1');
  await expect(reload(registries('name: stays', 'nam: typo'))).rejects.toThrow();
  expect(await successful()).toBe('0');
  expect(await text()).toBe(before);
  expect(daemon.loops()).toHaveLength(1);
  await reload(registries('name: stays'));
  expect(await successful()).toBe('1');
});

test('SIGTERM during a poll that hangs ends the process with 0 within 5 s', async () => {
  let asked = 0;
  const hanging = createServer(() => {
    asked += 1;
  });
  await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
  open.push(() => {
    hanging.closeAllConnections();
    hanging.close();
  });
  const path = await folder();
  const { port } = hanging.address() as AddressInfo;
  await writeFile(
    join(path, 'config.yaml'),
    `registries:\n  - { name: slow, type: oci, endpoint: "http://127.0.0.1:${port}" }\n`,
  );
  const child = spawn(process.execPath, [
    join(import.meta.dirname, '../src/main.ts'),
    `--config.file=${join(path, 'config.yaml')}`,
    '--web.listen-address=127.0.0.1:0',
    `--storage.path=${join(path, 'data')}`,
  ]);
  open.push(() => child.kill('SIGKILL'));
  let told = '';
  child.stderr.on('data', (chunk) => {
    told += String(chunk);
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await until(() => asked > 0 || child.exitCode !== null);
  expect(told).toContain('listening');
  const at = Date.now();
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  const took = Date.now() - at;
  onQuietMachine(() => expect(took).toBeLessThan(5000));
});
