import { CollectError, type FailureReason } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';

/** Why something could not be read. */
export interface Unread {
  readonly error: CollectError;
  /** Whether it could be read at the last poll, or was never tried. */
  readonly fresh: boolean;
}
export type Attempt<T> = { readonly value: T } | Unread;

/** One thing of a repository, as the log names it. */
export interface Thing {
  /** Such as `tag` or `manifest`. */
  readonly kind: string;
  readonly name: string;
  /** What follows from it that it cannot be read. */
  readonly effect: string;
}

/** Reads single things of one repository, of which each may fail without the others. */
export interface Attempts {
  /**
   * Reads one thing. What failed is told, and left alone for a while when it fails again: a broken file on the
   * registry's disk would be asked for at every poll for ever.
   * @throws what concerns the registry as a whole: refused credentials, throttling; and the failure itself when most
   * things fail
   */
  attempt<T>(thing: Thing, read: () => Promise<T>): Promise<Attempt<T>>;
  /** What failed in this poll, and did not at the last one. */
  readonly fresh: readonly Unread[];
}

export interface Failing {
  of(repository: string): Attempts;
}

/** Reasons that may lie in one thing alone. */
const single: ReadonlySet<FailureReason> = new Set([
  'connect',
  'forbidden',
  'invalid_response',
  'not_found',
  'server_error',
  'timeout',
  'too_large',
]);

const rememberedAtMost = 10_000;
const longestPauseSeconds = 6 * 3600;
/** So many failures in a repository, and more than successes, are a failure of the repository. */
const toleratedFailures = 10;

/** Remembers what failed for as long as the registry's loop runs. */
export function createFailing(context: CollectContext): Failing {
  interface Failure {
    readonly times: number;
    readonly at: number;
    readonly error: CollectError;
  }
  const failures = context.session.keep('oci: what failed', () => new Map<string, Failure>());
  /** What failed once is tried again at the next poll. */
  const pauseOf = ({ times }: Failure): number =>
    times < 2 ? 0 : Math.min(60 * 2 ** (times - 1), longestPauseSeconds);

  return {
    of(repository) {
      const fresh: Unread[] = [];
      let succeeded = 0;
      let failed = 0;
      const tell = ({ kind, name, effect }: Thing, error: CollectError) =>
        context.tell(
          `${kind} ${repository} ${name}`,
          { repository, [kind]: name, reason: error.reason, err: error },
          `the ${kind} could not be read: ${effect}`,
        );
      return {
        fresh,
        async attempt(thing, read) {
          const key = JSON.stringify([repository, thing.kind, thing.name]);
          const before = failures.get(key);
          if (before && context.now() - before.at < pauseOf(before)) {
            tell(thing, before.error);
            return { error: before.error, fresh: false };
          }
          try {
            const value = await read();
            succeeded += 1;
            failures.delete(key);
            return { value };
          } catch (error) {
            if (context.signal.aborted || !(error instanceof CollectError) || !single.has(error.reason))
              throw error;
            failed += 1;
            if (failed >= toleratedFailures && failed > succeeded) throw error;
            failures.delete(key);
            failures.set(key, { times: (before?.times ?? 0) + 1, at: context.now(), error });
            if (failures.size > rememberedAtMost)
              for (const oldest of failures.keys()) {
                failures.delete(oldest);
                break;
              }
            tell(thing, error);
            const unread = { error, fresh: before === undefined };
            // What is not there will not come back: it is as it is from the first poll on.
            if (unread.fresh && error.reason !== 'not_found') fresh.push(unread);
            return unread;
          }
        },
      };
    },
  };
}
