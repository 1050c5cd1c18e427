/**
 * A token bucket: `burst` at once, one more each interval.
 * @returns whether one more may pass at this time (milliseconds of a monotonic clock)
 */
export function createTokenBucket({
  intervalMs,
  burst,
}: {
  readonly intervalMs: number;
  readonly burst: number;
}): (nowMs: number) => boolean {
  let tokens = burst;
  let at: number | undefined;
  return (nowMs) => {
    if (at !== undefined) tokens = Math.min(burst, tokens + Math.max(0, nowMs - at) / intervalMs);
    at = nowMs;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
