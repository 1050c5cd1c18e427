/** What waits for a turn of the event loop, in the order in which it began to wait. */
const waiting: (() => void)[] = [];
/** When the last turn was given. */
let turnAt = performance.now();

function giveTurn(): void {
  const next = waiting.shift();
  if (waiting.length > 0) setImmediate(giveTurn);
  turnAt = performance.now();
  next?.();
}

/** Waits for a turn of its own: others that wait get theirs in other rounds of the event loop. */
export const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(giveTurn);
  });

/**
 * A pause to await in long loops: it gives way once `sliceMs` of a turn have been used, and costs next to nothing
 * otherwise, so that scrapes are answered while large registries are folded, rendered or saved. All loops of the process
 * share the turns: ten that run side by side hold the event loop for no longer than one.
 */
export function createYielder(sliceMs = 4): () => Promise<void> | undefined {
  return () => (performance.now() - turnAt < sliceMs ? undefined : nextTurn());
}
