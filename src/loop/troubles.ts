import { reasonOf } from '../errors.ts';
import type { CycleResult } from '../fold.ts';
import type { Logger } from '../provider.ts';

/**
 * Tells of lasting troubles once: when they begin, when their reason changes and when they end. Repeats go to the
 * debug level, since metrics and the status page tell them all the time.
 */
export interface Troubles {
  /**
   * @param what names the trouble in the log line of its end, such as `the poll`
   * @param message says what fails and what follows from it
   */
  tell(
    level: 'debug' | 'warn' | 'error',
    what: string,
    error: unknown,
    message: string,
    fields?: object,
  ): void;
  /** Ends a trouble, if there was one. */
  over(what: string, fields?: object): void;
  /** Forgets a trouble without a word: what it was about is gone. */
  forget(what: string): void;
}

export function createTroubles(log: Logger): Troubles {
  const known = new Map<string, string>();
  return {
    tell(level, what, error, message, fields) {
      const reason = reasonOf(error);
      const repeated = known.get(what) === reason;
      known.set(what, reason);
      log[repeated ? 'debug' : level]({ ...fields, reason, err: error }, message);
    },
    over(what, fields) {
      if (known.delete(what)) log.info({ ...fields }, `${what} works again`);
    },
    forget: (what) => void known.delete(what),
  };
}

/** So many broken repositories are named in the log; the others are counted there. */
const namedAtMost = 20;

/**
 * Tells which repositories could not be read, one by one and once each.
 * @returns what to call with each cycle's result, with whether it came to all repositories, and with which of them are
 * still known
 */
export function createRepositoryTroubles(
  troubles: Troubles,
): (result: CycleResult, of: { readonly whole: boolean; isKnown(repository: string): boolean }) => void {
  const broken = new Set<string>();
  const brokenGroups = new Set<string>();
  const groupName = (prefix: string) => `the repositories below ${JSON.stringify(prefix)}`;
  const nameOf = (repository: string) => `the repository ${JSON.stringify(repository)}`;
  return ({ complete, failed, failedGroups, gone }, { whole, isKnown }) => {
    for (const [prefix, error] of failedGroups) {
      const message =
        'repositories could not be listed: the last data of all below the prefix stays and ages';
      troubles.tell('warn', groupName(prefix), error, message, { prefix });
      brokenGroups.add(prefix);
    }
    for (const prefix of brokenGroups) {
      if (!whole || failedGroups.has(prefix)) continue;
      troubles.over(groupName(prefix), { prefix });
      brokenGroups.delete(prefix);
    }
    let told = 0;
    for (const [repository, error] of failed) {
      // Told with its group.
      if ([...failedGroups.keys()].some((prefix) => repository.startsWith(prefix))) continue;
      const message = isKnown(repository)
        ? 'the repository could not be read: its last data stays and ages'
        : 'the repository could not be read: there is no data of it yet';
      const level = told < namedAtMost ? 'warn' : 'debug';
      troubles.tell(level, nameOf(repository), error, message, { repository });
      broken.add(repository);
      told += 1;
    }
    const [, last] = [...failed].at(-1) ?? [];
    if (told > namedAtMost)
      troubles.tell('warn', 'the rest of the repositories', last, 'more repositories could not be read', {
        more: told - namedAtMost,
      });
    else if (whole) troubles.over('the rest of the repositories');
    for (const repository of broken) {
      if (failed.has(repository)) continue;
      if (complete.has(repository)) troubles.over(nameOf(repository), { repository });
      else if (gone.has(repository) || !isKnown(repository)) troubles.forget(nameOf(repository));
      else continue;
      broken.delete(repository);
    }
  };
}
