import { defineConfig } from 'vitest/config';

/** The tests that mutation testing runs: those of the core that stay in one process. See stryker.config.json. */
export default defineConfig({
  test: {
    include: [
      'test/{fold,exposition,registry-auth,wire,memory,side-by-side,target}*.test.ts',
      'test/{loop,http,registry-auth}/**/*.test.ts',
      'test/events/receiver.test.ts',
    ],
    testTimeout: 60_000,
    maxWorkers: 1,
  },
});
