import { appendFile, lstat, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openMemory } from '../src/memory.ts';
import { createRandom } from './simulators/random.ts';
import { recordingLog } from './support/web.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'memory-'));
  lines.length = 0;
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const { log, lines } = recordingLog();
const open = (maxEntries = 100, name = 'memory.ndjson', target = 'https://r.example.com') =>
  openMemory({
    path: join(folder, name),
    target,
    log: log as never,
    maxEntries,
    now: () => 1000,
  });

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

test('what was learned of another registry under the same name is left out, and replaced', async () => {
  const first = await open();
  first.set('digest of app:v1', 'sha256:1');
  await first.flush();
  const other = await open(100, 'memory.ndjson', 'https://other.example.com');
  expect(other.get('digest of app:v1')).toBeUndefined();
  expect(lines).toEqual(['info the memory is of another version or another registry: starting without it']);
  other.set('digest of app:v1', 'sha256:2');
  await other.flush();
  expect((await open(100, 'memory.ndjson', 'https://other.example.com')).get('digest of app:v1')?.value).toBe(
    'sha256:2',
  );
  expect((await open()).size).toBe(0);
});

const alterations = process.env['LONG'] === '1' ? 5000 : 300;
test(`any bit that is altered costs its line and changes no other: ${alterations} random ones`, async () => {
  const first = await open();
  for (let number = 0; number < 50; number += 1)
    first.set(`size of sha256:${number}`, { bytes: 1000 + number });
  await first.flush();
  const file = join(folder, 'memory.ndjson');
  const good = await readFile(file);
  const random = createRandom(8);
  for (let round = 0; round < alterations; round += 1) {
    const bad = Buffer.from(good);
    const at = Math.floor(random() * bad.length);
    bad[at] = (bad[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    await writeFile(file, bad);
    const memory = await open();
    let missing = 0;
    for (let number = 0; number < 50; number += 1) {
      const known = memory.get<{ bytes: number }>(`size of sha256:${number}`)?.value;
      if (known === undefined) missing += 1;
      else expect(known).toEqual({ bytes: 1000 + number });
    }
    // The first line says of which registry the others are, and a line break that is altered costs two.
    expect(missing === 50 || missing <= 2).toBe(true);
    expect(memory.size).toBe(50 - missing);
  }
});

test('damaged lines are told with the name of the file, and are gone from it with the next flush', async () => {
  const first = await open();
  for (const key of ['a', 'b', 'c']) first.set(key, 1);
  await first.flush();
  const file = join(folder, 'memory.ndjson');
  await writeFile(file, (await readFile(file, 'utf8')).replace('["a"', '["x"').replace('["b"', '["y"'));
  let fields: object = {};
  const memory = await openMemory({
    path: file,
    target: 'https://r.example.com',
    log: { ...log, warn: (given: object) => (fields = given) } as never,
  });
  expect(fields).toEqual({ file, damaged: 2, lines: 4 });
  memory.set('d', 1);
  await memory.flush();
  expect((await open()).size).toBe(2);
  expect(lines).toEqual([]);
});

test('what is stored in the future is as old as can be: it is never fresh until then', async () => {
  let now = 5000;
  const memory = await openMemory({ path: undefined, target: '', log: log as never, now: () => now });
  memory.set('findings', 1);
  now = 1000;
  expect(memory.get('findings')).toEqual({ value: 1, storedAt: 0 });
  now = 5000;
  expect(memory.get('findings')).toEqual({ value: 1, storedAt: 5000 });
});

test('a file that somebody removed is written again with all that is remembered', async () => {
  const memory = await open();
  memory.set('a', 1);
  await memory.flush();
  await rm(folder, { recursive: true });
  memory.set('b', 2);
  await memory.flush();
  const again = await open();
  expect([again.get('a')?.value, again.get('b')?.value]).toEqual([1, 2]);
});

test('a link in the place of the file is not followed: neither read nor written', async () => {
  const elsewhere = join(folder, 'elsewhere');
  const file = join(folder, 'memory.ndjson');
  await writeFile(elsewhere, 'precious\n');
  await symlink(elsewhere, file);
  await writeFile(join(folder, 'other'), 'precious\n');
  await symlink(join(folder, 'other'), `${file}.tmp`);
  const memory = await open();
  expect(lines).toEqual([
    `warn the memory cannot be read: immutable things are fetched once more ${file} is a link: it is not followed`,
  ]);
  memory.set('a', 1);
  await memory.flush();
  expect(await readFile(elsewhere, 'utf8')).toBe('precious\n');
  expect(await readFile(join(folder, 'other'), 'utf8')).toBe('precious\n');
  expect((await lstat(file)).isFile()).toBe(true);
  expect((await open()).get('a')?.value).toBe(1);
});

test('what is remembered while the log is being written is kept', async () => {
  const memory = await open(100_000);
  for (let number = 0; number < 20_000; number += 1) memory.set(`key-${number}`, number);
  const first = memory.flush();
  for (let number = 0; number < 20_000; number += 1) memory.get(`key-${number}`);
  memory.set('late', 1);
  await Promise.all([first, memory.flush()]);
  const again = await open(100_000);
  expect([again.size, again.get('late')?.value]).toEqual([20_001, 1]);
});
