import { type ScanStatus, type Severity, type SeverityCounts, severities } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { TellOdd } from './images.ts';

/** AWS's words in the exporter's. */
export interface Words {
  /** Tells once of a word that is not known. */
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

/** ECR's and Inspector's: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageScanFindings.html */
const severityWords: Readonly<Record<string, Severity>> = {
  CRITICAL: 'CRITICAL',
  HIGH: 'HIGH',
  MEDIUM: 'MEDIUM',
  LOW: 'LOW',
  INFORMATIONAL: 'NEGLIGIBLE',
  UNDEFINED: 'UNKNOWN',
  UNTRIAGED: 'UNKNOWN',
};

export function severityOf(word: string, words: Words): Severity {
  const known = severityWords[word];
  if (known === undefined) words.unknown('a severity', word);
  return known ?? 'UNKNOWN';
}

const countOf = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;

/**
 * `findingSeverityCounts`: a severity without findings is left out of it. One whose count is no number of findings is
 * unknown, and told.
 */
export function countsOf(given: unknown, words: Words, odd: TellOdd): SeverityCounts | undefined {
  const counts: Partial<Record<Severity, number>> = {};
  for (const severity of severities) counts[severity] = 0;
  if (given === undefined || given === null) return counts;
  if (typeof given !== 'object' || Array.isArray(given)) {
    odd('findingSeverityCounts', 'no counts by severity');
    return undefined;
  }
  const unknown = new Set<Severity>();
  const known = given as Readonly<Record<string, unknown>>;
  for (const word in known) {
    const value = known[word];
    const severity = severityOf(word, words);
    const count = countOf(value);
    if (count === undefined) {
      odd('findingSeverityCounts', 'a number of findings that is none');
      unknown.add(severity);
    } else counts[severity] = (counts[severity] ?? 0) + count;
  }
  for (const severity of unknown) delete counts[severity];
  return counts;
}

/**
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageScanStatus.html. `ACTIVE` is continuous scanning at
 * work. An expired eligibility, findings that cannot be had any more and an archived image leave no result that stands.
 */
const scanWords: Readonly<Record<string, ScanStatus>> = {
  ACTIVE: 'complete',
  COMPLETE: 'complete',
  IN_PROGRESS: 'pending',
  PENDING: 'pending',
  FAILED: 'failed',
  LIMIT_EXCEEDED: 'failed',
  IMAGE_SIZE_EXCEEDED: 'unsupported',
  UNSUPPORTED_IMAGE: 'unsupported',
  SCAN_ELIGIBILITY_EXPIRED: 'none',
  FINDINGS_UNAVAILABLE: 'none',
  IMAGE_ARCHIVED: 'none',
};

export function statusOf(word: string, words: Words): ScanStatus | undefined {
  const known = scanWords[word];
  if (known === undefined) words.unknown('a scan status', word);
  return known;
}

/**
 * Why Inspector has or has no result:
 * https://docs.aws.amazon.com/inspector/v2/APIReference/API_ScanStatus.html. Reasons that only hosts, functions and code
 * have are not here. A scan on push is made once: whether it was is told by its time.
 */
const coverageWords: Readonly<Record<string, ScanStatus>> = {
  SUCCESSFUL: 'complete',
  PENDING_INITIAL_SCAN: 'pending',
  PENDING_REVIVAL_SCAN: 'pending',
  SCAN_IN_PROGRESS: 'pending',
  ACCESS_DENIED: 'failed',
  ACCESS_DENIED_TO_ENCRYPTION_KEY: 'failed',
  EXTRACTION_COLLECTION_TIME_LIMIT_EXCEEDED: 'failed',
  INTEGRATION_CONNECTION_LOST: 'failed',
  INTERNAL_ERROR: 'failed',
  STORAGE_LIMIT_EXCEEDED: 'failed',
  IMAGE_SIZE_EXCEEDED: 'unsupported',
  INVALID_ARTIFACT: 'unsupported',
  UNSUPPORTED_CODE_ARTIFACTS: 'unsupported',
  UNSUPPORTED_CONFIG_FILE: 'unsupported',
  UNSUPPORTED_LANGUAGE: 'unsupported',
  UNSUPPORTED_MEDIA_TYPE: 'unsupported',
  UNSUPPORTED_OS: 'unsupported',
  UNSUPPORTED_RUNTIME: 'unsupported',
  EXCLUDED_BY_TAG: 'none',
  IMAGE_ARCHIVED: 'none',
  NO_RESOURCES_FOUND: 'none',
  NO_SCAN_CONFIGURATION_ASSOCIATED: 'none',
  PENDING_DISABLE: 'none',
  RESOURCE_TERMINATED: 'none',
  SCAN_ELIGIBILITY_EXPIRED: 'none',
  SCAN_FREQUENCY_MANUAL: 'none',
};

export function coverageOf(
  reason: string,
  scannedAt: number | undefined,
  words: Words,
): ScanStatus | undefined {
  if (reason === 'SCAN_FREQUENCY_SCAN_ON_PUSH') return scannedAt === undefined ? 'pending' : 'complete';
  const known = coverageWords[reason];
  if (known === undefined) words.unknown("a reason of Inspector's coverage", reason);
  return known;
}
