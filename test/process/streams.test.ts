import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createProcessTest } from '../support/exporter-process.ts';

let at: Awaited<ReturnType<typeof createProcessTest>>;
beforeEach(async () => {
  at = await createProcessTest();
});
afterEach(() => at.close());

const broken: [string, () => { readonly descriptor: number; breakIt?(): void }][] = [
  ['is on a disk that is full', () => ({ descriptor: openSync('/dev/full', 'w') })],
  [
    'is a pipe whose reader is gone',
    () => {
      const path = join(at.folder, 'pipe');
      spawnSync('mkfifo', [path]);
      const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      return { descriptor: openSync(path, 'w'), breakIt: () => closeSync(reader) };
    },
  ],
  [
    'is a pipe that is full and that nobody reads',
    () => {
      const path = join(at.folder, 'pipe');
      spawnSync('mkfifo', [path]);
      openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      spawnSync('sh', ['-c', `timeout 1 cat /dev/zero > '${path}'`]);
      return { descriptor: openSync(path, 'w') };
    },
  ],
];

describe('when standard error', () => {
  test.each(broken)('%s, polls go on and SIGTERM ends the exporter with 0', async (_what, open) => {
    const { descriptor, breakIt } = open();
    const exporter = at.start(['--log.level=debug'], { stderr: descriptor });
    closeSync(descriptor);
    breakIt?.();
    await at.polled();
    await at.polled();
    exporter.child.kill('SIGTERM');
    expect(await exporter.ended).toBe(0);
  });

  test('is closed, polls go on and SIGTERM ends the exporter with 0', async () => {
    const exporter = at.start([], { wrapper: ['sh', '-c', 'exec "$@" 2>&-', 'sh'] });
    await at.polled();
    exporter.child.kill('SIGTERM');
    expect(await exporter.ended).toBe(0);
  });
});
