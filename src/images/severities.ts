import { type Severity, severities } from '../model.ts';

/** What scanners call severities, in lower case. `none` is CVSS's word for a score of 0. */
const severityOfWord: Readonly<Record<string, Severity>> = {
  critical: 'CRITICAL',
  high: 'HIGH',
  medium: 'MEDIUM',
  moderate: 'MEDIUM',
  low: 'LOW',
  negligible: 'NEGLIGIBLE',
  minimal: 'NEGLIGIBLE',
  information: 'NEGLIGIBLE',
  informational: 'NEGLIGIBLE',
  none: 'NEGLIGIBLE',
  unknown: 'UNKNOWN',
};

/** The severity that a scanner's word stands for, in any case; undefined for a word that is not known here. */
export const severityOf = (word: string): Severity | undefined => {
  const key = word.toLowerCase();
  return Object.hasOwn(severityOfWord, key) ? severityOfWord[key] : undefined;
};

/** Counts of all severities: what nothing was found of is 0. */
export function severityCounts(
  found: Iterable<readonly [severity: Severity, count: number]>,
): Record<Severity, number> {
  const counts = Object.fromEntries(severities.map((severity) => [severity, 0])) as Record<Severity, number>;
  for (const [severity, count] of found) counts[severity] += count;
  return counts;
}
