/** Earlier times are zero values of programs, such as Go's year 1 and Unix' 1970. */
export const firstRealTime = Date.UTC(1990, 0, 1) / 1000;
/** Clocks differ by minutes; what lies further ahead than a day is no time. */
export const aheadSeconds = 86_400;
/** No date that a program writes is longer. */
const longestTime = 64;

/** Whether a time in Unix seconds can be one at which something happened. */
export const isPastTime = (seconds: number, now = Date.now() / 1000): boolean =>
  Number.isFinite(seconds) && seconds >= firstRealTime && seconds <= now + aheadSeconds;

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
