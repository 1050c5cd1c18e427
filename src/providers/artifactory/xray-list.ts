import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import type { Findings } from '../../model.ts';
import type { Memory } from '../../provider.ts';
import { count, countedList, optional, text } from '../../wire.ts';
import type { Api } from './api.ts';

/**
 * Xray gives up after 30 s and answers 500; fewer rows are the way out. 1,000 worked where 4,000 did not:
 * https://jfrog.com/help/r/xray-how-to-resolve-error-failed-to-get-artifacts-from-xray-get-artifacts-rest-api
 */
const mostRows = 1000;
const fewestRows = 100;
const maxPages = 10_000;
const issues = z.object({
  critical: count.nullish(),
  high: count.nullish(),
  medium: count.nullish(),
  low: count.nullish(),
  information: count.nullish(),
  unknown: count.nullish(),
  total: count.nullish(),
});
/** Null: there are some, and they cannot be understood. */
const issuesOrOdd = z
  .unknown()
  .optional()
  .transform((value) =>
    value === undefined || value === null ? undefined : (optional('sec_issues', issues).parse(value) ?? null),
  );
/** https://jfrog.com/help/r/xray-rest-apis/scans-list-get-artifacts */
const listing = z.object({
  data: countedList('data', z.object({ repo_path: text, sec_issues: issuesOrOdd })).nullable(),
  offset: z.coerce.number(),
});
/**
 * Counts of a row. Severities without findings are left out of it; what the total says beyond those that are there is
 * of a severity that is not known here. Without either nothing is known.
 */
export function findingsOf(counted: z.infer<typeof issues> | null | undefined): Findings | undefined {
  if (!counted) return undefined;
  const { critical, high, medium, low, information, unknown, total } = counted;
  const named = [critical, high, medium, low, information, unknown].map((count) => count ?? 0);
  const sum = named.reduce((a, b) => a + b, 0);
  if (typeof total !== 'number' && sum === 0) return undefined;
  const [CRITICAL = 0, HIGH = 0, MEDIUM = 0, LOW = 0, NEGLIGIBLE = 0, UNKNOWN = 0] = named;
  const more = Math.max(0, (total ?? sum) - sum);
  return { counts: { CRITICAL, HIGH, MEDIUM, LOW, NEGLIGIBLE, UNKNOWN: UNKNOWN + more } };
}

/** What Xray's list says of the manifests of a repository. */
export interface Listed {
  /** By folder; undefined where it has no counts yet. */
  readonly findings: Map<string, Findings | undefined>;
  /** Folders whose counts cannot be understood. */
  readonly odd: Set<string>;
  /** False where rows without a readable name were left out. */
  whole: boolean;
}

/** The folder of a manifest as Xray names it: `/image/tag/manifest.json`, or without the file or the slash. */
const folderOf = (repoPath: string): string =>
  repoPath.replace(/^\/+|\/+$/g, '').replace(/\/(?:list\.)?manifest\.json$/, '');

/** The scans of a repository; undefined where Xray has no such list. @throws CollectError */
export async function listScans(
  { api, memory }: { readonly api: Api; readonly memory: Memory },
  repo: string,
): Promise<Listed | undefined> {
  const found: Listed = { findings: new Map(), odd: new Set(), whole: true };
  let offset: number | undefined;
  let rows = mostRows;
  const seen = new Set<number>();
  for (let page = 0; page < maxPages; page += 1) {
    const response = await api.request({
      path: 'xray/api/v1/artifacts',
      query: {
        repo,
        num_of_rows: String(rows),
        order_by: 'created',
        direction: 'desc',
        ...(offset !== undefined && { offset: String(offset) }),
      },
      operation: 'xray_artifacts',
      accept: rows > fewestRows ? [404, 500] : [404],
    });
    if (response.status === 500) {
      rows = Math.max(fewestRows, Math.floor(rows / 4));
      continue;
    }
    if (response.status === 404) return offset === undefined ? undefined : found;
    if (!memory.get('xray')) memory.set('xray', true);
    const { data, offset: next } = json(response, listing);
    const { items = [], left = 0 } = data ?? {};
    if (left > 0) found.whole = false;
    for (const { repo_path, sec_issues } of items) {
      const folder = folderOf(repo_path);
      if (sec_issues === null) found.odd.add(folder);
      else found.findings.set(folder, findingsOf(sec_issues));
    }
    if (next < 0 || items.length + left === 0) return found;
    if (seen.has(next)) break;
    seen.add(next);
    offset = next;
  }
  throw new CollectError('pagination', `the list of scans of ${repo} never ends`);
}
