import { z } from 'zod';
import { severityCounts, severityOfWord } from '../../images/severity.ts';
import type { Findings, Image, ScanStatus } from '../../model.ts';
import { meaningOf, tellOfWord } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { secondsOf } from '../../times.ts';
import { anyObject, count, dictionary, optional } from '../../wire.ts';
import { reportTypes } from './client.ts';
import { word } from './fields.ts';

/** There are six words for severities. */
const isShort = (counts: object): boolean => Object.keys(counts).length <= 50;

/** `NativeReportSummary` of the swagger, of which only what is used. */
const report = z.object({
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

const scanOverview = dictionary('scan_overview', report);

/** https://github.com/goharbor/harbor/blob/main/src/jobservice/job/status.go, and the words of Harbor's own pages. */
const statuses: Readonly<Record<string, ScanStatus>> = {
  success: 'complete',
  error: 'failed',
  running: 'pending',
  pending: 'pending',
  scheduled: 'pending',
  // Somebody stopped the scan: there is no result, and none will come.
  stopped: 'none',
  'not scanned': 'none',
  notscanned: 'none',
  unsupported: 'unsupported',
  'not supported': 'unsupported',
};

type Context = Pick<CollectContext, 'tell'>;

/**
 * What the scan overview of an artifact says. `none`: it has none; `unreadable`: what was found, or how the scan went,
 * could not be understood.
 * @param odd is called with fields that were left out
 */
export function readFindings(
  context: Context,
  value: unknown,
  odd: (field: string) => void,
): Pick<Image, 'scanStatus' | 'scannedAt' | 'findings'> | 'none' | 'unreadable' {
  if (value === undefined || value === null) return 'none';
  const overview = scanOverview.safeParse(value).data;
  if (overview?.size === 0 && Object.keys(value).length === 0) return 'none';
  const [preferred] = reportTypes.flatMap((type) => overview?.get(type) ?? []);
  const { scan_status, end_time, summary } = preferred ?? overview?.values().next().value ?? {};
  const scanStatus = scan_status && meaningOf(context, 'the status of a scan', statuses, scan_status);
  if (!scanStatus) return 'unreadable';
  if (scanStatus !== 'complete') return { scanStatus };
  const findings = findingsOf(context, summary);
  if (!findings) return 'unreadable';
  const scannedAt = secondsOf(end_time);
  if (scannedAt === undefined) odd('end_time');
  if (findings.fixableTotal === undefined) odd('fixable');
  return { scanStatus, findings, scannedAt };
}

function findingsOf(context: Context, summary: z.infer<typeof report>['summary']): Findings | undefined {
  if (!summary) return undefined;
  const { total, fixable, summary: counts } = summary;
  const rows = Object.entries(counts ?? {});
  const sum = rows.reduce((all, [, count]) => all + count, 0);
  // Harbor leaves out severities without findings, but no others: counts that do not add up are not all that there are.
  if (counts ? total !== undefined && sum !== total : total !== 0) return undefined;
  return {
    counts: severityCounts(
      rows.map(([name, count]) => {
        const severity = severityOfWord(name);
        if (!severity) tellOfWord(context, 'a severity', name);
        return [severity ?? 'UNKNOWN', count];
      }),
    ),
    fixableTotal: fixable !== undefined && fixable <= sum ? fixable : undefined,
  };
}
