import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * A pause to await in long loops: it gives the event loop a turn once `sliceMs` have been used, and costs next to
 * nothing otherwise, so that scrapes are answered while large registries are folded, rendered or saved.
 */
export function createYielder(sliceMs = 4): () => Promise<void> | undefined {
  let started = performance.now();
  return () => {
    if (performance.now() - started < sliceMs) return undefined;
    return nextTurn().then(() => {
      started = performance.now();
    });
  };
}
