import { type ScanStatus, type Severity, type SeverityCounts, severities } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';

/** AWS's words in the exporter's. */
export interface Words {
  /** A word that is not known: warned of once. */
  unknown(what: string, word: string): void;
}

export function createWords(context: Pick<CollectContext, 'session' | 'log'>): Words {
  const warned = context.session.keep('unknown words', () => new Set<string>());
  return {
    unknown(what, word) {
      const key = `${what} ${word}`.slice(0, 200);
      if (warned.has(key) || warned.size >= 100) return;
      warned.add(key);
      context.log.warn(
        { what, word: word.slice(0, 100) },
        `AWS used a word for ${what} that this version does not know`,
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

const noFindings: SeverityCounts = Object.fromEntries(severities.map((severity) => [severity, 0]));

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** `findingSeverityCounts`: a severity without findings is left out of it. */
export function countsOf(given: unknown, words: Words): SeverityCounts {
  if (!given || typeof given !== 'object') return noFindings;
  const known = given as Readonly<Record<string, unknown>>;
  let unknown = numberOf(known['UNDEFINED']) + numberOf(known['UNTRIAGED']);
  for (const word in known)
    if (severityWords[word] === undefined) {
      words.unknown('a severity', word);
      unknown += numberOf(known[word]);
    }
  return {
    CRITICAL: numberOf(known['CRITICAL']),
    HIGH: numberOf(known['HIGH']),
    MEDIUM: numberOf(known['MEDIUM']),
    LOW: numberOf(known['LOW']),
    NEGLIGIBLE: numberOf(known['INFORMATIONAL']),
    UNKNOWN: unknown,
  };
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
  INTERNAL_ERROR: 'failed',
  IMAGE_SIZE_EXCEEDED: 'unsupported',
  UNSUPPORTED_CONFIG_FILE: 'unsupported',
  UNSUPPORTED_LANGUAGE: 'unsupported',
  UNSUPPORTED_MEDIA_TYPE: 'unsupported',
  UNSUPPORTED_OS: 'unsupported',
  UNSUPPORTED_RUNTIME: 'unsupported',
  EXCLUDED_BY_TAG: 'none',
  IMAGE_ARCHIVED: 'none',
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
