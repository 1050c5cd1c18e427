import { CollectError, reasonOf } from '../../errors.ts';
import type { Image, Kind, ScanStatus, Severity } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isPastTime } from '../../wire.ts';
import { createYielder } from '../../yielding.ts';
import type { Api, Location } from './api.ts';
import { codeOf } from './errors.ts';
import { isCount, type OccurrenceRow, type SummaryRow } from './rows.ts';

/** What is known of the vulnerabilities of some images. */
export interface FindingsOf {
  /** Of one, ready to be spread into it. */
  of(digest: string, kind: Kind): Partial<Image>;
  /** Whether something of them could not be understood: how many images have which findings is then unknown. */
  readonly doubtful: boolean;
}

/** grafeas.v1.Severity by its numbers; 0 is the total in the summary, and "not said" of a single finding. */
const severityOf: readonly (Severity | undefined)[] = [
  undefined,
  'NEGLIGIBLE',
  'LOW',
  'MEDIUM',
  'HIGH',
  'CRITICAL',
];

/**
 * grafeas.v1.DiscoveryOccurrence.AnalysisStatus by its numbers; 0 says nothing.
 * https://github.com/googleapis/googleapis/blob/master/grafeas/v1/discovery.proto
 */
const statusOf: readonly (ScanStatus | undefined)[] = [
  undefined,
  'pending',
  'pending',
  'complete',
  'failed',
  'unsupported',
];

/** What is gathered of one digest. */
interface Entry {
  counts: Partial<Record<Severity, number>>;
  fixable: Partial<Record<Severity, number>>;
  /** Over all severities, those included that the source does not name; absent where it gives no total. */
  total?: number;
  fixableTotal?: number;
  hasRows: boolean;
  status?: ScanStatus;
  scannedAt?: number;
  archived: boolean;
  /** A count or the status of it cannot be understood. */
  odd?: boolean;
  /** How much the discovery that was taken is worth; others of the same digest are weighed against it. */
  rank: number;
}

/** The digest of a resource; gcloud writes it with a dash where a colon was. */
const digestOf = (resource: string): string | undefined => {
  const at = /@(sha\d+)[:-]([0-9a-f]{32,})$/.exec(resource);
  return at ? `${at[1]}:${at[2]}` : undefined;
};

const sum = (counts: Partial<Record<Severity, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

/** Counts of all severities; those that the source does not name are the rest of the total. */
function complete(
  counts: Partial<Record<Severity, number>>,
  total: number | undefined,
  hasRows: boolean,
): Partial<Record<Severity, number>> {
  const named = { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, ...counts };
  const known = sum(counts) - (counts.UNKNOWN ?? 0);
  if (total !== undefined) return { ...named, UNKNOWN: Math.max(0, total - known) };
  return hasRows && counts.UNKNOWN === undefined ? named : { ...named, UNKNOWN: counts.UNKNOWN ?? 0 };
}

const unsaid: Partial<Image> = {};
const unscanned: Partial<Image> = { scanStatus: 'none' };

/**
 * Vulnerabilities and scans of everything below some resource prefixes of a project, in bulk. Filters as of
 * https://cloud.google.com/artifact-analysis/docs/investigate-vulnerabilities
 */
export async function readFindings(
  api: Api,
  at: Location,
  prefixes: readonly string[],
  context: Pick<CollectContext, 'tell'>,
): Promise<FindingsOf> {
  const entries = new Map<string, Entry>();
  const pause = createYielder();
  const below = prefixes.map((prefix) => `has_prefix(resourceUrl, ${JSON.stringify(prefix)})`).join(' OR ');
  const filter = (kind: string) => `kind="${kind}" AND ${prefixes.length > 1 ? `(${below})` : below}`;

  let doubtful = false;
  const tellOdd = (field: string): void => {
    doubtful = true;
    context.tell(
      `odd findings ${field}`,
      { field },
      'a part of what Container Analysis answered could not be understood: the findings of some images are unknown',
    );
  };
  const entryOf = (resource: string): Entry | undefined => {
    const digest = digestOf(resource);
    if (digest === undefined) {
      tellOdd('resourceUri');
      return undefined;
    }
    let entry = entries.get(digest);
    if (!entry) {
      entry = { counts: {}, fixable: {}, hasRows: false, archived: false, rank: -1 };
      entries.set(digest, entry);
    }
    return entry;
  };
  const unknown = (what: string, value: number): void =>
    context.tell(
      `${what} ${value}`,
      { [what]: value },
      `Container Analysis answered with a word that is not known here: it counts as unknown`,
    );

  function addSummary({ resource, severity, fixable, total }: SummaryRow): void {
    const entry = entryOf(resource);
    if (!entry) return;
    entry.hasRows = true;
    if (!isCount(total) || !isCount(fixable) || !isCount(severity)) {
      entry.odd = true;
      return tellOdd('counts');
    }
    // The same image under two names has the same findings.
    if (severity === 0) {
      entry.total = Math.max(entry.total ?? 0, total);
      entry.fixableTotal = Math.max(entry.fixableTotal ?? 0, fixable);
      return;
    }
    const known = severityOf[severity];
    if (!known) unknown('severity', severity);
    const word = known ?? 'UNKNOWN';
    entry.counts[word] = Math.max(entry.counts[word] ?? 0, total);
    entry.fixable[word] = Math.max(entry.fixable[word] ?? 0, fixable);
  }

  function addDiscovery(row: OccurrenceRow): void {
    if (!row.discovery) return tellOdd('discovery');
    const entry = entryOf(row.resource);
    if (!entry) return;
    const { status, scannedAt, archived, inactive } = row.discovery;
    // Scanners of others discover too: Google's own vulnerability scan comes first, then whoever spoke last.
    const rank =
      (Number.isFinite(row.updatedAt) ? row.updatedAt : 0) +
      (row.note.endsWith('/PACKAGE_VULNERABILITY') ? 2 ** 40 : 0);
    if (rank < entry.rank) return;
    entry.rank = rank;
    const known = statusOf[status];
    if (!isCount(status)) {
      entry.odd = true;
      return tellOdd('analysisStatus');
    }
    if (!known && status !== 0) unknown('analysis status', status);
    if (scannedAt !== 0 && !isPastTime(scannedAt)) tellOdd('lastScanTime');
    delete entry.status;
    delete entry.scannedAt;
    if (known) entry.status = known;
    if (isPastTime(scannedAt)) entry.scannedAt = scannedAt;
    // Its findings were kept up to date until it was left alone, and age from then on.
    else if (inactive && isPastTime(row.updatedAt)) entry.scannedAt = row.updatedAt;
    entry.archived = archived;
  }

  async function readSummary(): Promise<void> {
    const rows = await api.vulnerabilitySummary(at, filter('VULNERABILITY'));
    try {
      for (const row of rows) {
        addSummary(row);
        await pause();
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new CollectError('invalid_response', 'the vulnerability summary is no message of its kind', {
        cause: error,
      });
    }
  }

  /** The findings one by one, for a summary that is too large for one answer or that the server does not give. */
  async function readOccurrences(): Promise<void> {
    entries.clear();
    const counted = new Map<string, Entry>();
    for await (const rows of api.occurrences(at, filter('VULNERABILITY'))) {
      for (const { resource, vulnerability } of rows) {
        if (!vulnerability || digestOf(resource) === undefined) {
          tellOdd('vulnerability');
          continue;
        }
        let entry = counted.get(resource);
        if (!entry) {
          entry = { counts: {}, fixable: {}, hasRows: true, archived: false, rank: -1 };
          counted.set(resource, entry);
        }
        const word = severityOf[vulnerability.severity] ?? 'UNKNOWN';
        entry.counts[word] = (entry.counts[word] ?? 0) + 1;
        entry.fixable[word] = (entry.fixable[word] ?? 0) + Number(vulnerability.fixable);
      }
      await pause();
    }
    for (const [resource, { counts, fixable }] of counted) {
      addSummary({ resource, severity: 0, total: sum(counts), fixable: sum(fixable) });
      for (const [number, word] of severityOf.entries())
        if (word && counts[word] !== undefined)
          addSummary({ resource, severity: number, total: counts[word], fixable: fixable[word] ?? 0 });
    }
  }

  try {
    await readSummary();
  } catch (error) {
    const lacks =
      codeOf(error) === 'UNIMPLEMENTED' || (error instanceof CollectError && error.status === 501);
    if (!lacks && !['too_large', 'not_found'].includes(reasonOf(error))) throw error;
    await readOccurrences();
  }
  for await (const rows of api.occurrences(at, filter('DISCOVERY'))) {
    for (const row of rows) addDiscovery(row);
    await pause();
  }

  const of: FindingsOf['of'] = (digest, kind) => {
    const entry = entries.size > 0 ? entries.get(digest) : undefined;
    // An index is scanned through its platforms: without a word of its own it has theirs.
    if (!entry) return kind === 'index' ? unsaid : unscanned;
    if (entry.odd) return unsaid;
    const { status, scannedAt, archived, hasRows, counts, fixable, total, fixableTotal, rank } = entry;
    const time = scannedAt === undefined ? {} : { scannedAt };
    // Its findings are no longer kept: that none are counted does not make it clean.
    if (archived) return { ...time, scanStatus: 'none' };
    const findings = {
      counts: complete(counts, total, hasRows),
      fixable: complete(fixable, fixableTotal, hasRows),
    };
    // Findings without a word of a scan, as somebody else's scanner may leave them.
    if (rank < 0) return { findings };
    if (status !== 'complete') return { ...time, ...(status && { scanStatus: status }) };
    return { ...time, scanStatus: 'complete', findings };
  };
  return {
    of,
    get doubtful() {
      return doubtful;
    },
  };
}
