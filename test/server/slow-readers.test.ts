import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const clients = process.env['LONG'] === '1' ? 200 : 50;

test(`${clients} clients that never read an 11 MB body cost at most 50 MB, and others are served`, async () => {
  const file = join(import.meta.dirname, '..', 'support', 'slow-readers.ts');
  const { stdout } = await run(process.execPath, ['--expose-gc', file, String(clients)], {
    timeout: 280_000,
  });
  const seen = JSON.parse(stdout);
  console.info(stdout.trim());
  expect(seen.bodyBytes).toBeGreaterThan(10e6);
  expect(seen.grownBytes).toBeLessThan(50 * 2 ** 20);
  expect(seen.complete).toBe(true);
});
