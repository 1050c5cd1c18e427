import { type CollectError, reasonOf } from './errors.ts';
import type { Observation } from './model.ts';
import type { CollectContext } from './provider.ts';

/**
 * Whoever counts a repository's images holds them until all are seen. While more than so many are held, only the
 * repositories that were begun first go on, and none begins.
 */
const heldAtMost = 40_000;
/** So many go on all the same: one after the other, a poll of a large registry would wait for each of its pages. */
const leaders = 4;
/** So many names are listed ahead of the reading, so that people see early how many repositories there are. */
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

/**
 * Reads repositories side by side and yields what is seen as it comes, so that a slow repository holds up no other
 * and no page waits in memory for its turn. A repository whose reading throws is a `repository-failed`; the listing
 * itself fails the whole. After a poll that ran out of time those are read first that it did not come to: else the
 * same ones would be left over each time.
 * @param found names as they are found: repositories are read while the listing goes on
 * @param read all observations of one repository, its end included
 * @throws whatever `found` throws, and the signal's reason when it ends
 */
export async function* readSideBySide(
  context: Pick<CollectContext, 'signal' | 'concurrency' | 'progress' | 'order'>,
  found: Iterable<string> | AsyncIterable<string>,
  read: (repository: string) => AsyncIterable<Observation>,
): AsyncGenerator<Observation> {
  const { signal, concurrency, progress, order } = context;
  interface Reading {
    readonly repository: string;
    readonly iterator: AsyncIterator<Observation>;
    held: number;
  }
  type Step =
    | { readonly reading: Reading; readonly next: IteratorResult<Observation> | { readonly error: unknown } }
    | { readonly listed: IteratorResult<string> };
  const steps = new Set<Promise<Step>>();
  const ready: Step[] = [];
  let wake: (() => void) | undefined;
  const start = (step: Promise<Step>): void => {
    steps.add(step);
    void step.then(
      (done) => {
        steps.delete(step);
        ready.push(done);
        wake?.();
      },
      (error) => {
        steps.delete(step);
        failure ??= { error };
        wake?.();
      },
    );
  };
  let failure: { readonly error: unknown } | undefined;
  const names = order?.lastTried ? await oldestFirst(found, order.lastTried) : found;
  const listing = Symbol.asyncIterator in names ? names[Symbol.asyncIterator]() : names[Symbol.iterator]();
  const waiting: string[] = [];
  /** A configuration or a listing may name one twice; read twice at once, its images would be mixed up. */
  const known = new Set<string>();
  const open = new Set<Reading>();
  let held = 0;
  let asking = false;
  let ended = false;
  let listed = 0;
  let done = 0;
  const ask = (): void => {
    if (asking || ended || waiting.length >= listedAhead) return;
    asking = true;
    start(Promise.resolve(listing.next()).then((next) => ({ listed: next })));
  };
  const begin = (): void => {
    while (waiting.length > 0 && open.size < concurrency && (held <= heldAtMost || open.size < leaders)) {
      const repository = waiting.shift() as string;
      const reading = { repository, iterator: read(repository)[Symbol.asyncIterator](), held: 0 };
      open.add(reading);
      order?.begins(repository);
      advance(reading);
    }
    ask();
  };
  const advance = (reading: Reading): void =>
    start(
      reading.iterator.next().then(
        (next) => ({ reading, next }),
        (error: unknown) => ({ reading, next: { error } }),
      ),
    );

  const parked = new Set<Reading>();
  const isLeader = (reading: Reading): boolean =>
    open
      .values()
      .take(leaders)
      .some((one) => one === reading);
  const mayGoOn = (reading: Reading): boolean => held <= heldAtMost || isLeader(reading);
  const resume = (): void => {
    for (const reading of parked) {
      if (!mayGoOn(reading)) continue;
      parked.delete(reading);
      advance(reading);
    }
  };

  try {
    ask();
    while (steps.size > 0 || ready.length > 0) {
      if (failure) throw failure.error;
      const step = ready.shift();
      if (!step) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
        continue;
      }
      if ('listed' in step) {
        asking = false;
        if (step.listed.done) ended = true;
        else if (!known.has(step.listed.value)) {
          known.add(step.listed.value);
          listed += 1;
          waiting.push(step.listed.value);
          progress(done, listed);
        }
        begin();
        continue;
      }
      const { reading, next } = step;
      if ('error' in next) {
        // Its own error and not the signal's: it may know that it was throttled all the time.
        if (signal.aborted) throw next.error;
        yield { type: 'repository-failed', repository: reading.repository, error: next.error };
      } else if (!next.done) {
        if (next.value.type === 'images') {
          reading.held += next.value.images.length;
          held += next.value.images.length;
        }
        // Asked for before the consumer has taken this one: the next page is on its way meanwhile.
        if (mayGoOn(reading)) advance(reading);
        else parked.add(reading);
        yield next.value;
        continue;
      }
      open.delete(reading);
      held -= reading.held;
      resume();
      done += 1;
      progress(done, listed);
      begin();
    }
    if (failure) throw failure.error;
  } finally {
    // Not awaited: one that hangs would hold the loop for ever.
    for (const { iterator } of open) void Promise.resolve(iterator.return?.()).catch(() => {});
    void Promise.resolve(listing.return?.()).catch(() => {});
  }
}

/** Whether the registry said definitely that there is no such thing. */
export const isNotFound = (error: unknown): error is CollectError => reasonOf(error) === 'not_found';
