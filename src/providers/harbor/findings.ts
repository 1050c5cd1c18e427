import { z } from 'zod';
import type { Findings, Image, ScanStatus, Severity } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { anyObject, count, dictionary, optional } from '../../wire.ts';
import { reportTypes } from './client.ts';
import { isNever, timeOf } from './time.ts';

const word = z.string().max(256);
/** There are six words for severities. */
const isShort = (counts: object): boolean => Object.keys(counts).length <= 50;

/** `NativeReportSummary` of the swagger, of which only what is used. */
const summary = z.object({
  scan_status: optional('scan_status', word),
  end_time: z.unknown().optional(),
  summary: optional(
    'summary',
    z.object({
      total: optional('total', count),
      fixable: optional('fixable', count),
      // Not a dictionary, which leaves out what is odd: a count that is missing would make the sum too small.
      summary: optional('summary', anyObject.refine(isShort).pipe(z.record(word, count))),
    }),
  ),
});

const scanOverview = dictionary('scan_overview', summary);

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
  /**
   * What the scan overview of an artifact says. `none`: it has none; `unreadable`: what was found, or how the scan went,
   * could not be understood.
   * @param odd told of fields that were left out
   */
  read(
    overview: unknown,
    odd: (field: string) => void,
  ): Pick<Image, 'scanStatus' | 'scannedAt' | 'findings'> | 'none' | 'unreadable';
}

export function createFindingsReader(context: Pick<CollectContext, 'tell'>): FindingsReader {
  const tell = (what: string, given: string): void =>
    context.tell(
      `${what} ${given}`,
      { word: given },
      `Harbor sent ${what} that is not known here: it counts as unknown`,
    );

  function findingsOf(given: z.infer<typeof summary>['summary']): Findings | undefined {
    if (!given) return undefined;
    const { total, fixable, summary: words } = given;
    const found = Object.values(words ?? {}).reduce((sum, one) => sum + one, 0);
    // Harbor leaves out severities that it found nothing of, but never the counts of what it found: what does not add
    // up was not read as a whole.
    if (words ? total !== undefined && found !== total : total !== 0) return undefined;
    const counts: Record<Severity, number> = {
      CRITICAL: 0,
      HIGH: 0,
      MEDIUM: 0,
      LOW: 0,
      NEGLIGIBLE: 0,
      UNKNOWN: 0,
    };
    for (const [name, count] of Object.entries(words ?? {})) {
      const severity = severityOfWord[name.toLowerCase()];
      if (!severity) tell('a severity', name);
      counts[severity ?? 'UNKNOWN'] += count;
    }
    return { counts, ...(fixable !== undefined && fixable <= found && { fixableTotal: fixable }) };
  }

  return {
    read(given, odd) {
      if (given === undefined || given === null) return 'none';
      const overview = scanOverview.safeParse(given).data;
      if (overview?.size === 0 && Object.keys(given).length === 0) return 'none';
      const [preferred] = reportTypes.flatMap((type) => overview?.get(type) ?? []);
      const report = preferred ?? overview?.values().next().value;
      if (!report?.scan_status) return 'unreadable';
      const scanStatus = statusOfWord[report.scan_status.toLowerCase()];
      if (!scanStatus) {
        tell('a scan status', report.scan_status);
        return 'unreadable';
      }
      if (scanStatus !== 'complete') return { scanStatus };
      const findings = findingsOf(report.summary);
      if (!findings) return 'unreadable';
      const scannedAt = timeOf(report.end_time);
      if (scannedAt === undefined && !isNever(report.end_time)) odd('end_time');
      if (findings.fixableTotal === undefined) odd('fixable');
      return { scanStatus, findings, scannedAt };
    },
  };
}
