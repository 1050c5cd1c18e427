import type { protos as registryProtos } from '@google-cloud/artifact-registry';
import type { protos as analysisProtos } from '@google-cloud/containeranalysis';
import type { protos as grafeasProtos } from '@google-cloud/grafeas';
import {
  type DockerImageRow,
  imagesFolder,
  isAttestation,
  type OccurrenceRow,
  type SummaryRow,
  unescaped,
} from './rows.ts';

/** Rows of the SDK's own objects, which the REST transport gives: enums by name, long integers as text. */

type Timestamp = { readonly seconds?: unknown } | null | undefined;
const seconds = (time: Timestamp): number => Number(time?.seconds ?? 0);

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

/** A name that is not known becomes a number that nobody uses. */
function numberOf(value: unknown, names: readonly string[]): number {
  if (typeof value === 'number') return value;
  if (value === 'COMPLETE') return 3;
  const at = names.indexOf(String(value ?? names[0]));
  return at < 0 ? -1 : at;
}

export function dockerImageRow(
  image: registryProtos.google.devtools.artifactregistry.v1.IDockerImage,
): DockerImageRow {
  const name = image.name ?? '';
  const at = name.lastIndexOf('@');
  return {
    packageName: unescaped(name.slice(name.lastIndexOf(imagesFolder) + imagesFolder.length, at)),
    digest: name.slice(at + 1),
    tags: image.tags ?? [],
    sizeBytes: Number(image.imageSizeBytes ?? 0),
    uploadedAt: seconds(image.uploadTime),
    mediaType: image.mediaType ?? '',
    artifactType: image.artifactType ?? '',
    manifests: (image.imageManifests ?? []).map(({ digest, architecture, os }) => ({
      digest: digest ?? '',
      attestation: isAttestation(architecture ?? '', os ?? ''),
    })),
  };
}

export function summaryRow(
  row: analysisProtos.google.devtools.containeranalysis.v1.VulnerabilityOccurrencesSummary.IFixableTotalByDigest,
): SummaryRow {
  return {
    resource: row.resourceUri ?? '',
    severity: numberOf(row.severity, severities),
    fixable: Number(row.fixableCount ?? 0),
    total: Number(row.totalCount ?? 0),
  };
}

export function occurrenceRow(row: grafeasProtos.grafeas.v1.IOccurrence): OccurrenceRow {
  const { discovery, vulnerability } = row;
  return {
    resource: row.resourceUri ?? '',
    note: row.noteName ?? '',
    updatedAt: seconds(row.updateTime),
    ...(discovery && {
      discovery: {
        status: numberOf(discovery.analysisStatus, statuses),
        scannedAt: seconds(discovery.lastScanTime),
        archived: seconds(discovery.archiveTime) > 0,
      },
    }),
    ...(vulnerability && {
      vulnerability: {
        severity:
          numberOf(vulnerability.effectiveSeverity, severities) ||
          numberOf(vulnerability.severity, severities),
        fixable: vulnerability.fixAvailable === true,
      },
    }),
  };
}
