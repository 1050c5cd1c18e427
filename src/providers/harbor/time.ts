import { isPastTime } from '../../wire.ts';

/** What never happened Harbor writes as year 1, some databases as 1970. */
export const isNever = (value: unknown): boolean =>
  typeof value === 'string' && value.length < 64 && Date.parse(value) <= 0;

/** Unix seconds of a time as Harbor writes it; undefined for what never happened, and for what is no time. */
export function timeOf(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && value.length < 64 ? Date.parse(value) / 1000 : Number.NaN;
  return isPastTime(seconds) ? Math.floor(seconds) : undefined;
}

/** The newest of times that may be unknown. */
export function latestOf(times: Iterable<number | undefined>): number | undefined {
  let latest: number | undefined;
  for (const time of times) if (time !== undefined && (latest === undefined || time > latest)) latest = time;
  return latest;
}
