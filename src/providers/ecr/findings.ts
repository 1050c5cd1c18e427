import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { Image, ScanStatus, Severity, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { optional, text } from '../../wire.ts';
import { createGate, pagesOf, parsed, tellOdd } from './answers.ts';
import type { Aws } from './client.ts';
import { nameOf } from './errors.ts';
import { secondsOf } from './images.ts';
import { countsOf, severityOf, statusOf, type Words } from './words.ts';

/** What a scan of one image found. */
export type ScanResult = Pick<Image, 'scanStatus' | 'scannedAt' | 'findings'>;

/**
 * One push of one image to one repository. Scans belong to it and not to the digest: the same image in another
 * repository, or pushed again after it was deleted, is scanned by itself or not at all.
 */
export interface PushedImage {
  readonly repository: string;
  readonly digest: string;
  /** Unix seconds. */
  readonly pushedAt: number | undefined;
}

/** Findings of single images: a call each, hence for the bounded set only, and remembered. */
export interface ImageFindings {
  /**
   * Of basic scanning; undefined where there is no such image, `failed` where it could not be read, which is reported.
   * @param expectsScan whether images of the repository are scanned when they are pushed
   */
  basic(image: PushedImage, expectsScan: boolean): Promise<ScanResult | 'failed' | undefined>;
  /** Of enhanced scanning as of its last scan: all severities, and what is fixable. */
  enhanced(image: PushedImage, scannedAt: number): Promise<ScanResult | undefined>;
}

const response = z.object({
  imageScanStatus: optional('imageScanStatus', z.object({ status: optional('status', text) })),
  imageScanFindings: optional(
    'imageScanFindings',
    z.object({
      imageScanCompletedAt: z.unknown().optional(),
      findingSeverityCounts: z.unknown().optional(),
      // As a whole: without one of them it is unknown how many have a fix.
      enhancedFindings: optional(
        'enhancedFindings',
        z
          .array(
            z.object({ severity: optional('severity', text), fixAvailable: optional('fixAvailable', text) }),
          )
          .max(10_000),
      ),
    }),
  ),
});
type Finding = { readonly severity?: string | undefined; readonly fixAvailable?: string | undefined };

/** Of the enhanced findings of a page those that have a fix, by severity; undefined as soon as one does not say. */
function addFixable(
  sum: Partial<Record<Severity, number>>,
  findings: readonly Finding[],
  words: Words,
): Partial<Record<Severity, number>> | undefined {
  for (const { severity, fixAvailable } of findings) {
    if (!severity || !fixAvailable) return undefined;
    // A fix that is PARTIAL leaves some of the packages as they are.
    if (fixAvailable !== 'YES') continue;
    const known = severityOf(severity, words);
    sum[known] = (sum[known] ?? 0) + 1;
  }
  return sum;
}

/** What was read, and whether all of it could be understood. */
interface Read {
  readonly result: ScanResult | undefined;
  readonly whole: boolean;
}

const isFinished = (status: ScanStatus | undefined): boolean => status === undefined || status === 'complete';

/** A scan on push begins within minutes: so long after it, "no scan" may still become one at any time. */
const scanBeginsSeconds = 3600;

export async function createImageFindings(
  aws: Aws,
  context: CollectContext,
  options: {
    /** Where the images are. */
    readonly registry: string;
    readonly words: Words;
    readonly intervalSeconds: number;
  },
): Promise<ImageFindings> {
  const { registry, words, intervalSeconds } = options;
  const { memory } = context;
  const { paginateDescribeImageScanFindings } = await import('@aws-sdk/client-ecr');
  const operation = 'DescribeImageScanFindings';
  const tell = tellOdd(context, operation);
  const gate = createGate();

  async function read(
    { repository: repositoryName, digest: imageDigest }: PushedImage,
    wantsFixable: boolean,
  ): Promise<Read> {
    let whole = true;
    const odd = (at: string, problem: string): void => {
      whole = false;
      tell(at, problem);
    };
    let result: ScanResult | undefined;
    let fixable: Partial<Record<Severity, number>> | undefined = wantsFixable
      ? { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 }
      : undefined;
    const pages = paginateDescribeImageScanFindings(
      // The counts are on every page; which are fixable, only the findings themselves tell.
      { client: aws.ecr, pageSize: wantsFixable ? 1000 : 1 },
      { repositoryName, imageId: { imageDigest } },
    );
    for await (const page of pagesOf(operation, pages)) {
      const { imageScanFindings: found, imageScanStatus } = parsed(page, response, operation, context);
      const status = imageScanStatus?.status ? statusOf(imageScanStatus.status, words) : undefined;
      if (!status) whole = false;
      if (!result) {
        const scannedAt = secondsOf(found?.imageScanCompletedAt, 'imageScanCompletedAt', odd);
        const isThere = found && (scannedAt !== undefined || found.findingSeverityCounts);
        const counts = isThere ? countsOf(found.findingSeverityCounts, words, odd) : undefined;
        result = {
          ...(status && { scanStatus: status }),
          ...(scannedAt !== undefined && { scannedAt }),
          ...(counts && { findings: { counts } }),
        };
      }
      if (fixable) {
        fixable = found?.enhancedFindings && addFixable(fixable, found.enhancedFindings, words);
        if (!fixable) odd('enhancedFindings', 'no list that tells of each finding whether it has a fix');
      }
      if (!fixable) break;
    }
    if (isFinished(result?.scanStatus) && !result?.findings)
      odd('imageScanFindings', 'a scan that is complete, without its findings');
    if (!result?.findings || !fixable) return { result, whole };
    const findings = { ...result.findings, fixable: fixable satisfies SeverityCounts };
    return { result: { ...result, findings }, whole };
  }

  /** `failed` where it could not be read, which is reported; undefined where there is no such image. */
  async function attempt(read: () => Promise<Read>): Promise<Read | 'failed'> {
    try {
      return await gate(read);
    } catch (error) {
      context.signal.throwIfAborted();
      const name = nameOf(error);
      if (name === 'ScanNotFoundException') return { result: { scanStatus: 'none' }, whole: true };
      // Deleted since it was listed.
      if (name === 'ImageNotFoundException') return { result: undefined, whole: true };
      if (!(error instanceof CollectError) || name === 'RepositoryNotFoundException') throw error;
      context.degraded('findings', error);
      return 'failed';
    }
  }

  const keyOf = (what: string, { repository, digest, pushedAt }: PushedImage) =>
    `${what} ${registry} ${repository} ${digest} ${pushedAt ?? '?'}`;

  return {
    async basic(image, expectsScan) {
      const key = keyOf('scan', image);
      const known = memory.get<{ result?: ScanResult }>(key);
      if (known && context.now() - known.storedAt < intervalSeconds) return known.value.result;
      const answer = await attempt(() => read(image, false));
      if (answer === 'failed') return 'failed';
      const { result, whole } = answer;
      const isFresh = image.pushedAt === undefined || context.now() - image.pushedAt < scanBeginsSeconds;
      const mayChangeSoon =
        result?.scanStatus === 'pending' || (result?.scanStatus === 'none' && expectsScan && isFresh);
      // What could not be understood is asked for again: the next answer may be right.
      if (!mayChangeSoon && whole) memory.set(key, result ? { result } : {});
      return result && result.scanStatus === undefined && !result.findings ? 'failed' : result;
    },
    async enhanced(image, scannedAt) {
      const key = keyOf('inspected', image);
      const known = memory.get<{ at: number; result?: ScanResult }>(key);
      if (known?.value.at === scannedAt) return known.value.result;
      const answer = await attempt(() => read(image, true));
      if (answer === 'failed') return undefined;
      const { result, whole } = answer;
      if (whole && result?.findings) memory.set(key, { at: scannedAt, result });
      return result;
    },
  };
}
