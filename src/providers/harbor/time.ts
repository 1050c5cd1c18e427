/** Unix seconds of a time as Harbor writes it; undefined for what never happened, which it writes as year 1 or 1970. */
export function timeOf(text: string | null | undefined): number | undefined {
  const milliseconds = text ? Date.parse(text) : Number.NaN;
  return milliseconds > 0 ? milliseconds / 1000 : undefined;
}

/** The newest of times that may be unknown. */
export function latestOf(times: Iterable<number | undefined>): number | undefined {
  let latest: number | undefined;
  for (const time of times) if (time !== undefined && (latest === undefined || time > latest)) latest = time;
  return latest;
}
