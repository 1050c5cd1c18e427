/** Runs tasks one after the other, in the order in which they were given; one that fails holds up none. */
export interface Queue {
  /** @returns how the task ended */
  run<T>(task: () => Promise<T>): Promise<T>;
  /** Resolves when every task that was given so far has ended. */
  drained(): Promise<void>;
}

export function createQueue(): Queue {
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(task) {
      const result = last.then(task);
      last = result.catch(() => {});
      return result;
    },
    async drained() {
      await last;
    },
  };
}
