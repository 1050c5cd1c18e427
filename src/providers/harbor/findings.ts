import { z } from 'zod';
import type { Findings, Image, ScanStatus, Severity } from '../../model.ts';
import type { Logger } from '../../provider.ts';
import { reportTypes } from './client.ts';
import { timeOf } from './time.ts';

/** `NativeReportSummary` of the swagger, of which only what is used. */
const summary = z.object({
  scan_status: z.string().nullish(),
  end_time: z.string().nullish(),
  summary: z
    .object({
      total: z.number().nullish(),
      fixable: z.number().nullish(),
      summary: z.record(z.string(), z.number()).nullish(),
    })
    .nullish(),
});

export const scanOverview = z.record(z.string(), summary);
export type ScanOverview = z.infer<typeof scanOverview>;

/**
 * https://github.com/goharbor/harbor/blob/main/src/pkg/scan/vuln/severity.go: `None` is CVSS's "none", which Harbor
 * also makes of `Negligible`.
 */
const severityOfWord: Readonly<Record<string, Severity>> = {
  critical: 'CRITICAL',
  high: 'HIGH',
  medium: 'MEDIUM',
  low: 'LOW',
  negligible: 'NEGLIGIBLE',
  none: 'NEGLIGIBLE',
  unknown: 'UNKNOWN',
};

/** https://github.com/goharbor/harbor/blob/main/src/jobservice/job/status.go, and the words of Harbor's own pages. */
const statusOfWord: Readonly<Record<string, ScanStatus>> = {
  success: 'complete',
  error: 'failed',
  running: 'pending',
  pending: 'pending',
  scheduled: 'pending',
  // Somebody ended the scan: there is no result, and none is to come.
  stopped: 'none',
  'not scanned': 'none',
  notscanned: 'none',
  unsupported: 'unsupported',
  'not supported': 'unsupported',
};

export interface FindingsReader {
  /** What the scan overview of an artifact says; nothing where there is none. */
  read(overview: ScanOverview | null | undefined): Partial<Image>;
}

export function createFindingsReader(log: Logger): FindingsReader {
  const told = new Set<string>();
  const warnOnce = (what: string, word: string): void => {
    const key = `${what} ${word}`;
    if (told.has(key)) return;
    told.add(key);
    log.warn({ word }, `Harbor sent ${what} that is not known here: it counts as unknown`);
  };

  function findingsOf(given: z.infer<typeof summary>['summary']): Findings | undefined {
    if (!given) return undefined;
    const { total, fixable, summary: words } = given;
    // Harbor leaves out severities that it found nothing of, but never the counts of what it found.
    if (!words && total !== 0) return undefined;
    const counts: Record<Severity, number> = {
      CRITICAL: 0,
      HIGH: 0,
      MEDIUM: 0,
      LOW: 0,
      NEGLIGIBLE: 0,
      UNKNOWN: 0,
    };
    for (const [word, count] of Object.entries(words ?? {})) {
      const severity = severityOfWord[word.toLowerCase()];
      if (!severity) warnOnce('a severity', word);
      counts[severity ?? 'UNKNOWN'] += count;
    }
    return { counts, ...(typeof fixable === 'number' && { fixableTotal: fixable }) };
  }

  return {
    read(overview) {
      const entries = Object.entries(overview ?? {});
      const [, found] =
        reportTypes.map((type) => entries.find(([name]) => name === type)).find((one) => one) ??
        entries[0] ??
        [];
      const word = found?.scan_status;
      if (!found || !word) return {};
      const scanStatus = statusOfWord[word.toLowerCase()];
      if (!scanStatus) warnOnce('a scan status', word);
      if (scanStatus !== 'complete') return scanStatus ? { scanStatus } : {};
      const findings = findingsOf(found.summary);
      const scannedAt = timeOf(found.end_time);
      return {
        scanStatus,
        ...(findings && { findings }),
        ...(scannedAt !== undefined && { scannedAt }),
      };
    },
  };
}
