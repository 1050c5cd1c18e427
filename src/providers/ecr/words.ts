import { severityCounts, severityOfWord } from '../../images/severity.ts';
import type { ScanStatus, Severity, SeverityCounts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isPastTime } from '../../times.ts';

/** Values of AWS's answers in the exporter's terms. */

/** Reports a part of an answer that could not be understood. */
export type TellOdd = (at: string, problem: string) => void;

/** Reports words that this version does not know; once while they last. */
export interface Words {
  unknown(what: string, word: unknown): void;
}

export function createWords({ tell }: Pick<CollectContext, 'tell'>): Words {
  return {
    unknown(what, word) {
      if (word === undefined || word === null)
        return tell(`no word ${what}`, { what }, `AWS did not say ${what}: what depends on it is unknown`);
      const short = typeof word === 'string' ? word.slice(0, 100) : `(${typeof word})`;
      tell(
        `unknown word ${what} ${short}`,
        { what, word: short },
        `AWS used a word for ${what} that this version does not know: a newer version may`,
      );
    },
  };
}

/**
 * A moment that has passed, in Unix seconds. Times of the JSON protocol are Unix seconds with a fraction; ISO 8601 is
 * allowed too.
 */
export function secondsOf(value: unknown, at: string, odd: TellOdd, now?: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  const seconds =
    typeof value === 'number' ? value : typeof value === 'string' ? Date.parse(value) / 1000 : Number.NaN;
  if (isPastTime(seconds, now)) return Math.floor(seconds);
  odd(at, seconds > 0 ? 'a time that lies in the future or cannot be' : 'no time');
  return undefined;
}

/** ECR's and Inspector's: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageScanFindings.html */
export function severityOf(word: string, words: Words): Severity {
  const severity = severityOfWord(word);
  if (severity === undefined) words.unknown('a severity', word);
  return severity ?? 'UNKNOWN';
}

/**
 * `findingSeverityCounts`: severities without findings are left out of it. A severity whose count is no number of
 * findings is unknown, and reported.
 */
export function countsOf(value: unknown, words: Words, odd: TellOdd): SeverityCounts | undefined {
  if (typeof (value ?? {}) !== 'object' || Array.isArray(value)) {
    odd('findingSeverityCounts', 'no counts by severity');
    return undefined;
  }
  const counts: Partial<Record<Severity, number>> = severityCounts();
  const unknown = new Set<Severity>();
  for (const [word, count] of Object.entries(value ?? {})) {
    const severity = severityOf(word, words);
    if (Number.isSafeInteger(count) && count >= 0) counts[severity] = (counts[severity] ?? 0) + count;
    else {
      odd('findingSeverityCounts', 'a number of findings that is none');
      unknown.add(severity);
    }
  }
  for (const severity of unknown) delete counts[severity];
  return counts;
}

/** A table of words by their meaning, as a table of meanings by their word. */
const meanings = (words: Partial<Record<ScanStatus, readonly string[]>>): ReadonlyMap<string, ScanStatus> =>
  new Map(Object.entries(words).flatMap(([status, all]) => all.map((word) => [word, status as ScanStatus])));

/**
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageScanStatus.html. `ACTIVE` is continuous scanning at
 * work. An expired eligibility, findings that cannot be had any more and an archived image leave no result that stands.
 */
const scanWords = meanings({
  complete: ['ACTIVE', 'COMPLETE'],
  pending: ['IN_PROGRESS', 'PENDING'],
  failed: ['FAILED', 'LIMIT_EXCEEDED'],
  unsupported: ['IMAGE_SIZE_EXCEEDED', 'UNSUPPORTED_IMAGE'],
  none: ['SCAN_ELIGIBILITY_EXPIRED', 'FINDINGS_UNAVAILABLE', 'IMAGE_ARCHIVED'],
});

export function statusOf(word: string, words: Words): ScanStatus | undefined {
  const status = scanWords.get(word);
  if (status === undefined) words.unknown('a scan status', word);
  return status;
}

/**
 * Why Inspector has or has no result: https://docs.aws.amazon.com/inspector/v2/APIReference/API_ScanStatus.html.
 * Reasons that only hosts, functions and code have are not here.
 */
const coverageWords = meanings({
  complete: ['SUCCESSFUL'],
  pending: ['PENDING_INITIAL_SCAN', 'PENDING_REVIVAL_SCAN', 'SCAN_IN_PROGRESS'],
  failed: [
    'ACCESS_DENIED',
    'ACCESS_DENIED_TO_ENCRYPTION_KEY',
    'EXTRACTION_COLLECTION_TIME_LIMIT_EXCEEDED',
    'INTEGRATION_CONNECTION_LOST',
    'INTERNAL_ERROR',
    'STORAGE_LIMIT_EXCEEDED',
  ],
  unsupported: [
    'IMAGE_SIZE_EXCEEDED',
    'INVALID_ARTIFACT',
    'UNSUPPORTED_CODE_ARTIFACTS',
    'UNSUPPORTED_CONFIG_FILE',
    'UNSUPPORTED_LANGUAGE',
    'UNSUPPORTED_MEDIA_TYPE',
    'UNSUPPORTED_OS',
    'UNSUPPORTED_RUNTIME',
  ],
  none: [
    'EXCLUDED_BY_TAG',
    'IMAGE_ARCHIVED',
    'NO_RESOURCES_FOUND',
    'NO_SCAN_CONFIGURATION_ASSOCIATED',
    'PENDING_DISABLE',
    'RESOURCE_TERMINATED',
    'SCAN_ELIGIBILITY_EXPIRED',
    'SCAN_FREQUENCY_MANUAL',
  ],
});

export function coverageOf(
  reason: string,
  scannedAt: number | undefined,
  words: Words,
): ScanStatus | undefined {
  // A scan on push is made once; whether it was, its time tells.
  if (reason === 'SCAN_FREQUENCY_SCAN_ON_PUSH') return scannedAt === undefined ? 'pending' : 'complete';
  const status = coverageWords.get(reason);
  if (status === undefined) words.unknown("a reason of Inspector's coverage", reason);
  return status;
}
