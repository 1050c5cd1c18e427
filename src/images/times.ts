import { isPastTime } from '../wire.ts';

/** No date that a program writes is longer. */
const longestTime = 64;

/** Unix seconds of a written time (RFC 3339) that has passed; undefined for a zero value, and for what is no time. */
export function secondsOf(written: unknown): number | undefined {
  if (typeof written !== 'string' || written.length > longestTime) return undefined;
  const seconds = Math.floor(Date.parse(written) / 1000);
  return isPastTime(seconds) ? seconds : undefined;
}

/** The newest of times that may be unknown; undefined where all are. */
export function newestOf(times: Iterable<number | undefined>): number | undefined {
  let newest: number | undefined;
  for (const time of times) if (time !== undefined && (newest === undefined || time > newest)) newest = time;
  return newest;
}
