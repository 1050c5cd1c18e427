import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import { severityCounts } from '../../images/severity.ts';
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
export function findingsOf(row: z.infer<typeof issues> | null | undefined): Findings | undefined {
  if (!row) return undefined;
  const { critical, high, medium, low, information, unknown, total } = row;
  const counts = severityCounts([
    ['CRITICAL', critical ?? 0],
    ['HIGH', high ?? 0],
    ['MEDIUM', medium ?? 0],
    ['LOW', low ?? 0],
    ['NEGLIGIBLE', information ?? 0],
    ['UNKNOWN', unknown ?? 0],
  ]);
  const sum = Object.values(counts).reduce((all, count) => all + count, 0);
  if (typeof total !== 'number' && sum === 0) return undefined;
  return { counts: { ...counts, UNKNOWN: counts.UNKNOWN + Math.max(0, (total ?? sum) - sum) } };
}

/** What Xray's list says of the manifests of a repository. */
export interface ScanList {
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

/** One page; `fewer` where Xray gave up and may answer fewer rows. */
async function readPage(api: Api, repo: string, rows: number, offset: number | undefined) {
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
  if (response.status === 500) return 'fewer';
  return response.status === 404 ? 'none' : json(response, listing);
}

function addRows(scans: ScanList, { data }: z.infer<typeof listing>): number {
  const { items = [], left = 0 } = data ?? {};
  if (left > 0) scans.whole = false;
  for (const { repo_path, sec_issues } of items)
    if (sec_issues === null) scans.odd.add(folderOf(repo_path));
    else scans.findings.set(folderOf(repo_path), findingsOf(sec_issues));
  return items.length + left;
}

/** The scans of a repository; undefined where Xray has no such list. @throws CollectError */
export async function listScans(
  { api, memory }: { readonly api: Api; readonly memory: Memory },
  repo: string,
): Promise<ScanList | undefined> {
  const scans: ScanList = { findings: new Map(), odd: new Set(), whole: true };
  const offsets = new Set<number>();
  let offset: number | undefined;
  let rows = mostRows;
  for (let pages = 0; pages < maxPages; pages += 1) {
    const page = await readPage(api, repo, rows, offset);
    if (page === 'none') return offset === undefined ? undefined : scans;
    if (page === 'fewer') {
      rows = Math.max(fewestRows, Math.floor(rows / 4));
      continue;
    }
    if (!memory.get('xray')) memory.set('xray', true);
    if (addRows(scans, page) === 0 || page.offset < 0) return scans;
    offset = page.offset;
    if (offsets.has(offset)) break;
    offsets.add(offset);
  }
  throw new CollectError('pagination', `the list of scans of ${repo} never ends`);
}
