import { setTimeout as sleep } from 'node:timers/promises';
import { CollectError } from '../errors.ts';
import { type CycleResult, createFold, type FoldOptions } from '../fold.ts';
import type { Observation } from '../model.ts';

/** Rejects as soon as the signal ends, whatever the provider does with it. */
function ended(signal: AbortSignal): { readonly promise: Promise<never>; release(): void } {
  let onAbort = () => {};
  const promise = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  promise.catch(() => {});
  return { promise, release: () => signal.removeEventListener('abort', onAbort) };
}

/** A provider whose deadline passed may know why: that it was throttled all the time, for example. */
async function lastWord(pending: Promise<unknown> | undefined): Promise<CollectError | undefined> {
  const waited = new AbortController();
  try {
    await Promise.race([pending, sleep(100, undefined, { signal: waited.signal })]);
    return undefined;
  } catch (error) {
    return error instanceof CollectError ? error : undefined;
  } finally {
    waited.abort();
  }
}

/**
 * Folds a provider's whole stream.
 * @throws CollectError at the cycle's deadline, even when the provider does not heed its signal: with the provider's
 * own reason where it has one at once, else `timeout`; and
 * whatever the provider throws.
 */
export async function foldStream(
  stream: AsyncIterable<Observation>,
  options: FoldOptions,
  signal: AbortSignal,
): Promise<CycleResult> {
  const fold = createFold(options);
  const iterator = stream[Symbol.asyncIterator]();
  const end = ended(signal);
  let pending: Promise<IteratorResult<Observation>> | undefined;
  try {
    for (;;) {
      pending = iterator.next();
      const next = await Promise.race([pending, end.promise]);
      if (next.done) return fold.finish();
      fold.add(next.value);
    }
  } catch (error) {
    const own = error === signal.reason ? await lastWord(pending) : undefined;
    // Not awaited: a provider that hangs would hold the loop for ever.
    void Promise.resolve(iterator.return?.()).catch(() => {});
    if (own) throw own;
    if (signal.aborted && (error === signal.reason || (error as Error)?.name === 'AbortError'))
      throw new CollectError(
        'timeout',
        'the poll did not end within its deadline: raise `timeout`, or lower what is read per poll',
        { cause: error },
      );
    throw error;
  } finally {
    end.release();
  }
}
