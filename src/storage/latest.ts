import { createQueue } from '../queue.ts';

/** Writes a value; of those that come while one is being written, the newest is next and the others are left out. */
export type Latest<T> = (value: T) => Promise<void>;

/**
 * One write at a time, and one that waits: a disk that is slower than the polls does not gather work. The promise of a
 * value is fulfilled when it, or a newer one, has been written.
 */
export function createLatest<T>(write: (value: T) => Promise<void>): Latest<T> {
  const queue = createQueue();
  let waiting: { value: T } | undefined;
  let written: Promise<void> = Promise.resolve();
  return (value) => {
    if (waiting) waiting.value = value;
    else {
      const next = { value };
      waiting = next;
      written = queue.run(() => {
        waiting = undefined;
        return write(next.value);
      });
    }
    return written;
  };
}
