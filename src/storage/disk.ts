/** The folder does not answer: a call to the file system has been out for too long. */
export class DiskHangsError extends Error {
  override readonly name = 'DiskHangsError';
}

/**
 * Calls to the file system, a few at once. Node makes them on a pool of four threads, on which names are looked up and
 * data is packed as well: a network volume that hangs must not take them all. A call cannot be taken back, so that
 * whoever waits is told that the disk hangs, and what hangs stays the only one of its kind.
 */
export interface Disk {
  /** Makes a call as soon as few enough others are out; it waits as long as that takes. */
  call<T>(make: () => Promise<T>): Promise<T>;
  /** The result, or a DiskHangsError as soon as the disk hangs: what was begun goes on. */
  unlessItHangs<T>(result: Promise<T>): Promise<T>;
  /** Whether a call has been out for too long. */
  hangs(): boolean;
}

export function createDisk(options: { readonly atOnce: number; readonly hangsAfterMs: number }): Disk {
  const { atOnce, hangsAfterMs } = options;
  const begun = new Set<{ readonly at: number }>();
  const waiting: (() => void)[] = [];
  let taken = 0;
  const hangs = () => [...begun].some(({ at }) => performance.now() - at >= hangsAfterMs);

  return {
    hangs,
    async call(make) {
      if (taken < atOnce) taken += 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      const ticket = { at: performance.now() };
      begun.add(ticket);
      try {
        return await make();
      } finally {
        begun.delete(ticket);
        const next = waiting.shift();
        if (next) next();
        else taken -= 1;
      }
    },
    async unlessItHangs(result) {
      result.catch(() => {});
      let look: NodeJS.Timeout | undefined;
      const hanging = new Promise<never>((_, reject) => {
        const check = () => {
          if (hangs())
            reject(new DiskHangsError(`the storage folder has not answered for ${hangsAfterMs / 1000} s`));
        };
        look = setInterval(check, Math.min(1000, hangsAfterMs));
        check();
      });
      try {
        return await Promise.race([result, hanging]);
      } finally {
        clearInterval(look);
      }
    },
  };
}

/** Of this process: the pool of threads is one for all registries. */
export const disk = createDisk({ atOnce: 2, hangsAfterMs: 10_000 });
