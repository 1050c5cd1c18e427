import { startDeadline } from '../deadline.ts';
import { CollectError, reasonOf } from '../errors.ts';
import { type AttemptOptions, createAttempts, type Observe } from './attempts.ts';

/** One call of an SDK that has a transport of its own, such as gRPC. */
export interface Call<T> {
  /** What is asked, for the metrics: a fixed word such as `ListRepositories`. */
  readonly operation: string;
  /** What throttles together: a host. */
  readonly host: string;
  /**
   * Makes one attempt; it must not repeat by itself, and should end with the signal.
   * @throws CollectError where the vendor's error tells the reason; `retryAfterMs` is heeded
   */
  attempt(signal: AbortSignal): Promise<T>;
  /** The code to count when an attempt failed; default: the error's reason. */
  codeOf?(error: unknown): string;
}

/** The same limits, deadlines, retries and counts for SDKs as for plain HTTP. */
export interface Calls {
  /** @throws CollectError of the last attempt: `timeout` when an attempt did not end within its deadline. */
  call<T>(call: Call<T>): Promise<T>;
}

export function createCalls(
  options: AttemptOptions & {
    /** Deadline of each attempt. */
    readonly timeoutMs: number;
    readonly observe: Observe;
  },
): Calls {
  const { signal, timeoutMs, observe } = options;
  const { limiterOf, failed, repeat } = createAttempts(options);

  /** One attempt that ends at its deadline whatever the SDK does. */
  function bounded<T>({ attempt, operation, host }: Call<T>): Promise<T> {
    const deadline = startDeadline(signal, timeoutMs);
    const limit = deadline.signal;
    return new Promise<T>((resolve, reject) => {
      const onAbort = () =>
        reject(
          signal.aborted
            ? signal.reason
            : new CollectError(
                'timeout',
                `${operation} of ${host}: no complete answer within ${timeoutMs} ms`,
              ),
        );
      limit.addEventListener('abort', onAbort, { once: true });
      attempt(limit)
        .then(resolve, (error) => (limit.aborted ? onAbort() : reject(error)))
        .finally(() => {
          limit.removeEventListener('abort', onAbort);
          deadline.clear();
        });
    });
  }

  return {
    call: (call) =>
      repeat({ repeatable: true, kind: `${call.operation} of ${call.host}` }, async (request) => {
        const release = await limiterOf(call.host).acquire(signal);
        const started = performance.now();
        let code = '200';
        try {
          const result = await bounded(call);
          limiterOf(call.host).succeeded();
          return result;
        } catch (error) {
          code = call.codeOf?.(error) ?? reasonOf(error);
          throw failed(call.host, error, request);
        } finally {
          release();
          observe(call.operation, code, (performance.now() - started) / 1000);
        }
      }),
  };
}
