import { z } from 'zod';
import type { ScanStatus, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { createTokenGuard, parsed } from './answers.ts';
import type { Aws } from './client.ts';
import { secondsOf } from './images.ts';
import { coverageOf, type Words } from './words.ts';

/** What Inspector says of one image. */
export interface Inspected {
  readonly scanStatus?: ScanStatus;
  readonly scannedAt?: number;
  readonly inUse?: number;
  /** Critical, high and medium only: Inspector's aggregation counts no others by themselves. */
  readonly counts?: SeverityCounts;
  /** All findings, those of other severities too. */
  readonly all?: number;
}

/** Everything that Inspector says, read in bulk. */
export interface Inspection {
  /** Undefined: it says nothing of the image. */
  of(repository: string, digest: string): Inspected | undefined;
  /** What is said of a repository is not needed any more. */
  done(repository: string): void;
}

const count = z.number().nullish();
const aggregations = z.object({
  responses: z.array(
    z.object({
      awsEcrContainerAggregation: z
        .object({
          resourceId: z.string(),
          imageSha: z.string().nullish(),
          repository: z.string().nullish(),
          inUseCount: count,
          severityCounts: z.object({ all: count, critical: count, high: count, medium: count }).nullish(),
        })
        .nullish(),
    }),
  ),
  nextToken: z.string().nullish(),
});

const coverage = z.object({
  coveredResources: z.array(
    z.object({
      resourceId: z.string(),
      scanStatus: z.object({ reason: z.string().nullish(), statusCode: z.string().nullish() }).nullish(),
      lastScannedAt: z.union([z.number(), z.string()]).nullish(),
      resourceMetadata: z
        .object({
          ecrImage: z.object({ inUseCount: count }).nullish(),
          ecrRepository: z.object({ name: z.string().nullish() }).nullish(),
        })
        .nullish(),
    }),
  ),
  nextToken: z.string().nullish(),
});

/** `arn:aws:ecr:REGION:ACCOUNT:repository/NAME/sha256:HEX` */
function placeOf(arn: string): { repository?: string; digest?: string } {
  const [, repository, digest] = /:repository\/(.+)\/(sha256:[0-9a-f]{64})$/.exec(arn) ?? [];
  return { ...(repository !== undefined && { repository }), ...(digest !== undefined && { digest }) };
}

type Found = Map<string, Map<string, Inspected>>;
function entry(found: Found, repository: string, digest: string): Inspected {
  return found.get(repository)?.get(digest) ?? {};
}
function put(found: Found, repository: string, digest: string, inspected: Inspected): void {
  const images = found.get(repository) ?? new Map<string, Inspected>();
  found.set(repository, images.set(digest, inspected));
}

/** Inspector's filters take ten values each. */
const namesPerFilter = 10;
const equals = (value: string) => ({ comparison: 'EQUALS' as const, value });

/**
 * Reads findings and scan states of all images, or of those of some repositories; the number of calls follows the
 * number of images by the page: 100 and 200.
 * https://docs.aws.amazon.com/inspector/v2/APIReference/API_ListFindingAggregations.html
 * https://docs.aws.amazon.com/inspector/v2/APIReference/API_ListCoverage.html
 */
export async function inspect(
  aws: Aws,
  context: CollectContext,
  options: { readonly account: string | undefined; readonly words: Words },
): Promise<Inspection> {
  const { account, words } = options;
  const sdk = await import('@aws-sdk/client-inspector2');
  const found: Found = new Map();
  const { only } = context;
  const groups: (readonly string[] | undefined)[] = only
    ? Array.from({ length: Math.ceil(only.length / namesPerFilter) }, (_, at) =>
        only.slice(at * namesPerFilter, (at + 1) * namesPerFilter),
      )
    : [undefined];

  async function readFindings(names: readonly string[] | undefined): Promise<void> {
    const operation = 'ListFindingAggregations';
    const guard = createTokenGuard(operation);
    for (let nextToken: string | undefined; ; ) {
      const answer = await aws.inspector.ask(
        () =>
          new sdk.ListFindingAggregationsCommand({
            aggregationType: 'AWS_ECR_CONTAINER',
            maxResults: 100,
            // An administrator's account is told of its members' repositories too.
            ...(account !== undefined && { accountIds: [equals(account)] }),
            aggregationRequest: {
              awsEcrContainerAggregation: names ? { repositories: names.map(equals) } : {},
            },
            ...(nextToken !== undefined && { nextToken }),
          }),
        operation,
      );
      const page = parsed(answer, aggregations, operation);
      for (const { awsEcrContainerAggregation: row } of page.responses) {
        if (!row) continue;
        const { repository = row.repository, digest = row.imageSha } = placeOf(row.resourceId);
        if (!repository || !digest) continue;
        const before = entry(found, repository, digest);
        const { critical, high, medium, all } = row.severityCounts ?? {};
        // An image has a row for each architecture where it has several: as for an index, the worst one counts.
        const worst = (one: number | null | undefined, other: number | undefined) =>
          Math.max(one ?? 0, other ?? 0);
        put(found, repository, digest, {
          ...before,
          ...(row.severityCounts && {
            counts: {
              CRITICAL: worst(critical, before.counts?.CRITICAL),
              HIGH: worst(high, before.counts?.HIGH),
              MEDIUM: worst(medium, before.counts?.MEDIUM),
            },
            all: worst(all, before.all),
          }),
          ...(typeof row.inUseCount === 'number' && { inUse: Math.max(row.inUseCount, before.inUse ?? 0) }),
        });
      }
      if (!page.nextToken) return;
      guard(page.nextToken);
      nextToken = page.nextToken;
    }
  }

  async function readCoverage(names: readonly string[] | undefined): Promise<Found> {
    const covered: Found = new Map();
    const operation = 'ListCoverage';
    const guard = createTokenGuard(operation);
    for (let nextToken: string | undefined; ; ) {
      const answer = await aws.inspector.ask(
        () =>
          new sdk.ListCoverageCommand({
            maxResults: 200,
            filterCriteria: {
              resourceType: [equals('AWS_ECR_CONTAINER_IMAGE')],
              ...(account !== undefined && { accountId: [equals(account)] }),
              ...(names && { ecrRepositoryName: names.map(equals) }),
            },
            ...(nextToken !== undefined && { nextToken }),
          }),
        operation,
      );
      const page = parsed(answer, coverage, operation);
      for (const { resourceId, scanStatus, lastScannedAt, resourceMetadata } of page.coveredResources) {
        const { repository = resourceMetadata?.ecrRepository?.name, digest } = placeOf(resourceId);
        if (!repository || !digest) continue;
        const scannedAt = secondsOf(lastScannedAt);
        const status = scanStatus?.reason ? coverageOf(scanStatus.reason, scannedAt, words) : undefined;
        const inUse = resourceMetadata?.ecrImage?.inUseCount;
        put(covered, repository, digest, {
          ...(status && { scanStatus: status }),
          ...(scannedAt !== undefined && { scannedAt }),
          ...(typeof inUse === 'number' && { inUse }),
        });
      }
      if (!page.nextToken) return covered;
      guard(page.nextToken);
      nextToken = page.nextToken;
    }
  }

  /** Whether it worked. */
  async function attempt(read: () => Promise<unknown>): Promise<boolean> {
    try {
      await read();
      return true;
    } catch (error) {
      context.signal.throwIfAborted();
      context.degraded('findings', error);
      return false;
    }
  }
  let covered: Found = new Map();
  const [hasFindings, hasCoverage] = await Promise.all([
    attempt(() => Promise.all(groups.map(readFindings))),
    attempt(async () => {
      for (const some of await Promise.all(groups.map(readCoverage)))
        covered = new Map([...covered, ...some]);
    }),
  ]);
  if (!hasFindings) found.clear();
  if (!hasCoverage) covered.clear();

  const none: SeverityCounts = { CRITICAL: 0, HIGH: 0, MEDIUM: 0 };
  return {
    of(repository, digest) {
      const findings = found.get(repository)?.get(digest);
      const scan = covered.get(repository)?.get(digest);
      // What the coverage does not list, Inspector does not scan.
      if (!scan) return hasCoverage ? { ...findings, scanStatus: 'none' } : findings;
      const scanned = scan.scanStatus === 'complete';
      return {
        ...scan,
        ...(findings?.inUse !== undefined && scan.inUse === undefined && { inUse: findings.inUse }),
        // One that was scanned and has no row has no findings; one that was not has none that are known.
        ...(hasFindings && scanned && { counts: findings?.counts ?? none, all: findings?.all ?? 0 }),
      };
    },
    done(repository) {
      found.delete(repository);
      covered.delete(repository);
    },
  };
}
