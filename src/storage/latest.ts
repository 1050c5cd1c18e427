/** Writes a value; of those that come while one is being written, the newest is next and the others are left out. */
export type Latest<T> = (value: T) => Promise<void>;

/**
 * One write at a time, and one that waits: a disk that is slower than the polls does not gather work. The promise of a
 * value is fulfilled when it, or a newer one, has been written.
 */
export function createLatest<T>(write: (value: T) => Promise<void>): Latest<T> {
  let running: Promise<void> = Promise.resolve();
  let next: { value: T; readonly written: Promise<void> } | undefined;
  return (value) => {
    if (next) {
      next.value = value;
      return next.written;
    }
    const written = running
      .catch(() => {})
      .then(() => {
        const { value: newest } = next as { value: T };
        next = undefined;
        return write(newest);
      });
    next = { value, written };
    running = written;
    return written;
  };
}
