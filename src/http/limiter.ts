/** Lets only so many requests of a host run at once, and fewer after it throttled. */
export interface Limiter {
  /** Waits for a place. @throws the signal's reason when it ends first. */
  acquire(signal: AbortSignal): Promise<() => void>;
  /** The host asked to slow down: half the places, and nobody starts before the time given. */
  throttled(untilMs: number): void;
  succeeded(): void;
}

/**
 * Additive increase, multiplicative decrease, as TCP does: a registry's real limit is neither published nor stable.
 * @param max places at most
 * @param perSecond starts per second at most; undefined for no such limit
 */
export function createLimiter(max: number, perSecond?: number): Limiter {
  let allowed = max;
  let running = 0;
  let notBefore = 0;
  let nextStart = 0;
  let halvedAt = 0;
  let timer: NodeJS.Timeout | undefined;
  const waiting: (() => void)[] = [];

  const pump = (): void => {
    while (waiting.length > 0 && running < Math.max(1, Math.floor(allowed))) {
      const now = performance.now();
      const start = Math.max(notBefore, nextStart);
      if (start > now) {
        if (timer === undefined)
          timer = setTimeout(
            () => {
              timer = undefined;
              pump();
            },
            Math.ceil(start - now),
          );
        return;
      }
      running += 1;
      if (perSecond !== undefined) nextStart = Math.max(now, nextStart) + 1000 / perSecond;
      waiting.shift()?.();
    }
  };

  return {
    acquire(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const onAbort = () => {
          waiting.splice(waiting.indexOf(enter), 1);
          reject(signal.reason);
        };
        const enter = () => {
          signal.removeEventListener('abort', onAbort);
          let released = false;
          resolve(() => {
            if (released) return;
            released = true;
            running -= 1;
            pump();
          });
        };
        signal.addEventListener('abort', onAbort, { once: true });
        waiting.push(enter);
        pump();
      });
    },
    throttled(untilMs) {
      const now = performance.now();
      // One burst of refusals is one signal: requests already on their way must not halve it again and again.
      if (now - halvedAt > 500) {
        allowed = Math.max(1, allowed / 2);
        halvedAt = now;
      }
      notBefore = Math.max(notBefore, now + untilMs);
    },
    succeeded() {
      allowed = Math.min(max, allowed + 1 / Math.max(1, allowed));
      pump();
    },
  };
}
