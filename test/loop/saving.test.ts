import { describe, expect, test } from 'vitest';
import { createRecentErrors } from '../../src/loop/recent-errors.ts';
import { createSaving } from '../../src/loop/saving.ts';
import { createTroubles } from '../../src/loop/troubles.ts';
import type { RegistryStorage, SavedCounters } from '../../src/storage.ts';
import { recordingLog } from '../support/web.ts';

const counters: SavedCounters = { polls: 3, failures: {}, pushes: {}, requests: [], events: [] };

/** Saving on a disk that does what the test says. */
function saving(disk: { saveCounters?: RegistryStorage['saveCounters']; readonly isKept?: boolean } = {}) {
  const { lines, log } = recordingLog();
  const errors = createRecentErrors();
  const { isKept = true, saveCounters = async () => {} } = disk;
  let changes = 0;
  const storage = { saveCounters, ...(isKept && { memoryPath: '/data/memory' }) } as RegistryStorage;
  const parts = createSaving({
    ...{ storage, errors, troubles: createTroubles(log as never), counters: () => counters },
    changed() {
      changes += 1;
    },
  });
  return { ...parts, lines, errors, changes: () => changes };
}

const full = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { syscall: 'write' });

test('saving that works is said to work, from the first on', async () => {
  const { keep, works, changes, lines } = saving();
  expect(works()).toBeUndefined();
  await keep('the snapshot', async () => {});
  await keep('the memory', async () => {});
  expect([works(), changes(), lines]).toEqual([true, 1, []]);
});

test('the counters that are saved are those of now', async () => {
  const written: SavedCounters[] = [];
  const { counters: save } = saving({ saveCounters: async (given) => void written.push(given) });
  await save();
  expect(written).toEqual([counters]);
});

describe('a disk that refuses', () => {
  test('stops nothing; it is told once, shown, and counts as not saved', async () => {
    const { keep, works, changes, lines, errors } = saving();
    await keep('the snapshot', () => Promise.reject(full()));
    await keep('the snapshot', () => Promise.reject(full()));
    expect([works(), changes()]).toEqual([false, 1]);
    const told =
      'the snapshot cannot be saved: a restart would know less. Check the folder of --storage.path';
    expect(lines).toEqual([
      `error ${told} ENOSPC: no space left on device, write`,
      `debug ${told} ENOSPC: no space left on device, write`,
    ]);
    // It is for the user to correct: no fault of the exporter.
    expect(errors.all()).toMatchObject([
      {
        reason: 'configuration',
        message: 'the snapshot cannot be saved: ENOSPC: no space left on device, write',
      },
    ]);
  });

  test('works again only when all of it is saved', async () => {
    const { keep, works, changes, lines, errors } = saving();
    for (const what of ['the snapshot', 'the memory']) await keep(what, () => Promise.reject(full()));
    await keep('the snapshot', async () => {});
    expect([works(), changes()]).toEqual([false, 1]);
    await keep('the memory', async () => {});
    expect([works(), changes()]).toEqual([true, 2]);
    expect(lines.slice(2)).toEqual([
      'info saving the snapshot works again',
      'info saving the memory works again',
    ]);
    // What fails anew is shown anew.
    await keep('the memory', () => Promise.reject(full()));
    expect(errors.all().length).toBe(3);
  });

  test('in the hands of others is told in the same way', () => {
    const { ended, works, lines } = saving();
    ended('the push events', full());
    expect(works()).toBe(false);
    ended('the push events', undefined);
    expect(works()).toBe(true);
    expect(lines.length).toBe(2);
  });
});

test.each([
  ['an error that no file system made', new Error('a fault'), 'a fault'],
  ['no reason at all', undefined, 'no reason was given'],
  ['words', 'it hangs', 'it hangs'],
])('a saving that failed for %s is a fault, and is told all the same', async (_title, failure, said) => {
  const { keep, errors, works } = saving();
  await keep('the memory', () => Promise.reject(failure));
  expect(errors.all()).toMatchObject([
    { reason: 'internal', message: `the memory cannot be saved: ${said}` },
  ]);
  expect(works()).toBe(false);
});

test('without a storage path nothing is saved, and nothing is said to work', async () => {
  const { keep, works, changes } = saving({ isKept: false });
  await keep('the snapshot', async () => {});
  expect([works(), changes()]).toEqual([undefined, 0]);
});
