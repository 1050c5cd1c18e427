import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { acr } from '../../src/providers/acr.ts';
import { startAzure } from '../simulators/azure.ts';
import type { LogAnalytics, LoggedRequest } from '../simulators/log-analytics.ts';
import { repositoryName } from '../simulators/random.ts';
import { azureFixture, told, unhurried } from '../support/azure.ts';
import { eventually, tempDir } from '../support/programs.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/** Failed pushes by repository, from the log that ACR sends to Log Analytics. */

const { start: startBoth } = azureFixture();
const clock = Date.now;
afterEach(() => void vi.restoreAllMocks());

const [app, web] = [repositoryName(0), repositoryName(1)];
const pushEvents = { logs: true, interval: '30ms' };
const down = ['events_source_up{source="log-analytics"} 0'];
const failures = 'push_failures_total';

let requests = 0;
/** A request to the registry, now or so many seconds ago. */
const logged = (
  status: string,
  { ago = 0, ...more }: Partial<LoggedRequest> & { ago?: number } = {},
): LoggedRequest => {
  requests += 1;
  const time = new Date(Date.now() - ago * 1000).toISOString().replace('Z', '1234Z');
  const usual = { repository: app, tag: 'v1', identity: 'ci@example.com' };
  return { ...usual, ...{ time, status, correlation: `request-${requests}` }, ...more };
};

async function asked(logs: LogAnalytics, times: number): Promise<void> {
  const before = logs.requests.get('push_log') ?? 0;
  await eventually(() => expect(logs.requests.get('push_log') ?? 0).toBeGreaterThan(before + times));
}

/** A registry whose log was asked for before anything failed. */
async function start(change: (logs: LogAnalytics) => void = () => {}) {
  const { azure, running } = await startBoth({ seed: 1, repositories: 2 }, { pushEvents });
  change(azure.logs);
  await running.poll();
  await asked(azure.logs, 0);
  return { logs: azure.logs, running, azure };
}

/** The failures, once they are so. */
const count = (running: RunningLoop, wanted: readonly string[]) =>
  eventually(async () =>
    expect(await running.counted(failures)).toEqual(wanted.map((one) => failures + one)),
  );

test('each counts once, by its repository and what the status means, whenever and however often it is there', async () => {
  const { logs, running } = await start((made) => {
    // Both have the same rows.
    made.workspaces.push({ name: 'audit', readable: true });
  });
  logs.rows.push(
    // Before the exporter began to look.
    logged('403', { ago: 600 }),
    logged('403'),
    logged('403'),
    logged('405', { repository: web }),
    logged('429', { repository: web }),
    logged('500', { repository: web, shownAt: Date.now() + 700 }),
    // A token that does not allow it, and the question for one.
    logged('401'),
    logged('401', { identity: '' }),
    logged('401', { identity: '<nil>' }),
    logged('404', { repository: 'nobody/knows-it' }),
    logged('400', { repository: '<nil>' }),
    logged('400', { repository: '../etc' }),
    // These are none.
    logged('201'),
    logged('404', { operation: 'Pull' }),
    logged('403', { operation: 'Delete' }),
  );
  await eventually(async () => {
    await running.poll();
    expect(await running.counted(failures)).toEqual(
      [
        '{repository="",reason="not_found"} 1',
        '{repository="",reason="invalid"} 2',
        `{repository="${app}",reason="denied"} 3`,
        `{repository="${web}",reason="denied"} 1`,
        `{repository="${web}",reason="throttled"} 1`,
        `{repository="${web}",reason="server_error"} 1`,
      ].map((line) => failures + line),
    );
  });
  const before = await running.events();
  await asked(logs, 2);
  expect(await running.events()).toEqual(before);
  expect(await running.lines('events_source_up')).toEqual(['events_source_up{source="log-analytics"} 1']);
  expect(await running.value('events_source_lag_seconds')).toBeGreaterThan(0);
});

test('a status that is none is told and counts nothing', async () => {
  const { logs, running } = await start();
  logs.rows.push(logged('Failed'), logged('', {}), { ...logged('x'), status: null }, logged('403'));
  await count(running, [`{repository="${app}",reason="denied"} 1`]);
  await asked(logs, 1);
  expect(await running.events()).toEqual({ 'log-analytics accepted': 1, 'log-analytics invalid': 3 });
});

test('more than one page, also where many are of one moment', async () => {
  const { logs, running } = await start();
  const time = new Date().toISOString();
  for (let at = 0; at < 4_500; at += 1)
    logs.rows.push(logged('403', { repository: web, ...(at % 3 === 0 && { time }) }));
  await count(running, [`{repository="${web}",reason="denied"} 4500`]);
  expect(logs.queries.length).toBeGreaterThan(3);
});

test('more rows of one moment than a page holds: told, not asked for without end', async () => {
  const { logs, running } = await start();
  const time = new Date().toISOString();
  logs.rows.push(...Array.from({ length: 2_500 }, () => logged('403', { time })));
  await eventually(async () => expect(await running.lines('events_source_up')).toEqual(down));
  expect(told(running, 'push events could not be read')).toEqual([
    expect.stringContaining('the list never ends'),
  ]);
});

test('what failed during hours without an answer is caught up, once', async () => {
  const { logs, running } = await start();
  logs.mayRead = false;
  await eventually(async () => expect(await running.lines('events_source_up')).toEqual(down));
  vi.spyOn(Date, 'now').mockImplementation(() => clock() + 4 * 3_600_000);
  logs.rows.push(logged('403', { ago: 3.5 * 3600 }), logged('403', { ago: 7200 }), logged('403'));
  logs.mayRead = true;
  await count(running, [`{repository="${app}",reason="denied"} 3`]);
  await asked(logs, 2);
  expect(await running.counted(failures)).toEqual([`${failures}{repository="${app}",reason="denied"} 3`]);
});

test('a restart counts nothing twice and loses nothing', async () => {
  const folder = tempDir();
  const azure = await startAzure({ seed: 1, repositories: 2 });
  const registry = { ...unhurried, ...azure.settings, pushEvents };
  try {
    const first = await runLoop(acr, registry, { storagePath: folder.path });
    await first.poll();
    await asked(azure.logs, 0);
    azure.logs.rows.push(logged('403'), logged('500'));
    await count(first, [
      `{repository="${app}",reason="denied"} 1`,
      `{repository="${app}",reason="server_error"} 1`,
    ]);
    await first.stop();
    azure.logs.rows.push(logged('403'));
    const second = await runLoop(acr, registry, { storagePath: folder.path });
    await count(second, [
      `{repository="${app}",reason="denied"} 2`,
      `{repository="${app}",reason="server_error"} 1`,
    ]);
    await asked(azure.logs, 1);
    expect(await second.counted(failures)).toHaveLength(2);
    await second.stop();
  } finally {
    await azure.close();
    folder.remove();
  }
});

test('a part of the rows counts, the source is down, and the rest counts when it comes', async () => {
  const { logs, running } = await start();
  logs.rowsAtMost = 2;
  logs.rows.push(...Array.from({ length: 5 }, () => logged('403')));
  await count(running, [`{repository="${app}",reason="denied"} 2`]);
  await eventually(async () => expect(await running.lines('events_source_up')).toEqual(down));
  expect(told(running, 'push events could not be read')).toEqual([
    expect.stringContaining('There were some errors when processing your query'),
  ]);
  logs.rowsAtMost = Number.POSITIVE_INFINITY;
  await count(running, [`{repository="${app}",reason="denied"} 5`]);
});

const refusals: readonly [string, (logs: LogAnalytics) => void, string][] = [
  [
    'may not read the logs of the registry',
    (logs) => {
      logs.mayRead = false;
    },
    'Monitoring Reader',
  ],
  ['has no diagnostic setting', (logs) => void logs.workspaces.splice(0), 'diagnostic setting'],
  [
    'may not read the workspace',
    (logs) => {
      for (const workspace of logs.workspaces) workspace.readable = false;
    },
    'Log Analytics Reader',
  ],
  [
    'may not read the table',
    (logs) => {
      for (const workspace of logs.workspaces) workspace.deniedTables = ['ContainerRegistryRepositoryEvents'];
    },
    'Log Analytics Reader',
  ],
  [
    'has no table of such a name in its workspace',
    (logs) => {
      logs.lacks = 'table';
    },
    'diagnostic setting',
  ],
  [
    'has a workspace without data',
    (logs) => {
      logs.lacks = 'data';
    },
    'diagnostic setting',
  ],
];
test('an identity that is shown no log: the source is down, the log says what to do, polls go on', async () => {
  await Promise.all(
    refusals.map(async ([why, change, advice]) => {
      const { azure, running } = await startBoth({ seed: 1, repositories: 1 }, { pushEvents });
      change(azure.logs);
      await eventually(async () => expect(await running.lines('events_source_up'), why).toEqual(down));
      expect(told(running, 'push events could not be read'), why).toEqual([expect.stringContaining(advice)]);
      await running.poll();
      expect(await running.value('up'), why).toBe(1);
      Object.assign(azure.logs, { mayRead: true, lacks: undefined });
      azure.logs.workspaces.splice(0, 9, { name: 'logs', readable: true });
      await eventually(async () => expect(await running.value('events_source_up'), why).toBe(1));
    }),
  );
});

test('where permissions are not told, no rows are no failures', async () => {
  const { logs, running } = await start();
  logs.tellsPermissions = false;
  logs.workspaces.splice(0);
  await asked(logs, 1);
  expect(await running.value('events_source_up')).toBe(1);
});

const columns = ['TimeGenerated', 'Repository', 'ResultDescription'].map((name) => ({
  name,
  type: 'string',
}));
const oddAnswers: readonly [string, unknown][] = [
  ['no tables', {}],
  ['an empty list of tables', { tables: [] }],
  ['a table without rows', { tables: [{ name: 'PrimaryResult', columns }] }],
  ['rows that are none', { tables: [{ name: 'PrimaryResult', columns, rows: [1, 2] }] }],
  ['a list', []],
];
test('an answer of another shape is an error, not an empty log', async () => {
  await Promise.all(
    oddAnswers.map(async ([what, body]) => {
      const { logs, running } = await start();
      const fault = { type: 'body', body: JSON.stringify(body) } as const;
      logs.faults.push({ operation: 'push_log', fault, times: 1 });
      await eventually(async () => expect(await running.lines('events_source_up'), what).toEqual(down));
      logs.rows.push(logged('403'));
      await count(running, [`{repository="${app}",reason="denied"} 1`]);
    }),
  );
});

test('rows with odd cells hide no others, and nothing of them becomes a name', async () => {
  const { logs, running } = await start();
  let sure = 0;
  const text = fc.oneof(fc.string({ maxLength: 40 }), fc.constantFrom('<nil>', '', '..', 'a/../b', '\u0000'));
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          status: fc.oneof(text, fc.constantFrom('403', '401', '200', '099', '4e2', '999')),
          repository: text,
          tag: text,
          identity: text,
          time: fc.oneof(text, fc.constant(undefined)),
        }),
        { maxLength: 60 },
      ),
      async (odd) => {
        logs.rows.push(
          ...odd.map(({ time, ...cells }) => ({
            ...logged('403', cells),
            ...cells,
            // The service compares times itself, so that an odd one is shown with the others.
            ...(time === undefined ? {} : { digest: time }),
          })),
          logged('412', { repository: web }),
        );
        sure += 1;
        await eventually(async () =>
          expect(await running.counted(failures)).toContain(
            `${failures}{repository="${web}",reason="immutable_tag"} ${sure}`,
          ),
        );
        const named = (await running.counted(failures)).map((line) => /repository="([^"]*)"/.exec(line)?.[1]);
        expect(named.filter((name) => name !== '' && name !== app && name !== web)).toEqual([]);
      },
    ),
    { numRuns: 6 },
  );
});

test('both ways to count the same failures, and credentials that cannot ask: refused', () => {
  const given = { loginServer: 'prod.azurecr.io', pushEvents: { metrics: true, logs: true } };
  expect(acr.check?.(given as never, false)).toEqual([
    { path: ['pushEvents', 'logs'], message: expect.stringContaining('keep one of the two') },
  ]);
  const auth = { username: 'a', password: 'b' };
  expect(acr.check?.({ ...given, auth, pushEvents: { logs: true } } as never, false)).toEqual([
    { path: ['pushEvents'], message: expect.stringContaining('needs an identity of Azure') },
  ]);
});
