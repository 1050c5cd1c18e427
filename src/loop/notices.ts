import { keptFields, keptName } from '../names.ts';
import type { Logger } from '../provider.ts';

/**
 * What is odd about a registry without being a failure, such as a tag without a manifest: told once while it lasts.
 * It is told again only after a poll that did not meet it.
 */
export interface Notices {
  /** Notices of one poll. */
  begin(): PollNotices;
  /** What lasts, for the status page: messages with their details. */
  current(): readonly Notice[];
}

/** One of them, for people. */
export interface Notice {
  readonly message: string;
  readonly details: object;
}

export interface PollNotices {
  /** @param key tells one notice from another; a notice whose key was told at the last poll goes to the debug level */
  tell(key: string, fields: object, message: string): void;
  /** @param whole whether the poll read everything: only then is what it did not meet over */
  end(whole: boolean): void;
}

/** This many are logged in one poll; the rest are counted. */
const toldAtMost = 20;
/** So many are remembered. */
const rememberedAtMost = 10_000;

export function createNotices(log: Logger): Notices {
  let last: ReadonlyMap<string, Notice> = new Map();
  return {
    current: () => [...last.values()].slice(0, toldAtMost),
    begin() {
      const met = new Map<string, Notice>();
      let told = 0;
      let untold = 0;
      return {
        tell(longKey, longFields, message) {
          const [key, fields] = [keptName(longKey), keptFields(longFields)];
          if (met.has(key)) return;
          const repeated = last.has(key);
          if (met.size < rememberedAtMost) met.set(key, { message, details: fields });
          if (repeated) return log.debug(fields, message);
          told += 1;
          if (told > toldAtMost) untold += 1;
          log[told > toldAtMost ? 'debug' : 'warn'](fields, message);
        },
        end(whole) {
          if (untold > 0)
            log.warn(
              { more: untold },
              'there are more notices about the registry: --log.level=debug shows all of them',
            );
          last = whole ? met : new Map([...last, ...met].slice(0, rememberedAtMost));
        },
      };
    },
  };
}
