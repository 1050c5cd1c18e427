import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../loop/scripted.ts';
import { createProcessTest } from '../support/exporter-process.ts';
import { programs } from '../support/programs.ts';

let at: Awaited<ReturnType<typeof createProcessTest>>;
beforeEach(async () => {
  at = await createProcessTest();
});
afterEach(() => at.close());

const there = programs('gcc');

/** Makes calls of a process wait for as long as the file is there that `hang` makes. */
function hanging(under: string): NodeJS.ProcessEnv {
  const library = join(at.folder, 'hanging-calls.so');
  const source = join(import.meta.dirname, '../support/hanging-calls.c');
  const { status, stderr } = spawnSync('gcc', ['-shared', '-fPIC', '-o', library, source, '-ldl'], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return { LD_PRELOAD: library, HANG_UNDER: under, HANG_WHILE: flag() };
}
const flag = () => join(at.folder, 'hangs');
const hang = () => writeFileSync(flag(), '');
const release = () => rmSync(flag());

describe.skipIf(!there)('while the storage folder hangs, as a network volume does', () => {
  const start = () =>
    at.start([`--storage.path=${at.storage}`], {
      env: hanging(at.storage),
    });

  test('polls and scrapes go on, the metric says that nothing is saved, and saving goes on when it answers again', async () => {
    const exporter = start();
    await until(async () => (await exporter.metric('container_registry_exporter_state_saved')) === 1);
    hang();
    await until(async () => (await exporter.metric('container_registry_exporter_state_saved')) === 0);
    expect(exporter.told()).toContain('the storage folder has not answered for 10 s');
    await at.polled();
    expect(await exporter.metric('container_registry_up')).toBe(1);
    release();
    await until(async () => (await exporter.metric('container_registry_exporter_state_saved')) === 1);
    expect(exporter.told()).toContain('saving the snapshot works again');
  });

  test('SIGTERM ends the exporter within its five seconds, with 0', async () => {
    const exporter = start();
    await until(async () => (await exporter.metric('container_registry_exporter_state_saved')) === 1);
    hang();
    await at.polled();
    const at0 = performance.now();
    exporter.child.kill('SIGTERM');
    expect(await exporter.ended).toBe(0);
    // Five, and what a machine with much else to do takes.
    expect(performance.now() - at0).toBeLessThan(50_000);
  });

  test('a start goes on without what was saved, and can be ended', async () => {
    hang();
    const exporter = start();
    await exporter.url();
    expect(exporter.told()).toContain('the storage folder cannot be locked');
    await at.polled();
    exporter.child.kill('SIGTERM');
    expect(await exporter.ended).toBe(0);
  });
});

test.skipIf(!there)(
  'while a name server does not answer, SIGTERM ends the exporter within its five seconds, with 0',
  async () => {
    hang();
    at.writeConfig(
      'registries: [{ name: far, type: oci, endpoint: "http://registry.example.com", schedule: 1s }]',
    );
    const exporter = at.start([], { env: hanging('registry.example.com') });
    await exporter.url();
    await until(async () => ((await exporter.metric('process_start_time_seconds')) ?? 0) > 0);
    exporter.child.kill('SIGTERM');
    expect(await exporter.ended).toBe(0);
  },
  120_000,
);
