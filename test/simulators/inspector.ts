import { AwsError, type EcrState, page, sortedBy } from './ecr-actions.ts';
import { inUseOf, isScanned, variant } from './ecr-wire.ts';
import type { EstateImage, EstateRepository } from './estate.ts';

/** Inspector's two bulk operations: https://docs.aws.amazon.com/inspector/v2/APIReference/API_Operations.html */

type Input = Readonly<Record<string, unknown>>;
interface Filter {
  readonly comparison: string;
  readonly value: string;
}

const invalid = (message: string): AwsError => new AwsError('ValidationException', message);

function valuesOf(filters: unknown): readonly string[] | undefined {
  if (filters === undefined) return undefined;
  const given = filters as readonly Filter[];
  if (given.length < 1 || given.length > 10) throw invalid('a filter takes 1 to 10 values');
  if (given.some(({ comparison }) => comparison !== 'EQUALS')) throw invalid('only EQUALS is simulated');
  return given.map(({ value }) => value);
}

function maxResultsOf(input: Input, most: number): number {
  const { maxResults = most } = input as { maxResults?: number };
  if (maxResults < 1 || maxResults > most) throw invalid(`maxResults is at most ${most}`);
  return maxResults;
}

const arnOf = (state: EcrState, repository: string, digest: string): string =>
  `arn:aws:ecr:${state.region}:${state.account}:repository/${repository}/${digest}`;

/** Whether Inspector is told to scan the repository, and the image is one that it looks at. */
function coverageReason(
  state: EcrState,
  image: EstateImage,
): { statusCode: string; reason: string } | undefined {
  if (state.mode !== 'enhanced' || !isScanned(image) || image.archived) return undefined;
  const active = (reason: string) => ({ statusCode: 'ACTIVE', reason });
  const inactive = (reason: string) => ({ statusCode: 'INACTIVE', reason });
  const choices = {
    complete: [active('SUCCESSFUL'), inactive('SCAN_FREQUENCY_SCAN_ON_PUSH')],
    pending: [active('PENDING_INITIAL_SCAN'), active('SCAN_IN_PROGRESS'), active('PENDING_REVIVAL_SCAN')],
    failed: [
      inactive('INTERNAL_ERROR'),
      inactive('ACCESS_DENIED'),
      inactive('ACCESS_DENIED_TO_ENCRYPTION_KEY'),
      inactive('STORAGE_LIMIT_EXCEEDED'),
    ],
    unsupported: [
      inactive('UNSUPPORTED_OS'),
      inactive('UNSUPPORTED_MEDIA_TYPE'),
      inactive('IMAGE_SIZE_EXCEEDED'),
      inactive('INVALID_ARTIFACT'),
    ],
    none: [
      undefined,
      inactive('SCAN_FREQUENCY_MANUAL'),
      inactive('SCAN_ELIGIBILITY_EXPIRED'),
      inactive('EXCLUDED_BY_TAG'),
    ],
  }[image.scan.status];
  return choices[variant(image.digest, choices.length)];
}

type Row = { readonly repository: EstateRepository; readonly image: EstateImage; readonly key: string };

/** Pages of one listing are of the moment when it began. */
const listings = new WeakMap<EcrState, Map<string, readonly Row[]>>();

function images(
  state: EcrState,
  input: Input,
  names: readonly string[] | undefined,
  operation: 'findings' | 'coverage',
): readonly Row[] {
  const known = listings.get(state) ?? new Map<string, readonly Row[]>();
  listings.set(state, known);
  const listing = `${operation} ${names?.join() ?? ''}`;
  const begun = input['nextToken'] === undefined ? undefined : known.get(listing);
  if (begun) return begun;
  const all: Row[] = [];
  for (const repository of state.estate.repositories.values()) {
    if (names && !names.includes(repository.name)) continue;
    for (const image of repository.images.values())
      if (coverageReason(state, image))
        all.push({ repository, image, key: `${image.digest} ${repository.name}` });
  }
  // An image without findings has no row among the findings.
  const hasRow = ({ image }: Row) =>
    operation === 'coverage' || Object.values(image.scan.counts ?? {}).some((count) => count > 0);
  const sorted = sortedBy(all.filter(hasRow), ({ key }) => key);
  known.set(listing, sorted);
  return sorted;
}

/**
 * The model of botocore 1.44.8 has seven fields, earlier ones four:
 * https://github.com/boto/botocore/blob/1.44.8/botocore/data/inspector2/2020-06-08/service-2.json
 */
function severityCountsOf({ threeSeverities }: EcrState, { scan }: EstateImage): Record<string, number> {
  const { CRITICAL = 0, HIGH = 0, MEDIUM = 0, LOW = 0, NEGLIGIBLE = 0, UNKNOWN = 0 } = scan.counts ?? {};
  return {
    all: CRITICAL + HIGH + MEDIUM + LOW + NEGLIGIBLE + UNKNOWN,
    critical: CRITICAL,
    high: HIGH,
    medium: MEDIUM,
    ...(!threeSeverities && { low: LOW, informational: NEGLIGIBLE, untriaged: UNKNOWN }),
  };
}

const isOurs = (state: EcrState, accounts: readonly string[] | undefined) =>
  !accounts || accounts.includes(state.account);

export const inspectorActions: Readonly<
  Record<string, { name: string; run(state: EcrState, input: Input): object }>
> = {
  '/findings/aggregation/list': {
    name: 'ListFindingAggregations',
    run(state, input) {
      if (input['aggregationType'] !== 'AWS_ECR_CONTAINER')
        throw invalid('only AWS_ECR_CONTAINER is simulated');
      const request = (input['aggregationRequest'] ?? {}) as {
        awsEcrContainerAggregation?: { repositories?: unknown };
      };
      const names = valuesOf(request.awsEcrContainerAggregation?.repositories);
      const ours = isOurs(state, valuesOf(input['accountIds']));
      const rows = ours ? images(state, input, names, 'findings') : [];
      const { items, nextToken } = page(state, rows, ({ key }) => key, {
        maxResults: maxResultsOf(input, 100),
        nextToken: input['nextToken'],
        isSorted: true,
      });
      return {
        aggregationType: 'AWS_ECR_CONTAINER',
        responses: items.map(({ repository, image }) => {
          return {
            awsEcrContainerAggregation: {
              resourceId: arnOf(state, repository.name, image.digest),
              imageSha: image.digest,
              repository: repository.name,
              architecture: image.architecture,
              imageTags: image.tags,
              accountId: state.account,
              severityCounts: severityCountsOf(state, image),
              inUseCount: inUseOf(repository, image),
            },
          };
        }),
        ...(nextToken !== undefined && { nextToken }),
      };
    },
  },
  '/coverage/list': {
    name: 'ListCoverage',
    run(state, input) {
      const filter = (input['filterCriteria'] ?? {}) as Record<string, unknown>;
      const types = valuesOf(filter['resourceType']);
      const names = valuesOf(filter['ecrRepositoryName']);
      const shown =
        isOurs(state, valuesOf(filter['accountId'])) && (!types || types.includes('AWS_ECR_CONTAINER_IMAGE'));
      const { items, nextToken } = page(
        state,
        shown ? images(state, input, names, 'coverage') : [],
        ({ key }) => key,
        {
          maxResults: maxResultsOf(input, 200),
          nextToken: input['nextToken'],
          isSorted: true,
        },
      );
      return {
        coveredResources: items.map(({ repository, image }) => ({
          resourceType: 'AWS_ECR_CONTAINER_IMAGE',
          resourceId: arnOf(state, repository.name, image.digest),
          accountId: state.account,
          scanType: 'PACKAGE',
          scanStatus: coverageReason(state, image),
          ...(image.scan.at !== undefined && { lastScannedAt: image.scan.at }),
          resourceMetadata: {
            ecrRepository: { name: repository.name, scanFrequency: 'CONTINUOUS_SCAN' },
            ecrImage: { tags: image.tags, inUseCount: inUseOf(repository, image) },
          },
        })),
        ...(nextToken !== undefined && { nextToken }),
      };
    },
  },
};
