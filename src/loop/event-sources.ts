import { pauseWithin, startDeadline } from '../deadline.ts';
import type { EventSourceView } from '../metrics.ts';
import type { EventBatch, EventSource } from '../provider.ts';
import { type CycleContext, createCycleContext, createSession } from './context.ts';
import type { CycleParts } from './cycle.ts';
import type { Incoming } from './incoming.ts';
import { createNotices } from './notices.ts';

/** Reads push events by asking, side by side with the polls. */
export interface EventSources {
  start(): void;
  /** Resolves when none reads any more. */
  stop(): Promise<void>;
}

/** A reading that takes longer is ended: the next one goes on. */
const readingAtMostMs = 5 * 60_000;
/** After a failure, doubled with each one in a row. */
const firstWaitMs = 5_000;
const longestWaitMs = 5 * 60_000;
/** After a reading that found nothing, also where the source should have waited: each reading costs. */
const leastWaitMs = 1_000;

interface Input
  extends Pick<
    CycleParts,
    'settings' | 'stopping' | 'userAgent' | 'log' | 'memory' | 'troubles' | 'counting' | 'publisher'
  > {
  readonly sources: readonly EventSource[];
  readonly receive: Incoming['receive'];
  /** A source could be read. */
  works(source: string): void;
  /** How each source goes; written here. */
  readonly eventSources: Map<string, EventSourceView>;
}

export function createEventSources(input: Input): EventSources {
  const { stopping, publisher, sources, receive, eventSources: views } = input;
  let reading: Promise<unknown> = Promise.resolve();

  async function take(source: EventSource, { events, newestAt, done }: EventBatch): Promise<void> {
    if (events.length > 0) await receive(source.name, events).saved;
    await done();
    // Of a repository the look that follows publishes; what counts for the registry as a whole has none.
    if (events.some((event) => event?.type === 'failed' && event.repository === '')) publisher.publishAside();
    const before = views.get(source.name)?.lastEventAt ?? 0;
    if (newestAt === undefined || newestAt <= before) return;
    const lagSeconds = Math.max(0, Date.now() / 1000 - newestAt);
    views.set(source.name, { up: true, lastEventAt: newestAt, lagSeconds });
    publisher.refresh();
  }

  function ended(source: EventSource, up: boolean): void {
    const before = views.get(source.name);
    views.set(source.name, { ...before, up });
    if (up) input.works(source.name);
    if (before?.up !== up) publisher.refresh();
  }

  /** Reads a source until the exporter stops. */
  async function run(source: EventSource): Promise<void> {
    let eventsRead = 0;
    const readOnce = createReading(input, source, (batch) => {
      eventsRead += batch.events.length;
      return take(source, batch);
    });
    for (let failures = 0; !stopping.aborted; eventsRead = 0) {
      const up = await readOnce();
      if (stopping.aborted) return;
      failures = up ? 0 : failures + 1;
      ended(source, up);
      const between = eventsRead > 0 ? source.everyMs : Math.max(leastWaitMs, source.everyMs);
      const wait = up ? between : Math.min(longestWaitMs, firstWaitMs * 2 ** (failures - 1));
      await pauseWithin(stopping, wait);
    }
  }

  return {
    start() {
      reading = Promise.all(sources.map(run));
    },
    async stop() {
      await reading;
    },
  };
}

/** When a source was looked at first, over restarts with a storage path; Unix seconds. */
function firstLook({ memory }: Pick<Input, 'memory'>, name: string): number {
  const key = `push events of ${name} since`;
  const seenAt = memory.get<number>(key)?.value;
  if (seenAt !== undefined) return seenAt;
  const now = Date.now() / 1000;
  memory.set(key, now);
  return now;
}

/** @returns what reads a source once, and tells whether that worked */
function createReading(
  input: Input,
  source: EventSource,
  take: (batch: EventBatch) => Promise<void>,
): () => Promise<boolean> {
  const { stopping, troubles, log, counting } = input;
  // Of its own: a poll that ends must not take the connections of a reading with it.
  const session = createSession();
  const notices = createNotices(log);
  const what = `the push events of ${source.name}`;
  const since = firstLook(input, source.name);

  const contextOf = (signal: AbortSignal, polled: ReturnType<typeof notices.begin>): CycleContext =>
    createCycleContext({
      ...input,
      ...{ session, signal, only: undefined, notices: polled, observe: counting.request },
      progress() {},
    });

  return async () => {
    const deadline = startDeadline(stopping, readingAtMostMs);
    const polled = notices.begin();
    const { context, failing, close } = contextOf(deadline.signal, polled);
    try {
      for await (const batch of source.read(context, since)) await take(batch);
      polled.end(true);
      if (failing.size === 0) troubles.over(what);
      return failing.size === 0;
    } catch (error) {
      if (stopping.aborted) return false;
      const message = 'push events could not be read: failed pushes are not counted until it works again';
      troubles.tell('warn', what, error, message, { source: source.name });
      return false;
    } finally {
      close();
      deadline.clear();
    }
  };
}
