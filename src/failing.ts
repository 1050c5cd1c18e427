import { CollectError, type FailureReason } from './errors.ts';
import type { CollectContext } from './provider.ts';

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
  /** Whether somebody else tells of it. */
  readonly quiet?: boolean;
  /** Whether it is a detail: however many of them fail, the repository does not, and one line tells of them all. */
  readonly detail?: boolean;
}

/** Reads single things of one repository, of which each may fail without the others. */
export interface Attempts {
  /**
   * Reads one thing. What failed is told, and left alone for some polls when it fails again: a broken file on the
   * registry's disk would be asked for at every poll for ever.
   * @throws what concerns the registry as a whole: refused credentials, throttling; and the failure itself when most
   * things fail
   */
  attempt<T>(thing: Thing, read: () => Promise<T>): Promise<Attempt<T>>;
  /** Tells that a thing could not be read, once while it lasts. */
  tell(thing: Thing, error: CollectError): void;
  /** What failed in this poll, and did not at the last one. */
  readonly fresh: readonly Unread[];
  /** Nobody waits any more for what is still being read: what becomes of it is not told. */
  end(): void;
}

export interface AttemptsOptions {
  /** Whether most of the things may fail. */
  readonly tolerant?: boolean;
}

export interface Failing {
  of(repository: string, options?: AttemptsOptions): Attempts;
}

/** Reasons that may lie in one thing alone. */
const single: ReadonlySet<FailureReason> = new Set([
  'connect',
  // A store of blobs that the registry redirects to may have another name and another certificate.
  'dns',
  'forbidden',
  'invalid_response',
  'not_found',
  'pagination',
  'server_error',
  'timeout',
  'tls',
  'too_large',
]);

const rememberedAtMost = 10_000;
/** So many failures in a repository, and more than successes, are a failure of the repository. */
const toleratedFailures = 10;

interface Failure {
  readonly times: number;
  readonly error: CollectError;
  /** When and in which poll it failed last. */
  readonly at: number;
  readonly poll: number;
}

const mostPolls = 63;
const longestPauseSeconds = 6 * 3600;

/** Failed once, it is tried at the next poll; then one poll is left out, then three, seven, … */
const isLeftAlone = ({ times, at, poll }: Failure, now: number, current: number): boolean =>
  current - poll <= Math.min(2 ** (times - 1) - 1, mostPolls) && now - at < longestPauseSeconds;

/** What failed, in whatever repository, by the thing that it is; kept between polls. */
interface Kept {
  polls: number;
  readonly failures: Map<string, Failure>;
}

function remember({ failures }: Kept, key: string, failure: Failure): void {
  failures.delete(key);
  failures.set(key, failure);
  const [oldest] = failures.size > rememberedAtMost ? failures.keys() : [];
  if (oldest !== undefined) failures.delete(oldest);
}

/** How the things of one repository fare in one poll; says when most of them fail. */
function createTally(tolerant: boolean) {
  let succeeded = 0;
  let failed = 0;
  return {
    success(): void {
      succeeded += 1;
    },
    /** @returns whether so much failed that the repository did */
    failure: (): boolean => {
      failed += 1;
      return !tolerant && failed >= toleratedFailures && failed > succeeded;
    },
  };
}

/** The error, where it may lie in one thing alone. */
const lonely = (error: unknown): CollectError | undefined =>
  error instanceof CollectError && single.has(error.reason) ? error : undefined;

function createAttempts(
  context: CollectContext,
  kept: Kept,
  repository: string,
  tolerant: boolean,
): Attempts {
  const { failures, polls: poll } = kept;
  const fresh: Unread[] = [];
  const tally = createTally(tolerant);
  let ended = false;

  /** Of each kind of details: the first that failed, and how many others did. */
  const details = new Map<string, { readonly thing: Thing; readonly error: CollectError; more: number }>();

  const tell = ({ kind, name, effect }: Thing, error: CollectError, more = 0, key = name): void =>
    context.tell(
      `${kind} ${repository} ${key}`,
      { repository, [kind]: name, ...(more > 0 && { more }), reason: error.reason, err: error },
      `the ${kind} could not be read: ${effect}`,
    );

  function report(thing: Thing, error: CollectError): void {
    if (thing.quiet) return;
    if (!thing.detail) return tell(thing, error);
    const first = details.get(thing.kind);
    if (first) first.more += 1;
    else details.set(thing.kind, { thing, error, more: 0 });
  }

  /** Remembers a failure and tells of it. @throws the error where it is not of this thing alone */
  function failedOf(thing: Thing, key: string, before: Failure | undefined, error: unknown): Unread {
    const own = lonely(error);
    if (ended || context.signal.aborted || !own) throw error;
    // That something is not there is an answer.
    if (!thing.detail && own.reason !== 'not_found' && tally.failure()) throw error;
    remember(kept, key, { times: (before?.times ?? 0) + 1, at: context.now(), poll, error: own });
    report(thing, own);
    const unread = { error: own, fresh: before === undefined };
    // What is not there will not come back: it is as it is from the first poll on.
    if (unread.fresh && own.reason !== 'not_found') fresh.push(unread);
    return unread;
  }

  return {
    fresh,
    tell: (thing, error) => tell(thing, error),
    end() {
      ended = true;
      for (const { thing, error, more } of details.values()) tell(thing, error, more, 'details');
      details.clear();
    },
    async attempt(thing, read) {
      const key = JSON.stringify([repository, thing.kind, thing.name]);
      const before = failures.get(key);
      if (before && isLeftAlone(before, context.now(), poll)) {
        report(thing, before.error);
        return { error: before.error, fresh: false };
      }
      try {
        const value = await read();
        tally.success();
        failures.delete(key);
        return { value };
      } catch (error) {
        return failedOf(thing, key, before, error);
      }
    },
  };
}

/** Remembers what failed for as long as the registry's loop runs. Made anew for each poll. */
export function createFailing(context: CollectContext): Failing {
  const kept = context.session.keep('what failed', (): Kept => ({ polls: 0, failures: new Map() }));
  kept.polls += 1;
  // The next poll counts on while this one may still be ending.
  const own = { ...kept };
  return {
    of: (repository, { tolerant = false } = {}) => createAttempts(context, own, repository, tolerant),
  };
}
