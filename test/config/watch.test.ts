import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { watchContent } from '../../src/config/watch.ts';
import { until } from '../loop/scripted.ts';
import { programs, tempDir } from '../support/programs.ts';

/** A configuration file that changes is read again; see docs/configuration.md. */

const everyMs = 20;
const folder = tempDir();
let changes = 0;
let stop: (() => void) | undefined;
afterEach(() => {
  stop?.();
  changes = 0;
});

async function watched(file: string): Promise<void> {
  stop = await watchContent(file, everyMs, () => (changes += 1));
}

const volume = (name: string): string => {
  const path = join(folder.path, name);
  mkdirSync(path);
  return path;
};

/** Writes a volume as the kubelet does: files in a folder with a time in its name, links that are swapped at once. */
function project(path: string, version: string, content: string): void {
  mkdirSync(join(path, version));
  writeFileSync(join(path, version, 'exporter.yaml'), content);
  symlinkSync(version, join(path, '..data_tmp'));
  renameSync(join(path, '..data_tmp'), join(path, '..data'));
}

test('a file that is written anew is told once', async () => {
  const file = join(volume('plain'), 'exporter.yaml');
  writeFileSync(file, 'a');
  await watched(file);
  expect(changes).toBe(0);
  writeFileSync(file, 'b');
  await until(() => changes > 0);
  await sleep(10 * everyMs);
  expect(changes).toBe(1);
});

test('a link that is swapped far above the file, as in the volume of a ConfigMap', async () => {
  const path = volume('projected');
  project(path, '..2026_11_26_a', 'a');
  const file = join(path, 'exporter.yaml');
  symlinkSync(join('..data', 'exporter.yaml'), file);
  await watched(file);
  project(path, '..2026_11_26_b', 'b');
  await until(() => changes === 1);
  project(path, '..2026_11_26_c', 'c');
  await until(() => changes === 2);
});

test('the same content in another file, a file that is gone for a moment, and one that stays gone are no change', async () => {
  const file = join(volume('gone'), 'exporter.yaml');
  writeFileSync(file, 'a');
  await watched(file);
  rmSync(file);
  await sleep(10 * everyMs);
  writeFileSync(file, 'a');
  await sleep(10 * everyMs);
  rmSync(file);
  await sleep(10 * everyMs);
  expect(changes).toBe(0);
});

test('a file that comes back with another content is one', async () => {
  const file = join(volume('back'), 'exporter.yaml');
  writeFileSync(file, 'a');
  await watched(file);
  rmSync(file);
  await sleep(5 * everyMs);
  writeFileSync(file, 'b');
  await until(() => changes === 1);
});

test.skipIf(!programs('mkfifo'))(
  'a pipe is not read: what reads the configuration would find it empty',
  async () => {
    const pipe = join(volume('pipe'), 'exporter.yaml');
    execFileSync('mkfifo', [pipe]);
    await watched(pipe);
    const [, text] = await Promise.all([writeFile(pipe, 'registries: []'), readFile(pipe, 'utf8')]);
    expect(text).toBe('registries: []');
  },
);
