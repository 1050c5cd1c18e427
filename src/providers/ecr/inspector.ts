import { z } from 'zod';
import type { ScanStatus, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, optional, text } from '../../wire.ts';
import { rowsOf, tellOdd } from './answers.ts';
import type { Aws } from './client.ts';
import { secondsOf } from './images.ts';
import { countsOfRow, most, severityCounts, worst } from './inspector-counts.ts';
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
  /** Whether states of scans of the repository could not be read or understood: how many there are is unknown. */
  lacks(repository: string): boolean;
  /** What is said of a repository is not needed any more. */
  done(repository: string): void;
}

/** Rows that name no image of ECR are of no use; those that name one count, whatever else they hold. */
const aggregation = z.object({
  awsEcrContainerAggregation: z.object({
    resourceId: optional('resourceId', text),
    imageSha: optional('imageSha', text),
    repository: optional('repository', text),
    inUseCount: optional('inUseCount', count),
    severityCounts: optional('severityCounts', severityCounts),
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

/** `arn:aws:ecr:REGION:ACCOUNT:repository/NAME/sha256:HEX` */
function placeOf(arn = ''): { repository?: string; digest?: string } {
  const [, repository, digest] = /:repository\/(.+)\/(sha256:[0-9a-f]{64})$/.exec(arn) ?? [];
  return { ...(repository !== undefined && { repository }), ...(digest !== undefined && { digest }) };
}

/** What was found of images, by repository. */
interface Found {
  readonly images: Map<string, Map<string, Inspected>>;
  /** Repositories of which there are rows that could not be understood: what has no row there is unknown. */
  readonly lacking: Set<string>;
  /** Whether there are such rows of which the repository is unknown too, or the listing broke. */
  broken: boolean;
}

const createFound = (): Found => ({ images: new Map(), lacking: new Set(), broken: false });

function put({ images }: Found, repository: string, digest: string, inspected: Inspected): void {
  const own = images.get(repository) ?? new Map<string, Inspected>();
  images.set(repository, own.set(digest, inspected));
}

/** Notes a row that names no image. */
function lack(found: Found, repository: string | undefined): void {
  if (repository) found.lacking.add(repository);
  else found.broken = true;
}

const isWhole = ({ broken, lacking }: Found, repository: string): boolean =>
  !broken && !lacking.has(repository);

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
  const odd = tellOdd(context, operation);
  const pages = paginateListFindingAggregations(
    { client: aws.inspector, pageSize: 100 },
    {
      aggregationType: 'AWS_ECR_CONTAINER',
      ...(account !== undefined && { accountIds: [equals(account)] }),
      aggregationRequest: { awsEcrContainerAggregation: names ? { repositories: names.map(equals) } : {} },
    },
  );
  const leftOut = () => {
    found.broken = true;
  };
  const rows = { operation, field: 'responses', row: aggregation, context, leftOut };
  for await (const { awsEcrContainerAggregation: row } of rowsOf(pages, rows)) {
    const { repository = row.repository, digest = row.imageSha } = placeOf(row.resourceId);
    if (!repository || !digest) {
      odd('resourceId', 'findings that name no image');
      lack(found, repository);
      continue;
    }
    const before = found.images.get(repository)?.get(digest);
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
  const leftOut = () => {
    covered.broken = true;
  };
  const rows = { operation, field: 'coveredResources', row: coverage, context, leftOut };
  for await (const row of rowsOf(pages, rows)) {
    const { scanStatus, lastScannedAt, resourceMetadata } = row;
    const { repository = resourceMetadata?.ecrRepository?.name, digest } = placeOf(row.resourceId);
    if (!repository || !digest) {
      odd('resourceId', 'a scan that names no image');
      lack(covered, repository);
      continue;
    }
    const scannedAt = secondsOf(lastScannedAt, 'lastScannedAt', odd);
    const isOddTime = scannedAt === undefined && lastScannedAt !== undefined && lastScannedAt !== null;
    const status =
      scanStatus?.reason && !isOddTime ? coverageOf(scanStatus.reason, scannedAt, words) : undefined;
    if (!scanStatus?.reason) odd('scanStatus', 'no reason');
    if (!status) covered.lacking.add(repository);
    const inUse = resourceMetadata?.ecrImage?.inUseCount;
    put(covered, repository, digest, {
      ...(status && { scanStatus: status }),
      ...(scannedAt !== undefined && { scannedAt }),
      ...(inUse !== undefined && { inUse }),
    });
  }
}

const none: SeverityCounts = { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 };

/**
 * Reads findings and scan states of all images, or of those of some repositories; the number of calls follows the
 * number of images by the page: 100 and 200.
 */
export async function inspect(reading: Reading): Promise<Inspection> {
  const { context } = reading;
  const { only } = context;
  const found = createFound();
  const covered = createFound();
  const groups: (readonly string[] | undefined)[] = only
    ? Array.from({ length: Math.ceil(only.length / namesPerFilter) }, (_, at) =>
        only.slice(at * namesPerFilter, (at + 1) * namesPerFilter),
      )
    : [undefined];

  async function attempt(read: typeof readFindings, into: Found): Promise<void> {
    try {
      await Promise.all(groups.map((names) => read(reading, names, into)));
    } catch (error) {
      context.signal.throwIfAborted();
      context.degraded('findings', error);
      into.broken = true;
    }
  }
  await Promise.all([attempt(readFindings, found), attempt(readCoverage, covered)]);

  const countsFor = (repository: string, findings: Inspected | undefined): Inspected => {
    // What was scanned and has no row has no findings.
    if (!findings) return isWhole(found, repository) ? { counts: none, all: 0 } : {};
    const { counts, all } = findings;
    return { ...(counts && { counts }), ...(all !== undefined && { all }) };
  };
  return {
    of(repository, digest) {
      const findings = found.images.get(repository)?.get(digest);
      const scan = covered.images.get(repository)?.get(digest);
      // What the coverage does not list, Inspector does not scan.
      if (!scan) return isWhole(covered, repository) ? { ...findings, scanStatus: 'none' } : findings;
      return {
        ...scan,
        ...(findings?.inUse !== undefined && scan.inUse === undefined && { inUse: findings.inUse }),
        // One that was not scanned has no findings that are known.
        ...(scan.scanStatus === 'complete' && countsFor(repository, findings)),
      };
    },
    lacks: (repository) => !isWhole(covered, repository),
    done(repository) {
      found.images.delete(repository);
      covered.images.delete(repository);
    },
  };
}
