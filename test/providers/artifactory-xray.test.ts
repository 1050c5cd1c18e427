import { createServer, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { SimulatedViolation } from '../simulators/artifactory-xray.ts';
import { lines, repositoryTruth } from '../simulators/estate-truth.ts';
import { type Platform, platform } from '../support/artifactory-platform.ts';

/** What Xray says, and what is made of it where it says nothing. */
const held = ({ estate, simulator }: Platform) =>
  [...estate.repositories.values()].filter(({ images }) => images.size > 0).map(simulator.truth);

const scans = (made: Platform) =>
  held(made)
    .filter((repository) => repositoryTruth(repository).tagged + repositoryTruth(repository).untagged > 0)
    .flatMap((repository) =>
      lines(
        'repository_image_scans',
        { repository: repository.name },
        'status',
        repositoryTruth(repository).scans,
      ),
    )
    .toSorted();

describe('an Xray without a list of scans (before 3.54)', () => {
  test('is asked for summaries, which tell what can be fixed too, and are remembered', async () => {
    const made = await platform({ xray: 'old', seed: 8 });
    await made.running.poll();
    const fixable = held(made).flatMap((repository) =>
      lines(
        'repository_fixable_findings',
        { repository: repository.name },
        'severity',
        repositoryTruth(repository).fixable,
      ),
    );
    expect(fixable.length).toBeGreaterThan(0);
    expect((await made.running.lines('repository_fixable_findings')).toSorted()).toEqual(fixable.toSorted());
    const first = made.simulator.requests.get('xray_summary') ?? 0;
    expect(first).toBeGreaterThan(0);
    await made.running.poll();
    // What was not scanned is asked for again only after a while.
    expect(made.simulator.requests.get('xray_summary')).toBe(first);
  });

  test('says of what it has not scanned that it has not, and nothing of findings', async () => {
    const made = await platform({ xray: 'old', seed: 8 });
    await made.running.poll();
    const truth = held(made).map(repositoryTruth);
    const complete = truth.reduce((sum, { scans: { complete } }) => sum + complete, 0);
    const found = (await made.running.lines('repository_image_scans')).filter((line) =>
      line.includes('"complete"'),
    );
    expect(found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)).toBe(complete);
    expect(
      (await made.running.lines('repository_image_scans')).filter((line) => line.includes('"failed"')),
    ).toSatisfy((all: string[]) => all.every((line) => line.endsWith(' 0')));
  });
});

test('without Xray there are no findings, and no capability that claims to have worked', async () => {
  const made = await platform({ xray: 'none' });
  await made.running.poll();
  expect(await made.running.value('up')).toBe(1);
  expect(await made.running.lines('repository_findings', 'repository_image_scans')).toEqual([]);
  const capabilities = await made.running.lines('capability_up');
  expect(capabilities.join()).not.toContain('findings');
  expect(capabilities).toContain('capability_up{capability="images"} 1');
  expect(made.running.log()).not.toMatch(/level=(warn|error)/);
});

test('Xray that was there before and does not answer any more is down, and not absent', async () => {
  const made = await platform({ seed: 4 });
  await made.running.poll();
  for (const operation of ['xray_artifacts', 'xray_ping', 'xray_watches'])
    made.simulator.faults.push({ operation, fault: { type: 'status', status: 404 } });
  await made.running.poll();
  expect(await made.running.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
  expect(made.running.log()).toMatch(/nothing answers at \/xray: is it down/);
});

test('Xray that gives up on a long list is asked for a shorter one', async () => {
  const made = await platform({ seed: 4 });
  const body = '{"error":"failed to get artifacts"}';
  made.simulator.faults.push({
    operation: 'xray_artifacts',
    times: 2,
    fault: { type: 'status', status: 500, body },
  });
  await made.running.poll();
  expect((await made.running.lines('repository_image_scans')).toSorted()).toEqual(scans(made));
  expect(await made.running.lines('capability_up')).toContain('capability_up{capability="findings"} 1');
});

test('Xray can be left alone', async () => {
  const made = await platform({}, { xray: false });
  await made.running.poll();
  expect(made.simulator.asked.filter((line) => line.includes('/xray/'))).toEqual([]);
  expect((await made.running.lines('capability_up')).join()).not.toContain('findings');
});

test('an image without findings is clean only where Xray says that its scan is done', async () => {
  const made = await platform({ seed: 2, repositories: 1 });
  const [repository] = made.estate.repositories.values();
  const zero = { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 };
  for (const image of repository?.images.values() ?? [])
    if (image.kind === 'image' || image.kind === 'platform')
      image.scan = { status: 'complete', at: 1_794_000_000, counts: zero, fixable: zero };
  made.simulator.faults.push({
    operation: 'xray_status',
    fault: { type: 'body', body: '{"overall":{"status":"SCANNING"}}' },
  });
  await made.running.poll();
  expect(await made.running.lines('repository_findings')).toEqual([]);
  expect(
    (await made.running.lines('repository_image_scans')).find((line) => line.includes('"complete"')),
  ).toMatch(/ 0$/);
  made.simulator.faults.length = 0;
  await made.running.poll();
  expect(await made.running.lines('repository_findings')).toHaveLength(6);
  expect(await made.running.lines('image_scanned_timestamp_seconds')).not.toEqual([]);
  expect((await made.running.lines('repository_image_scans')).toSorted()).toEqual(scans(made));
  // Heard once, it stays so: the next poll asks for none of them.
  const asked = made.simulator.requests.get('xray_status');
  await made.running.poll();
  expect(made.simulator.requests.get('xray_status')).toBe(asked);
});

test('a scan status that is not known here is unknown, and told once', async () => {
  const made = await platform({ seed: 4 });
  const body = '{"overall":{"status":"REINCARNATED","time":"2026-11-01T00:00:00Z"}}';
  made.simulator.faults.push({ operation: 'xray_status', fault: { type: 'body', body } });
  await made.running.poll();
  await made.running.poll();
  expect(await made.running.value('up')).toBe(1);
  expect(made.running.log().match(/REINCARNATED/g)?.length).toBe(2);
});

test.each([403, 500])('scan statuses that answer %i leave the counts that are listed', async (status) => {
  const made = await platform({ seed: 4 });
  await made.running.poll();
  const before = await made.running.lines('image_findings');
  const listed = before.filter((line) => !line.endsWith(' 0'));
  const fresh = await platform({ seed: 4, estate: made.estate });
  fresh.simulator.faults.push({ operation: 'xray_status', fault: { type: 'status', status } });
  await fresh.running.poll();
  expect(listed).not.toEqual([]);
  expect(await fresh.running.lines('image_findings')).toEqual(expect.arrayContaining(listed));
  expect(await fresh.running.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
  // After a few refusals no more are asked for in that poll, each with its retries.
  expect(fresh.simulator.requests.get('xray_status')).toBeLessThanOrEqual(2 * (3 + 8));
});

test('more images without a scan than may be asked for one by one count as never scanned', async () => {
  const made = await platform({ seed: 4 }, { scanStatusesPerPoll: 2 });
  await made.running.poll();
  expect(made.simulator.requests.get('xray_status')).toBe(2);
  const waiting = (await made.running.lines('repository_image_scans')).filter((line) =>
    line.includes('"none"'),
  );
  expect(waiting.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)).toBeGreaterThan(2);
});

test('Xray that fails takes nothing else with it, and is not asked for each repository in turn', async () => {
  const made = await platform({ seed: 4 });
  made.simulator.faults.push({ operation: 'xray_artifacts', fault: { type: 'status', status: 403 } });
  await made.running.poll();
  expect(await made.running.value('up')).toBe(1);
  expect(await made.running.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
  expect(made.running.log()).toMatch(/findings could not be read.*permission Read on the repositories/);
  expect(await made.running.lines('repository_size_bytes')).not.toEqual([]);
  expect(made.simulator.requests.get('xray_artifacts')).toBeLessThanOrEqual(4);
});

test('a list of scans that cannot be understood costs the findings of its JFrog repository alone', async () => {
  const made = await platform({ seed: 11, repositories: 20 });
  const keysWithFindings = async () =>
    new Set(
      (await made.running.lines('repository_findings')).map((line) => /repository="([^/]*)/.exec(line)?.[1]),
    );
  await made.running.poll();
  const all = await keysWithFindings();
  made.simulator.faults.push({ operation: 'xray_artifacts', fault: { type: 'body', body: '{}' }, times: 1 });
  await made.running.poll();
  expect((await keysWithFindings()).size).toBe(all.size - 1);
  expect(all.size).toBeGreaterThan(1);
  expect(await made.running.lines('capability_up')).toContain('capability_up{capability="findings"} 0');
});

describe('violations', () => {
  const violations = (watch: string, ...severities: SimulatedViolation['severity'][]): SimulatedViolation[] =>
    severities.map((severity) => ({ watch, severity }));
  const setUp = (made: Platform) => {
    made.simulator.settings.watches = [
      { name: 'all', active: true },
      { name: 'retired', active: false },
    ];
    made.simulator.settings.violations = [
      ...violations('all', 'Critical', 'High', 'High', 'Information', 'Unknown'),
      ...violations('retired', 'Critical'),
    ];
  };
  const counted = [
    'policy_violations{watch="all",severity="CRITICAL"} 1',
    'policy_violations{watch="all",severity="HIGH"} 2',
    'policy_violations{watch="all",severity="MEDIUM"} 0',
    'policy_violations{watch="all",severity="LOW"} 0',
    'policy_violations{watch="all",severity="NEGLIGIBLE"} 1',
    'policy_violations{watch="all",severity="UNKNOWN"} 1',
  ];

  test('are counted by active watch and severity, and not at every poll', async () => {
    const made = await platform();
    setUp(made);
    await made.running.poll();
    await made.running.poll();
    expect(await made.running.lines('policy_violations')).toEqual(counted);
    expect(made.simulator.requests.get('xray_violations')).toBe(1);
  });

  test('of a watch that has none are 0, also where the total is left out', async () => {
    const made = await platform();
    setUp(made);
    made.simulator.settings.violations.length = 0;
    await made.running.poll();
    expect(await made.running.lines('policy_violations')).toEqual(
      counted.map((line) => line.replace(/ \d+$/, ' 0')),
    );
  });

  test('that are many are counted by their least severity', async () => {
    const made = await platform();
    setUp(made);
    made.simulator.settings.violations.push(
      ...Array.from({ length: 300 }, () => violations('all', 'Medium')).flat(),
    );
    await made.running.poll();
    expect(await made.running.lines('policy_violations')).toEqual(
      counted.map((line) => line.replace('"MEDIUM"} 0', '"MEDIUM"} 300')),
    );
    expect(made.simulator.requests.get('xray_violations')).toBe(6);
  });

  test('that are never answered are waited for only so long', async () => {
    const made = await platform({}, { violationsTimeout: '300ms', http: { timeout: '30s' } });
    setUp(made);
    made.simulator.settings.hangingWatches = ['all'];
    await made.running.poll();
    expect(await made.running.value('up')).toBe(1);
    expect(await made.running.lines('policy_violations')).toEqual([]);
    expect(made.running.log()).toMatch(/the violations of the watch .*all.*no answer within 300 ms/);
    expect((await made.running.lines('repository_image_scans')).toSorted()).toEqual(scans(made));
  });

  test('need a role of their own', async () => {
    const made = await platform({ role: 'reader' });
    setUp(made);
    await made.running.poll();
    expect(await made.running.lines('policy_violations')).toEqual([]);
    expect(made.running.log()).toMatch(/role Manage Watches/);
    expect((await made.running.lines('repository_image_scans')).toSorted()).toEqual(scans(made));
  });
});

/** The platform at another address, where Xray answers like this. */
async function withXray(
  { simulator }: Platform,
  answer: (response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((incoming, response) => {
    if (incoming.url?.startsWith('/xray/')) return answer(response);
    const { method, headers } = incoming;
    const forwarded = request(`${simulator.url}${incoming.url}`, { method, headers }, (answered) => {
      response.writeHead(answered.statusCode ?? 500, answered.headers);
      answered.pipe(response);
    });
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.each<[string, (response: ServerResponse) => void, string]>([
  ['hangs', () => {}, 'timeout'],
  ['refuses everything for its rate', (response) => void response.writeHead(429).end(), 'throttled'],
])('an Xray that %s takes the findings, and not the time of the poll', async (_title, answer, reason) => {
  const behind = await platform({ seed: 8 });
  const endpoint = await withXray(behind, answer);
  const { running } = await platform({ seed: 8 }, { endpoint, timeout: '8s', http: { timeout: '30s' } });
  await running.poll();
  expect(await running.lines('up')).toEqual(['up{} 1']);
  expect((await running.lines('repository_tags')).length).toBeGreaterThan(0);
  const findings = running.loop.status().failing.filter(({ capability }) => capability === 'findings');
  expect(findings.map((failing) => failing.reason)).toEqual([reason]);
});
