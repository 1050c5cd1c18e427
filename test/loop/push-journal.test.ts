import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEventIds, identityHash } from '../../src/loop/event-ids.ts';
import { createPushJournal, type JournalEntry, type PushJournal } from '../../src/loop/push-journal.ts';
import { recordingLog } from '../support/web.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'journal-'));
  path = join(folder, 'edge.pushes.ndjson');
});
afterEach(() => rm(folder, { recursive: true }));

/** A journal, the counters that it saved, and what it read back. */
function open(target = 'test') {
  const { log, lines } = recordingLog();
  const ids = createEventIds();
  const saved: number[] = [];
  const errors: unknown[] = [];
  const disk = { refuses: false };
  const journal = createPushJournal({
    path,
    target,
    log: log as never,
    identities: ids.all,
    saveCounters: async (number) => {
      if (disk.refuses) throw new Error('no space left on device');
      saved.push(number);
    },
    written: (error) => errors.push(error),
  });
  return { journal, ids, saved, errors, disk, lines };
}
const push = (journal: PushJournal, repository = 'app', failure?: string) =>
  journal.push(repository, { pushes: 1, failures: failure === undefined ? {} : { [failure]: 1 } });

/** What a start reads back: pushes by repository, events, and the number of identities. */
async function readBack(savedUpTo: number, target?: string) {
  const { journal, lines } = open(target);
  const entries: JournalEntry[] = [];
  await journal.restore(savedUpTo, (entry) => entries.push(entry));
  const pushes = new Map<string, number>();
  for (const [name, { pushes: count }] of entries.flatMap((entry) => entry.pushes))
    pushes.set(name, (pushes.get(name) ?? 0) + count);
  return { pushes: Object.fromEntries(pushes), ids: entries.flatMap((entry) => entry.ids).length, lines };
}

test('what came after the counters were saved is read back, with all identities', async () => {
  const { journal, ids, saved } = open();
  for (let round = 0; round < 4; round += 1) {
    const hash = identityHash(String(round));
    ids.see(hash);
    journal.identity(hash);
    push(journal, 'app');
    push(journal, '__proto__', 'quota');
    await journal.flush();
  }
  // The first writing saves the counters as well: the file begins there.
  expect(saved).toEqual([1]);
  expect(await readBack(1)).toEqual({ pushes: { app: 3, ['__proto__']: 3 }, ids: 4, lines: [] });
  expect((await readBack(2)).pushes['app']).toBe(2);
  expect(await readBack(4)).toEqual({ pushes: {}, ids: 4, lines: [] });
});

test('counters that are saved in between contain what comes before, and nothing of what comes after', async () => {
  const { journal } = open();
  await journal.flush();
  push(journal);
  const upTo = journal.seal();
  push(journal);
  await journal.flush();
  expect((await readBack(upTo)).pushes).toEqual({ app: 1 });
});

test('what comes while the disk works goes there together', async () => {
  const { journal } = open();
  await journal.flush();
  await Promise.all(
    Array.from({ length: 500 }, () => {
      push(journal);
      return journal.flush();
    }),
  );
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  // The first two are the beginning of the file; the third was begun when all of them had come.
  expect(lines).toHaveLength(3);
  expect((await readBack(0)).pushes).toEqual({ app: 500 });
});

describe('a damaged file', () => {
  async function written() {
    const { journal } = open();
    await journal.flush();
    for (let round = 0; round < 3; round += 1) {
      push(journal);
      await journal.flush();
    }
    return (await readFile(path, 'utf8')).split('\n');
  }

  test('a line that a crash cut short hides no other', async () => {
    const lines = await written();
    await writeFile(path, lines.join('\n').slice(0, -20));
    expect(await readBack(0)).toMatchObject({ pushes: { app: 2 }, lines: [] });
  });

  test('an altered number is not believed, and told', async () => {
    const lines = await written();
    await writeFile(path, lines.map((line) => line.replace('"app",1', '"app",9')).join('\n'));
    const { pushes, lines: told } = await readBack(0);
    expect(pushes).toEqual({});
    expect(told).toHaveLength(1);
  });

  test.each([
    ['empty', ''],
    ['of another kind', '{"counters":{}}\n'],
    ['no text', Buffer.from([0xff, 0, 0x0a, 0xfe])],
  ])('one that is %s is begun anew', async (_title, content) => {
    await writeFile(path, content);
    expect((await readBack(0)).lines).toHaveLength(1);
    const { journal } = open();
    await journal.flush();
    push(journal);
    await journal.flush();
    expect(await readBack(0)).toMatchObject({ pushes: { app: 1 }, lines: [] });
  });
});

test('the pushes of another target are not read', async () => {
  const { journal } = open('one');
  await journal.flush();
  push(journal);
  await journal.flush();
  expect((await readBack(0, 'another')).pushes).toEqual({});
  expect((await readBack(0, 'one')).pushes).toEqual({ app: 1 });
});

test('a disk that refuses is told of, and the next writing saves the counters with all that came', async () => {
  const { journal, disk, errors, saved } = open();
  disk.refuses = true;
  push(journal);
  await expect(journal.flush()).rejects.toThrow('no space left');
  await expect(journal.flush()).rejects.toThrow('no space left');
  disk.refuses = false;
  push(journal);
  await journal.flush();
  expect(errors.map((error) => error === undefined)).toEqual([false, false, true]);
  // The counters have both pushes.
  expect(saved).toHaveLength(1);
  expect((await readBack(saved[0] ?? 0)).pushes).toEqual({});
});

test('the file is written anew when it is long, and stays bounded', async () => {
  const { journal, ids, saved } = open();
  let largest = 0;
  for (let round = 0; round < 60; round += 1) {
    for (let at = 0; at < 5000; at += 1) {
      const hash = identityHash(`${round} ${at}`);
      ids.see(hash);
      journal.identity(hash);
    }
    push(journal);
    await journal.flush();
    largest = Math.max(largest, (await stat(path)).size);
  }
  expect(saved.length).toBeGreaterThan(2);
  expect(largest).toBeLessThan(3 * 2 ** 20);
  expect((await readBack(saved.at(-1) ?? 0)).ids).toBeGreaterThanOrEqual(10_000);
});

test('a link at the place of the new file is not followed', async () => {
  const precious = join(folder, 'precious');
  await writeFile(precious, 'untouched');
  await symlink(precious, `${path}.tmp`);
  const { journal } = open();
  push(journal);
  await journal.flush();
  expect(await readFile(precious, 'utf8')).toBe('untouched');
  expect((await readdir(folder)).sort()).toEqual(['edge.pushes.ndjson', 'precious']);
});

/** All entries that a start reads back, and the journal that goes on from there. */
async function entriesAfter(saved: number) {
  const opened = open();
  const entries: JournalEntry[] = [];
  await opened.journal.restore(saved, (entry) => entries.push(entry));
  return { ...opened, entries };
}

test('a line holds all that came since the one before: pushes with their failures, events, identities', async () => {
  const { journal } = open();
  await journal.flush();
  const hash = identityHash('1');
  journal.identity(hash);
  push(journal);
  push(journal, 'app', 'quota');
  push(journal, 'app', 'quota');
  journal.event('harbor', 'accepted', 2);
  journal.event('harbor', 'accepted', 3);
  journal.event('unknown', 'unauthorized', 1);
  await journal.flush();
  const { entries } = await entriesAfter(1);
  expect(entries).toEqual([
    { ids: [], pushes: [], events: [] },
    {
      ids: [hash],
      pushes: [['app', { pushes: 3, failures: { quota: 2 } }]],
      events: [
        ['harbor', 'accepted', 5],
        ['unknown', 'unauthorized', 1],
      ],
    },
  ]);
});

test.each<[string, (journal: PushJournal) => void]>([
  ['a push', (journal) => push(journal)],
  ['an event', (journal) => journal.event('harbor', 'ignored', 1)],
  ['an identity', (journal) => journal.identity(identityHash('1'))],
])('%s is a reason to write, nothing is not', async (_title, happens) => {
  const { journal } = open();
  await journal.flush();
  const size = async () => (await stat(path)).size;
  const before = await size();
  await journal.flush();
  expect(await size()).toBe(before);
  happens(journal);
  await journal.flush();
  expect(await size()).toBeGreaterThan(before);
});

test('after a restart the numbers of lines go on, after what is on disk and what the counters contain', async () => {
  const { journal } = open();
  for (let round = 0; round < 3; round += 1) {
    push(journal);
    await journal.flush();
  }
  expect((await entriesAfter(1)).journal.seal()).toBe(4);
  expect((await entriesAfter(9)).journal.seal()).toBe(10);
});

/** They are in the counters, which are saved with the next writing. */
describe('more than 20,000 at once are not held for a disk that does not answer', () => {
  test.each<[string, (journal: PushJournal, at: number) => void]>([
    ['repositories', (journal, at) => push(journal, `app-${at}`)],
    ['identities', (journal, at) => journal.identity(identityHash(String(at)))],
  ])('%s', async (_title, happens) => {
    for (const [count, writings] of [
      [20_000, 1],
      [20_001, 2],
    ] as const) {
      const { journal, saved } = open();
      await journal.flush();
      for (let at = 0; at < count; at += 1) happens(journal, at);
      await journal.flush();
      expect(saved.length).toBe(writings);
    }
  });
});

test('what comes before the counters were saved first is in them, and is not held besides', async () => {
  const { journal, saved } = open();
  push(journal);
  journal.identity(identityHash('1'));
  const upTo = journal.seal();
  await journal.flush();
  expect(saved.length).toBe(1);
  expect((await entriesAfter(upTo - 1)).entries.flatMap(({ pushes, ids }) => [...pushes, ...ids])).toEqual(
    [],
  );
});

test('the end waits for the disk, and no refusal of it stops the end', async () => {
  const { journal, disk, saved } = open();
  disk.refuses = true;
  journal.flush().catch(() => {});
  await journal.close();
  disk.refuses = false;
  void journal.flush();
  await journal.close();
  expect(saved.length).toBe(1);
});

describe('at the start it is told', () => {
  const told = async () => (await readBack(0)).lines;

  test('nothing where there is no file yet', async () => {
    expect(await told()).toEqual([]);
  });

  test('that the file cannot be read', async () => {
    await mkdir(path);
    expect(await told()).toEqual([
      expect.stringMatching(
        /^warn the saved push events cannot be read: starting without them .*is no file$/,
      ),
    ]);
  });

  test('that it is of another registry', async () => {
    const { journal } = open('another');
    await journal.flush();
    expect(await told()).toEqual([
      'warn the saved push events are of another registry or version: starting without them',
    ]);
  });

  test('that lines are damaged, where it is more than the one that a crash may cut', async () => {
    const { journal } = open();
    for (let round = 0; round < 4; round += 1) {
      push(journal);
      await journal.flush();
    }
    const text = await readFile(path, 'utf8');
    const damage = (count: number) => {
      let left = count;
      return text.replace(/"app",1/g, (match) => {
        left -= 1;
        return left >= 0 ? '"app",9' : match;
      });
    };
    await writeFile(path, damage(1));
    expect(await readBack(0)).toMatchObject({ pushes: { app: 2 }, lines: [] });
    await writeFile(path, damage(2));
    expect(await readBack(0)).toMatchObject({
      pushes: { app: 1 },
      lines: ['warn lines of the saved push events are damaged: the pushes in them are missing'],
    });
  });
});
