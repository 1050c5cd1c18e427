import { setTimeout as sleep } from 'node:timers/promises';
import type { Deadline } from '../deadline.ts';
import { CollectError } from '../errors.ts';
import { type CycleResult, createFold, type FoldOptions } from '../fold.ts';
import type { Observation } from '../model.ts';

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

/** Rejects with the signal's reason as soon as it ends, or else ends as the work does. */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Folds a provider's whole stream, or what is complete of it at the cycle's deadline, even when the provider does not
 * heed its signal.
 * @throws whatever the provider throws before the deadline, and the signal's reason when the daemon stops
 */
export async function foldStream(
  stream: AsyncIterable<Observation>,
  options: FoldOptions,
  deadline: Pick<Deadline, 'signal' | 'passed'>,
): Promise<CycleResult> {
  const { signal } = deadline;
  const fold = createFold(options);
  const iterator = stream[Symbol.asyncIterator]();
  let pending: Promise<IteratorResult<Observation>> | undefined;

  /** @returns false when the signal ended before the stream did */
  async function foldAll(): Promise<boolean> {
    // Not `for await`: it would wait for the end of a provider that hangs, and there is one listener for all of it, since
    // a race for each observation holds memory until the last.
    while (!signal.aborted) {
      pending = iterator.next();
      const next = await pending;
      if (next.done) return true;
      if (!signal.aborted) fold.add(next.value);
    }
    return false;
  }

  try {
    const isWhole = await unlessAborted(signal, foldAll());
    if (!isWhole) throw signal.reason;
    return fold.finish();
  } catch (error) {
    const atEnd = error === signal.reason;
    const own = atEnd ? await lastWord(pending) : error instanceof CollectError ? error : undefined;
    // Not awaited: a provider that hangs would hold the loop for ever.
    void Promise.resolve(iterator.return?.()).catch(() => {});
    const isBroken = !atEnd && own === undefined && (error as Error)?.name !== 'AbortError';
    if (deadline.passed() && !isBroken) return fold.cut(own);
    throw own ?? error;
  }
}

/** Why a cycle that was cut short counts as failed, how far it came, and what to change. @param reason what held it up, if that is known */
export function cutShort(
  { complete }: CycleResult,
  listed: number,
  seconds: number,
  reason: CollectError | undefined,
): CollectError {
  if (complete.size === 0 && listed === 0 && !reason)
    return new CollectError(
      'timeout',
      `the poll did not end within its deadline of ${seconds} s, and nothing was listed: the registry does not answer, or too slowly. Check that it can be reached; if it is slow, raise \`timeout\``,
    );
  const read =
    complete.size === 0
      ? `none of ${listed} repositories that were listed was read`
      : `${complete.size} of ${Math.max(listed, complete.size)} repositories that were listed were read and are published, the others keep the data that they had`;
  return new CollectError(
    reason?.reason ?? 'timeout',
    `the poll did not end within its deadline of ${seconds} s: ${read}. Raise \`timeout\` and the time between polls in \`schedule\`, ask for fewer repositories with \`repositories.include\`, or raise \`http.maxConcurrent\` where the registry bears it${reason ? ` (${reason.message})` : ''}`,
    { cause: reason },
  );
}
