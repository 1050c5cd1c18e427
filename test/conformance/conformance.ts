import { afterEach, describe, expect, test } from 'vitest';
import type { Provider } from '../../src/provider.ts';
import type { FaultRule } from '../simulators/faults.ts';
import { type RunningLoop, runLoop } from '../support/running-loop.ts';

/** A simulated registry with a population, as the suite needs it. */
export interface Simulated {
  /** The provider's own part of the configuration, with working credentials. */
  readonly registry: Readonly<Record<string, unknown>>;
  /** The same with credentials that the registry refuses. */
  readonly refused: Readonly<Record<string, unknown>>;
  /** Secrets that must appear nowhere. */
  readonly secrets: readonly string[];
  /**
   * What the exporter has to expose, computed from the population alone: samples as `RunningLoop.lines` gives them,
   * of the families in {@link Subject.families}, in any order.
   */
  truth(): readonly string[];
  readonly repositories: readonly string[];
  readonly faults: FaultRule[];
  /** Changes the population: what was true is no longer. */
  change(): void;
  deleteRepository(name: string): void;
  /** Makes all tokens invalid but those that were given out a moment ago: tokens expire by their age. */
  expireTokens(): void;
  close(): Promise<void>;
}

/** A provider and its simulator. */
export interface Subject {
  readonly provider: Provider;
  /** The simulator's name for the request that lists repositories. */
  readonly listing: string;
  /** The simulator's name for the request that lists the images of one repository. */
  readonly images: string;
  /** Families that the truth covers, without `container_registry_`. */
  readonly families: readonly string[];
  start(options: {
    readonly seed: number;
    readonly repositories?: number;
    readonly pageSize?: number;
    readonly endlessPaging?: 'same' | 'cycle';
  }): Promise<Simulated>;
  /** How many random populations are compared. */
  readonly seeds?: number;
  /**
   * Whether the vendor's protocol leaves an empty list out of the answer, as proto3 does: then `{}` says that there is
   * nothing, which is believed when the next poll says so too.
   */
  readonly absentListIsEmpty?: boolean;
}

/** Deadlines that only what hangs comes to, on a busy machine too. */
const patient = { timeout: '5m', http: { timeout: '60s', retries: 2 } };
/** Asks again soon, and has time for it. */
const quick = { timeout: '5m', http: { timeout: '3s', retries: 4 } };
/** Quick to give up, so that a test of what lasts is quick too; still many times what a poll usually takes. */
const impatient = { timeout: '10s', http: { timeout: '3s', retries: 1 } };
/** For hangs of the test itself. */
const testMs = 600_000;

type Settings = Readonly<Record<string, unknown>>;

/** A registry's settings with deadlines; a simulator's own limits of requests stay. */
const withDeadlines = (registry: Settings, deadlines: typeof patient): Settings => ({
  ...deadlines,
  ...registry,
  http: { ...deadlines.http, ...(registry['http'] as object) },
});

const long = process.env['LONG'] === '1';

/** What each provider must do, whatever the vendor. */
export function conformance(subject: Subject): void {
  const { provider, families } = subject;
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });

  async function setup(
    options: Parameters<Subject['start']>[0],
    deadlines: typeof patient = patient,
  ): Promise<{ simulated: Simulated; running: RunningLoop }> {
    const simulated = await subject.start(options);
    open.push(simulated);
    const running = await runLoop(provider, withDeadlines(simulated.registry, deadlines));
    open.push({ close: () => running.stop() });
    return { simulated, running };
  }
  const exposed = async (running: RunningLoop) => (await running.lines(...families)).toSorted();
  const failures = async (running: RunningLoop) =>
    (await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'));
  const sorted = (lines: readonly string[]) => lines.toSorted();

  test(
    'every number equals the truth, over random populations',
    async () => {
      const count = long ? (subject.seeds ?? 100) : Math.min(50, subject.seeds ?? 50);
      for (let seed = 1; seed <= count; seed += 1) {
        const simulated = await subject.start({
          seed,
          repositories: 1 + (seed % 7),
          pageSize: 1 + (seed % 5),
        });
        const running = await runLoop(provider, withDeadlines(simulated.registry, patient));
        await running.poll();
        // A first listing without a repository is believed when the next one says so too.
        if (simulated.truth().includes('repositories{} 0')) await running.poll();
        expect(await running.value('up'), `seed ${seed}: ${running.log()}`).toBe(1);
        expect(await exposed(running), `seed ${seed}`).toEqual(sorted(simulated.truth()));
        simulated.change();
        await running.poll();
        expect(await exposed(running), `seed ${seed}, changed`).toEqual(sorted(simulated.truth()));
        await running.stop();
        await simulated.close();
      }
    },
    testMs,
  );

  test.each([1, 2, 3, 1000])('pages of %i', async (pageSize) => {
    const { simulated, running } = await setup({ seed: 7, repositories: 9, pageSize });
    await running.poll();
    expect(await exposed(running)).toEqual(sorted(simulated.truth()));
  });

  describe('a fault that passes costs time and nothing else', () => {
    const passing: readonly (readonly [string, FaultRule['fault']])[] = [
      ['throttled without a word of how long', { type: 'throttle' }],
      ['throttled for a second', { type: 'throttle', retryAfter: '1' }],
      ['an error of the server', { type: 'status', status: 503 }],
      ['a broken connection', { type: 'cut' }],
      ['no answer', { type: 'stall', at: 'before-headers' }],
      ['headers and no body', { type: 'stall', at: 'before-body' }],
      ['a body that drips', { type: 'stall', at: 'drip' }],
    ];
    for (const operation of [subject.listing, subject.images])
      test.each(passing)(`${operation}: %s`, async (_title, fault) => {
        const hangs = fault.type === 'stall';
        const { simulated, running } = await setup({ seed: 3 }, hangs ? quick : patient);
        simulated.faults.push({ fault, operation, times: 1 });
        await running.poll();
        expect(simulated.faults[0]?.times).toBe(0);
        expect(await failures(running)).toEqual([]);
        expect(await exposed(running)).toEqual(sorted(simulated.truth()));
      });
  });

  describe('a listing that fails fails the poll: the last good data stays, none is made up', () => {
    const lasting: readonly (readonly [string, FaultRule['fault'], string])[] = [
      ['an error of the server', { type: 'status', status: 500 }, 'server_error'],
      ['a refusal', { type: 'status', status: 403 }, 'forbidden'],
      ['an answer without its list', { type: 'body', body: '{}' }, 'invalid_response'],
      ['a page for people', { type: 'body', body: '<html><body>Sign in</body></html>' }, 'invalid_response'],
      ['cut JSON', { type: 'body', body: '{"repositories":["a' }, 'invalid_response'],
      ['a broken connection', { type: 'cut' }, 'connect'],
      ['no answer', { type: 'stall', at: 'before-headers' }, 'timeout'],
      ['a body that drips', { type: 'stall', at: 'drip' }, 'timeout'],
      ['throttling without end', { type: 'throttle' }, 'throttled'],
    ];
    const usable = lasting.filter(
      ([title]) => !(subject.absentListIsEmpty && title === 'an answer without its list'),
    );
    test.each(usable)('%s', async (_title, fault, reason) => {
      const lasts = fault.type === 'stall' || fault.type === 'throttle';
      const { simulated, running } = await setup({ seed: 5 }, lasts ? impatient : patient);
      await running.poll();
      const before = sorted(simulated.truth());
      simulated.change();
      simulated.faults.push({ fault, operation: subject.listing });
      await running.poll();
      expect(await running.value('up')).toBe(0);
      expect(await failures(running)).toEqual([`poll_failures_total{reason="${reason}"} 1`]);
      expect(await exposed(running)).toEqual(before);
      simulated.faults.length = 0;
      // On a busy machine the deadlines of the impatient pass by themselves: then one more poll, a few at most.
      for (let more = lasts ? 5 : 1; more > 0; more -= 1) {
        await running.poll();
        if ((await running.value('up')) === 1) break;
      }
      expect(await running.value('up')).toBe(1);
      expect(await exposed(running)).toEqual(sorted(simulated.truth()));
    });

    test('what repositories.include spells out and is not there is said once, and is no 0', async () => {
      const simulated = await subject.start({ seed: 5 });
      open.push(simulated);
      const include = ['is/not/there', 'not-there'];
      const registry = { ...simulated.registry, repositories: { include } };
      const running = await runLoop(provider, withDeadlines(registry, patient));
      open.push({ close: () => running.stop() });
      await running.poll();
      await running.poll();
      const said = running
        .log()
        .split('\n')
        .filter((line) => line.includes('level=warn') && /repositories\.include`? names/.test(line));
      // Each name, or its project in Harbor; and the capability, since none is there.
      expect(said.length).toBeGreaterThan(0);
      expect(said.length).toBeLessThanOrEqual(include.length + 1);
      expect(await running.lines('repositories')).toEqual([]);
    });

    test('without any good poll before there is no number at all', async () => {
      const { simulated, running } = await setup({ seed: 5 });
      const body = subject.absentListIsEmpty ? '{"' : '{}';
      simulated.faults.push({ fault: { type: 'body', body }, operation: subject.listing });
      await running.poll();
      expect(await running.value('up')).toBe(0);
      expect(await exposed(running)).toEqual([]);
      expect(await running.lines('repositories', 'storage_bytes')).toEqual([]);
    });
  });

  if (subject.absentListIsEmpty)
    test('an empty answer is believed when the next one is empty too', async () => {
      const { simulated, running } = await setup({ seed: 5 });
      await running.poll();
      const before = sorted(simulated.truth());
      simulated.faults.push({ fault: { type: 'body', body: '{}' }, operation: subject.listing });
      await running.poll();
      expect(await exposed(running)).toEqual(before);
      await running.poll();
      expect((await exposed(running)).filter((line) => line.startsWith('repository_'))).toEqual([]);
    });

  test.each(['same', 'cycle'] as const)('a listing without end (%s page again) is ended', async (kind) => {
    const { running } = await setup({ seed: 5, pageSize: 2, endlessPaging: kind });
    await running.poll();
    // Where a list can be read on after its last name all the same, others of single repositories are ended.
    const [failure, ...others] = await failures(running);
    expect(others).toEqual([]);
    expect(failure).toMatch(/^poll_failures_total\{reason="(pagination|partial)"\} 1$/);
    expect(running.log()).toMatch(/never ends|read before|pagination/);
  });

  test('one broken repository keeps its last numbers; the others go on', async () => {
    const { simulated, running } = await setup({ seed: 11, repositories: 6 });
    await running.poll();
    const broken = simulated.repositories[0] as string;
    const own = (lines: readonly string[]) => lines.filter((line) => line.includes(`repository="${broken}"`));
    const rest = (lines: readonly string[]) =>
      sorted(lines.filter((line) => !line.includes(`repository="${broken}"`)));
    const before = own(await exposed(running));
    simulated.faults.push({
      fault: { type: 'status', status: 500 },
      operation: subject.images,
      repository: broken,
    });
    for (let step = 0; step < 12; step += 1) simulated.change();
    await running.poll();
    expect(await running.value('up')).toBe(1);
    expect(await failures(running)).toEqual(['poll_failures_total{reason="partial"} 1']);
    expect(own(await exposed(running))).toEqual(before);
    expect(rest(await exposed(running))).toEqual(rest(simulated.truth()));
    simulated.faults.length = 0;
    await running.poll();
    expect(await exposed(running)).toEqual(sorted(simulated.truth()));
  });

  test('a repository that is deleted vanishes, even between the listing and its turn', async () => {
    const { simulated, running } = await setup({ seed: 13, repositories: 6 });
    await running.poll();
    const [first = '', second = ''] = simulated.repositories;
    simulated.deleteRepository(first);
    // Listed, and slow enough to be gone when it is asked for.
    simulated.faults.push({ fault: { type: 'slow', ms: 300 }, operation: subject.images });
    const polled = running.poll();
    await new Promise((resolve) => setTimeout(resolve, 150));
    simulated.deleteRepository(second);
    await polled;
    expect(await failures(running)).toEqual([]);
    expect(await exposed(running)).toEqual(sorted(simulated.truth()));
  });

  test('tokens that expire in the middle of a poll are renewed', async () => {
    const { simulated, running } = await setup({ seed: 17, repositories: 8, pageSize: 2 });
    simulated.faults.push({ fault: { type: 'slow', ms: 200 } });
    const timer = setInterval(() => simulated.expireTokens(), 300);
    await running.poll();
    clearInterval(timer);
    expect(await failures(running)).toEqual([]);
    expect(await exposed(running)).toEqual(sorted(simulated.truth()));
  });

  test('refused credentials are told apart, and secrets stay secret', async () => {
    const simulated = await subject.start({ seed: 5 });
    open.push(simulated);
    const running = await runLoop(provider, withDeadlines(simulated.refused, patient));
    open.push({ close: () => running.stop() });
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="auth"} 1']);
    const told = `${running.log()}${await running.text()}${JSON.stringify(running.loop.status())}`;
    for (const secret of simulated.secrets) expect(told).not.toContain(secret);
  });

  test('stopping does not wait for a registry that does not answer', async () => {
    const { simulated, running } = await setup({ seed: 5 });
    simulated.faults.push({ fault: { type: 'stall', at: 'before-headers' } });
    const polled = running.poll();
    await new Promise((resolve) => setTimeout(resolve, 100));
    // Each request of the poll may take a minute; the test has less than that.
    await running.stop();
    await polled;
  }, 45_000);

  test('a poll ends at its deadline, whatever hangs', async () => {
    const deadlines = { timeout: '2s', http: { timeout: '60s', retries: 2 } };
    const { simulated, running } = await setup({ seed: 5 }, deadlines);
    simulated.faults.push({ fault: { type: 'stall', at: 'drip' } });
    await running.poll();
    expect(await failures(running)).toEqual(['poll_failures_total{reason="timeout"} 1']);
  }, 45_000);

  test('a scrape during a poll sees the last data whole', async () => {
    const { simulated, running } = await setup({ seed: 19, repositories: 6 });
    await running.poll();
    const before = sorted(simulated.truth());
    simulated.change();
    simulated.faults.push({ fault: { type: 'slow', ms: 100 } });
    const polled = running.poll();
    let done = false;
    polled.then(() => (done = true));
    while (!done) {
      const now = await exposed(running);
      if (!done) expect([before, sorted(simulated.truth())]).toContainEqual(now);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await exposed(running)).toEqual(sorted(simulated.truth()));
  });
}
