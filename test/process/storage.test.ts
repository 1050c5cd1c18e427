import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../loop/scripted.ts';
import { createProcessTest } from '../support/exporter-process.ts';

let at: Awaited<ReturnType<typeof createProcessTest>>;
beforeEach(async () => {
  at = await createProcessTest();
});
afterEach(() => at.close());

describe('two exporters with one storage folder', () => {
  test('the second one ends with 1 and says why; the first one is left alone', async () => {
    const first = at.start([`--storage.path=${at.storage}`]);
    await first.url();
    const second = at.start([`--storage.path=${at.storage}`]);
    expect(await second.ended).toBe(1);
    expect(second.told()).toBe(
      `--storage.path=${at.storage}: another exporter is using this folder: give each its own, or end the other one\n`,
    );
    await at.polled();
    expect(first.child.exitCode).toBeNull();
  });

  test('a folder is free again after kill -9', async () => {
    const first = at.start([`--storage.path=${at.storage}`]);
    await first.url();
    first.child.kill('SIGKILL');
    await first.ended;
    const second = at.start([`--storage.path=${at.storage}`]);
    await second.url();
    expect(second.told()).not.toContain('lock');
  });

  test('a link in the place of the lock is not followed: that is told, and polls go on', async () => {
    const elsewhere = join(at.folder, 'elsewhere');
    spawnSync('mkdir', ['-p', at.storage]);
    spawnSync('ln', ['-s', elsewhere, join(at.storage, 'lock')]);
    const exporter = at.start([`--storage.path=${at.storage}`]);
    await exporter.url();
    expect(exporter.told()).toContain('level=warn msg="the storage folder cannot be locked');
    expect(existsSync(elsewhere)).toBe(false);
    await at.polled();
  });
});

test('a storage path that cannot be a folder stops nothing: it is told, and the metric says so', async () => {
  writeFileSync(at.storage, '');
  const exporter = at.start([`--storage.path=${at.storage}`]);
  await until(async () => (await exporter.metric('container_registry_exporter_state_saved')) === 0);
  expect(await exporter.metric('container_registry_up')).toBe(1);
  expect(exporter.told().match(/level=error/g)?.length).toBeLessThanOrEqual(3);
  exporter.child.kill('SIGTERM');
  expect(await exporter.ended).toBe(0);
});

test('a storage folder that is removed while the exporter runs is made again', async () => {
  const exporter = at.start([`--storage.path=${at.storage}`]);
  await until(async () => (await exporter.metric('container_registry_exporter_state_saved')) === 1);
  rmSync(at.storage, { recursive: true });
  await until(() => existsSync(join(at.storage, 'edge.snapshot')));
  await until(async () => (await exporter.metric('container_registry_exporter_state_saved')) === 1);
});

test('a storage folder that was removed is locked again: a second exporter is still refused', async () => {
  const first = at.start([`--storage.path=${at.storage}`]);
  await first.url();
  rmSync(at.storage, { recursive: true });
  await until(() => first.told().includes('the storage folder is locked for this exporter now'));
  const second = at.start([`--storage.path=${at.storage}`]);
  expect(await second.ended).toBe(1);
  expect(second.told()).toContain('another exporter is using this folder');
  expect(first.child.exitCode).toBeNull();
});

test('an exporter whose folder was removed ends, when another one was quicker to take it', async () => {
  const exporter = at.start([`--storage.path=${at.storage}`]);
  await exporter.url();
  // The other one, as far as the lock goes: it stays locked while the folder gets its place.
  const other = `${at.storage}-other`;
  mkdirSync(other);
  const lock = new DatabaseSync(join(other, 'lock'));
  lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  await until(() => {
    rmSync(at.storage, { recursive: true, force: true });
    try {
      renameSync(other, at.storage);
      return true;
    } catch {
      // The exporter has made the folder again in between.
      return false;
    }
  });
  expect(await exporter.ended).toBe(1);
  expect(exporter.told()).toContain('the storage folder was removed, and another exporter took it');
  lock.close();
});

test('counters of another shape, with a checksum that fits, stop neither a start nor a reload', async () => {
  const first = at.start([`--storage.path=${at.storage}`]);
  await until(() => existsSync(join(at.storage, 'edge.counters')));
  first.child.kill('SIGTERM');
  await first.ended;
  const bend = `
    import { readLines, writeLines } from ${JSON.stringify(join(import.meta.dirname, '../../src/storage/files.ts'))};
    const [header] = await readLines(process.argv[1]);
    await writeLines(process.argv[1], [header, '{"polls":"many"}']);`;
  const args = ['--input-type=module', '-e', bend, join(at.storage, 'edge.counters')];
  expect(spawnSync(process.execPath, args, { encoding: 'utf8' })).toMatchObject({ status: 0 });
  const second = at.start([`--storage.path=${at.storage}`]);
  await until(async () => (await second.metric('container_registry_up')) === 1);
  expect(second.told()).toMatch(/level=warn msg="a saved counters file is damaged.*polls: /);
  expect(readdirSync(at.storage)).toContain('edge.counters.damaged');
});
