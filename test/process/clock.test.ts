import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createProcessTest } from '../support/exporter-process.ts';

/** Of Debian's package libfaketime; https://github.com/wolfcw/libfaketime */
const library = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
].find((path) => existsSync(path));
const there = library !== undefined;
if (!there) {
  if (process.env['REQUIRE_TOOLS'] === '1') throw new Error('libfaketime is not there (REQUIRE_TOOLS=1)');
  console.warn('skipped: libfaketime is not there');
}

let at: Awaited<ReturnType<typeof createProcessTest>>;
afterEach(() => at.close());

/** Starts an exporter on a clock of its own; the monotonic clock stays the real one. */
function startOnClock() {
  const file = join(at.folder, 'clock');
  const set = (offset: string) => writeFileSync(file, offset);
  set('+0');
  const start = () =>
    at.start([`--storage.path=${at.storage}`], {
      env: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        TZ: 'UTC',
      },
    });
  return { set, start };
}

describe.skipIf(!there)('on the real process', () => {
  describe.each(['2s', '"*/2 * * * * *"'])('with the schedule %s', (schedule) => {
    beforeEach(async () => {
      at = await createProcessTest(schedule);
    });

    test('a clock that is set back by an hour stops no polls', async () => {
      const { set, start } = startOnClock();
      const exporter = start();
      await exporter.url();
      await at.polled();
      set('-3600');
      // The wall clock is looked at once a minute at the latest.
      await at.polled();
      await at.polled();
      expect(await exporter.metric('container_registry_up')).toBe(1);
      expect(exporter.told()).toContain('the clock was set back');
      const success = (await exporter.metric('container_registry_last_success_timestamp_seconds')) ?? 0;
      expect(Date.now() / 1000 - success).toBeGreaterThan(3500);
    }, 200_000);
  });

  describe('with the schedule 1s', () => {
    beforeEach(async () => {
      at = await createProcessTest();
    });

    test.each(['-27y', '-60y'])(
      'a clock that is wrong by %s stops nothing',
      async (offset) => {
        const { set, start } = startOnClock();
        set(offset);
        const exporter = start();
        await exporter.url();
        await at.polled();
        expect(await exporter.metric('container_registry_up')).toBe(1);
        expect(await exporter.metric('container_registry_exporter_state_saved')).toBe(1);
        exporter.child.kill('SIGTERM');
        expect(await exporter.ended).toBe(0);
      },
      120_000,
    );

    test('what was saved before the clock was set back is not served after a restart, and that is said', async () => {
      const { set, start } = startOnClock();
      const first = start();
      await first.url();
      await at.polled();
      first.child.kill('SIGTERM');
      await first.ended;
      set('-3600');
      const second = start();
      await second.url();
      expect(second.told()).toMatch(/level=warn msg="the saved snapshot is of the future/);
      await at.polled();
      expect(await second.metric('container_registry_up')).toBe(1);
    });
  });
});
