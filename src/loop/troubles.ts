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
  const reasons = new Map<string, string>();
  return {
    tell(level, what, error, message, fields) {
      const reason = reasonOf(error);
      const repeated = reasons.get(what) === reason;
      reasons.set(what, reason);
      log[repeated ? 'debug' : level]({ ...fields, reason, err: error }, message);
    },
    over(what, fields) {
      if (reasons.delete(what)) log.info({ ...fields }, `${what} works again`);
    },
    forget: (what) => void reasons.delete(what),
  };
}

/** So many broken repositories are named in the log; the others are counted there. */
const namedAtMost = 20;

/** Logs which repositories of a cycle failed, and which work again. */
export type TellOfRepositories = (
  result: CycleResult,
  of: {
    /** Whether the cycle came to all repositories. */
    readonly whole: boolean;
    /** Whether there is data of the repository. */
    isKnown(repository: string): boolean;
  },
) => void;

/** Tells which repositories could not be read, one by one and once each. */
export function createRepositoryTroubles(troubles: Troubles): TellOfRepositories {
  const broken = new Set<string>();
  const brokenGroups = new Set<string>();
  const rest = 'the rest of the repositories';
  const groupName = (prefix: string) => `the repositories below ${JSON.stringify(prefix)}`;
  const nameOf = (repository: string) => `the repository ${JSON.stringify(repository)}`;

  const tellOfGroups: TellOfRepositories = ({ failedGroups }, { whole }) => {
    const message = 'repositories could not be listed: the last data of all below the prefix stays and ages';
    for (const [prefix, error] of failedGroups) {
      troubles.tell('warn', groupName(prefix), error, message, { prefix });
      brokenGroups.add(prefix);
    }
    for (const prefix of brokenGroups) {
      if (!whole || failedGroups.has(prefix)) continue;
      troubles.over(groupName(prefix), { prefix });
      brokenGroups.delete(prefix);
    }
  };

  const tellOfFailed: TellOfRepositories = ({ failed, failedGroups }, { whole, isKnown }) => {
    const prefixes = [...failedGroups.keys()];
    const alone = [...failed].filter(
      ([repository]) => !prefixes.some((prefix) => repository.startsWith(prefix)),
    );
    for (const [index, [repository, error]] of alone.entries()) {
      const consequence = isKnown(repository) ? 'its last data stays and ages' : 'there is no data of it yet';
      const message = `the repository could not be read: ${consequence}`;
      troubles.tell(index < namedAtMost ? 'warn' : 'debug', nameOf(repository), error, message, {
        repository,
      });
      broken.add(repository);
    }
    const [, last] = alone.at(-1) ?? [];
    const more = alone.length - namedAtMost;
    if (more > 0) troubles.tell('warn', rest, last, 'more repositories could not be read', { more });
    else if (whole) troubles.over(rest);
  };

  const tellOfMended: TellOfRepositories = ({ failed, complete, gone }, { isKnown }) => {
    for (const repository of broken) {
      if (failed.has(repository)) continue;
      if (complete.has(repository)) troubles.over(nameOf(repository), { repository });
      else if (gone.has(repository) || !isKnown(repository)) troubles.forget(nameOf(repository));
      else continue;
      broken.delete(repository);
    }
  };

  return (result, of) => {
    for (const tell of [tellOfGroups, tellOfFailed, tellOfMended]) tell(result, of);
  };
}
