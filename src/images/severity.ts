import { type Findings, type Severity, severities } from '../model.ts';

/** One vulnerability as a report tells it. */
export interface Finding {
  readonly severity: Severity;
  /** Undefined where the report does not say. */
  readonly fixable?: boolean;
}

/** The words of scanners and registries; some say the same in others. */
const words: Readonly<Record<string, Severity>> = {
  CRITICAL: 'CRITICAL',
  HIGH: 'HIGH',
  IMPORTANT: 'HIGH',
  MEDIUM: 'MEDIUM',
  MODERATE: 'MEDIUM',
  LOW: 'LOW',
  NEGLIGIBLE: 'NEGLIGIBLE',
  INFORMATION: 'NEGLIGIBLE',
  INFORMATIONAL: 'NEGLIGIBLE',
  MINIMAL: 'NEGLIGIBLE',
  // CVSS's word for a score of 0.
  NONE: 'NEGLIGIBLE',
  UNKNOWN: 'UNKNOWN',
  UNDEFINED: 'UNKNOWN',
  UNSPECIFIED: 'UNKNOWN',
  UNTRIAGED: 'UNKNOWN',
};

/** The severity that a scanner's word stands for, case aside; undefined where it is no such word. */
export const severityOfWord = (word: string): Severity | undefined =>
  Object.hasOwn(words, word.toUpperCase()) ? words[word.toUpperCase()] : undefined;

/** A CVSS score as NVD rates it (https://nvd.nist.gov/vuln-metrics/cvss); 0 is a finding without a rating. */
export function severityOfScore(score: number): Severity {
  if (score >= 9) return 'CRITICAL';
  if (score >= 7) return 'HIGH';
  if (score >= 4) return 'MEDIUM';
  return score > 0 ? 'LOW' : 'UNKNOWN';
}

/** Counts of all severities: those without a finding are 0. */
export function severityCounts(
  told: Iterable<readonly [severity: Severity, count: number]> = [],
): Record<Severity, number> {
  const counts = Object.fromEntries(severities.map((severity) => [severity, 0])) as Record<Severity, number>;
  for (const [severity, count] of told) counts[severity] += count;
  return counts;
}

/** Counts by severity. A report counts every severity, hence those without a finding are 0. */
export async function countFindings(
  findings: Iterable<Finding> | AsyncIterable<Finding>,
  saysFixable: boolean,
): Promise<Findings> {
  const counts = severityCounts();
  const fixable = severityCounts();
  for await (const finding of findings) {
    counts[finding.severity] += 1;
    if (finding.fixable) fixable[finding.severity] += 1;
  }
  return saysFixable ? { counts, fixable } : { counts };
}
