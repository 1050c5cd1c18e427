import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const long = process.env['LONG'] === '1';
const polls = long ? 5000 : 320;
// Over few polls, what the engine keeps for itself once weighs much: less is asked of them.
const allowed = long ? 64 : 16_384;

test(
  `${polls} polls with faults: the heap grows by at most ${allowed} bytes for each, and no handle stays`,
  async () => {
    const file = join(import.meta.dirname, '..', 'support', 'leaks.ts');
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', file, String(polls)], {
      timeout: 15 * 60_000,
    });
    console.info(stdout.trim());
    const { bytesPerPoll, handles } = JSON.parse(stdout);
    expect(bytesPerPoll).toBeLessThan(allowed);
    expect(handles).toBeLessThanOrEqual(0);
  },
  16 * 60_000,
);
