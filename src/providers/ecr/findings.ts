import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { Image, Severity, SeverityCounts } from '../../model.ts';
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
   * Of basic scanning; undefined where there is no such image.
   * @param expectsScan whether images of the repository are scanned when they are pushed
   */
  basic(image: PushedImage, expectsScan: boolean): Promise<ScanResult | undefined>;
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
  const odd = tellOdd(context, operation);
  const gate = createGate();

  async function read(
    { repository: repositoryName, digest: imageDigest }: PushedImage,
    wantsFixable: boolean,
  ): Promise<ScanResult | undefined> {
    let result: ScanResult | undefined;
    let fixable: Partial<Record<Severity, number>> | undefined = wantsFixable
      ? { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 }
      : undefined;
    const pages = paginateDescribeImageScanFindings(
      // The counts are on every page; which are fixable, only the findings themselves tell.
      { client: aws.ecr, pageSize: wantsFixable ? 1000 : 1 },
      { repositoryName, imageId: { imageDigest } },
    );
    for await (const page of pagesOf(operation, pages, ({ nextToken }) => nextToken)) {
      const { imageScanFindings: found, imageScanStatus } = parsed(page, response, operation, context);
      const status = imageScanStatus?.status ? statusOf(imageScanStatus.status, words) : undefined;
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
      fixable &&= found?.enhancedFindings && addFixable(fixable, found.enhancedFindings, words);
      if (!fixable) break;
    }
    if (!result?.findings || !fixable) return result;
    return { ...result, findings: { ...result.findings, fixable: fixable satisfies SeverityCounts } };
  }

  /** `failed` where it could not be read, which is reported; undefined where there is no such image. */
  async function attempt(read: () => Promise<ScanResult | undefined>) {
    try {
      return await gate(read);
    } catch (error) {
      context.signal.throwIfAborted();
      const name = nameOf(error);
      if (name === 'ScanNotFoundException') return { scanStatus: 'none' } as const;
      // Deleted since it was listed.
      if (name === 'ImageNotFoundException') return undefined;
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
      const result = await attempt(() => read(image, false));
      if (result === 'failed') return undefined;
      const isFresh = image.pushedAt === undefined || context.now() - image.pushedAt < scanBeginsSeconds;
      const mayChangeSoon =
        result?.scanStatus === 'pending' || (result?.scanStatus === 'none' && expectsScan && isFresh);
      if (!mayChangeSoon) memory.set(key, result ? { result } : {});
      return result;
    },
    async enhanced(image, scannedAt) {
      const key = keyOf('inspected', image);
      const known = memory.get<{ at: number; result?: ScanResult }>(key);
      const stands =
        known?.value.at === scannedAt &&
        // Findings of a scan do not change; without any, they may be on their way.
        (known.value.result?.findings || context.now() - known.storedAt < intervalSeconds);
      if (stands) return known.value.result;
      const result = await attempt(() => read(image, true));
      if (result === 'failed') return undefined;
      memory.set(key, { at: scannedAt, ...(result && { result }) });
      return result;
    },
  };
}
