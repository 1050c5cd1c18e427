import { z } from 'zod';
import { severityCounts } from '../../images/severity.ts';
import type { ScanStatus, Severity, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, optional, text } from '../../wire.ts';
import { rowsOf, tellOdd } from './answers.ts';
import type { Aws } from './client.ts';
import { coverageOf, secondsOf, type Words } from './words.ts';

/** What Inspector says of one image. */
export interface Inspected {
  readonly scanStatus?: ScanStatus | undefined;
  readonly scannedAt?: number | undefined;
  readonly inUse?: number | undefined;
  /** Severities that the aggregation does not count by themselves are absent. */
  readonly counts?: SeverityCounts | undefined;
  /** All findings, whatever their severity. */
  readonly all?: number | undefined;
}

/** Everything that Inspector says, read in bulk. */
export interface Inspection {
  /** Undefined: it says nothing of the image. */
  of(repository: string, digest: string): Inspected | undefined;
  /** Whether scan statuses of the repository could not be read or understood: how many there are is unknown. */
  lacks(repository: string): boolean;
  /** Drops what is said of a repository. */
  done(repository: string): void;
}

/**
 * The fields of Inspector's counts. Those of low, informational and untriaged findings came later than the others, and
 * are not in every region or SDK: https://docs.aws.amazon.com/inspector/v2/APIReference/API_SeverityCounts.html
 */
const countFields = [
  ['CRITICAL', 'critical'],
  ['HIGH', 'high'],
  ['MEDIUM', 'medium'],
  ['LOW', 'low'],
  ['NEGLIGIBLE', 'informational'],
  ['UNKNOWN', 'untriaged'],
] as const satisfies readonly (readonly [Severity, string])[];
/** So many of them, the first ones, are in every region. */
const everPresent = 3;

const rowCounts = z.object({
  all: optional('all', count),
  critical: optional('critical', count),
  high: optional('high', count),
  medium: optional('medium', count),
  low: optional('low', count),
  informational: optional('informational', count),
  untriaged: optional('untriaged', count),
});

/** Rows that name no image of ECR are of no use; those that name one count, whatever else they hold. */
const aggregation = z.object({
  awsEcrContainerAggregation: z.object({
    resourceId: optional('resourceId', text),
    imageSha: optional('imageSha', text),
    repository: optional('repository', text),
    inUseCount: optional('inUseCount', count),
    severityCounts: optional('severityCounts', rowCounts),
  }),
});

const coverage = z.object({
  resourceId: optional('resourceId', text),
  scanStatus: optional('scanStatus', z.object({ reason: optional('reason', text) })),
  lastScannedAt: z.unknown().optional(),
  resourceMetadata: optional(
    'resourceMetadata',
    z.object({
      ecrImage: optional('ecrImage', z.object({ inUseCount: optional('inUseCount', count) })),
      ecrRepository: optional('ecrRepository', z.object({ name: optional('name', text) })),
    }),
  ),
});

/**
 * Counts of one row. A severity that is absent has no findings where the others make up all of them, and is unknown
 * otherwise.
 */
function countsOfRow(row: z.infer<typeof rowCounts>): SeverityCounts {
  const counts: Partial<Record<Severity, number>> = {};
  for (const [severity, field] of countFields) if (row[field] !== undefined) counts[severity] = row[field];
  const sum = Object.values(counts).reduce((a, b) => a + b, 0);
  return row.all === sum ? { ...severityCounts(), ...counts } : counts;
}

/** An image has a row for each architecture where it has several: as for an index, the worst one counts. */
function worst(a: SeverityCounts, b: SeverityCounts | undefined): SeverityCounts {
  if (!b) return a;
  const counts: Partial<Record<Severity, number>> = {};
  for (const [severity] of countFields) {
    const [left, right] = [a[severity], b[severity]];
    if (left !== undefined && right !== undefined) counts[severity] = Math.max(left, right);
  }
  return counts;
}

const larger = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : Math.max(a, b ?? 0);

/** `arn:aws:ecr:REGION:ACCOUNT:repository/NAME/sha256:HEX` */
function imageOf(arn = ''): { repository?: string | undefined; digest?: string | undefined } {
  const [, repository, digest] = /:repository\/(.+)\/(sha256:[0-9a-f]{64})$/.exec(arn) ?? [];
  return { repository, digest };
}

/** The rows of one of Inspector's lists. */
class Rows {
  readonly #images = new Map<string, Map<string, Inspected>>();
  /** Repositories of which there are rows that could not be understood: an image without a row is unknown there. */
  readonly #lacking = new Set<string>();
  /** Whether there are such rows of an unknown repository, or the listing broke. */
  #broken = false;

  of(repository: string, digest: string): Inspected | undefined {
    return this.#images.get(repository)?.get(digest);
  }

  put(repository: string, digest: string, inspected: Inspected): void {
    const images = this.#images.get(repository) ?? new Map<string, Inspected>();
    this.#images.set(repository, images.set(digest, inspected));
  }

  /** Notes a row that could not be understood. */
  lack(repository?: string): void {
    if (repository) this.#lacking.add(repository);
    else this.#broken = true;
  }

  isWhole(repository: string): boolean {
    return !this.#broken && !this.#lacking.has(repository);
  }

  drop(repository: string): void {
    this.#images.delete(repository);
  }
}

/** Inspector's filters take ten values each. */
const namesPerFilter = 10;
const equals = (value: string) => ({ comparison: 'EQUALS' as const, value });

interface Scope {
  readonly aws: Aws;
  readonly context: CollectContext;
  /** An administrator's account is shown its members' repositories too. */
  readonly account: string | undefined;
  readonly words: Words;
}

/** https://docs.aws.amazon.com/inspector/v2/APIReference/API_ListFindingAggregations.html */
async function readFindings(scope: Scope, names: readonly string[] | undefined, rows: Rows): Promise<void> {
  const { aws, context, account } = scope;
  const operation = 'ListFindingAggregations';
  const odd = tellOdd(context, operation);
  for await (const { awsEcrContainerAggregation: row } of rowsOf({
    operation,
    field: 'responses',
    row: aggregation,
    context,
    leftOut: () => rows.lack(),
    ask: (nextToken) =>
      aws.inspector.listFindingAggregations({
        aggregationType: 'AWS_ECR_CONTAINER',
        accountIds: account === undefined ? undefined : [equals(account)],
        aggregationRequest: { awsEcrContainerAggregation: { repositories: names?.map(equals) } },
        maxResults: 100,
        nextToken,
      }),
  })) {
    const image = imageOf(row.resourceId);
    const { repository = row.repository, digest = row.imageSha } = image;
    if (!repository || !digest) {
      odd('resourceId', 'findings that name no image');
      rows.lack(repository);
      continue;
    }
    const before = rows.of(repository, digest);
    const { severityCounts: bySeverity } = row;
    // A row without its counts leaves those of the image unknown.
    const counts = bySeverity ? countsOfRow(bySeverity) : {};
    for (const [severity, field] of countFields.slice(0, everPresent))
      if (counts[severity] === undefined) odd(`severityCounts.${field}`, 'no number of findings');
    rows.put(repository, digest, {
      counts: bySeverity ? worst(counts, before?.counts) : {},
      all: larger(bySeverity?.all, before?.all),
      inUse: larger(row.inUseCount, before?.inUse),
    });
  }
}

/** https://docs.aws.amazon.com/inspector/v2/APIReference/API_ListCoverage.html */
async function readCoverage(scope: Scope, names: readonly string[] | undefined, rows: Rows): Promise<void> {
  const { aws, context, account, words } = scope;
  const operation = 'ListCoverage';
  const odd = tellOdd(context, operation);
  for await (const { resourceId, scanStatus, lastScannedAt, resourceMetadata } of rowsOf({
    operation,
    field: 'coveredResources',
    row: coverage,
    context,
    leftOut: () => rows.lack(),
    ask: (nextToken) =>
      aws.inspector.listCoverage({
        filterCriteria: {
          resourceType: [equals('AWS_ECR_CONTAINER_IMAGE')],
          accountId: account === undefined ? undefined : [equals(account)],
          ecrRepositoryName: names?.map(equals),
        },
        maxResults: 200,
        nextToken,
      }),
  })) {
    const { repository = resourceMetadata?.ecrRepository?.name, digest } = imageOf(resourceId);
    if (!repository || !digest) {
      odd('resourceId', 'a scan that names no image');
      rows.lack(repository);
      continue;
    }
    const scannedAt = secondsOf(lastScannedAt, 'lastScannedAt', odd);
    const isOddTime = scannedAt === undefined && (lastScannedAt ?? undefined) !== undefined;
    const reason = scanStatus?.reason;
    if (!reason) odd('scanStatus', 'no reason');
    const status = reason && !isOddTime ? coverageOf(reason, scannedAt, words) : undefined;
    if (!status) rows.lack(repository);
    const inUse = resourceMetadata?.ecrImage?.inUseCount;
    rows.put(repository, digest, { scanStatus: status, scannedAt, inUse });
  }
}

/**
 * Reads findings and scan statuses of all images, or of those of some repositories; the number of calls follows the
 * number of images by the page: 100 and 200.
 */
export async function inspect(scope: Scope): Promise<Inspection> {
  const { context } = scope;
  const { only } = context;
  const findings = new Rows();
  const scans = new Rows();
  const groups: (readonly string[] | undefined)[] = only
    ? Array.from({ length: Math.ceil(only.length / namesPerFilter) }, (_, at) =>
        only.slice(at * namesPerFilter, (at + 1) * namesPerFilter),
      )
    : [undefined];

  async function attempt(read: typeof readFindings, rows: Rows): Promise<void> {
    try {
      await Promise.all(groups.map((names) => read(scope, names, rows)));
    } catch (error) {
      context.signal.throwIfAborted();
      context.degraded('findings', error);
      rows.lack();
    }
  }
  await Promise.all([attempt(readFindings, findings), attempt(readCoverage, scans)]);

  /** Counts of an image that was scanned: without a row it has no findings. */
  const countsOf = (repository: string, row: Inspected | undefined): Inspected => {
    if (row) return { counts: row.counts, all: row.all };
    return findings.isWhole(repository) ? { counts: severityCounts(), all: 0 } : {};
  };
  return {
    of(repository, digest) {
      const row = findings.of(repository, digest);
      const scan = scans.of(repository, digest);
      // What the coverage does not list, Inspector does not scan.
      if (!scan) return scans.isWhole(repository) ? { ...row, scanStatus: 'none' } : row;
      const inUse = scan.inUse ?? row?.inUse;
      // Findings of an image that was not scanned are unknown.
      return { ...scan, inUse, ...(scan.scanStatus === 'complete' ? countsOf(repository, row) : {}) };
    },
    lacks: (repository) => !scans.isWhole(repository),
    done(repository) {
      findings.drop(repository);
      scans.drop(repository);
    },
  };
}
