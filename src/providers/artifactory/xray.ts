import pMap from 'p-map';
import { z } from 'zod';
import { json } from '../../http.ts';
import type { ScanStatus } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Api, needing } from './api.ts';
import { secondsOf } from './aql.ts';
import type { Manifest, Target } from './layout.ts';
import { listScans } from './xray-list.ts';
import { type Scan, type Scans, type Summaries, summariesOf } from './xray-summary.ts';

export interface Xray {
  /** Scans of manifests; undefined where Xray could not be asked. */
  scansOf(target: Target, manifests: readonly Manifest[]): Promise<Scans | undefined>;
}

/** After so many statuses that could not be read, no more are asked for in that poll. */
const mostFailures = 3;
const permission = 'the permission Read on the repositories, and Xray to index them';
/** How long a status stands where this poll may not ask again. */
const statusSeconds = 86_400;

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

  async function read(target: Target, manifests: readonly Manifest[]): Promise<Scans> {
    if (summaries) return summaries.scansOf(target, manifests);
    let listed = await listScans({ api, memory }, target.storage);
    // Which of the two names a remote repository has in Xray's list is not written down.
    if (listed?.findings.size === 0 && target.storage !== target.key)
      listed = await listScans({ api, memory }, target.key);
    if (!listed) {
      summaries = await summariesOf(api, context);
      return summaries.scansOf(target, manifests);
    }
    const scans = new Map<string, Scan>();
    const unknown = new Set<string>();
    const ask: Manifest[] = [];
    for (const manifest of manifests) {
      const findings = listed.findings.get(manifest.path);
      if (listed.odd.has(manifest.path) || (!findings && !listed.whole && !manifest.index)) {
        unknown.add(manifest.digest);
        continue;
      }
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
        const findings = listed.findings.get(manifest.path);
        const said = await statusOrFailure(target, manifest, findings !== undefined);
        // What was listed stays; whether the image is clean is unknown.
        if (said === 'failed' || (said && !said.scanStatus)) {
          unknown.add(manifest.digest);
          return;
        }
        if (!findings) scans.set(manifest.digest, said ?? { scanStatus: 'none' });
        else if (said?.scanStatus === 'complete') scans.set(manifest.digest, { ...said, findings });
        else if (said) scans.set(manifest.digest, said);
        else if (!hasStatus) scans.set(manifest.digest, { findings, scanStatus: 'complete' });
      },
      { concurrency: context.concurrency },
    );
    for (const digest of scans.keys()) unknown.delete(digest);
    return { of: scans, unknown };
  }

  let broken = false;
  return {
    async scansOf(target, manifests) {
      if (broken || manifests.length === 0) return broken ? undefined : { of: new Map(), unknown: new Set() };
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
