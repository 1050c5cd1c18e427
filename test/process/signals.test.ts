import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../loop/scripted.ts';
import { createProcessTest, takesSignals } from '../support/exporter-process.ts';
import { programs } from '../support/programs.ts';

const root = join(import.meta.dirname, '../..');
let at: Awaited<ReturnType<typeof createProcessTest>>;
beforeEach(async () => {
  at = await createProcessTest();
});
afterEach(() => at.close());

describe.skipIf(process.platform !== 'linux')('from the first moment, before its modules are read', () => {
  test('SIGHUP does not end the exporter', async () => {
    const exporter = at.start();
    await until(() => takesSignals(exporter.child.pid ?? 0));
    expect(exporter.told()).toBe('');
    for (let count = 0; count < 20; count += 1) exporter.child.kill('SIGHUP');
    await exporter.url();
    expect(await exporter.metric('container_registry_exporter_config_last_reload_successful')).toBe(1);
    exporter.child.kill('SIGTERM');
    expect(await exporter.ended).toBe(0);
  });

  test('SIGTERM ends it with 0', async () => {
    const exporter = at.start();
    await until(() => takesSignals(exporter.child.pid ?? 0));
    exporter.child.kill('SIGTERM');
    expect(await exporter.ended).toBe(0);
  });

  test('main reads nothing else before it takes signals', () => {
    const main = readFileSync(join(root, 'src/main.ts'), 'utf8');
    expect(main.match(/^import (?!type )/gm)).toBeNull();
  });
});

test('many SIGHUPs at once are a few reloads', async () => {
  const exporter = at.start();
  await exporter.url();
  for (let count = 0; count < 500; count += 1) exporter.child.kill('SIGHUP');
  const reloads = () => exporter.told().match(/the configuration was read/g)?.length ?? 0;
  await until(() => reloads() >= 2);
  exporter.child.kill('SIGTERM');
  expect(await exporter.ended).toBe(0);
  expect(reloads()).toBeLessThan(100);
});

test('SIGHUP with a file that is wrong leaves the old configuration running, and says why once', async () => {
  const exporter = at.start(['--no-config.watch']);
  await exporter.url();
  at.writeConfig('registries: [{ name: edge, type: nothing }]');
  exporter.child.kill('SIGHUP');
  await until(() => exporter.told().includes('was refused'));
  expect(
    exporter.told().match(/level=error msg="the configuration was refused: the old one runs on"/g),
  ).toHaveLength(1);
  expect(await exporter.metric('container_registry_exporter_config_last_reload_successful')).toBe(0);
  await at.polled();
  at.writeConfig();
  exporter.child.kill('SIGHUP');
  await until(
    async () => (await exporter.metric('container_registry_exporter_config_last_reload_successful')) === 1,
  );
});

test('a file that changes is read again without a signal, and one that is wrong is refused', async () => {
  const exporter = at.start();
  await exporter.url();
  at.writeConfig('registries: [{ name: edge, type: nothing }]');
  await until(() => exporter.told().includes('was refused'));
  expect(await exporter.metric('container_registry_exporter_config_last_reload_successful')).toBe(0);
  at.writeConfig();
  await until(
    async () => (await exporter.metric('container_registry_exporter_config_last_reload_successful')) === 1,
  );
});

test.skipIf(!programs('npm'))('SIGTERM to npm ends the exporter that it runs', async () => {
  const npm = at.watch(
    spawn('npm', ['start', '--', `--config.file=${at.config}`, '--web.listen-address=127.0.0.1:0'], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    }),
  );
  const url = await npm.url();
  npm.child.kill('SIGTERM');
  await npm.ended;
  expect(npm.told()).toContain('msg=stopping signal=SIGTERM');
  await until(() =>
    fetch(url).then(
      () => false,
      () => true,
    ),
  );
});
