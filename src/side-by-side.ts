import { type CollectError, reasonOf } from './errors.ts';
import type { Observation } from './model.ts';
import type { CollectContext } from './provider.ts';

/**
 * The images of a repository are held until all of them are counted. While more than this many are held, only the
 * repositories that were begun first are read further, and none is begun.
 */
const heldAtMost = 40_000;
/** This many are always read further: one alone would make a poll of a large registry wait for each page. */
const leaders = 4;
/** This many names are listed ahead of the reading, so that the progress shows early how many repositories there are. */
const listedAhead = 10_000;

/** All names, with those first that no poll has tried, or that were tried longest ago. */
async function oldestFirst(
  names: Iterable<string> | AsyncIterable<string>,
  lastTried: (name: string) => number,
): Promise<string[]> {
  const aged: { readonly name: string; readonly at: number }[] = [];
  for await (const name of names) aged.push({ name, at: lastTried(name) });
  return aged.sort((a, b) => a.at - b.at).map(({ name }) => name);
}

interface Reading {
  readonly repository: string;
  readonly iterator: AsyncIterator<Observation>;
  held: number;
}
type Step =
  | { readonly reading: Reading; readonly next: IteratorResult<Observation> | { readonly error: unknown } }
  | { readonly listed: IteratorResult<string> };

/** Steps that were started, in the order in which they end. */
function createSteps() {
  const running = new Set<Promise<Step>>();
  const ready: Step[] = [];
  let wake: (() => void) | undefined;
  let failure: { readonly error: unknown } | undefined;
  return {
    start(step: Promise<Step>): void {
      running.add(step);
      void step
        .then(
          (done) => void ready.push(done),
          (error) => {
            failure ??= { error };
          },
        )
        .finally(() => {
          running.delete(step);
          wake?.();
        });
    },
    /** The next one that ended; undefined when none is left. @throws what a step failed with */
    async next(): Promise<Step | undefined> {
      for (;;) {
        if (failure) throw failure.error;
        const step = ready.shift();
        if (step || running.size === 0) return step;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
      }
    },
  };
}

/** Repositories that are being read, and which of them may go on while too many images are held. */
function createReadings(advance: (reading: Reading) => void) {
  const open = new Set<Reading>();
  const parked = new Set<Reading>();
  let held = 0;
  const mayGoOn = (reading: Reading): boolean =>
    held <= heldAtMost ||
    open
      .values()
      .take(leaders)
      .some((other) => other === reading);
  const goOn = (reading: Reading): void => {
    if (mayGoOn(reading)) advance(reading);
    else parked.add(reading);
  };
  return {
    open,
    mayBegin: (concurrency: number) => open.size < concurrency && (held <= heldAtMost || open.size < leaders),
    begin(reading: Reading): void {
      open.add(reading);
      advance(reading);
    },
    hold(reading: Reading, images: number): void {
      reading.held += images;
      held += images;
    },
    goOn,
    end(reading: Reading): void {
      open.delete(reading);
      held -= reading.held;
      for (const next of parked) if (mayGoOn(next) && parked.delete(next)) advance(next);
    },
  };
}

/** The names that are found, in the order in which they are to be read. */
async function listingOf(
  toRead: Iterable<string> | AsyncIterable<string>,
  order: CollectContext['order'],
): Promise<Iterator<string> | AsyncIterator<string>> {
  const names = order?.lastTried ? await oldestFirst(toRead, order.lastTried) : toRead;
  return Symbol.asyncIterator in names ? names[Symbol.asyncIterator]() : names[Symbol.iterator]();
}

/** Ends an iterator. Not awaited: one that hangs would hold the loop for ever. */
function endAside(iterator: Iterator<unknown> | AsyncIterator<unknown>): void {
  void Promise.resolve(iterator.return?.()).catch(() => {});
}

/**
 * Reads repositories side by side and yields what is seen as it comes, so that a slow repository holds up no other
 * and no page waits in memory for its turn. A repository whose reading throws is a `repository-failed`; the listing
 * itself fails the whole. After a poll that ran out of time those are read first that it did not come to: else the
 * same ones would be left over each time.
 * @param toRead names as they are found: repositories are read while the listing goes on
 * @param read all observations of one repository, its end included
 * @throws whatever `found` throws, and the signal's reason when it ends
 */
export async function* readSideBySide(
  context: Pick<CollectContext, 'signal' | 'concurrency' | 'progress' | 'order'>,
  toRead: Iterable<string> | AsyncIterable<string>,
  read: (repository: string) => AsyncIterable<Observation>,
): AsyncGenerator<Observation> {
  const { signal, concurrency, progress, order } = context;
  const listing = await listingOf(toRead, order);
  const steps = createSteps();
  const readings = createReadings((reading) =>
    steps.start(
      reading.iterator.next().then(
        (next) => ({ reading, next }),
        (error: unknown) => ({ reading, next: { error } }),
      ),
    ),
  );
  const waiting: string[] = [];
  /** A configuration or a listing may name one twice; read twice at once, its images would be mixed up. */
  const seen = new Set<string>();
  let asking = false;
  let ended = false;
  let listed = 0;
  let done = 0;
  const enlist = (next: IteratorResult<string>): void => {
    asking = false;
    ended = next.done === true;
    if (!next.done && !seen.has(next.value)) {
      seen.add(next.value);
      listed += 1;
      waiting.push(next.value);
    }
    progress(done, listed);
  };
  /** Begins what may begin, and lists on. */
  const proceed = (): void => {
    while (waiting.length > 0 && readings.mayBegin(concurrency)) {
      const repository = waiting.shift() as string;
      order?.begins(repository);
      readings.begin({ repository, iterator: read(repository)[Symbol.asyncIterator](), held: 0 });
    }
    if (asking || ended || waiting.length >= listedAhead) return;
    asking = true;
    steps.start(Promise.resolve(listing.next()).then((next) => ({ listed: next })));
  };

  try {
    proceed();
    for (let step = await steps.next(); step; step = await steps.next()) {
      if ('listed' in step) {
        enlist(step.listed);
        proceed();
        continue;
      }
      const { reading, next } = step;
      if ('error' in next) {
        // Its own error and not the signal's: it may know that it was throttled all the time.
        if (signal.aborted) throw next.error;
        yield { type: 'repository-failed', repository: reading.repository, error: next.error };
      } else if (!next.done) {
        if (next.value.type === 'images') readings.hold(reading, next.value.images.length);
        // Asked for before the consumer has taken this one: the next page is on its way meanwhile.
        readings.goOn(reading);
        yield next.value;
        continue;
      }
      readings.end(reading);
      done += 1;
      progress(done, listed);
      proceed();
    }
  } finally {
    for (const { iterator } of readings.open) endAside(iterator);
    endAside(listing);
  }
}

/** Whether the registry said definitely that there is no such thing. */
export const isNotFound = (error: unknown): error is CollectError => reasonOf(error) === 'not_found';
