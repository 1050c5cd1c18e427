import { isDeepStrictEqual } from 'node:util';
import type { PackedTotals, RepositoryTotals } from './model.ts';

/**
 * Totals are kept as text between polls. As objects those of a large registry are a million things that the garbage
 * collector has to walk, and its longest pause held the event loop for 16 to 24 ms at a million series; as text they
 * are one thing each, which it does not look into.
 */
export const packTotals = (totals: RepositoryTotals): PackedTotals => JSON.stringify(totals) as PackedTotals;

export const unpackTotals = (packed: PackedTotals): RepositoryTotals =>
  JSON.parse(packed) as RepositoryTotals;

/** The totals as text: the former text itself when they say the same, in whatever order. */
export function repackTotals(totals: RepositoryTotals, before: PackedTotals | undefined): PackedTotals {
  const packed = packTotals(totals);
  if (before === undefined) return packed;
  return packed === before || isDeepStrictEqual(unpackTotals(packed), unpackTotals(before)) ? before : packed;
}
