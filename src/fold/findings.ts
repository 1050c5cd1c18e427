import {
  type Findings,
  type Image,
  type ScanStatus,
  type Severity,
  type SeverityCounts,
  severities,
} from '../model.ts';
import { newestOf } from '../times.ts';

function maximumCounts(all: readonly (SeverityCounts | undefined)[]): SeverityCounts | undefined {
  let any = false;
  const maximum: Partial<Record<(typeof severities)[number], number>> = {};
  for (const counts of all) {
    if (!counts) continue;
    any = true;
    for (const severity of severities) {
      const count = counts[severity];
      if (count !== undefined) maximum[severity] = Math.max(maximum[severity] ?? 0, count);
    }
  }
  return any ? maximum : undefined;
}

/**
 * The findings of an index: per severity the maximum over its platforms, since the same package is found on each
 * of them. Platforms without findings say nothing.
 */
export function maximumFindings(all: readonly (Findings | undefined)[]): Findings | undefined {
  const counts = maximumCounts(all.map((findings) => findings?.counts));
  if (!counts) return undefined;
  const fixable = maximumCounts(all.map((findings) => findings?.fixable));
  const totals = all.flatMap((findings) => findings?.fixableTotal ?? []);
  return {
    counts,
    fixable,
    fixableTotal: totals.length > 0 ? Math.max(...totals) : undefined,
  };
}

/** The newest scan; undefined where a scan that was made has no time, since that may be the newest. */
export function newestScan(all: readonly Pick<Image, 'scanStatus' | 'scannedAt'>[]): number | undefined {
  const isUntimed = all.some(
    ({ scanStatus, scannedAt }) => scanStatus === 'complete' && scannedAt === undefined,
  );
  return isUntimed ? undefined : newestOf(all.map(({ scannedAt }) => scannedAt));
}

/** From worst to best: what is not complete hides what a complete scan would have found. */
const worstFirst: readonly ScanStatus[] = ['failed', 'pending', 'none', 'unsupported', 'complete'];

/** The scan status of an index: the worst of its platforms'; unknown while one platform's is. */
export function worstStatus(all: readonly (ScanStatus | undefined)[]): ScanStatus | undefined {
  if (all.includes(undefined)) return undefined;
  return worstFirst.find((status) => all.includes(status));
}

/**
 * Images with at least one finding, by severity. Images that were not scanned count nowhere. A severity that one of
 * the others was not counted for is absent, and all are where a scan is complete and its findings are not known: the
 * number would be too small.
 */
export function vulnerableCounts(
  images: Iterable<{ readonly findings?: Findings; readonly scanStatus?: ScanStatus }>,
): SeverityCounts | undefined {
  const scanned: SeverityCounts[] = [];
  for (const { findings, scanStatus } of images) {
    if (findings) scanned.push(findings.counts);
    else if (scanStatus === 'complete') return undefined;
  }
  if (scanned.length === 0) return undefined;
  const result: Partial<Record<Severity, number>> = {};
  for (const severity of severities) result[severity] = countVulnerable(scanned, severity);
  return result;
}

/** How many have a finding of the severity; undefined where one was not counted for it. */
function countVulnerable(scanned: readonly SeverityCounts[], severity: Severity): number | undefined {
  let vulnerable = 0;
  for (const counts of scanned) {
    const count = counts[severity];
    if (count === undefined) return undefined;
    if (count > 0) vulnerable += 1;
  }
  return vulnerable;
}
