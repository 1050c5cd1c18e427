import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { severityCounts } from '../../images/severity.ts';
import type { Image, ScanStatus, Severity, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { optional, text } from '../../wire.ts';
import { createGate, pagesOf, parsed, tellOdd } from './answers.ts';
import type { Aws } from './client.ts';
import { nameOf } from './errors.ts';
import { countsOf, secondsOf, severityOf, statusOf, type TellOdd, type Words } from './words.ts';

/** The result of a scan of one image. */
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
   * The result of basic scanning; undefined where there is no such image, `failed` where it could not be read, which is
   * reported.
   * @param expectsScan whether images of the repository are scanned when they are pushed
   */
  basic(image: PushedImage, expectsScan: boolean): Promise<ScanResult | 'failed' | undefined>;
  /** The result of the last enhanced scan: all severities, and what is fixable. */
  enhanced(image: PushedImage, scannedAt: number): Promise<ScanResult | undefined>;
}

const scanFindings = z.object({
  imageScanCompletedAt: z.unknown().optional(),
  findingSeverityCounts: z.unknown().optional(),
  findings: optional('findings', z.array(z.unknown())),
  // As a whole: without one of them it is unknown how many have a fix.
  enhancedFindings: optional(
    'enhancedFindings',
    z
      .array(z.object({ severity: optional('severity', text), fixAvailable: optional('fixAvailable', text) }))
      .max(10_000),
  ),
});
type ScanFindings = z.infer<typeof scanFindings>;
const response = z.object({
  imageScanStatus: optional('imageScanStatus', z.object({ status: optional('status', text) })),
  imageScanFindings: optional('imageScanFindings', scanFindings),
});

/** @returns false as soon as one finding does not say whether it has a fix */
function addFixable(
  sum: Record<Severity, number>,
  findings: ScanFindings['enhancedFindings'],
  words: Words,
): boolean {
  for (const { severity, fixAvailable } of findings ?? []) {
    if (!severity || !fixAvailable) return false;
    // A fix that is PARTIAL leaves some of the packages as they are.
    if (fixAvailable === 'YES') sum[severityOf(severity, words)] += 1;
  }
  return findings !== undefined;
}

function summaryOf(scan: ScanFindings | undefined, words: Words, odd: TellOdd): ScanResult {
  const scannedAt = secondsOf(scan?.imageScanCompletedAt, 'imageScanCompletedAt', odd);
  const bySeverity = scan?.findingSeverityCounts ?? undefined;
  // A clean image may have no counts; one that has findings has some.
  if (bySeverity === undefined && (scan?.findings?.length || scan?.enhancedFindings?.length)) {
    odd('findingSeverityCounts', 'findings without their numbers by severity');
    return { scannedAt, findings: undefined };
  }
  const isThere = scannedAt !== undefined || bySeverity;
  const counts = isThere ? countsOf(bySeverity, words, odd) : undefined;
  return { scannedAt, findings: counts && { counts } };
}

const withFixable = (result: ScanResult | undefined, fixable: SeverityCounts): ScanResult | undefined =>
  result?.findings ? { ...result, findings: { ...result.findings, fixable } } : result;

/** The result of a scan, and whether all of the answer could be understood. */
interface Reading {
  readonly result: ScanResult | undefined;
  readonly whole: boolean;
}

const lacksFindings = ({ scanStatus = 'complete', findings }: ScanResult = {}): boolean =>
  scanStatus === 'complete' && !findings;

/** A scan on push begins within minutes: so long after it, "no scan" may still become one at any time. */
const scanBeginsSeconds = 3600;

interface Options {
  /** Identifies the registry that holds the images. */
  readonly registry: string;
  readonly words: Words;
  readonly intervalSeconds: number;
}

/** Calls `DescribeImageScanFindings`. */
function createReader(aws: Aws, context: CollectContext, words: Words) {
  const operation = 'DescribeImageScanFindings';
  const tell = tellOdd(context, operation);
  const gate = createGate();

  async function read({ repository, digest }: PushedImage, wantsFixable: boolean): Promise<Reading> {
    let whole = true;
    const odd: TellOdd = (at, problem) => {
      whole = false;
      tell(at, problem);
    };
    let result: ScanResult | undefined;
    const fixable = severityCounts();
    let tellsFixable = wantsFixable;
    const ask = (nextToken: string | undefined) =>
      aws.ecr.describeImageScanFindings({
        repositoryName: repository,
        imageId: { imageDigest: digest },
        // The counts are on every page; which are fixable, only the findings themselves tell.
        maxResults: wantsFixable ? 1000 : 1,
        nextToken,
      });
    for await (const page of pagesOf({ operation, ask })) {
      const { imageScanFindings: scan, imageScanStatus } = parsed(page, response, operation, context);
      const word = imageScanStatus?.status;
      const scanStatus = word === undefined ? undefined : statusOf(word, words);
      whole &&= scanStatus !== undefined;
      result ??= { scanStatus, ...summaryOf(scan, words, odd) };
      tellsFixable &&= addFixable(fixable, scan?.enhancedFindings, words);
      if (!tellsFixable) break;
    }
    if (wantsFixable && !tellsFixable)
      odd('enhancedFindings', 'no list that tells of each finding whether it has a fix');
    if (lacksFindings(result)) odd('imageScanFindings', 'a scan that is complete, without its findings');
    return { result: tellsFixable ? withFixable(result, fixable) : result, whole };
  }

  return async (image: PushedImage, wantsFixable: boolean): Promise<Reading | 'failed'> => {
    try {
      return await gate(() => read(image, wantsFixable));
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
  };
}

export function createImageFindings(aws: Aws, context: CollectContext, options: Options): ImageFindings {
  const { registry, words, intervalSeconds } = options;
  const { memory, now } = context;
  const read = createReader(aws, context, words);
  const mayChangeSoon = ({ pushedAt }: PushedImage, status: ScanStatus | undefined, expectsScan: boolean) =>
    status === 'pending' ||
    (status === 'none' && expectsScan && (pushedAt === undefined || now() - pushedAt < scanBeginsSeconds));
  const keyOf = (what: string, { repository, digest, pushedAt }: PushedImage) =>
    `${what} ${registry} ${repository} ${digest} ${pushedAt ?? '?'}`;

  return {
    async basic(image, expectsScan) {
      const key = keyOf('scan', image);
      const remembered = memory.get<{ result?: ScanResult }>(key);
      if (remembered && now() - remembered.storedAt < intervalSeconds) return remembered.value.result;
      const reading = await read(image, false);
      if (reading === 'failed') return 'failed';
      const { result, whole } = reading;
      // What could not be understood is asked for again: the next answer may be right.
      if (whole && !mayChangeSoon(image, result?.scanStatus, expectsScan)) memory.set(key, { result });
      return result && result.scanStatus === undefined && !result.findings ? 'failed' : result;
    },
    async enhanced(image, scannedAt) {
      const key = keyOf('inspected', image);
      const remembered = memory.get<{ at: number; result?: ScanResult }>(key);
      if (remembered?.value.at === scannedAt) return remembered.value.result;
      const reading = await read(image, true);
      if (reading === 'failed') return undefined;
      const { result, whole } = reading;
      if (whole && result?.findings) memory.set(key, { at: scannedAt, result });
      return result;
    },
  };
}
