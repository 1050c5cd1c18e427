import { type Severity, severities } from '../../src/model.ts';
import type { EstateImage, EstateRepository } from './estate.ts';
import { type Method, StatusError } from './google-wire.ts';

/**
 * Container Analysis (https://cloud.google.com/artifact-analysis/docs/reference/rest), as REST only: the summary of
 * vulnerabilities and the occurrences that a scan leaves.
 */

/**
 * A message as proto3's JSON: times and numbers of 64 bits are text, and what has its default value is left out.
 * https://protobuf.dev/programming-guides/json/
 */
function messageOf(value: object): object {
  const unsaid = ['SEVERITY_UNSPECIFIED', 'ANALYSIS_STATUS_UNSPECIFIED', 0, '', false];
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, field]): [string, unknown][] => {
      if (unsaid.includes(field)) return [];
      if (typeof field === 'object' && field !== null && 'seconds' in field)
        return field.seconds === 0 ? [] : [[name, new Date(Number(field.seconds) * 1000).toISOString()]];
      if (typeof field === 'object' && field !== null) return [[name, messageOf(field)]];
      return [[name, name.endsWith('Count') ? String(field) : field]];
    }),
  );
}

/** An occurrence as the API has it; one of a vulnerability stands for `count` of them. */
export interface Occurrence {
  readonly kind: 'DISCOVERY' | 'VULNERABILITY';
  readonly resourceUri: string;
  readonly noteName: string;
  readonly updateTime: object;
  readonly discovery?: Readonly<Record<string, unknown>>;
  readonly vulnerability?: { readonly effectiveSeverity: string | number; readonly fixAvailable: boolean };
}

const google = 'projects/goog-analysis/notes';

/** Google's words; a severity that it has no word for is unspecified. */
const severityWords: Readonly<Record<Severity, string>> = {
  CRITICAL: 'CRITICAL',
  HIGH: 'HIGH',
  MEDIUM: 'MEDIUM',
  LOW: 'LOW',
  NEGLIGIBLE: 'MINIMAL',
  UNKNOWN: 'SEVERITY_UNSPECIFIED',
};

/** Each status that a scan may have, and more than one word for some. */
function analysisStatus({ scan, digest }: EstateImage): string | undefined {
  const even = Number.parseInt(digest.slice(-1), 16) % 2 === 0;
  if (scan.status === 'complete') return even ? 'FINISHED_SUCCESS' : 'COMPLETE';
  if (scan.status === 'pending') return even ? 'PENDING' : 'SCANNING';
  if (scan.status === 'failed') return 'FINISHED_FAILED';
  return scan.status === 'unsupported' ? 'FINISHED_UNSUPPORTED' : undefined;
}

/** What scans left of the images of a repository. */
export function occurrencesOf(repository: EstateRepository, prefix: string): Occurrence[] {
  const all: Occurrence[] = [];
  for (const image of repository.images.values()) {
    const status = analysisStatus(image);
    const resourceUri = `${prefix}${repository.name}@${image.digest}`;
    const updateTime = { seconds: image.scan.at ?? image.pushedAt, nanos: 0 };
    if (status === undefined) continue;
    all.push({
      kind: 'DISCOVERY',
      resourceUri,
      noteName: `${google}/PACKAGE_VULNERABILITY`,
      updateTime,
      discovery: {
        analysisStatus: status,
        continuousAnalysis: 'ACTIVE',
        ...(image.scan.at !== undefined && { lastScanTime: { seconds: image.scan.at, nanos: 5 } }),
        ...(status === 'FINISHED_FAILED' && {
          analysisStatusError: { code: 13, message: 'cannot be scanned' },
        }),
      },
    });
    for (const severity of severities)
      for (let number = 0; number < (image.scan.counts?.[severity] ?? 0); number += 1)
        all.push({
          kind: 'VULNERABILITY',
          resourceUri,
          noteName: `${google}/CVE-2026-${number}`,
          updateTime,
          vulnerability: {
            effectiveSeverity: severityWords[severity],
            fixAvailable: number < (image.scan.fixable?.[severity] ?? 0),
          },
        });
  }
  return all;
}

/** Filters as the exporter writes them: a kind, and resource prefixes of which one has to fit. */
function filterOf(text: string): (occurrence: Occurrence) => boolean {
  const parsed = /^kind="([A-Z]+)"(?: AND (\(?)(has_prefix\(.*\))\2?\)?)?$/.exec(text);
  if (!parsed) throw new StatusError('INVALID_ARGUMENT', `Invalid filter: ${text}`);
  const prefixes = [...(parsed[3] ?? '').matchAll(/has_prefix\(resourceUrl, ("[^"]*")\)/g)].map(
    ([, literal = '""']) => JSON.parse(literal) as string,
  );
  return ({ kind, resourceUri }) =>
    kind === parsed[1] &&
    (parsed[3] === undefined || prefixes.some((prefix) => resourceUri.startsWith(prefix)));
}

/** Rows of the summary: one per resource and severity, and one for the total. */
function summarize(occurrences: readonly Occurrence[]): object[] {
  const rows = new Map<
    string,
    { resourceUri: string; severity: string | number; totalCount: number; fixableCount: number }
  >();
  for (const { resourceUri, vulnerability } of occurrences) {
    if (!vulnerability) continue;
    const unspecified = 'SEVERITY_UNSPECIFIED';
    for (const severity of new Set([unspecified, vulnerability.effectiveSeverity])) {
      const key = `${resourceUri} ${severity}`;
      const row = rows.get(key) ?? { resourceUri, severity, totalCount: 0, fixableCount: 0 };
      rows.set(key, row);
      row.totalCount += 1;
      row.fixableCount += Number(vulnerability.fixAvailable);
    }
  }
  return [...rows.values()];
}

export function containerAnalysisMethods(options: {
  readonly project: string;
  permit(permission: string, resource: string): void;
  page<T>(
    list: string,
    all: readonly T[],
    request: Record<string, unknown>,
    limits: { readonly usual: number; readonly most: number },
  ): { readonly rows: readonly T[]; readonly nextPageToken: string };
  occurrences(): readonly Occurrence[];
  /** Locations whose occurrences cannot be reached: they are missing, or the call fails. */
  readonly unreachable?: readonly string[];
}): Method[] {
  const { project, permit, page, occurrences, unreachable = [] } = options;
  /** https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.occurrences/list */
  const missing = (request: Record<string, unknown>): object => {
    if (unreachable.length === 0) return {};
    if (request['returnPartialSuccess'] !== 'true')
      throw new StatusError('UNAVAILABLE', `unreachable: ${unreachable.join()}`);
    return { unreachable: unreachable.map((location) => `projects/${project}/locations/${location}`) };
  };
  const check = (request: Record<string, unknown>): void => {
    if (request['parent'] !== `projects/${project}`)
      throw new StatusError('PERMISSION_DENIED', `permission denied for ${request['parent']}`);
    permit('containeranalysis.occurrences.list', `projects/${project}`);
  };
  /** The repository of the first prefix, for the faults. */
  const repositoryOf = (request: Record<string, unknown>) =>
    /\/([^/"]+)\/"\)/.exec(String(request['filter']))?.[1];
  return [
    {
      rest: { pattern: /^\/v1\/(projects\/[^/]+)\/occurrences:vulnerabilitySummary$/, field: 'parent' },
      operation: 'GetVulnerabilityOccurrencesSummary',
      repositoryOf,
      handle(request) {
        check(request);
        const all = occurrences().filter(filterOf(String(request['filter'])));
        return { counts: summarize(all).map(messageOf), ...missing(request) };
      },
    },
    {
      rest: { pattern: /^\/v1\/(projects\/[^/]+)\/occurrences$/, field: 'parent' },
      operation: 'ListOccurrences',
      repositoryOf,
      handle(request) {
        check(request);
        const filter = String(request['filter']);
        const all = occurrences().filter(filterOf(filter));
        const { rows, nextPageToken } = page(`occurrences ${filter}`, all, request, {
          usual: 20,
          most: 1000,
        });
        return {
          occurrences: rows.map((row, at) =>
            messageOf({ ...row, name: `projects/${project}/occurrences/${at}` }),
          ),
          ...(nextPageToken && { nextPageToken }),
          ...missing(request),
        };
      },
    },
  ];
}
