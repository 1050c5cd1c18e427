import { spawn, spawnSync } from 'node:child_process';
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { writeLines } from '../src/storage/files.ts';
import { createStorage, type SavedCounters } from '../src/storage.ts';
import { holding, scripted } from './loop/scripted.ts';
import { snapshotOf } from './storage/snapshots.ts';
import { totalsOf } from './support/app.ts';
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

const counters = {
  polls: 7,
  failures: { dns: 1 },
  pushes: { app: { pushes: 2, failures: { denied: 1 } } },
  requests: [['tags', '200', 3]],
  events: [['oci', 'counted', 2]],
} satisfies SavedCounters;

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

test('counters of another target are not counted on under the name', async () => {
  const path = await folder();
  await open(path).saveCounters(counters);
  expect(await open(path).loadCounters()).toEqual(counters);
  const other = open(path, 'other');
  expect(await other.loadCounters()).toBeUndefined();
  expect(other.lines).toEqual([
    'info the saved counters file is of another registry that had this name: starting without it',
  ]);
});

describe('a file whose checksum fits, but which has another shape', () => {
  const header = (more: object = {}) =>
    JSON.stringify({ version: 2, target: 'test', identity: {}, facts: {}, observedAt: 1000, ...more });
  const line = (totals: object) =>
    JSON.stringify({ totals: { ...totalsOf('app'), ...totals }, observedAt: 1000 });

  const odd: [string, string[], string][] = [
    ['is no JSON', ['{'], 'a line is no JSON'],
    ['has nothing in it', [], 'a line is no JSON'],
    ['is a list', ['[]'], 'another shape'],
    ['is null', ['null'], 'another shape'],
    ['has text for a time', [header({ observedAt: 'now' })], 'observedAt: '],
    ['has a size that is no number', [header({ facts: { storageBytes: '1' } })], 'facts.storageBytes: '],
    [
      'has infinite bytes',
      [header().replace('"facts":{}', '"facts":{"storageBytes":1e999}')],
      'facts.storageBytes',
    ],
    ['has quotas that are no list', [header({ facts: { quotas: {} } })], 'facts.quotas: '],
  ];
  test.each(odd)('a snapshot that %s is set aside, with what is wrong', async (_what, lines, message) => {
    const path = await folder();
    await writeLines(join(path, 'edge.snapshot'), lines);
    const { loadSnapshot, lines: told } = open(path);
    expect(await loadSnapshot()).toBeUndefined();
    expect(told).toEqual([expect.stringContaining(message)]);
    expect(await readdir(path)).toEqual(['edge.snapshot.damaged']);
  });

  test('a repository of it is left out, and the others stay', async () => {
    const path = await folder();
    await writeLines(join(path, 'edge.snapshot'), [
      header(),
      line({ repository: 'good' }),
      line({ repository: 'a', tagged: '1' }),
      line({ repository: 'b', images: null }),
      line({ repository: 'c', tags: -1 }),
      line({ repository: 'd', practices: { private: 1 } }),
      line({ repository: 7 }),
      'null',
      line({ repository: 'late' }).replace('"observedAt":1000', '"observedAt":99999999999'),
    ]);
    const { loadSnapshot, lines } = open(path);
    expect([...((await loadSnapshot())?.repositories.keys() ?? [])]).toEqual(['good']);
    expect(lines).toEqual([
      expect.stringMatching(
        /^warn repositories of the saved snapshot cannot be believed: they are unknown until the next poll .*totals.tagged/,
      ),
    ]);
  });

  const shapes: [string, unknown][] = [
    ['polls', { ...counters, polls: '3' }],
    ['polls', { ...counters, polls: -1 }],
    ['failures', { ...counters, failures: [['dns', 1]] }],
    ['pushes', { ...counters, pushes: { app: 3 } }],
    ['requests', { ...counters, requests: { tags: 1 } }],
    ['events', { ...counters, events: [['oci', 'counted', 'x']] }],
    ['polls', {}],
  ];
  test.each(shapes)('counters with other %s (%j) are set aside', async (field, saved) => {
    const path = await folder();
    await writeLines(join(path, 'edge.counters'), [header(), JSON.stringify(saved)]);
    const { loadCounters, lines } = open(path);
    expect(await loadCounters()).toBeUndefined();
    expect(lines).toEqual([expect.stringContaining(`another shape than this version writes: ${field}`)]);
    expect(await readdir(path)).toEqual(['edge.counters.damaged']);
  });

  test('a failure that only a later version counts is no failure of this one', async () => {
    const path = await folder();
    await writeLines(join(path, 'edge.counters'), [
      header(),
      JSON.stringify({ ...counters, failures: { dns: 1, gremlins: 2 } }),
    ]);
    expect((await open(path).loadCounters())?.failures).toEqual({ dns: 1 });
  });
});

test('a snapshot of the future is not served: its age is unknown', async () => {
  const path = await folder();
  await open(path).saveSnapshot(snapshotOf(Math.floor(Date.now() / 1000) + 3600));
  const { loadSnapshot, lines } = open(path);
  expect(await loadSnapshot()).toBeUndefined();
  expect(lines).toEqual([
    expect.stringMatching(/^warn the saved snapshot is of the future.*Was the clock set back\?$/),
  ]);
});

describe('links and other things in the place of a file', () => {
  test('are neither read nor written through', async () => {
    const path = await folder();
    await writeFile(join(path, 'precious'), 'precious\n');
    for (const name of ['edge.snapshot', 'edge.snapshot.tmp', 'edge.counters.tmp'])
      await symlink(join(path, 'precious'), join(path, name));
    const storage = open(path);
    expect(await storage.loadSnapshot()).toBeUndefined();
    expect(storage.lines).toEqual([
      `warn the saved snapshot file cannot be read: starting without it ${join(path, 'edge.snapshot')} is a link: it is not followed`,
    ]);
    await storage.saveSnapshot(snapshotOf(1000, 3));
    await storage.saveCounters(counters);
    expect(await readFile(join(path, 'precious'), 'utf8')).toBe('precious\n');
    expect(await open(path).loadSnapshot()).toEqual(snapshotOf(1000, 3));
    expect(await open(path).loadCounters()).toEqual(counters);
  });

  test('a pipe that nobody writes to holds nobody', async () => {
    const path = await folder();
    spawnSync('mkfifo', [join(path, 'edge.snapshot')]);
    const storage = open(path);
    expect(await storage.loadSnapshot()).toBeUndefined();
    expect(storage.lines).toEqual([expect.stringContaining('edge.snapshot is no file')]);
    await storage.saveSnapshot(snapshotOf(1000, 3));
    expect(await open(path).loadSnapshot()).toEqual(snapshotOf(1000, 3));
  });

  test('a folder in the place of a file is told when saving', async () => {
    const path = await folder();
    await mkdir(join(path, 'edge.snapshot.tmp'));
    await expect(open(path).saveSnapshot(snapshotOf(1000, 3))).rejects.toThrow('edge.snapshot.tmp');
  });
});

test('a folder that is removed while the exporter runs is made again', async () => {
  const path = await folder();
  const storage = open(path);
  await storage.saveCounters(counters);
  await rm(path, { recursive: true });
  await storage.saveCounters({ ...counters, polls: 8 });
  expect((await open(path).loadCounters())?.polls).toBe(8);
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
  timeout: kills * 30_000,
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
  expect(
    shown.filter((one) => /^configuration: the snapshot cannot be saved: ENOTDIR/.test(one)),
  ).toHaveLength(1);
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
