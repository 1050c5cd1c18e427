import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CollectError, type FailureReason } from '../../src/errors.ts';
import type { CycleResult } from '../../src/fold.ts';
import { createOutcomes } from '../../src/loop/outcomes.ts';
import { createRecentErrors } from '../../src/loop/recent-errors.ts';
import { createTroubles } from '../../src/loop/troubles.ts';
import type { Capability } from '../../src/provider.ts';
import { recordingLog } from '../support/web.ts';

/** How polls end: what is counted, shown and logged. */

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000, toFake: ['Date'] });
});
afterEach(() => vi.useRealTimers());

const failure = (reason: FailureReason = 'dns', message = 'no such host') =>
  new CollectError(reason, message);
const snapshot = { identity: {}, facts: {}, repositories: new Map(), observedAt: 990 };

function recorded() {
  const { lines, log } = recordingLog();
  const errors = createRecentErrors();
  const outcomes = createOutcomes({
    capabilities: ['repositories', 'findings'],
    errors,
    troubles: createTroubles(log as never),
  });
  const poll = (more: {
    readonly failure?: unknown;
    readonly failing?: readonly Capability[];
    readonly absent?: readonly Capability[];
    readonly snapshot?: typeof snapshot;
  }) =>
    outcomes.pollEnded({
      seconds: 1.23456,
      failure: more.failure,
      failing: new Map(
        (more.failing ?? []).map((capability) => [capability, failure('forbidden', 'not allowed')]),
      ),
      absent: new Set(more.absent),
      snapshot: more.snapshot,
    });
  const read = (
    result: Partial<CycleResult>,
    of: { readonly isLook?: boolean; readonly hasData?: readonly string[] } = {},
  ) =>
    outcomes.repositoriesRead(
      {
        identity: {},
        facts: {},
        complete: new Map(),
        gone: new Set(),
        failed: new Map(),
        failedGroups: new Map(),
        emptyGroups: new Set(),
        ...result,
      },
      { isLook: of.isLook ?? false, hasData: (name) => of.hasData?.includes(name) ?? false },
    );
  return { outcomes, errors, lines, poll, read };
}

describe('a poll that worked', () => {
  test('is counted, with how long it took and when its data was read', () => {
    const { outcomes, poll, lines } = recorded();
    poll({ snapshot });
    expect(outcomes.current()).toMatchObject({
      up: true,
      polls: 1,
      lastAttemptAt: 1000,
      lastSuccessAt: 990,
      pollDurationSeconds: 1.235,
      failedInARow: 0,
    });
    expect(outcomes.saved()).toEqual({ polls: 1, failures: {} });
    expect(lines).toEqual([]);
  });

  test('without data is a success of now', () => {
    const { outcomes, poll } = recorded();
    poll({});
    expect(outcomes.current().lastSuccessAt).toBe(1000);
  });

  test('tells of each capability that it has whether it worked', () => {
    const { outcomes, poll } = recorded();
    poll({ snapshot, failing: ['findings'] });
    expect([...outcomes.current().capabilities]).toEqual([
      ['repositories', true],
      ['findings', false],
    ]);
    poll({ snapshot, absent: ['findings'] });
    expect([...outcomes.current().capabilities]).toEqual([['repositories', true]]);
  });
});

describe('a poll that failed', () => {
  test('is counted by its reason, and in a row until one works', () => {
    const { outcomes, poll } = recorded();
    poll({ snapshot });
    poll({ failure: failure('dns') });
    poll({ failure: failure('auth') });
    poll({ failure: failure('dns') });
    expect(outcomes.current()).toMatchObject({ up: false, polls: 4, failedInARow: 3, lastSuccessAt: 990 });
    expect(outcomes.saved()).toEqual({ polls: 4, failures: { dns: 2, auth: 1 } });
    poll({ snapshot });
    expect(outcomes.current()).toMatchObject({ up: true, failedInARow: 0 });
  });

  test('claims of no capability that it worked', () => {
    const { outcomes, poll } = recorded();
    poll({ failure: failure(), failing: ['findings'] });
    expect([...outcomes.current().capabilities]).toEqual([['findings', false]]);
  });

  test('is shown among the last errors and told once, with what becomes of the data', () => {
    const { errors, poll, lines } = recorded();
    poll({ failure: failure() });
    poll({ failure: failure(), snapshot });
    poll({ snapshot });
    expect(errors.all()).toEqual([
      { at: 1000, reason: 'dns', message: 'no such host' },
      { at: 1000, reason: 'dns', message: 'no such host' },
    ]);
    expect(lines).toEqual([
      'error the poll failed: there is no data yet no such host',
      'debug the poll failed: the last good data stays until it is too old no such host',
      'info the poll works again',
    ]);
  });
});

describe('a capability that fails', () => {
  test('is known with its reason, and since when', () => {
    const { outcomes, poll } = recorded();
    poll({ snapshot, failing: ['findings'] });
    vi.setSystemTime(2_000_000);
    poll({ snapshot, failing: ['findings', 'repositories'] });
    expect(Object.fromEntries(outcomes.current().failing)).toEqual({
      findings: { at: 1000, reason: 'forbidden', message: 'not allowed' },
      repositories: { at: 2000, reason: 'forbidden', message: 'not allowed' },
    });
    poll({ snapshot });
    expect(outcomes.current().failing.size).toBe(0);
  });

  test('is over with the first poll that met no failure of it', () => {
    const { lines, log } = recordingLog();
    const troubles = createTroubles(log as never);
    const outcomes = createOutcomes({ capabilities: ['findings'], errors: createRecentErrors(), troubles });
    troubles.tell('warn', 'the capability findings', failure(), 'it fails');
    const ended = { seconds: 1, failure: undefined, absent: new Set<Capability>(), snapshot };
    outcomes.pollEnded({ ...ended, failing: new Map([['findings', failure()]]) });
    expect(lines).toEqual(['warn it fails no such host']);
    outcomes.pollEnded({ ...ended, failing: new Map() });
    expect(lines.slice(1)).toEqual(['info the capability findings works again']);
  });
});

describe('repositories that could not be read', () => {
  test('count as one partial failure, and are shown by name', () => {
    const { outcomes, errors, read } = recorded();
    read({
      failed: new Map([['app', failure()]]),
      failedGroups: new Map([['team/', failure('timeout', 'too slow')]]),
    });
    expect(outcomes.saved().failures).toEqual({ partial: 1 });
    expect([...outcomes.current().failedRepositories]).toEqual(['app']);
    expect(outcomes.current().unread).toBe(2);
    expect(errors.all().map(({ reason, message }) => [reason, message])).toEqual([
      ['timeout', 'team/: too slow'],
      ['dns', 'app: no such host'],
    ]);
  });

  test('are no failure more of a poll that was cut short', () => {
    const { outcomes, read } = recorded();
    read({ failed: new Map([['app', failure()]]), cut: {} });
    expect(outcomes.saved().failures).toEqual({});
  });

  test('of a look change nothing of what the last poll could not read', () => {
    const { outcomes, read } = recorded();
    read({ failed: new Map([['app', failure()]]) });
    read({ failed: new Map([['web', failure()]]) }, { isLook: true });
    expect([...outcomes.current().failedRepositories]).toEqual(['app']);
    expect(outcomes.current().unread).toBe(1);
    read({});
    expect(outcomes.current().failedRepositories.size).toBe(0);
    expect(outcomes.current().unread).toBe(0);
    expect(outcomes.saved().failures).toEqual({ partial: 2 });
  });

  test('are shown as the last five at most, where all fail', () => {
    const { errors, read } = recorded();
    read({ failed: new Map([1, 2, 3, 4, 5, 6, 7].map((at) => [`r${at}`, failure()])) });
    expect(errors.all().map(({ message }) => message.slice(0, 2))).toEqual(['r7', 'r6', 'r5', 'r4', 'r3']);
  });

  test('are told one by one, with what becomes of their data; and when each works again', () => {
    const { lines, read } = recorded();
    const failed = new Map(['app', 'web', 'old'].map((name) => [name, failure()] as const));
    read({ failed }, { hasData: ['app', 'old'] });
    read({ failed }, { hasData: ['app', 'old'] });
    read({ failed: new Map([['old', failure()]]), complete: new Map([['app', '{}' as never]]) });
    // One that is gone is not said to work.
    read({ gone: new Set(['old']) });
    expect(lines).toEqual([
      'warn the repository could not be read: its last data stays and ages no such host',
      'warn the repository could not be read: there is no data of it yet no such host',
      'warn the repository could not be read: its last data stays and ages no such host',
      'debug the repository could not be read: its last data stays and ages no such host',
      'debug the repository could not be read: there is no data of it yet no such host',
      'debug the repository could not be read: its last data stays and ages no such host',
      'debug the repository could not be read: there is no data of it yet no such host',
      'info the repository "app" works again',
    ]);
    // It fails anew: that is told anew.
    read({ failed: new Map([['old', failure()]]) });
    expect(lines.at(-1)).toMatch(/^warn the repository could not be read/);
  });

  test('are told of while they are known, though a look did not come to them', () => {
    const { lines, read } = recorded();
    read({ failed: new Map([['app', failure()]]) }, { hasData: ['app'] });
    read({}, { isLook: true, hasData: ['app'] });
    read({ complete: new Map([['app', '{}' as never]]) }, { hasData: ['app'] });
    expect(lines.at(-1)).toBe('info the repository "app" works again');
  });

  test('are counted from the twenty-first on', () => {
    const { lines, read } = recorded();
    const failed = new Map(Array.from({ length: 22 }, (_, at) => [`r${at}`, failure()] as const));
    read({ failed });
    const count = (start: string) => lines.filter((line) => line.startsWith(start)).length;
    expect([count('warn the repository'), count('debug the repository')]).toEqual([20, 2]);
    expect(lines.at(-1)).toBe('warn more repositories could not be read no such host');
    // A look does not come to all of them.
    read({}, { isLook: true, hasData: ['r0'] });
    expect(count('info the rest')).toBe(0);
    read({});
    expect(count('info the rest of the repositories works again')).toBe(1);
  });

  test('below one prefix are told once, and not each', () => {
    const { lines, read } = recorded();
    const failed = new Map(['team/a', 'team/b', 'other'].map((name) => [name, failure()] as const));
    read({ failed, failedGroups: new Map([['team/', failure()]]) });
    expect(lines).toEqual([
      'warn repositories could not be listed: the last data of all below the prefix stays and ages no such host',
      'warn the repository could not be read: there is no data of it yet no such host',
    ]);
    // Neither a look nor a poll that was cut short says that it is over.
    read({}, { isLook: true });
    read({ cut: {} });
    expect(lines.length).toBe(2);
    read({ failedGroups: new Map([['team/', failure()]]) });
    expect(lines.at(-1)).toMatch(/^debug repositories could not be listed/);
    read({});
    read({});
    expect(lines.slice(3)).toEqual(['info the repositories below "team/" works again']);
  });
});

test('a look that failed is told once, and when looks work again', () => {
  const { outcomes, lines } = recorded();
  outcomes.lookEnded(['app'], failure());
  outcomes.lookEnded(['app'], failure());
  outcomes.lookEnded(['app'], undefined);
  outcomes.lookEnded(['app'], undefined);
  expect(lines).toEqual([
    'warn pushed repositories could not be looked at: the next poll will no such host',
    'debug pushed repositories could not be looked at: the next poll will no such host',
    'info the look at pushed repositories works again',
  ]);
  expect(outcomes.current()).toMatchObject({ polls: 0 });
});

describe('after a restart', () => {
  test('counts go on, and data is shown with the time of its poll', () => {
    const { outcomes, poll } = recorded();
    outcomes.restore({ polls: 7, failures: { dns: 2 }, pushes: {}, requests: [], events: [] });
    outcomes.restored(500);
    expect(outcomes.current()).toMatchObject({ polls: 7, lastSuccessAt: 500 });
    poll({ failure: failure() });
    expect(outcomes.saved()).toEqual({ polls: 8, failures: { dns: 3 } });
  });
});

test('a clock that was set back takes the times with it', () => {
  const { outcomes, errors, poll } = recorded();
  outcomes.moveBack(100);
  errors.moveBack(100);
  expect(outcomes.current()).toMatchObject({ polls: 0 });
  expect(outcomes.current().lastAttemptAt).toBeUndefined();
  poll({ snapshot, failing: ['findings'] });
  poll({ failure: failure(), failing: ['findings'] });
  outcomes.moveBack(100);
  errors.moveBack(100);
  expect(outcomes.current()).toMatchObject({ lastAttemptAt: 900, lastSuccessAt: 890 });
  expect(outcomes.current().failing.get('findings')).toEqual({
    at: 900,
    reason: 'forbidden',
    message: 'not allowed',
  });
  expect(errors.all()).toEqual([{ at: 900, reason: 'dns', message: 'no such host' }]);
});

describe('the last errors', () => {
  test('are five, the newest first, by their own words or others', () => {
    const errors = createRecentErrors();
    for (const message of ['1', '2', '3', '4']) errors.add(failure('dns', message));
    errors.add(failure('auth', '5'), 'other words');
    errors.add('no error at all');
    expect(errors.all().map(({ reason, message }) => `${reason} ${message}`)).toEqual([
      'internal no error at all',
      'auth other words',
      'dns 4',
      'dns 3',
      'dns 2',
    ]);
  });

  test('are as long as people read', () => {
    const errors = createRecentErrors();
    errors.add(failure('dns', 'x'.repeat(5000)));
    errors.add(failure(), 'y'.repeat(5000));
    expect(errors.all().map(({ message }) => message.length)).toEqual([1001, 1001]);
  });
});
