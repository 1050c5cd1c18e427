import pMap from 'p-map';
import { z } from 'zod';
import { json } from '../../http.ts';
import type { Replication } from '../../model.ts';
import { meaningOf, readPart } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { secondsOf } from '../../times.ts';
import { list, optional, text } from '../../wire.ts';
import { type Api, administrator } from './api.ts';
import { type Copies, shownAddress, type Way } from './copies.ts';
import { readFederation } from './federation.ts';
import type { Target } from './layout.ts';

/** https://jfrog.com/help/r/jfrog-rest-apis/get-global-replications-configuration; passwords in it are not looked at. */
const configurations = list(
  'replications',
  z.object({
    repoKey: text,
    enabled: optional('enabled', z.boolean()),
    replicationType: optional('replicationType', text),
    url: optional('url', z.string()),
  }),
);
type Configuration = z.infer<typeof configurations>[number];

const state = z.object({ status: optional('status', text), lastCompleted: optional('lastCompleted', text) });
/** https://jfrog.com/help/r/jfrog-rest-apis/scheduled-replication-status */
const replicationStatus = state.extend({
  targets: optional('targets', list('targets', state.extend({ url: optional('url', z.string()) }))),
});

/** Whether the last run worked; undefined while none has ended. */
const statuses: Readonly<Record<string, boolean | undefined>> = {
  ok: true,
  warn: true,
  error: false,
  failure: false,
  inconsistent: false,
  never_run: undefined,
  incomplete: undefined,
};

const part = { capability: 'replication', permission: administrator } as const;

/** A pull replication copies the remote here, and not what is here elsewhere. */
const isPull = ({ replicationType }: Configuration): boolean => replicationType?.toUpperCase() === 'PULL';

async function readReplications(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Way | undefined> {
  const response = await api.request({
    path: 'artifactory/api/replications',
    operation: 'replications',
    // 404: none is configured. 400 and 405: an edition without replication.
    accept: [400, 404, 405],
  });
  if (response.status === 400 || response.status === 405) return undefined;
  const keys = new Set(targets.map(({ key }) => key));
  const all = response.status === 404 ? [] : json(response, configurations);
  const enabled = all.filter(({ repoKey, enabled }) => enabled !== false && keys.has(repoKey));
  const byKey = Map.groupBy(enabled, ({ repoKey }) => repoKey);
  const replications = await pMap(
    byKey.values(),
    // One that cannot be read leaves the others.
    ([first]) => readPart(context, part, () => runsOf(api, context, first as Configuration)),
    { concurrency: context.concurrency },
  );
  const pushed = enabled.filter((replication) => !isPull(replication)).map(({ repoKey }) => repoKey);
  return { replications: replications.flatMap((runs) => runs ?? []), replicated: new Set(pushed) };
}

/** The state of the replications of a repository: one, or one for each target. */
async function runsOf(api: Api, context: CollectContext, first: Configuration): Promise<Replication[]> {
  const { repoKey: key } = first;
  const path = `artifactory/api/replication/${encodeURIComponent(key)}`;
  const answer = await api.read(
    { path, operation: 'replication', accept: [400, 404, 405] },
    replicationStatus,
  );
  if (!answer) return [];
  const runOf = (destination: string, { status, lastCompleted }: z.infer<typeof state>): Replication => {
    const up = meaningOf(context, 'the status of a replication', statuses, status);
    const lastSuccessAt = up ? secondsOf(lastCompleted) : undefined;
    if (up && lastSuccessAt === undefined)
      context.tell(
        `end of ${destination}`,
        { destination },
        'Artifactory does not say when a replication that worked ended',
      );
    return { destination, up, lastSuccessAt };
  };
  const several = (answer.targets ?? []).filter(({ url }) => shownAddress(url) !== '');
  if (several.length > 0)
    return several.map((target) => runOf(`${key} to ${shownAddress(target.url)}`, target));
  const address = isPull(first) ? '' : shownAddress(first.url);
  return [runOf(address === '' ? `${key} from its remote` : `${key} to ${address}`, answer)];
}

/** Copies to elsewhere, by two ways of which each may fail alone; undefined where neither could be read. */
export async function readCopies(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Copies | undefined> {
  const ways = await Promise.all(
    [readReplications, readFederation].map(
      async (read) =>
        (await readPart(context, part, async () => ({ way: await read(api, context, targets) }))) ?? 'failed',
    ),
  );
  const read = ways.flatMap((one) => (one === 'failed' ? [] : (one.way ?? [])));
  const isWhole = !ways.includes('failed');
  if (read.length === 0) {
    // Whether something is replicated is unknown where neither way of it can be asked for.
    if (isWhole) context.absent('replication');
    return undefined;
  }
  const copied = new Set(read.flatMap(({ replicated }) => [...replicated]));
  return {
    replications: read.flatMap(({ replications }) => replications),
    isReplicated: (key) => copied.has(key) || (isWhole ? false : undefined),
  };
}
