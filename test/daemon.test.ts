import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createExposition, type Exposition } from '../src/exposition.ts';
import type { Provider } from '../src/provider.ts';
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

interface Options {
  readonly provider?: Provider;
  readonly exposition?: Exposition;
}

async function start(
  config: string,
  { provider = scripted(holding('app')).provider, ...options }: Options = {},
) {
  const running = await startDaemon({ scripted: provider }, config, options);
  open.push(() => running.stop());
  const { daemon, text, reload } = running;
  const successful = async () => (await running.own()).match(/config_last_reload_successful (\d)$/m)?.[1];
  // Polled and published: nothing changes by itself from here on.
  await until(() => daemon.loops().every((loop) => loop.status().series > 0));
  await until(async () => (await running.labels('repository_tags')).length === daemon.loops().length);
  return { daemon, text, reload, successful, lines: running.lines };
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

test('a registry that cannot be started makes the reload fail before anything is changed, where that is seen before', async () => {
  const { provider } = scripted(holding('app'));
  const refusing: Provider = {
    ...provider,
    identity(options) {
      if ((options as { endpoint?: string }).endpoint === 'impossible') throw new Error('no such place');
      return provider.identity(options);
    },
  };
  const { daemon, text, reload, successful } = await start(registries('name: a', 'name: b'), {
    provider: refusing,
  });
  const [loops, before] = [daemon.loops(), await text()];
  await expect(reload(registries('name: c', 'name: b, endpoint: impossible'))).rejects.toThrow(
    'no such place',
  );
  expect(daemon.loops()).toEqual(loops);
  expect(await text()).toBe(before);
  expect(await successful()).toBe('0');
});

test('a registry that fails while it is started brings all others back to what they were', async () => {
  const exposition = createExposition();
  const failing: Exposition = {
    ...exposition,
    async publish(registry, ...rest) {
      if (registry === 'fails') throw new Error('this one cannot be published');
      return exposition.publish(registry, ...rest);
    },
  };
  const { daemon, reload, successful, text } = await start(
    registries('name: stays', 'name: changes', 'name: goes'),
    {
      exposition: failing,
    },
  );
  const [stays] = daemon.loops();
  const next = registries(
    'name: stays',
    'name: comes',
    'name: changes, timeout: 1m',
    'name: fails',
    'name: late',
  );
  await expect(reload(next)).rejects.toThrow('this one cannot be published');
  expect(await successful()).toBe('0');
  expect(daemon.loops().map(({ name }) => name)).toEqual(['stays', 'changes', 'goes']);
  expect(daemon.loops()[0]).toBe(stays);
  await until(async () => /repository_tags\{registry="goes",/.test(await text()));
  await until(async () => /repository_tags\{registry="changes",/.test(await text()));
  expect(await text()).not.toMatch(/registry="(comes|fails|late)"/);
  // What failed is not remembered as being there: the next reload does what it says.
  await reload(registries('name: stays', 'name: comes'));
  expect(daemon.loops().map(({ name }) => name)).toEqual(['stays', 'comes']);
  expect(await successful()).toBe('1');
});

test('reloads that come while one waits are one', async () => {
  const { daemon, lines } = await start(registries('name: stays'));
  const read = () => lines.filter((line) => line.includes('the configuration was read')).length;
  const before = read();
  await Promise.all(Array.from({ length: 50 }, () => daemon.reload()));
  expect(read() - before).toBe(1);
});

test('the same name with another endpoint shows nothing of the old one', async () => {
  const storagePath = await folder();
  const first = scripted(holding('app'));
  const running = await startDaemon({ scripted: first.provider }, registries('name: edge, endpoint: one'), {
    storagePath,
  });
  open.push(() => running.stop());
  await until(async () => (await running.labels('repository_tags')).length === 1);
  first.say(async function* () {
    yield await new Promise<never>(() => {});
  });
  await running.reload(registries('name: edge, endpoint: two'));
  expect(await running.labels('repository_tags')).toEqual([]);
  expect(await running.text()).toContain(
    'container_registry_polls_total{registry="edge",provider="scripted"} 0',
  );
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
