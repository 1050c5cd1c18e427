import { createHash } from 'node:crypto';

/**
 * Names from outside as they are kept and shown. Longer ones are cut: scrapers refuse whole scrapes for one of them
 * (`label_value_length_limit`), and one would fill the log and the status page.
 */
const longestName = 1024;

/** Whether a name is kept as it is. */
export const isPlainName = (name: string): boolean => name.length <= longestName && name.isWellFormed();

/**
 * A name as it is kept. One that is too long, or that UTF-8 cannot carry (half a surrogate pair), is altered; a hash of
 * the original keeps it apart from others that would look the same.
 */
export function keptName(name: string): string {
  if (isPlainName(name)) return name;
  // As UTF-8 all lone surrogates would be one and the same.
  const hash = createHash('sha256').update(name, 'utf16le').digest('hex').slice(0, 8);
  return `${name.slice(0, longestName - 9).toWellFormed()}~${hash}`;
}

/** Longest message of an error that is logged or kept for the status page. */
const longestMessage = 1000;

/** A message for people: the beginning of one that is too long. */
export const keptMessage = (message: string): string =>
  message.length <= longestMessage ? message : `${message.slice(0, longestMessage).toWellFormed()}…`;

/** Fields of a line of the log, their texts cut as messages are. */
export const keptFields = (fields: object): object =>
  Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      typeof value === 'string' ? keptMessage(value) : value,
    ]),
  );
