import { spawn } from 'node:child_process';
import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { createStorage } from '../src/storage.ts';
import { holding, scripted } from './loop/scripted.ts';
import { snapshotOf } from './storage/snapshots.ts';
import { runLoop } from './support/running-loop.ts';
import { recordingLog } from './support/web.ts';

const folders: string[] = [];
const folder = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'storage-'));
  folders.push(path);
  return path;
};
afterEach(async () => {
  for (const path of folders.splice(0)) await rm(path, { recursive: true, force: true });
});
const open = (path: string, target = 'test', registry = 'edge') => {
  const { log, lines } = recordingLog();
  return { ...createStorage({ path, registry, target, log: log as never }), lines };
};

test('a snapshot is read back as it was saved', async () => {
  const path = await folder();
  await open(path).saveSnapshot(snapshotOf(1000));
  expect(await open(path).loadSnapshot()).toEqual(snapshotOf(1000));
});

test('a snapshot of another target is not served under the name', async () => {
  const path = await folder();
  await open(path).saveSnapshot(snapshotOf(1000));
  expect(await open(path, 'other').loadSnapshot()).toBeUndefined();
});

describe('a damaged snapshot is set aside', () => {
  const damages: [string, (file: string) => Promise<unknown>][] = [
    ['cut short', (file) => truncate(file, 5000)],
    ['empty', (file) => truncate(file, 0)],
    ['longer', (file) => appendFile(file, 'x')],
    ['altered', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace('1000', '2000'))],
    ['no text at all', (file) => writeFile(file, Buffer.from([0xff, 0, 0x0a, 0xfe]))],
  ];
  test.each(damages)('when it is %s', async (_how, damage) => {
    const path = await folder();
    await open(path).saveSnapshot(snapshotOf(1000));
    await damage(join(path, 'edge.snapshot'));
    expect(await open(path).loadSnapshot()).toBeUndefined();
    expect(await readdir(path)).toEqual(['edge.snapshot.damaged']);
    await open(path).saveSnapshot(snapshotOf(3000));
    expect((await open(path).loadSnapshot())?.observedAt).toBe(3000);
  });
});

const kills = process.env['LONG'] === '1' ? 500 : 20;
test(`${kills} times kill -9 while saving: no snapshot is lost or damaged, and none goes back`, {
  timeout: kills * 3000,
}, async () => {
  const path = await folder();
  let last = 0;
  for (let round = 0; round < kills; round += 1) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'storage/saver.ts'), path]);
    let told = '';
    const closed = new Promise((resolve) => child.once('close', resolve));
    await new Promise<void>((resolve) =>
      child.stdout.on('data', (chunk) => {
        told += String(chunk);
        resolve();
      }),
    );
    await sleep(Math.random() * 40);
    child.kill('SIGKILL');
    await closed;
    const { loadSnapshot, lines } = open(path);
    const loaded = await loadSnapshot();
    const claimed = Number(told.slice(0, told.lastIndexOf('\n')).split('\n').at(-1));
    expect(loaded?.observedAt).toBeGreaterThanOrEqual(claimed);
    expect(claimed).toBeGreaterThan(last);
    expect(loaded).toEqual(snapshotOf(loaded?.observedAt ?? 0));
    expect(lines).toEqual([]);
    last = loaded?.observedAt ?? 0;
  }
});

test('a folder that cannot be written is told once, and what was polled is exported', async () => {
  // A file where the folder should be fails for every user, also for root.
  const storagePath = join(await folder(), 'file');
  await writeFile(storagePath, '');
  const loop = await runLoop(scripted(holding('app')).provider, {}, { storagePath: join(storagePath, 'in') });
  for (let poll = 0; poll < 3; poll += 1) await loop.poll();
  expect(await loop.lines('up', 'repository_tags')).toEqual([
    'up{} 1',
    'repository_tags{repository="app"} 1',
  ]);
  expect(loop.log().match(/level=error .*the snapshot cannot be saved/g)).toHaveLength(1);
  expect(loop.log().match(/level=error .*the counters cannot be saved/g)).toHaveLength(1);
  expect(await loop.value('exporter_state_saved')).toBe(0);
  const shown = loop.loop.status().errors.map(({ reason, message }) => `${reason}: ${message}`);
  expect(shown.filter((one) => /^internal: the snapshot cannot be saved: ENOTDIR/.test(one))).toHaveLength(1);
  await loop.stop();
});

test('a full disk leaves the last good snapshot and no rubbish', async () => {
  const path = await folder();
  await open(path).saveSnapshot(snapshotOf(1, 3));
  // A limit on the size of files stands for the full disk: 4 blocks of 1024 bytes, SIGXFSZ ignored as node does.
  const program = `
    import { createStorage } from ${JSON.stringify(join(import.meta.dirname, '../src/storage.ts'))};
    import { snapshotOf } from ${JSON.stringify(join(import.meta.dirname, 'storage/snapshots.ts'))};
    process.on('SIGXFSZ', () => {});
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const storage = createStorage({ path: process.argv[1], registry: 'edge', target: 'test', log });
    await storage.saveSnapshot(snapshotOf(2)).then(() => console.log('saved'), (error) => console.log(error.code));`;
  const child = spawn('bash', [
    '-c',
    'ulimit -f 4; exec "$0" --input-type=module -e "$1" "$2"',
    process.execPath,
    program,
    path,
  ]);
  let told = '';
  child.stdout.on('data', (chunk) => {
    told += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    told += String(chunk);
  });
  await new Promise((resolve) => child.once('close', resolve));
  expect(told).toBe('EFBIG\n');
  expect(await readdir(path)).toEqual(['edge.snapshot']);
  expect(await open(path).loadSnapshot()).toEqual(snapshotOf(1, 3));
});
