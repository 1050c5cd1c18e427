import { CollectError, reasonOf } from '../../errors.ts';
import type { Image, Kind, ScanStatus, Severity } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { createYielder } from '../../yielding.ts';
import type { Api, Location } from './api.ts';
import type { OccurrenceRow, SummaryRow } from './rows.ts';

/** What is known of the vulnerabilities of some images. */
export interface FindingsOf {
  /** Of one, ready to be spread into it. */
  of(digest: string, kind: Kind): Partial<Image>;
  /** Whether something of them could not be understood: how many images have which findings is then unknown. */
  readonly doubtful: boolean;
}

const severities: Readonly<Record<string, Severity>> = {
  SEVERITY_UNSPECIFIED: 'UNKNOWN',
  MINIMAL: 'NEGLIGIBLE',
  LOW: 'LOW',
  MEDIUM: 'MEDIUM',
  HIGH: 'HIGH',
  CRITICAL: 'CRITICAL',
};
/** Of the summary it is the total; of a single finding it says nothing. */
const unspecified = 'SEVERITY_UNSPECIFIED';

/** https://github.com/googleapis/googleapis/blob/master/grafeas/v1/discovery.proto */
const statuses: Readonly<Record<string, ScanStatus | undefined>> = {
  ANALYSIS_STATUS_UNSPECIFIED: undefined,
  PENDING: 'pending',
  SCANNING: 'pending',
  COMPLETE: 'complete',
  FINISHED_SUCCESS: 'complete',
  FINISHED_FAILED: 'failed',
  FINISHED_UNSUPPORTED: 'unsupported',
};

type Counts = Partial<Record<Severity, number>>;

/** What is gathered of one digest. */
interface Entry {
  readonly counts: Counts;
  readonly fixable: Counts;
  /** Over all severities, those included that the source does not name; absent where it gives no total. */
  total?: number;
  fixableTotal?: number;
  hasRows: boolean;
  discovery?: NonNullable<OccurrenceRow['discovery']> & { readonly updatedAt: number };
  /** A count or the status of it cannot be understood. */
  odd?: boolean;
  /** How much the discovery that was taken is worth; others of the same digest are weighed against it. */
  rank: number;
}

const newEntry = (): Entry => ({ counts: {}, fixable: {}, hasRows: false, rank: -1 });
const sum = (counts: Counts): number => Object.values(counts).reduce((total, count) => total + count, 0);
const most = (counts: Counts, severity: Severity, count: number): void => {
  counts[severity] = Math.max(counts[severity] ?? 0, count);
};

/** Counts of all severities; those that the source does not name are the rest of the total. */
function complete(counts: Counts, total: number | undefined, hasRows: boolean): Counts {
  const named = { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, ...counts };
  const namedSum = sum(counts) - (counts.UNKNOWN ?? 0);
  if (total !== undefined) return { ...named, UNKNOWN: Math.max(0, total - namedSum) };
  return hasRows && counts.UNKNOWN === undefined ? named : { ...named, UNKNOWN: counts.UNKNOWN ?? 0 };
}

const unsaid: Partial<Image> = {};
const unscanned: Partial<Image> = { scanStatus: 'none' };

/** What an entry says of its image. */
function toPart(entry: Entry): Partial<Image> {
  if (entry.odd) return unsaid;
  const { discovery, hasRows, counts, fixable, total, fixableTotal } = entry;
  const findings = {
    counts: complete(counts, total, hasRows),
    fixable: complete(fixable, fixableTotal, hasRows),
  };
  // Findings without a word of a scan, as somebody else's scanner may leave them.
  if (!discovery) return { findings };
  const { lastScanTime, continuousAnalysis, archiveTime, updatedAt, analysisStatus } = discovery;
  const scanStatus = statuses[analysisStatus ?? ''];
  // Its findings were kept up to date until it was left alone, and age from then on. One without a scan has no such time.
  const isLeft = continuousAnalysis === 'INACTIVE' && scanStatus === 'complete';
  const scannedAt = lastScanTime || (isLeft ? updatedAt : 0) || undefined;
  // Findings that are no longer kept: that none are counted does not make it clean.
  if (archiveTime) return { scannedAt, scanStatus: 'none' };
  return scanStatus === 'complete' ? { scannedAt, scanStatus, findings } : { scannedAt, scanStatus };
}

/** What is gathered of the images of a repository. */
interface Gathering {
  readonly entries: Map<string, Entry>;
  readonly tell: CollectContext['tell'];
  /** Something could not be understood. */
  doubtful: boolean;
  /** A row of counts is missing, and of which image it was is not known. */
  lacksRow: boolean;
}

function leaveOut(gathering: Gathering, what: string): undefined {
  gathering.doubtful = true;
  gathering.tell(
    `odd findings ${what}`,
    { what },
    'Container Analysis answered findings without what they are about: the findings of some images are unknown',
  );
}

function entryOf({ entries }: Gathering, digest: string): Entry {
  const entry = entries.get(digest) ?? newEntry();
  entries.set(digest, entry);
  return entry;
}

function markOdd(gathering: Gathering, entry: Entry): void {
  entry.odd = true;
  gathering.doubtful = true;
}

const tellWord = ({ tell }: Gathering, what: string, word: string): void =>
  tell(
    `${what} ${word}`,
    { [what]: word },
    'Container Analysis answered with a word that is not known here: it counts as unknown',
  );

function addSummary(gathering: Gathering, row: SummaryRow): void {
  const { resourceUri, severity, fixableCount, totalCount } = row;
  if (resourceUri === undefined) {
    gathering.lacksRow = true;
    return leaveOut(gathering, 'resourceUri');
  }
  const entry = entryOf(gathering, resourceUri);
  entry.hasRows = true;
  if (severity === undefined || fixableCount === undefined || totalCount === undefined)
    return markOdd(gathering, entry);
  // The same image under two names has the same findings.
  if (severity === unspecified) {
    entry.total = Math.max(entry.total ?? 0, totalCount);
    entry.fixableTotal = Math.max(entry.fixableTotal ?? 0, fixableCount);
    return;
  }
  const severityName = severities[severity];
  if (!severityName) tellWord(gathering, 'severity', severity);
  most(entry.counts, severityName ?? 'UNKNOWN', totalCount);
  most(entry.fixable, severityName ?? 'UNKNOWN', fixableCount);
}

/** Scanners of others discover too: Google's own vulnerability scan comes first, then whoever spoke last. */
const rankOf = ({ noteName, updateTime }: OccurrenceRow): number =>
  (updateTime ?? 0) + (noteName?.endsWith('/PACKAGE_VULNERABILITY') ? 2 ** 40 : 0);

function addDiscovery(gathering: Gathering, row: OccurrenceRow): void {
  const { resourceUri, discovery, updateTime } = row;
  if (!discovery || resourceUri === undefined)
    return leaveOut(gathering, discovery ? 'resourceUri' : 'discovery');
  const entry = entryOf(gathering, resourceUri);
  const rank = rankOf(row);
  if (rank < entry.rank) return;
  entry.rank = rank;
  const { analysisStatus, lastScanTime, archiveTime } = discovery;
  if (analysisStatus === undefined || archiveTime === undefined) return markOdd(gathering, entry);
  const isKnown = analysisStatus in statuses;
  if (!isKnown) tellWord(gathering, 'analysis status', analysisStatus);
  if (!isKnown || lastScanTime === undefined) gathering.doubtful = true;
  entry.discovery = { ...discovery, updatedAt: updateTime ?? 0 };
}

/** Counts a single finding. */
function addVulnerability(gathering: Gathering, row: OccurrenceRow, counted: Map<string, Entry>): void {
  const { resourceUri, vulnerability } = row;
  if (resourceUri === undefined || !vulnerability) {
    gathering.lacksRow = true;
    return leaveOut(gathering, 'vulnerability');
  }
  const entry = counted.get(resourceUri) ?? newEntry();
  counted.set(resourceUri, entry);
  const { effectiveSeverity, severity, fixAvailable } = vulnerability;
  const isSaid = effectiveSeverity !== '' && effectiveSeverity !== unspecified;
  const word = severities[(isSaid ? effectiveSeverity : severity) ?? ''] ?? 'UNKNOWN';
  entry.counts[word] = (entry.counts[word] ?? 0) + 1;
  entry.fixable[word] = (entry.fixable[word] ?? 0) + Number(fixAvailable === true);
}

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
  const gathering: Gathering = { entries, tell: context.tell, doubtful: false, lacksRow: false };
  const pause = createYielder();
  const below = prefixes.map((prefix) => `has_prefix(resourceUrl, ${JSON.stringify(prefix)})`).join(' OR ');
  const filter = (kind: string) => `kind="${kind}" AND ${prefixes.length > 1 ? `(${below})` : below}`;

  /** The findings one by one, for a summary that is too large for one answer or that the server does not give. */
  async function readOccurrences(): Promise<void> {
    const counted = new Map<string, Entry>();
    for await (const rows of api.occurrences(at, filter('VULNERABILITY')))
      for (const row of rows) addVulnerability(gathering, row, counted);
    for (const [digest, { counts, fixable }] of counted)
      entries.set(digest, {
        ...newEntry(),
        counts,
        fixable,
        hasRows: true,
        total: sum(counts),
        fixableTotal: sum(fixable),
      });
  }

  try {
    for (const row of await api.vulnerabilitySummary(at, filter('VULNERABILITY'))) {
      addSummary(gathering, row);
      await pause();
    }
  } catch (error) {
    const lacks = error instanceof CollectError && error.status === 501;
    if (!lacks && !['too_large', 'not_found'].includes(reasonOf(error))) throw error;
    await readOccurrences();
  }
  for await (const rows of api.occurrences(at, filter('DISCOVERY')))
    for (const row of rows) addDiscovery(gathering, row);

  return {
    of(digest, kind) {
      const entry = entries.get(digest);
      // An index is scanned through its platforms: without a word of its own it has theirs.
      if (!entry) return kind === 'index' ? unsaid : unscanned;
      return gathering.lacksRow ? unsaid : toPart(entry);
    },
    get doubtful() {
      return gathering.doubtful;
    },
  };
}
