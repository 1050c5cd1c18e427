import { z } from 'zod';
import type { ScanStatus, Severity, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, optional, text } from '../../wire.ts';
import { pagesOf, parsed, tellOdd } from './answers.ts';
import type { Aws } from './client.ts';
import { secondsOf } from './images.ts';
import { coverageOf, type Words } from './words.ts';

/** What Inspector says of one image. */
export interface Inspected {
  readonly scanStatus?: ScanStatus;
  readonly scannedAt?: number;
  readonly inUse?: number;
  /** Severities that the aggregation does not count by themselves are absent. */
  readonly counts?: SeverityCounts;
  /** All findings, whatever their severity. */
  readonly all?: number;
}

/** Everything that Inspector says, read in bulk. */
export interface Inspection {
  /** Undefined: it says nothing of the image. */
  of(repository: string, digest: string): Inspected | undefined;
  /** What is said of a repository is not needed any more. */
  done(repository: string): void;
}

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
const severityCounts = z.object({
  all: optional('all', count),
  critical: optional('critical', count),
  high: optional('high', count),
  medium: optional('medium', count),
  low: optional('low', count),
  informational: optional('informational', count),
  untriaged: optional('untriaged', count),
});

/** Rows that name no image of ECR are of no use; those that name one count, whatever else they hold. */
const aggregations = z.object({
  responses: list(
    'responses',
    z.object({
      awsEcrContainerAggregation: z.object({
        resourceId: text,
        imageSha: optional('imageSha', text),
        repository: optional('repository', text),
        inUseCount: optional('inUseCount', count),
        severityCounts: optional('severityCounts', severityCounts),
      }),
    }),
  ),
});

const coverage = z.object({
  coveredResources: list(
    'coveredResources',
    z.object({
      resourceId: text,
      scanStatus: optional('scanStatus', z.object({ reason: optional('reason', text) })),
      lastScannedAt: z.unknown().optional(),
      resourceMetadata: optional(
        'resourceMetadata',
        z.object({
          ecrImage: optional('ecrImage', z.object({ inUseCount: optional('inUseCount', count) })),
          ecrRepository: optional('ecrRepository', z.object({ name: optional('name', text) })),
        }),
      ),
    }),
  ),
});

/** `arn:aws:ecr:REGION:ACCOUNT:repository/NAME/sha256:HEX` */
function placeOf(arn: string): { repository?: string; digest?: string } {
  const [, repository, digest] = /:repository\/(.+)\/(sha256:[0-9a-f]{64})$/.exec(arn) ?? [];
  return { ...(repository !== undefined && { repository }), ...(digest !== undefined && { digest }) };
}

type Found = Map<string, Map<string, Inspected>>;
function put(found: Found, repository: string, digest: string, inspected: Inspected): void {
  const images = found.get(repository) ?? new Map<string, Inspected>();
  found.set(repository, images.set(digest, inspected));
}

const severityNames = Object.keys(severityFields) as Severity[];

/**
 * Counts of one row. A severity that is absent has no findings where the others make up all of them, and is unknown
 * otherwise.
 */
function countsOfRow(given: z.infer<typeof severityCounts>): SeverityCounts {
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
function worst(one: SeverityCounts, other: SeverityCounts | undefined): SeverityCounts {
  if (!other) return one;
  const counts: Partial<Record<Severity, number>> = {};
  for (const severity of severityNames) {
    const [a, b] = [one[severity], other[severity]];
    if (a !== undefined && b !== undefined) counts[severity] = Math.max(a, b);
  }
  return counts;
}

const most = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined ? other : Math.max(one, other ?? 0);

/** Inspector's filters take ten values each. */
const namesPerFilter = 10;
const equals = (value: string) => ({ comparison: 'EQUALS' as const, value });

/** What reading Inspector needs. */
interface Reading {
  readonly aws: Aws;
  readonly context: CollectContext;
  /** An administrator's account is told of its members' repositories too. */
  readonly account: string | undefined;
  readonly words: Words;
}

/** https://docs.aws.amazon.com/inspector/v2/APIReference/API_ListFindingAggregations.html */
async function readFindings(reading: Reading, names: readonly string[] | undefined, found: Found) {
  const { aws, context, account } = reading;
  const { paginateListFindingAggregations } = await import('@aws-sdk/client-inspector2');
  const operation = 'ListFindingAggregations';
  const pages = paginateListFindingAggregations(
    { client: aws.inspector, pageSize: 100 },
    {
      aggregationType: 'AWS_ECR_CONTAINER',
      ...(account !== undefined && { accountIds: [equals(account)] }),
      aggregationRequest: { awsEcrContainerAggregation: names ? { repositories: names.map(equals) } : {} },
    },
  );
  let whole = true;
  for await (const page of pagesOf(operation, pages, ({ nextToken }) => nextToken)) {
    const { responses } = parsed(page, aggregations, operation, context);
    whole &&= responses.length === page.responses?.length;
    for (const { awsEcrContainerAggregation: row } of responses) {
      const { repository = row.repository, digest = row.imageSha } = placeOf(row.resourceId);
      if (!repository || !digest) {
        whole = false;
        continue;
      }
      const before = found.get(repository)?.get(digest);
      const { severityCounts } = row;
      const all = most(severityCounts?.all, before?.all);
      const inUse = most(row.inUseCount, before?.inUse);
      // A row without its counts leaves those of the image unknown.
      const counts = severityCounts ? worst(countsOfRow(severityCounts), before?.counts) : {};
      put(found, repository, digest, {
        counts,
        ...(all !== undefined && { all }),
        ...(inUse !== undefined && { inUse }),
      });
    }
  }
  return whole;
}

/** https://docs.aws.amazon.com/inspector/v2/APIReference/API_ListCoverage.html */
async function readCoverage(reading: Reading, names: readonly string[] | undefined, covered: Found) {
  const { aws, context, account, words } = reading;
  const { paginateListCoverage } = await import('@aws-sdk/client-inspector2');
  const operation = 'ListCoverage';
  const odd = tellOdd(context, operation);
  const pages = paginateListCoverage(
    { client: aws.inspector, pageSize: 200 },
    {
      filterCriteria: {
        resourceType: [equals('AWS_ECR_CONTAINER_IMAGE')],
        ...(account !== undefined && { accountId: [equals(account)] }),
        ...(names && { ecrRepositoryName: names.map(equals) }),
      },
    },
  );
  let whole = true;
  for await (const page of pagesOf(operation, pages, ({ nextToken }) => nextToken)) {
    const { coveredResources } = parsed(page, coverage, operation, context);
    whole &&= coveredResources.length === page.coveredResources?.length;
    for (const row of coveredResources) {
      const { scanStatus, lastScannedAt, resourceMetadata } = row;
      const { repository = resourceMetadata?.ecrRepository?.name, digest } = placeOf(row.resourceId);
      if (!repository || !digest) {
        whole = false;
        continue;
      }
      const scannedAt = secondsOf(lastScannedAt, 'lastScannedAt', odd);
      const status = scanStatus?.reason ? coverageOf(scanStatus.reason, scannedAt, words) : undefined;
      const inUse = resourceMetadata?.ecrImage?.inUseCount;
      put(covered, repository, digest, {
        ...(status && { scanStatus: status }),
        ...(scannedAt !== undefined && { scannedAt }),
        ...(inUse !== undefined && { inUse }),
      });
    }
  }
  return whole;
}

const none: SeverityCounts = { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 };

/**
 * Reads findings and scan states of all images, or of those of some repositories; the number of calls follows the
 * number of images by the page: 100 and 200.
 */
export async function inspect(reading: Reading): Promise<Inspection> {
  const { context } = reading;
  const { only } = context;
  const found: Found = new Map();
  const covered: Found = new Map();
  const groups: (readonly string[] | undefined)[] = only
    ? Array.from({ length: Math.ceil(only.length / namesPerFilter) }, (_, at) =>
        only.slice(at * namesPerFilter, (at + 1) * namesPerFilter),
      )
    : [undefined];

  /** @returns whether everything was read, so that what has no row has nothing */
  async function attempt(read: typeof readFindings, into: Found): Promise<boolean> {
    try {
      const whole = await Promise.all(groups.map((names) => read(reading, names, into)));
      return whole.every(Boolean);
    } catch (error) {
      context.signal.throwIfAborted();
      context.degraded('findings', error);
      into.clear();
      return false;
    }
  }
  const [allFindings, allCoverage] = await Promise.all([
    attempt(readFindings, found),
    attempt(readCoverage, covered),
  ]);

  const countsFor = (findings: Inspected | undefined): Inspected => {
    if (!findings) return allFindings ? { counts: none, all: 0 } : {};
    const { counts, all } = findings;
    return { ...(counts && { counts }), ...(all !== undefined && { all }) };
  };
  return {
    of(repository, digest) {
      const findings = found.get(repository)?.get(digest);
      const scan = covered.get(repository)?.get(digest);
      // What the coverage does not list, Inspector does not scan.
      if (!scan) return allCoverage ? { ...findings, scanStatus: 'none' } : findings;
      const scanned = scan.scanStatus === 'complete';
      return {
        ...scan,
        ...(findings?.inUse !== undefined && scan.inUse === undefined && { inUse: findings.inUse }),
        // One that was scanned and has no row has no findings; one that was not has none that are known.
        ...(scanned && countsFor(findings)),
      };
    },
    done(repository) {
      found.delete(repository);
      covered.delete(repository);
    },
  };
}
