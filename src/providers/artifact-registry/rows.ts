import { z } from 'zod';
import { isDigest } from '../../images/digest.ts';
import { tagName } from '../../images/tag.ts';
import { count, countedList, list, message, optional, pastTime, wholeList } from '../../wire.ts';

/**
 * What of Google's messages is used: of JSON as REST has it, and of the SDK's objects. Enums are their names, or numbers
 * where they have no name yet; long integers are text. What has its default value is left out; undefined is what cannot
 * be understood. https://protobuf.dev/programming-guides/json/
 */

const text = z.string().max(4_096);

/** The names of an enum in the order of their numbers, and what is not among them as it came. */
const enumOf = (names: readonly string[]) =>
  z.union([
    z.string().max(100),
    z
      .number()
      .int()
      .transform((number) => names[number] ?? String(number)),
  ]);

/** Unix seconds of text in JSON, or of an object with seconds in the SDK; 0 is not said. */
const time = z.preprocess(
  (value) => {
    const seconds = Number((value as { seconds?: unknown } | null)?.seconds ?? Number.NaN);
    return Number.isFinite(seconds) && Math.abs(seconds) < 1e12
      ? new Date(seconds * 1000).toISOString()
      : value;
  },
  pastTime.transform((seconds) => Math.floor(seconds ?? 0)),
);

/** Settings of a repository. */
export const repositoryRow = message({
  name: [text, ''],
  format: [enumOf(['FORMAT_UNSPECIFIED', 'DOCKER']), ''],
  mode: [enumOf(['MODE_UNSPECIFIED', 'STANDARD_REPOSITORY', 'VIRTUAL_REPOSITORY', 'REMOTE_REPOSITORY']), ''],
  sizeBytes: [count, 0],
  registryUri: [text, ''],
  dockerConfig: [
    message({ immutableTags: [z.boolean(), false] }),
    {
      immutableTags: false,
    },
  ],
  cleanupPolicies: [z.record(z.string(), z.unknown()), {}],
  cleanupPolicyDryRun: [z.boolean(), false],
  kmsKeyName: [text, ''],
  vulnerabilityScanningConfig: [
    message({
      enablementState: [
        enumOf([
          'ENABLEMENT_STATE_UNSPECIFIED',
          'SCANNING_UNSUPPORTED',
          'SCANNING_DISABLED',
          'SCANNING_ACTIVE',
        ]),
        '',
      ],
      // Google's words for people.
      enablementStateReason: [text, ''],
    }),
    undefined,
  ],
});
export type RepositoryRow = z.infer<typeof repositoryRow>;

const imageName = /\/dockerImages\/(?<packageName>[^@]+)@(?<digest>[^@]+)$/;

/** Where an image is, by its resource name, in which slashes are escaped. */
const place = text.transform((name, context) => {
  const { packageName = '', digest = '' } = imageName.exec(name)?.groups ?? {};
  const written = decoded(packageName);
  if (written !== '' && written.length <= 512 && isDigest(digest)) return { packageName: written, digest };
  context.addIssue({ code: 'custom', message: 'no name of an image' });
  return z.NEVER;
});

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return '';
  }
}

export const dockerImageRow = message({
  name: [place, undefined],
  tags: [countedList('tags', tagName), { items: [], left: 0 }],
  // 0 is not said.
  imageSizeBytes: [count, 0],
  uploadTime: [time, 0],
  mediaType: [text, ''],
  artifactType: [text, ''],
  // All or none: a platform that is missing here would pass for an untagged image.
  imageManifests: [
    wholeList(
      z.object({
        digest: z.string().refine(isDigest, 'no digest'),
        architecture: text.default(''),
        os: text.default(''),
      }),
    ),
    [],
  ],
});
export type DockerImageRow = z.infer<typeof dockerImageRow>;

/** A resource by its address; gcloud writes a dash in its digest where a colon was. */
const resourceDigest = text.transform((resource, context) => {
  const at = /@(sha\d+)[:-]([0-9a-f]{32,})$/.exec(resource);
  if (at) return `${at[1]}:${at[2]}`;
  context.addIssue({ code: 'custom', message: 'no resource with a digest' });
  return z.NEVER;
});

const severity = enumOf(['SEVERITY_UNSPECIFIED', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH', 'CRITICAL']);

/** A row of the summary: without a severity it is the total. */
export const summaryRow = message({
  resourceUri: [resourceDigest, undefined],
  severity: [severity, 'SEVERITY_UNSPECIFIED'],
  fixableCount: [count, 0],
  totalCount: [count, 0],
});
export type SummaryRow = z.infer<typeof summaryRow>;

export const occurrenceRow = message({
  resourceUri: [resourceDigest, undefined],
  noteName: [text, ''],
  updateTime: [time, 0],
  discovery: [
    message({
      // https://github.com/googleapis/googleapis/blob/master/grafeas/v1/discovery.proto
      analysisStatus: [
        enumOf([
          'ANALYSIS_STATUS_UNSPECIFIED',
          'PENDING',
          'SCANNING',
          'FINISHED_SUCCESS',
          'FINISHED_FAILED',
          'FINISHED_UNSUPPORTED',
        ]),
        'ANALYSIS_STATUS_UNSPECIFIED',
      ],
      continuousAnalysis: [enumOf(['CONTINUOUS_ANALYSIS_UNSPECIFIED', 'ACTIVE', 'INACTIVE']), ''],
      lastScanTime: [time, 0],
      // Whether there is one.
      archiveTime: [z.iso.datetime({ offset: true }).transform((at) => Date.parse(at) > 0), false],
    }),
    undefined,
  ],
  vulnerability: [
    message({
      severity: [severity, ''],
      effectiveSeverity: [severity, ''],
      fixAvailable: [z.boolean(), false],
    }),
    undefined,
  ],
});
export type OccurrenceRow = z.infer<typeof occurrenceRow>;

export const locationRow = message({ locationId: [text, ''] });

/** A page of a list, whose rows are read one after the other. */
export const pageOf = (name: string) =>
  z
    .object({
      [name]: z.array(z.unknown()).nullish(),
      nextPageToken: text.nullish(),
      unreachable: optional('unreachable', list('unreachable', text)),
    })
    .transform((page) => ({
      // What is no message has no field: it has no name either, and is counted as such.
      rows: ((page[name] as readonly unknown[] | null | undefined) ?? []).map((row) =>
        typeof row === 'object' && row !== null ? row : {},
      ),
      next: (page['nextPageToken'] as string | null | undefined) || undefined,
      unreachable: (page['unreachable'] as readonly string[] | undefined) ?? [],
    }));
