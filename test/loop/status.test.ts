import { describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/loop/outcomes.ts';
import { statusOf } from '../../src/loop/status.ts';
import type { RegistrySnapshot } from '../../src/model.ts';

/** What people are shown of a registry. */

const snapshot: RegistrySnapshot = {
  identity: {},
  facts: {},
  repositories: new Map(),
  repositoryCount: 3,
  observedAt: 900,
};

function shown(
  more: {
    readonly outcome?: Partial<Outcome>;
    readonly snapshot?: RegistrySnapshot;
    readonly isFresh?: boolean;
    readonly nextPollAt?: number;
    readonly withData?: readonly string[];
    readonly progress?: { startedAt: number; done: number; total: number };
  } = {},
) {
  const outcome: Outcome = {
    polls: 0,
    failures: new Map(),
    capabilities: new Map(),
    failing: new Map(),
    failedRepositories: new Set(),
    ...more.outcome,
  };
  return statusOf({
    settings: { name: 'edge', options: {} } as never,
    provider: { type: 'oci', identity: () => ({ host: 'registry.example.com' }) } as never,
    outcomes: { current: () => outcome },
    snapshots: { current: () => more.snapshot },
    publisher: {
      series: () => 10,
      seriesDropped: () =>
        new Map([
          ['image_cap', 2],
          ['duplicate', 3],
        ]),
      hasFreshData: () => more.isFresh ?? true,
    },
    views: { hasData: (name) => more.withData?.includes(name) ?? false },
    errors: { all: () => [{ at: 1, reason: 'dns', message: 'no such host' }] },
    notices: { current: () => [{ message: 'odd', details: {} }] },
    cycles: { progress: () => more.progress },
    nextPollAt: more.nextPollAt,
  });
}

describe('the state', () => {
  test.each([
    ['is waiting before the first poll ended', {}, 'waiting'],
    ['is up after a poll that worked', { outcome: { up: true }, snapshot }, 'up'],
    ['is up with data of an earlier run', { snapshot }, 'up'],
    ['is down after one that failed', { outcome: { up: false }, snapshot }, 'down'],
    ['is down, and not waiting, where the first one failed', { outcome: { up: false } }, 'down'],
    ['is stale where the data is too old', { outcome: { up: false }, snapshot, isFresh: false }, 'stale'],
    ['is up where there are no data that could be too old', { outcome: { up: true }, isFresh: false }, 'up'],
  ])('%s', (_title, more, state) => {
    expect(shown(more as never).state).toBe(state);
  });
});

test('a registry is shown before anything is known of it', () => {
  expect(shown()).toEqual({
    name: 'edge',
    type: 'oci',
    state: 'waiting',
    host: 'registry.example.com',
    series: 10,
    seriesDropped: 5,
    capabilities: {},
    failing: [],
    failedRepositories: 0,
    failedRepositoriesWithData: 0,
    notices: [{ message: 'odd', details: {} }],
    errors: [{ at: 1, reason: 'dns', message: 'no such host' }],
  });
});

test('what the polls learned is shown, in seconds', () => {
  const progress = { startedAt: 1000, done: 1, total: 3 };
  const outcome: Partial<Outcome> = {
    up: true,
    lastSuccessAt: 900,
    lastAttemptAt: 950,
    pollDurationSeconds: 2,
    capabilities: new Map([['findings', false]]),
    failing: new Map([['findings', { at: 900, reason: 'forbidden', message: 'not allowed' }]]),
    failedRepositories: new Set(['app', 'web', 'new']),
  };
  const identity = { host: 'other.example.com' };
  expect(
    shown({
      outcome,
      progress,
      snapshot: { ...snapshot, identity },
      nextPollAt: 60_500,
      withData: ['app', 'web'],
    }),
  ).toMatchObject({
    host: 'other.example.com',
    lastSuccessAt: 900,
    lastAttemptAt: 950,
    pollDurationSeconds: 2,
    nextPollAt: 60.5,
    repositories: 3,
    capabilities: { findings: false },
    failing: [{ capability: 'findings', at: 900, reason: 'forbidden', message: 'not allowed' }],
    failedRepositories: 3,
    failedRepositoriesWithData: 2,
    polling: progress,
  });
});
