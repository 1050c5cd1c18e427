/** Unix seconds of a time that AWS writes, as text or as a number; undefined where it is none, or lies ahead. */
export function secondsOf(time: unknown): number | undefined {
  const seconds = typeof time === 'number' ? time : Date.parse(String(time)) / 1000;
  return seconds > 0 && seconds < Date.now() / 1000 + 300 ? seconds : undefined;
}

/** The newest of the times that are known. */
export const newest = (times: readonly (number | undefined)[]): number | undefined => {
  const known = times.filter((at) => at !== undefined);
  return known.length > 0 ? Math.max(...known) : undefined;
};
