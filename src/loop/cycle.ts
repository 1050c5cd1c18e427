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

/**
 * Folds a provider's whole stream.
 * @throws CollectError `timeout` at the cycle's deadline, even when the provider does not heed its signal, and
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
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), end.promise]);
      if (next.done) return fold.finish();
      fold.add(next.value);
    }
  } catch (error) {
    // Not awaited: a provider that hangs would hold the loop for ever.
    void Promise.resolve(iterator.return?.()).catch(() => {});
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
