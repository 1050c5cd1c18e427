import {
  type DockerImageRow,
  imagesFolder,
  isAttestation,
  type OccurrenceRow,
  type Page,
  type RepositoryRow,
  type SummaryRow,
  unescaped,
} from './rows.ts';

/**
 * Rows of messages as JSON: what the REST transport sends, and the SDK's own objects. Enums are names or numbers, long
 * integers mostly text. What is left out has its default value: https://protobuf.dev/programming-guides/json/
 * What is of another type becomes `undefined` or `NaN`, which no message says.
 */

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const field = (value: unknown, name: string): unknown => (isRecord(value) ? value[name] : undefined);
const isAbsent = (value: unknown): value is undefined | null => value === undefined || value === null;

function textOf(value: unknown): string | undefined {
  if (isAbsent(value)) return '';
  return typeof value === 'string' ? value : undefined;
}

function integerOf(value: unknown): number {
  if (isAbsent(value)) return 0;
  const number =
    typeof value === 'number' || (typeof value === 'string' && /^-?\d{1,19}$/.test(value))
      ? Number(value)
      : Number.NaN;
  return Number.isInteger(number) ? number : Number.NaN;
}

function flagOf(value: unknown): boolean | undefined {
  if (isAbsent(value)) return false;
  return typeof value === 'boolean' ? value : undefined;
}

/** Unix seconds: of text in JSON, of an object with seconds in the SDK. */
function timeOf(value: unknown): number {
  if (isAbsent(value)) return 0;
  if (typeof value === 'string') return Math.floor(Date.parse(value) / 1000);
  return isRecord(value) ? integerOf(value['seconds']) : Number.NaN;
}

/** Of grafeas.v1.Severity, in the order of their numbers. */
const severities = ['SEVERITY_UNSPECIFIED', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH', 'CRITICAL'];

/** Of grafeas.v1.DiscoveryOccurrence.AnalysisStatus, in the order of their numbers. */
const statuses = [
  'ANALYSIS_STATUS_UNSPECIFIED',
  'PENDING',
  'SCANNING',
  'FINISHED_SUCCESS',
  'FINISHED_FAILED',
  'FINISHED_UNSUPPORTED',
];
/** Of grafeas.v1.DiscoveryOccurrence.ContinuousAnalysis, in the order of their numbers. */
const continuity = ['CONTINUOUS_ANALYSIS_UNSPECIFIED', 'ACTIVE', 'INACTIVE'];

/** A number that no enum of today has, as a name that is not known here. */
const unknownName = 1000;

/** The number of an enum's name. */
function numberOf(value: unknown, names: readonly string[]): number {
  if (typeof value !== 'string' || /^-?\d+$/.test(value)) return integerOf(value);
  if (value === 'COMPLETE') return 3;
  const at = value === '' ? 0 : names.indexOf(value);
  return at < 0 ? unknownName : at;
}

export function repositoryRow(value: unknown): RepositoryRow {
  const name = textOf(field(value, 'name')) ?? '';
  const enumOf = (one: unknown): string | undefined => (typeof one === 'number' ? String(one) : textOf(one));
  const policies = field(value, 'cleanupPolicies');
  const scanning = field(value, 'vulnerabilityScanningConfig');
  const docker = field(value, 'dockerConfig');
  const kmsKeyName = textOf(field(value, 'kmsKeyName'));
  const isObject = (one: unknown): boolean => isAbsent(one) || isRecord(one);
  return {
    name,
    format: enumOf(field(value, 'format')),
    mode: enumOf(field(value, 'mode')),
    sizeBytes: integerOf(field(value, 'sizeBytes')),
    registryUri: textOf(field(value, 'registryUri')),
    immutableTags: isObject(docker) ? flagOf(field(docker, 'immutableTags')) : undefined,
    cleans: isObject(policies) ? Object.keys(policies ?? {}).length > 0 : undefined,
    cleansDry: flagOf(field(value, 'cleanupPolicyDryRun')),
    hasKey: kmsKeyName === undefined ? undefined : kmsKeyName !== '',
    scanning: isObject(scanning) ? enumOf(field(scanning, 'enablementState')) : undefined,
    scanningReason: textOf(field(scanning, 'enablementStateReason')),
  };
}

/** Elements of a list; undefined where it is none. */
function elementsOf(value: unknown): readonly unknown[] | undefined {
  if (isAbsent(value)) return [];
  return Array.isArray(value) ? value : undefined;
}

/** @returns undefined as soon as one element is none */
function allOf<T>(value: unknown, of: (element: unknown) => T | undefined): readonly T[] | undefined {
  const found: T[] = [];
  for (const element of elementsOf(value) ?? [undefined]) {
    const one = of(element);
    if (one === undefined) return undefined;
    found.push(one);
  }
  return found;
}

function listedManifest(value: unknown): DockerImageRow['manifests'][number] | undefined {
  const digest = textOf(field(value, 'digest'));
  const architecture = textOf(field(value, 'architecture'));
  const os = textOf(field(value, 'os'));
  if (!isRecord(value) || digest === undefined || architecture === undefined || os === undefined)
    return undefined;
  return { digest, attestation: isAttestation(architecture, os) };
}

export function dockerImageRow(value: unknown): DockerImageRow {
  const name = textOf(field(value, 'name')) ?? '';
  const at = name.lastIndexOf('@');
  const folder = name.lastIndexOf(imagesFolder);
  const isNamed = folder >= 0 && at > folder;
  const tags = allOf(field(value, 'tags'), (tag) => (typeof tag === 'string' ? tag : undefined));
  const manifests = allOf(field(value, 'imageManifests'), listedManifest);
  return {
    packageName: isNamed ? unescaped(name.slice(folder + imagesFolder.length, at)) : '',
    digest: isNamed ? name.slice(at + 1) : '',
    tags: tags ?? [],
    sizeBytes: integerOf(field(value, 'imageSizeBytes')),
    uploadedAt: timeOf(field(value, 'uploadTime')),
    mediaType: textOf(field(value, 'mediaType')),
    artifactType: textOf(field(value, 'artifactType')),
    manifests: manifests ?? [],
    ...(tags === undefined && { oddTags: true }),
    ...(manifests === undefined && { oddManifests: true }),
  };
}

export function summaryRow(value: unknown): SummaryRow {
  return {
    resource: textOf(field(value, 'resourceUri')) ?? '',
    severity: numberOf(field(value, 'severity'), severities),
    fixable: integerOf(field(value, 'fixableCount')),
    total: integerOf(field(value, 'totalCount')),
  };
}

export function occurrenceRow(value: unknown): OccurrenceRow {
  const discovery = field(value, 'discovery');
  const vulnerability = field(value, 'vulnerability');
  const fixable = flagOf(field(vulnerability, 'fixAvailable'));
  return {
    resource: textOf(field(value, 'resourceUri')) ?? '',
    note: textOf(field(value, 'noteName')) ?? '',
    updatedAt: timeOf(field(value, 'updateTime')),
    ...(isRecord(discovery) && {
      discovery: {
        status: numberOf(discovery['analysisStatus'], statuses),
        scannedAt: timeOf(discovery['lastScanTime']),
        archived: timeOf(discovery['archiveTime']) > 0,
        inactive: numberOf(discovery['continuousAnalysis'], continuity) === 2,
      },
    }),
    ...(isRecord(vulnerability) && {
      vulnerability: {
        severity:
          numberOf(vulnerability['effectiveSeverity'], severities) ||
          numberOf(vulnerability['severity'], severities),
        fixable: fixable === true,
      },
    }),
  };
}

/** A page of a list of messages. @returns undefined where the answer is none */
export function pageOf<T>(value: unknown, name: string, row: (element: unknown) => T): Page<T> | undefined {
  const elements = elementsOf(field(value, name));
  const next = textOf(field(value, 'nextPageToken'));
  const missing = (elementsOf(field(value, 'unreachable')) ?? []).filter((one) => typeof one === 'string');
  if (!isRecord(value) || !elements || next === undefined) return undefined;
  return { rows: elements.map(row), next, ...(missing.length > 0 && { unreachable: missing }) };
}
