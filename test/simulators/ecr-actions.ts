import {
  countsOf,
  detailOf,
  isScanned,
  manifestOf,
  type ScanMode,
  scanStatusOf,
  shapeOf,
  variant,
} from './ecr-wire.ts';
import type { Estate, EstateImage, EstateRepository } from './estate.ts';
import { digestOf } from './estate.ts';

/** The operations of ECR: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html */

/** An answer that is an error of AWS. */
export class AwsError extends Error {
  readonly status: number;
  override readonly name: string;
  constructor(name: string, message: string, status = 400) {
    super(message);
    this.name = name;
    this.status = status;
  }
}

export interface EcrState {
  readonly estate: Estate;
  readonly account: string;
  readonly region: string;
  mode: ScanMode;
  /** `SCAN_ON_PUSH` rules of the registry; filters. */
  scanRules: readonly string[];
  /** Whether Inspector's aggregation counts critical, high and medium findings only, as it did until 2026. */
  readonly threeSeverities: boolean;
  /** Entries per page at most, whatever is asked. */
  pageSize: number;
  readonly endlessPaging?: 'same' | 'cycle' | undefined;
  /** Rows that stand in for an image, by digest: words that no version knows yet, for example. */
  readonly overrides: Map<string, Record<string, unknown>>;
  turn: number;
}

type Input = Readonly<Record<string, unknown>>;
type Action = (state: EcrState, input: Input) => object;

const invalid = (parameter: string, constraint: string): AwsError =>
  new AwsError(
    'InvalidParameterException',
    `Invalid parameter at '${parameter}' failed to satisfy constraint: '${constraint}'`,
  );

/** Settings of a repository, of all sorts that there are. */
export function settingsOf(name: string) {
  const digest = digestOf(name);
  const encryptionType = ['AES256', 'KMS', 'KMS_DSSE'][variant(digest, 3)] as string;
  return {
    imageTagMutability: ['MUTABLE', 'IMMUTABLE', 'MUTABLE_WITH_EXCLUSION', 'IMMUTABLE_WITH_EXCLUSION'][
      variant(digest, 4)
    ] as string,
    scanOnPush: variant(digest, 5) > 2,
    encryptionType,
  };
}

export const sortedBy = <T>(all: readonly T[], keyOf: (item: T) => string): readonly T[] =>
  all.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

/** Sorted names or digests, a page of them; tokens say where to go on, so that a deletion in between does no harm. */
export function page<T>(
  state: Pick<EcrState, 'pageSize' | 'endlessPaging' | 'turn'>,
  all: readonly T[],
  keyOf: (item: T) => string,
  asked: { readonly maxResults: number; readonly nextToken: unknown; readonly isSorted?: boolean },
): { readonly items: readonly T[]; readonly nextToken?: string } {
  const sorted = asked.isSorted ? all : sortedBy(all, keyOf);
  let start = 0;
  if (asked.nextToken !== undefined) {
    const text = Buffer.from(String(asked.nextToken), 'base64url').toString();
    if (!text.startsWith('after ')) throw invalid('nextToken', 'Member must be a token that was given');
    const after = text.slice(6);
    for (let end = sorted.length; start < end; ) {
      const middle = (start + end) >> 1;
      if (keyOf(sorted[middle] as T) > after) end = middle;
      else start = middle + 1;
    }
  }
  const size = Math.min(asked.maxResults, state.pageSize);
  const items = sorted.slice(start, start + size);
  const token = (after: string) => Buffer.from(`after ${after}`).toString('base64url');
  if (state.endlessPaging) {
    state.turn += 1;
    return { items, nextToken: token(state.endlessPaging === 'same' ? '!' : `!${state.turn % 2}`) };
  }
  const last = items.at(-1);
  return start + size < sorted.length && last !== undefined
    ? { items, nextToken: token(keyOf(last)) }
    : { items };
}

function maxResultsOf(input: Input, most = 1000, usual = 100): number {
  const { maxResults = usual } = input as { maxResults?: number };
  if (typeof maxResults !== 'number' || maxResults < 1 || maxResults > most)
    throw invalid('maxResults', `Member must have value less than or equal to ${most}`);
  return maxResults;
}

function repositoryOf(state: EcrState, input: Input): EstateRepository {
  const name = input['repositoryName'];
  if (typeof name !== 'string') throw invalid('repositoryName', 'Member must not be null');
  const found = state.estate.repositories.get(name);
  if (!found) throw notFound(state, name);
  return found;
}

const notFound = (state: EcrState, name: string): AwsError =>
  new AwsError(
    'RepositoryNotFoundException',
    `The repository with name '${name}' does not exist in the registry with id '${state.account}'`,
  );

function toRepository(state: EcrState, { name, createdAt }: EstateRepository) {
  const { imageTagMutability, scanOnPush, encryptionType } = settingsOf(name);
  const { region, account } = state;
  return {
    repositoryArn: `arn:aws:ecr:${region}:${account}:repository/${name}`,
    registryId: account,
    repositoryName: name,
    repositoryUri: `${account}.dkr.ecr.${region}.amazonaws.com/${name}`,
    createdAt,
    imageTagMutability,
    imageScanningConfiguration: { scanOnPush },
    encryptionConfiguration: {
      encryptionType,
      ...(encryptionType !== 'AES256' && { kmsKey: `arn:aws:kms:${region}:${account}:key/0` }),
    },
  };
}

function imageOf(state: EcrState, input: Input): { repository: EstateRepository; image: EstateImage } {
  const repository = repositoryOf(state, input);
  const { imageDigest } = (input['imageId'] ?? {}) as { imageDigest?: string };
  const image = repository.images.get(imageDigest ?? '');
  if (!image)
    throw new AwsError(
      'ImageNotFoundException',
      `The image with imageId {imageDigest:'${imageDigest}'} does not exist`,
    );
  return { repository, image };
}

const describeImageScanFindings: Action = (state, input) => {
  const maxResults = maxResultsOf(input);
  const { repository, image } = imageOf(state, input);
  const { scan } = image;
  const status = scanStatusOf(image);
  if (!isScanned(image) || status === undefined)
    throw new AwsError('ScanNotFoundException', `Image scan does not exist for the image ${image.digest}`);
  const common = {
    registryId: state.account,
    repositoryName: repository.name,
    imageId: { imageDigest: image.digest },
  };
  const enhanced = state.mode === 'enhanced';
  const imageScanStatus = { status: enhanced && status === 'COMPLETE' ? 'ACTIVE' : status };
  if (!scan.counts) return { ...common, imageScanStatus };
  const words = countsOf(scan.counts, enhanced ? 'UNTRIAGED' : 'UNDEFINED');
  const fixableWords = scan.fixable ? countsOf(scan.fixable, 'UNTRIAGED') : {};
  const all = Object.entries(words).flatMap(([severity, count]) =>
    Array.from({ length: count }, (_, at) => ({
      severity,
      key: `${severity} ${String(at).padStart(6, '0')}`,
      // What is fixed in part only is not fixable.
      fixAvailable: at < (fixableWords[severity] ?? 0) ? 'YES' : ['NO', 'PARTIAL'][at % 2],
    })),
  );
  const { items, nextToken } = page(
    { turn: 0, endlessPaging: undefined, pageSize: 40 },
    all,
    ({ key }) => key,
    {
      maxResults,
      nextToken: input['nextToken'],
    },
  );
  return {
    ...common,
    imageScanStatus,
    imageScanFindings: {
      imageScanCompletedAt: scan.at,
      vulnerabilitySourceUpdatedAt: scan.at,
      findingSeverityCounts: words,
      ...(enhanced
        ? {
            enhancedFindings: items.map(({ severity, fixAvailable }) => ({
              severity,
              fixAvailable,
              type: 'PACKAGE_VULNERABILITY',
            })),
          }
        : { findings: items.map(({ severity, key }) => ({ severity, name: `CVE-${key}` })) }),
    },
    ...(nextToken !== undefined && { nextToken }),
  };
};

const batchGetImage: Action = (state, input) => {
  const repository = repositoryOf(state, input);
  const imageIds = input['imageIds'];
  if (!Array.isArray(imageIds) || imageIds.length < 1 || imageIds.length > 100)
    throw invalid('imageIds', 'Member must have length less than or equal to 100');
  const accepted = (input['acceptedMediaTypes'] ?? []) as readonly string[];
  const images: object[] = [];
  const failures: object[] = [];
  for (const imageId of imageIds as { imageDigest: string }[]) {
    const image = repository.images.get(imageId.imageDigest);
    const refuse = (failureCode: string) =>
      failures.push({ imageId, failureCode, failureReason: 'simulated' });
    if (!image) refuse('ImageNotFound');
    // "Archived images cannot be pulled": docs.aws.amazon.com/AmazonECR/latest/userguide/archive-image.html
    else if (image.archived) refuse('ImageInaccessible');
    else if (!accepted.includes(shapeOf(image).imageManifestMediaType)) refuse('ImageNotFound');
    else
      images.push({
        registryId: state.account,
        repositoryName: repository.name,
        imageId,
        imageManifest: manifestOf(image),
        imageManifestMediaType: shapeOf(image).imageManifestMediaType,
      });
  }
  return { images, failures };
};

export const ecrActions: Readonly<Record<string, Action>> = {
  DescribeRepositories(state, input) {
    const names = input['repositoryNames'];
    if (Array.isArray(names)) {
      if (input['nextToken'] !== undefined || input['maxResults'] !== undefined)
        throw invalid('repositoryNames', 'Member must not be given with maxResults or nextToken');
      if (names.length > 100)
        throw invalid('repositoryNames', 'Member must have length less than or equal to 100');
      return {
        repositories: (names as string[]).map((name) => {
          const found = state.estate.repositories.get(name);
          if (!found) throw notFound(state, name);
          return toRepository(state, found);
        }),
      };
    }
    const { items, nextToken } = page(state, [...state.estate.repositories.values()], ({ name }) => name, {
      maxResults: maxResultsOf(input),
      nextToken: input['nextToken'],
    });
    return {
      repositories: items.map((repository) => toRepository(state, repository)),
      ...(nextToken !== undefined && { nextToken }),
    };
  },
  DescribeImages(state, input) {
    const repository = repositoryOf(state, input);
    const { imageStatus = 'ACTIVE' } = (input['filter'] ?? {}) as { imageStatus?: string };
    const all = [...repository.images.values()].filter(
      ({ archived }) => imageStatus === 'ANY' || archived === (imageStatus === 'ARCHIVED'),
    );
    const { items, nextToken } = page(state, all, ({ digest }) => digest, {
      maxResults: maxResultsOf(input),
      nextToken: input['nextToken'],
    });
    return {
      imageDetails: items.map((image) => ({
        ...detailOf(repository, image, state),
        ...state.overrides.get(image.digest),
      })),
      ...(nextToken !== undefined && { nextToken }),
    };
  },
  BatchGetImage: batchGetImage,
  DescribeImageScanFindings: describeImageScanFindings,
  GetRegistryScanningConfiguration: (state) => ({
    registryId: state.account,
    scanningConfiguration: {
      scanType: state.mode === 'enhanced' ? 'ENHANCED' : 'BASIC',
      rules:
        state.scanRules.length > 0
          ? [
              {
                scanFrequency: state.mode === 'enhanced' ? 'CONTINUOUS_SCAN' : 'SCAN_ON_PUSH',
                repositoryFilters: state.scanRules.map((filter) => ({ filter, filterType: 'WILDCARD' })),
              },
            ]
          : [],
    },
  }),
  GetAccountSetting(state, input) {
    if (input['name'] !== 'BASIC_SCAN_TYPE_VERSION') throw invalid('name', 'Member must be a known setting');
    return { name: input['name'], value: state.mode === 'clair' ? 'CLAIR' : 'AWS_NATIVE' };
  },
};
