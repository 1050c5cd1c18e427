import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openMemory } from '../src/memory.ts';
import { recordingLog } from './support/web.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'memory-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const open = (maxEntries = 100, name = 'memory.ndjson') =>
  openMemory({ path: join(folder, name), log: recordingLog().log as never, maxEntries, now: () => 1000 });

test('what was flushed is remembered after a restart, whatever characters it has', async () => {
  const first = await open();
  const value = { text: 'line\u2028separator\u2029\n"quoted"' };
  first.set('key\u2028', value);
  await first.flush();
  expect((await open()).get('key\u2028')).toEqual({ value, storedAt: 1000 });
});

test('a line that a crash cut short costs only itself', async () => {
  const first = await open();
  first.set('a', 1);
  await first.flush();
  await appendFile(join(folder, 'memory.ndjson'), '["b",1000,{"ha');
  const second = await open();
  second.set('c', 3);
  await second.flush();
  const third = await open();
  expect([third.get('a')?.value, third.get('b')?.value, third.get('c')?.value]).toEqual([1, undefined, 3]);
});

test('beyond its bound the least recently used goes first', async () => {
  const memory = await open(2);
  memory.set('a', 1);
  memory.set('b', 2);
  memory.get('a');
  memory.set('c', 3);
  expect([memory.size, memory.get('a')?.value, memory.get('b')]).toEqual([2, 1, undefined]);
});

test('the log is rewritten when mostly stale: its size stays bounded', async () => {
  const memory = await open(10);
  for (let round = 0; round < 100; round += 1) {
    for (let key = 0; key < 500; key += 1) memory.set(`key-${key}`, round);
    await memory.flush();
  }
  const text = await readFile(join(folder, 'memory.ndjson'), 'utf8');
  expect(text.split('\n').length).toBeLessThan(22_000);
  expect((await open(10)).get('key-499')?.value).toBe(99);
});

test('what could not be saved is saved when the disk takes it again', async () => {
  const blocked = join(folder, 'sub');
  await writeFile(blocked, '');
  const memory = await open(100, 'sub/memory.ndjson');
  memory.set('a', 1);
  await expect(memory.flush()).rejects.toThrow();
  await rm(blocked);
  await memory.flush();
  expect((await stat(join(blocked, 'memory.ndjson'))).size).toBeGreaterThan(0);
  expect((await open(100, 'sub/memory.ndjson')).get('a')?.value).toBe(1);
});
