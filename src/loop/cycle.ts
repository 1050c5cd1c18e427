import type { ImageSelection } from '../bounded.ts';
import { startDeadline } from '../deadline.ts';
import { CollectError } from '../errors.ts';
import type { CycleResult } from '../fold.ts';
import type { PersistentMemory } from '../memory.ts';
import { namedByInclude, sayMissing } from '../named.ts';
import type { Logger, Provider, ReadingOrder, Session } from '../provider.ts';
import type { RegistryStorage } from '../storage.ts';
import { type CycleContext, createCycleContext } from './context.ts';
import type { Counting } from './counting.ts';
import { cutShort, foldStream } from './fold-stream.ts';
import type { MissedEvents } from './missed-events.ts';
import type { Notices, PollNotices } from './notices.ts';
import type { Outcomes } from './outcomes.ts';
import type { Publisher } from './publish.ts';
import type { Pushes } from './pushes.ts';
import { createReadingOrders } from './reading-order.ts';
import type { Saving } from './saving.ts';
import type { RegistrySettings } from './settings.ts';
import type { Snapshots } from './snapshots.ts';
import type { Progress } from './status.ts';
import type { HoldsTimes, Times } from './times.ts';
import type { Troubles } from './troubles.ts';

/** What a cycle works with; each part owns what it keeps between cycles. */
export interface CycleParts {
  readonly settings: RegistrySettings;
  /** Which images are exported one by one: what is configured, and what runs. */
  readonly images: ImageSelection;
  readonly provider: Provider;
  /** Ends when the exporter stops. */
  readonly stopping: AbortSignal;
  readonly userAgent: string;
  readonly log: Logger;
  readonly session: Session;
  readonly memory: PersistentMemory;
  readonly storage: RegistryStorage;
  readonly times: Pick<Times, 'now'>;
  readonly troubles: Troubles;
  readonly notices: Notices;
  readonly counting: Counting;
  readonly snapshots: Snapshots;
  readonly pushes: Pushes;
  readonly missed: MissedEvents;
  readonly outcomes: Outcomes;
  readonly publisher: Publisher;
  readonly saving: Saving;
}

/** The cycles of one registry. */
export interface Cycles extends HoldsTimes {
  /**
   * One cycle: collect → fold → commit → publish → save.
   * @param only looks at these repositories; undefined polls the whole registry
   */
  run(only: readonly string[] | undefined): Promise<void>;
  /** How far the cycle in progress is. */
  progress(): Progress | undefined;
  /** Resolves when what the last cycle learned is saved. */
  saved(): Promise<void>;
}

/** A cycle that has begun. */
interface Begun {
  /** The repositories that are looked at; undefined for a poll of the whole registry. */
  readonly only: readonly string[] | undefined;
  /** Unix seconds. */
  readonly startedAt: number;
  /** Milliseconds of the monotonic clock. */
  readonly begunAt: number;
  readonly notices: PollNotices;
  readonly order: ReadingOrder | undefined;
  progress: Progress;
}

/** What was read of the registry, and why reading ended early where it did. */
interface Reading extends Pick<CycleContext, 'failing' | 'absent'> {
  readonly result?: CycleResult;
  readonly failure?: unknown;
}

export function createCycles(parts: CycleParts): Cycles {
  const { stopping, times, notices, snapshots, outcomes, publisher, log } = parts;
  const orders = createReadingOrders();
  let current: Begun | undefined;
  let saved: Promise<unknown> = Promise.resolve();

  async function run(only: readonly string[] | undefined): Promise<void> {
    const startedAt = times.now();
    const cycle: Begun = {
      only,
      startedAt,
      begunAt: performance.now(),
      notices: notices.begin(),
      order: only ? undefined : orders.begin(snapshots.current(), startedAt),
      progress: { startedAt, done: 0, total: 0 },
    };
    current = cycle;
    const reading = await collectAndFold(parts, cycle);
    if (!only) orders.end(reading.result?.cut !== undefined);
    const { failure, learned } = await commit(parts, cycle, reading);
    cycle.notices.end(only === undefined && failure === undefined);
    current = undefined;
    if (stopping.aborted) return;
    record(parts, cycle, reading, failure);
    await publisher.publish();
    saved = save(parts, learned);
    if (only || failure !== undefined) return;
    const { pollDurationSeconds: seconds } = outcomes.current();
    const repositories = snapshots.current()?.repositories.size;
    log.info({ seconds, repositories, series: publisher.series() }, 'polled');
  }

  return {
    run,
    progress: () => current?.progress,
    async saved() {
      await saved;
    },
    moveBack: orders.moveBack,
  };
}

/** Collects what the registry shows and folds it into totals; ends at the deadline with what is complete. */
async function collectAndFold(parts: CycleParts, cycle: Begun): Promise<Reading> {
  const { settings, images, provider, stopping, counting, snapshots } = parts;
  const { only, startedAt, notices, order } = cycle;
  const deadline = startDeadline(stopping, settings.timeoutMs);
  const { context, failing, absent, heldBack, close } = createCycleContext({
    ...parts,
    ...{ only, notices, order },
    signal: deadline.signal,
    observe: counting.request,
    progress(done, total) {
      cycle.progress = { startedAt, done, total };
    },
  });
  const foldOptions = {
    images,
    retention: settings.retention,
    now: startedAt,
    previous: (name: string) => snapshots.current()?.repositories.get(name)?.totals,
    known: () => snapshots.current()?.repositories.keys() ?? [],
    tell: notices.tell,
  };
  try {
    if (!only) await settings.eventsToken?.read().catch((error) => context.degraded('events', error));
    // What the configuration spells out and no provider shows is said for all of them here.
    const observations = provider.collect(settings.options, context);
    const stream = sayMissing(context, namedByInclude(context), observations);
    const result = await foldStream(stream, foldOptions, deadline);
    const why = heldBack() ?? result.cut?.reason;
    const failure = result.cut && cutShort(result, cycle.progress.total, settings.timeoutMs / 1000, why);
    return { result, failure, failing, absent };
  } catch (error) {
    const failure = error ?? new CollectError('internal', 'the provider failed without an error');
    return { failure, failing, absent };
  } finally {
    close();
    deadline.clear();
  }
}

/** Whether a cycle read no repository to its end. */
const learnedNothing = ({ complete, gone }: CycleResult): boolean => complete.size + gone.size === 0;

/**
 * Merges what was read into the last snapshot.
 * @returns why the cycle failed, where it did, and whether there is something new to save
 */
async function commit(parts: CycleParts, { only, begunAt }: Begun, { result, failure, absent }: Reading) {
  const { times, snapshots, pushes, missed, outcomes } = parts;
  if (!result) return { failure, learned: false };
  if (learnedNothing(result)) {
    const [first] = [...result.failed.values(), ...result.failedGroups.values()];
    if (result.cut || first !== undefined) return { failure: failure ?? first, learned: false };
  }
  // Before the times of this cycle are stored: those of earlier ones may have to be moved.
  times.now();
  try {
    const listsRepositories = !absent.has('repositories');
    const previous = snapshots.current();
    const { believed } = await snapshots.take(result, { only, listsRepositories });
    const { failed, failedGroups, cut } = result;
    const looked = new Set(only);
    const isComplete = believed && !cut && failedGroups.size === 0;
    pushes.confirm({
      // What a listing has shown is there, also when it could not be read.
      has: (name) => snapshots.has(name) || (!only && failed.has(name)),
      lacks: (name, since) =>
        isComplete && !failed.has(name) && (!only || looked.has(name)) && since <= begunAt,
    });
    if (!only && isComplete) await missed.polled(previous, result.complete, Date.now() / 1000);
    outcomes.repositoriesRead(result, { isLook: only !== undefined, hasData: snapshots.has });
    return { failure, learned: true };
  } catch (error) {
    return { failure: error, learned: false };
  }
}

/** Records how the cycle ended, for metrics, the status page and the log. */
function record(parts: CycleParts, { only, begunAt }: Begun, reading: Reading, failure: unknown): void {
  const { outcomes, snapshots } = parts;
  if (only) return outcomes.lookEnded(only, failure);
  const { failing, absent } = reading;
  const seconds = (performance.now() - begunAt) / 1000;
  outcomes.pollEnded({ seconds, failure, failing, absent, snapshot: snapshots.current() });
}

/** Begins to save what a cycle learned: a disk that is slow, or hangs, does not hold up the next cycle. */
function save({ snapshots, storage, memory, saving }: CycleParts, learned: boolean): Promise<unknown> {
  const snapshot = snapshots.current();
  return Promise.all([
    learned && snapshot && saving.keep('the snapshot', () => storage.saveSnapshot(snapshot)),
    saving.keep('the memory', () => memory.flush()),
    saving.counters(),
  ]);
}
