/** Unix seconds of a time that AWS writes, as text or as a number; undefined where it is none, or lies ahead. */
export function secondsOf(time: unknown): number | undefined {
  const seconds = typeof time === 'number' ? time : Date.parse(String(time)) / 1000;
  return seconds > 0 && seconds < Date.now() / 1000 + 300 ? seconds : undefined;
}
