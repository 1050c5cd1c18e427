import pMap from 'p-map';
import { z } from 'zod';
import { type FailureReason, reasonOf } from '../../errors.ts';
import { json } from '../../http.ts';
import type { Findings, ScanStatus } from '../../model.ts';
import { meaningOf, needing } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { secondsOf } from '../../times.ts';
import type { Api } from './api.ts';
import type { Manifest, Target } from './layout.ts';
import { listScans, type ScanList } from './xray-list.ts';
import { type Scan, type Scans, type Summaries, summariesOf, tellOfUntold } from './xray-summary.ts';

export interface Xray {
  /** Scans of manifests; undefined where Xray could not be asked. */
  scansOf(target: Target, manifests: readonly Manifest[]): Promise<Scans | undefined>;
}

/** After so many statuses, or lists in a row, that could not be read, no more are asked for in that poll. */
const mostFailures = 3;
/** Failures that every other request would meet too: each repository would wait for it in turn. */
const concernsAll: ReadonlySet<FailureReason> = new Set([
  'auth',
  'connect',
  'dns',
  'throttled',
  'timeout',
  'tls',
]);
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
  done: 'complete',
  partial: 'complete',
  pending: 'pending',
  scanning: 'pending',
  not_scanned: 'none',
  not_supported: 'unsupported',
  failed: 'failed',
};

/** Findings come from the software composition analysis; other scanners may lag behind. */
function scanIn(context: CollectContext, { overall, details }: z.infer<typeof artifactStatus>): Scan {
  const state = details?.sca ?? overall;
  const scanStatus = meaningOf(context, 'the status of a scan', statuses, state?.status);
  return { scanStatus, scannedAt: scanStatus === 'complete' ? secondsOf(state?.time) : undefined };
}

/** Asks for the scan statuses of single images, so many in a poll. */
function createStatuses(api: Api, context: CollectContext, budget: number) {
  const { memory } = context;
  let left = budget;
  let failures = 0;
  /** False for an Xray older than 3.80.9. */
  let isOffered = true;
  const notOffered = [404, 405];
  const keyOf = ({ key }: Target, { digest }: Manifest) => `scan ${key} ${digest}`;

  /** @returns undefined where Xray does not offer it */
  async function ask(target: Target, manifest: Manifest): Promise<Scan | undefined> {
    left -= 1;
    const file = `${manifest.path}/${manifest.index ? 'list.manifest.json' : 'manifest.json'}`;
    const response = await api.request({
      path: 'xray/api/v1/artifact/status',
      post: { type: 'application/json', body: JSON.stringify({ repo: target.storage, path: file }) },
      operation: 'xray_status',
      idempotent: true,
      accept: notOffered,
    });
    if (!notOffered.includes(response.status)) {
      const scan = scanIn(context, json(response, artifactStatus));
      if (scan.scanStatus) memory.set(keyOf(target, manifest), scan);
      return scan;
    }
    // That it does not know an image Xray says as JSON.
    const isUnknown = response.status === 404 && response.body.toString('utf8').trimStart().startsWith('{');
    isOffered &&= isUnknown;
    return isUnknown && isOffered ? { scanStatus: 'none' } : undefined;
  }

  return {
    /** @param isListed whether Xray lists the image: then it is enough to hear once that its scan is done */
    async of(target: Target, manifest: Manifest, isListed: boolean): Promise<Scan | 'failed' | undefined> {
      if (failures >= mostFailures) return 'failed';
      const remembered = memory.get<Scan>(keyOf(target, manifest));
      if (isListed && remembered?.value.scanStatus === 'complete') return remembered.value;
      if (left <= 0 || !isOffered) {
        const isRecent = remembered && context.now() - remembered.storedAt < statusSeconds;
        return isRecent ? remembered.value : undefined;
      }
      try {
        return await ask(target, manifest);
      } catch (error) {
        context.signal.throwIfAborted();
        failures += 1;
        context.degraded('findings', needing(permission, error));
        return 'failed';
      }
    },
    get isOffered() {
      return isOffered;
    },
  };
}

/** Parts manifests into scans that the list tells as a whole, those that it leaves unknown, and those to ask for. */
function fromList(list: ScanList, manifests: readonly Manifest[]) {
  const scans = new Map<string, Scan>();
  const unknown = new Set<string>();
  const open = new Map<string, Manifest>();
  for (const manifest of manifests) {
    const { path, digest, index } = manifest;
    const findings = list.findings.get(path);
    if (list.odd.has(path) || (!findings && !list.whole && !index)) unknown.add(digest);
    else if (findings && Object.values(findings.counts).some((count) => count > 0))
      scans.set(digest, { findings, scanStatus: 'complete' });
    // Xray tells the platforms of an index, and the index itself at most besides.
    else if (!index) open.set(digest, manifest);
  }
  for (const digest of scans.keys()) open.delete(digest);
  return { scans, unknown, open: [...open.values()].sort((a, b) => (b.pushedAt ?? 0) - (a.pushedAt ?? 0)) };
}

/**
 * An image without findings is clean when its scan is done, and unknown before; one that is not listed may wait for its
 * scan, have failed, or be of a kind that Xray cannot scan.
 */
function scanOf(
  findings: Findings | undefined,
  status: Scan | undefined,
  isOffered: boolean,
): Scan | undefined {
  if (!findings) return status ?? { scanStatus: 'none' };
  if (status) return status.scanStatus === 'complete' ? { ...status, findings } : status;
  return isOffered ? undefined : { findings, scanStatus: 'complete' };
}

export function createXray(api: Api, context: CollectContext, statusBudget: number): Xray {
  const { memory } = context;
  const statuses = createStatuses(api, context, statusBudget);
  let summaries: Summaries | undefined;
  /** Repositories in a row whose scans could not be read. */
  let broken = 0;

  async function read(target: Target, manifests: readonly Manifest[]): Promise<Scans> {
    if (summaries) return summaries.scansOf(target, manifests);
    let list = await listScans({ api, memory }, target.storage);
    // Which of the two names a remote repository has in Xray's list is not written down.
    if (list?.findings.size === 0 && target.storage !== target.key)
      list = await listScans({ api, memory }, target.key);
    if (!list) {
      summaries = await summariesOf(api, context);
      return summaries.scansOf(target, manifests);
    }
    const { scans, unknown, open } = fromList(list, manifests);
    const { findings } = list;
    await pMap(
      open,
      async (manifest) => {
        const { path, digest } = manifest;
        const status = await statuses.of(target, manifest, findings.get(path) !== undefined);
        // What was listed stays; whether the image is clean is unknown.
        if (status === 'failed' || (status && !status.scanStatus)) return void unknown.add(digest);
        const scan = scanOf(findings.get(path), status, statuses.isOffered);
        if (scan) scans.set(digest, scan);
        if (scan?.scanStatus === 'complete' && !scan.findings) tellOfUntold(context, target);
      },
      { concurrency: context.concurrency },
    );
    for (const digest of scans.keys()) unknown.delete(digest);
    return { of: scans, unknown };
  }

  return {
    async scansOf(target, manifests) {
      if (broken >= mostFailures) return undefined;
      if (manifests.length === 0) return { of: new Map(), unknown: new Set() };
      try {
        const scans = await read(target, manifests);
        broken = 0;
        return scans;
      } catch (error) {
        context.signal.throwIfAborted();
        context.degraded('findings', needing(permission, error));
        broken = concernsAll.has(reasonOf(error)) ? mostFailures : broken + 1;
        return undefined;
      }
    },
  };
}
