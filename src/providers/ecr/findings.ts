import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { Image, Severity, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { createGate, createTokenGuard, parsed } from './answers.ts';
import type { Aws } from './client.ts';
import { nameOf } from './errors.ts';
import { secondsOf } from './images.ts';
import { countsOf, severityOf, statusOf, type Words } from './words.ts';

/** What a scan of one image found. */
export type ScanResult = Pick<Image, 'scanStatus' | 'scannedAt' | 'findings'>;

/** Findings of single images: a call each, hence for the bounded set only, and remembered. */
export interface ImageFindings {
  /** Of basic scanning; undefined where there is no such image. */
  basic(repository: string, digest: string): Promise<ScanResult | undefined>;
  /** Of enhanced scanning as of its last scan: all severities, and what is fixable. */
  enhanced(repository: string, digest: string, scannedAt: number): Promise<ScanResult | undefined>;
}

const time = z.union([z.number(), z.string()]).nullish();
const response = z.object({
  imageScanStatus: z.object({ status: z.string().nullish() }).nullish(),
  imageScanFindings: z
    .object({
      imageScanCompletedAt: time,
      findingSeverityCounts: z.record(z.string(), z.number()).nullish(),
      enhancedFindings: z
        .array(z.object({ severity: z.string().nullish(), fixAvailable: z.string().nullish() }))
        .nullish(),
    })
    .nullish(),
  nextToken: z.string().nullish(),
});

/** Of the enhanced findings of a page those that have a fix, by severity; undefined as soon as one does not say. */
function addFixable(
  sum: Partial<Record<Severity, number>> | undefined,
  findings: readonly { severity?: string | null | undefined; fixAvailable?: string | null | undefined }[],
  words: Words,
): Partial<Record<Severity, number>> | undefined {
  for (const { severity, fixAvailable } of findings) {
    if (!sum || !severity || !fixAvailable) return undefined;
    // A fix that is PARTIAL leaves some of the packages as they are.
    if (fixAvailable !== 'YES') continue;
    const known = severityOf(severity, words);
    sum[known] = (sum[known] ?? 0) + 1;
  }
  return sum;
}

export async function createImageFindings(
  aws: Aws,
  context: CollectContext,
  options: { readonly words: Words; readonly intervalSeconds: number },
): Promise<ImageFindings> {
  const { words, intervalSeconds } = options;
  const { memory } = context;
  const { DescribeImageScanFindingsCommand } = await import('@aws-sdk/client-ecr');
  const operation = 'DescribeImageScanFindings';
  const gate = createGate();

  async function read(
    repositoryName: string,
    imageDigest: string,
    wantsFixable: boolean,
  ): Promise<ScanResult | undefined> {
    const guard = createTokenGuard(operation);
    let result: ScanResult | undefined;
    let fixable: Partial<Record<Severity, number>> | undefined = wantsFixable
      ? { CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0, NEGLIGIBLE: 0, UNKNOWN: 0 }
      : undefined;
    for (let nextToken: string | undefined; ; ) {
      const answer = await aws.ecr.ask(
        () =>
          new DescribeImageScanFindingsCommand({
            repositoryName,
            imageId: { imageDigest },
            // The counts are on every page; which are fixable, only the findings themselves tell.
            maxResults: wantsFixable ? 1000 : 1,
            ...(nextToken !== undefined && { nextToken }),
          }),
        operation,
      );
      const page = parsed(answer, response, operation);
      const { imageScanFindings: found, imageScanStatus } = page;
      const status = imageScanStatus?.status ? statusOf(imageScanStatus.status, words) : undefined;
      if (!result) {
        const scannedAt = secondsOf(found?.imageScanCompletedAt);
        const isThere = found && (scannedAt !== undefined || found.findingSeverityCounts);
        result = {
          ...(status && { scanStatus: status }),
          ...(scannedAt !== undefined && { scannedAt }),
          ...(isThere && { findings: { counts: countsOf(found.findingSeverityCounts, words) } }),
        };
      }
      if (fixable) fixable = addFixable(fixable, found?.enhancedFindings ?? [], words);
      if (!page.nextToken || !fixable) break;
      guard(page.nextToken);
      nextToken = page.nextToken;
    }
    if (!result.findings || !fixable) return result;
    return { ...result, findings: { ...result.findings, fixable: fixable satisfies SeverityCounts } };
  }

  /** Undefined also where it could not be read, which is reported. */
  async function attempt(read: () => Promise<ScanResult | undefined>): Promise<ScanResult | undefined> {
    try {
      return await gate(read);
    } catch (error) {
      context.signal.throwIfAborted();
      const name = nameOf(error);
      if (name === 'ScanNotFoundException') return { scanStatus: 'none' };
      // Deleted since it was listed.
      if (name === 'ImageNotFoundException') return undefined;
      if (!(error instanceof CollectError) || name === 'RepositoryNotFoundException') throw error;
      context.degraded('findings', error);
      return undefined;
    }
  }

  return {
    async basic(repository, digest) {
      const key = `scan ${digest}`;
      const known = memory.get<ScanResult>(key);
      if (known && context.now() - known.storedAt < intervalSeconds) return known.value;
      const result = await attempt(() => read(repository, digest, false));
      if (result?.scanStatus === 'complete') memory.set(key, result);
      return result;
    },
    async enhanced(repository, digest, scannedAt) {
      const key = `inspected ${digest}`;
      const known = memory.get<{ at: number; result: ScanResult }>(key);
      if (known?.value.at === scannedAt) return known.value.result;
      const result = await attempt(() => read(repository, digest, true));
      if (result?.findings) memory.set(key, { at: scannedAt, result });
      return result;
    },
  };
}
