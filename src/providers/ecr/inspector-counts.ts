import { z } from 'zod';
import type { Severity, SeverityCounts } from '../../model.ts';
import { count, optional } from '../../wire.ts';

/** Inspector's counts of findings by severity. */

/**
 * Counts of low, informational and untriaged findings came later than the others, and are not in every region or SDK:
 * https://docs.aws.amazon.com/inspector/v2/APIReference/API_SeverityCounts.html
 */
const severityFields: Readonly<Record<Severity, string>> = {
  CRITICAL: 'critical',
  HIGH: 'high',
  MEDIUM: 'medium',
  LOW: 'low',
  NEGLIGIBLE: 'informational',
  UNKNOWN: 'untriaged',
};
export const severityCounts = z.object({
  all: optional('all', count),
  critical: optional('critical', count),
  high: optional('high', count),
  medium: optional('medium', count),
  low: optional('low', count),
  informational: optional('informational', count),
  untriaged: optional('untriaged', count),
});

const severityNames = Object.keys(severityFields) as Severity[];

/**
 * Counts of one row. A severity that is absent has no findings where the others make up all of them, and is unknown
 * otherwise.
 */
export function countsOfRow(given: z.infer<typeof severityCounts>): SeverityCounts {
  const counts: Partial<Record<Severity, number>> = {};
  let sum = 0;
  for (const severity of severityNames) {
    const value = given[severityFields[severity] as keyof typeof given];
    if (value === undefined) continue;
    counts[severity] = value;
    sum += value;
  }
  if (given.all === sum) for (const severity of severityNames) counts[severity] ??= 0;
  return counts;
}

/** An image has a row for each architecture where it has several: as for an index, the worst one counts. */
export function worst(one: SeverityCounts, other: SeverityCounts | undefined): SeverityCounts {
  if (!other) return one;
  const counts: Partial<Record<Severity, number>> = {};
  for (const severity of severityNames) {
    const [a, b] = [one[severity], other[severity]];
    if (a !== undefined && b !== undefined) counts[severity] = Math.max(a, b);
  }
  return counts;
}

/** The larger of two numbers, as far as they are known. */
export const most = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined ? other : Math.max(one, other ?? 0);
