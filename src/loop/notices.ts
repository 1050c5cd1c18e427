import type { Logger } from '../provider.ts';

/**
 * What is odd about a registry without being a failure, such as a tag without a manifest: told once while it lasts.
 * It is told again only after a poll that did not meet it.
 */
export interface Notices {
  /** Notices of one poll. */
  begin(): PollNotices;
}

export interface PollNotices {
  /** @param key tells one notice from another; a notice whose key was told at the last poll goes to the debug level */
  tell(key: string, fields: object, message: string): void;
  /** @param whole whether the poll read everything: only then is what it did not meet over */
  end(whole: boolean): void;
}

/** So many are told of one poll; the rest are counted. */
const toldAtMost = 20;
/** So many are remembered. */
const rememberedAtMost = 10_000;

export function createNotices(log: Logger): Notices {
  let last: ReadonlySet<string> = new Set();
  return {
    begin() {
      const met = new Set<string>();
      let told = 0;
      let untold = 0;
      return {
        tell(key, fields, message) {
          if (met.has(key)) return;
          const repeated = last.has(key);
          if (met.size < rememberedAtMost) met.add(key);
          if (repeated) return log.debug(fields, message);
          told += 1;
          if (told > toldAtMost) untold += 1;
          log[told > toldAtMost ? 'debug' : 'warn'](fields, message);
        },
        end(whole) {
          if (untold > 0)
            log.warn({ more: untold }, 'more was odd about the registry: --log.level=debug shows all of it');
          last = whole ? met : new Set([...last, ...met].slice(0, rememberedAtMost));
        },
      };
    },
  };
}
