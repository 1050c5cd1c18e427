import pMap from 'p-map';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import type { Findings, ScanStatus } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, optional, text } from '../../wire.ts';
import { type Api, needing } from './api.ts';
import { secondsOf } from './aql.ts';
import type { Manifest, Target } from './layout.ts';
import { type Scan, type Summaries, summariesOf } from './xray-summary.ts';

export interface Xray {
  /** Scans of manifests by digest; undefined where Xray could not be asked. */
  scansOf(target: Target, manifests: readonly Manifest[]): Promise<ReadonlyMap<string, Scan> | undefined>;
}

/**
 * Xray gives up after 30 s and answers 500; fewer rows are the way out. 1,000 worked where 4,000 did not:
 * https://jfrog.com/help/r/xray-how-to-resolve-error-failed-to-get-artifacts-from-xray-get-artifacts-rest-api
 */
const mostRows = 1000;
const fewestRows = 100;
const maxPages = 10_000;
/** After so many statuses that could not be read, no more are asked for in that poll. */
const mostFailures = 3;
const permission = 'the permission Read on the repositories, and Xray to index them';
/** How long a status stands where this poll may not ask again. */
const statusSeconds = 86_400;

const issues = z.object({
  critical: count.nullish(),
  high: count.nullish(),
  medium: count.nullish(),
  low: count.nullish(),
  information: count.nullish(),
  unknown: count.nullish(),
  total: count.nullish(),
});
/** https://jfrog.com/help/r/xray-rest-apis/scans-list-get-artifacts */
const listing = z.object({
  data: list('data', z.object({ repo_path: text, sec_issues: optional('sec_issues', issues) })).nullable(),
  offset: z.coerce.number(),
});
/** https://jfrog.com/help/r/xray-rest-apis/artifact-scan-status */
const scanState = z.object({ status: z.string(), time: z.string().nullish() });
const artifactStatus = z.object({
  overall: scanState.nullish(),
  details: z.object({ sca: scanState.nullish() }).nullish(),
});

const statuses: Readonly<Record<string, ScanStatus>> = {
  DONE: 'complete',
  PARTIAL: 'complete',
  PENDING: 'pending',
  SCANNING: 'pending',
  NOT_SCANNED: 'none',
  NOT_SUPPORTED: 'unsupported',
  FAILED: 'failed',
};

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

/** The folder of a manifest as Xray names it: `/image/tag/manifest.json`, or without the file or the slash. */
const folderOf = (repoPath: string): string =>
  repoPath.replace(/^\/+|\/+$/g, '').replace(/\/(?:list\.)?manifest\.json$/, '');

export function createXray(given: {
  readonly api: Api;
  readonly context: CollectContext;
  /** Statuses of single images per poll at most. */
  readonly statusBudget: number;
}): Xray {
  const { api, context } = given;
  const { memory } = context;
  let left = given.statusBudget;
  let hasStatus = true;
  /** Statuses that could not be read in this poll. */
  let failures = 0;
  let summaries: Summaries | undefined;

  /** Findings by folder; undefined where Xray has no such list. */
  async function listScans(repo: string): Promise<Map<string, Findings | undefined> | undefined> {
    const found = new Map<string, Findings | undefined>();
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
      for (const row of data ?? []) found.set(folderOf(row.repo_path), findingsOf(row.sec_issues));
      if (next < 0 || (data ?? []).length === 0) return found;
      if (seen.has(next)) break;
      seen.add(next);
      offset = next;
    }
    throw new CollectError('pagination', `the list of scans of ${repo} never ends`);
  }

  /** @param listed whether Xray lists it: then it needs to be heard once only that the scan is done */
  async function status(target: Target, manifest: Manifest, listed: boolean): Promise<Scan | undefined> {
    const key = `scan ${target.key} ${manifest.digest}`;
    const known = memory.get<Scan>(key);
    if (listed && known?.value.scanStatus === 'complete') return known.value;
    if (left <= 0 || !hasStatus)
      return known && context.now() - known.storedAt < statusSeconds ? known.value : undefined;
    left -= 1;
    const response = await api.request({
      path: 'xray/api/v1/artifact/status',
      post: {
        type: 'application/json',
        body: JSON.stringify({
          repo: target.storage,
          path: `${manifest.path}/${manifest.index ? 'list.manifest.json' : 'manifest.json'}`,
        }),
      },
      operation: 'xray_status',
      idempotent: true,
      accept: [404, 405],
    });
    if (response.status !== 200) {
      // Older than 3.80.9, or an image that Xray does not know.
      if (response.status === 405 || !response.body.toString('utf8').trimStart().startsWith('{'))
        hasStatus = false;
      return response.status === 404 && hasStatus ? { scanStatus: 'none' } : undefined;
    }
    const { overall, details } = json(response, artifactStatus);
    // Findings come from the software composition analysis; other scanners may lag behind.
    const state = details?.sca ?? overall;
    const scanStatus = statuses[state?.status ?? ''];
    if (state && !scanStatus)
      context.tell(
        `scan status ${state.status}`,
        { status: state.status.slice(0, 100) },
        'Xray names a scan status that is not known here: taken as unknown',
      );
    const scannedAt = secondsOf(state?.time);
    const scan: Scan = {
      ...(scanStatus && { scanStatus }),
      ...(scanStatus === 'complete' && scannedAt !== undefined && { scannedAt }),
    };
    if (scanStatus) memory.set(key, scan);
    return scan;
  }

  /** A status that cannot be read leaves what is known of the other images; after a few no more are asked for. */
  async function statusOrFailure(
    target: Target,
    manifest: Manifest,
    listed: boolean,
  ): Promise<Scan | 'failed' | undefined> {
    if (failures >= mostFailures) return 'failed';
    try {
      return await status(target, manifest, listed);
    } catch (error) {
      context.signal.throwIfAborted();
      failures += 1;
      context.degraded('findings', needing(permission, error));
      return 'failed';
    }
  }

  async function read(target: Target, manifests: readonly Manifest[]): Promise<Map<string, Scan>> {
    if (summaries) return summaries.scansOf(target, manifests);
    let listed = await listScans(target.storage);
    // Which of the two names a remote repository has in Xray's list is not written down.
    if (listed?.size === 0 && target.storage !== target.key) listed = await listScans(target.key);
    if (!listed) {
      summaries = await summariesOf(api, context);
      return summaries.scansOf(target, manifests);
    }
    const scans = new Map<string, Scan>();
    const ask: Manifest[] = [];
    for (const manifest of manifests) {
      const findings = listed.get(manifest.path);
      const clean = findings && Object.values(findings.counts).every((count) => count === 0);
      if (findings && !clean) scans.set(manifest.digest, { findings, scanStatus: 'complete' });
      // Xray tells the platforms of an index, and the index itself at most besides.
      else if (!manifest.index) ask.push(manifest);
    }
    // An image without findings is clean when its scan is done and unknown before; one that is not listed may wait for
    // its scan, have failed, or be of a kind that Xray cannot scan.
    const open = [...new Map(ask.map((one) => [one.digest, one])).values()]
      .filter(({ digest }) => !scans.has(digest))
      .sort((a, b) => (b.pushedAt ?? 0) - (a.pushedAt ?? 0));
    await pMap(
      open,
      async (manifest) => {
        const findings = listed.get(manifest.path);
        const said = await statusOrFailure(target, manifest, findings !== undefined);
        // What was listed stays; whether the image is clean is unknown.
        if (said === 'failed') return;
        if (!findings) scans.set(manifest.digest, said?.scanStatus ? said : { scanStatus: 'none' });
        else if (said?.scanStatus === 'complete') scans.set(manifest.digest, { ...said, findings });
        else if (said) scans.set(manifest.digest, said);
        else if (!hasStatus) scans.set(manifest.digest, { findings, scanStatus: 'complete' });
      },
      { concurrency: context.concurrency },
    );
    return scans;
  }

  let broken = false;
  return {
    async scansOf(target, manifests) {
      if (broken || manifests.length === 0) return broken ? undefined : new Map();
      try {
        return await read(target, manifests);
      } catch (error) {
        context.signal.throwIfAborted();
        context.degraded('findings', needing(permission, error));
        // Else each repository would wait for it in turn.
        broken = true;
        return undefined;
      }
    },
  };
}
