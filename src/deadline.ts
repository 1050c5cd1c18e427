import { once } from 'node:events';

/** A time limit within another signal's. */
export interface Deadline {
  /** Ends when the time is up or the outer signal ends, with that one's reason. */
  readonly signal: AbortSignal;
  /** Whether the time was up, and not the outer signal. */
  passed(): boolean;
  /** To be called when nothing waits for it any more. */
  clear(): void;
}

/**
 * Like `AbortSignal.any([outer, AbortSignal.timeout(ms)])`, but it leaves nothing behind once it is cleared: those two
 * live on until the time is up, and a poll makes one for each request.
 */
export function startDeadline(outer: AbortSignal, ms: number): Deadline {
  const controller = new AbortController();
  let passed = false;
  const onOuter = () => {
    clearTimeout(timer);
    controller.abort(outer.reason);
  };
  const timer = setTimeout(() => {
    passed = true;
    outer.removeEventListener('abort', onOuter);
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  }, ms);
  timer.unref();
  if (outer.aborted) onOuter();
  else outer.addEventListener('abort', onOuter, { once: true });
  return {
    signal: controller.signal,
    passed: () => passed,
    clear() {
      clearTimeout(timer);
      outer.removeEventListener('abort', onOuter);
    },
  };
}

/** Waits, but not longer than whoever waits goes on. */
export async function pauseWithin(stopping: AbortSignal, ms: number): Promise<void> {
  if (ms === 0 || stopping.aborted) return;
  const wait = startDeadline(stopping, ms);
  if (!wait.signal.aborted) await once(wait.signal, 'abort');
  wait.clear();
}
