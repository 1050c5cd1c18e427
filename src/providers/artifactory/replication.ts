import pMap from 'p-map';
import { z } from 'zod';
import { json } from '../../http.ts';
import type { Replication } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, optional, text } from '../../wire.ts';
import { type Api, needing } from './api.ts';
import { secondsOf } from './aql.ts';
import type { Target } from './layout.ts';

export interface Copies {
  readonly replications: readonly Replication[];
  /** Keys of repositories that are copied somewhere. */
  readonly replicated: ReadonlySet<string>;
}

/** https://jfrog.com/help/r/jfrog-rest-apis/get-global-replications-configuration; passwords in it are not looked at. */
const replications = list(
  'replications',
  z.object({
    repoKey: text,
    enabled: optional('enabled', z.boolean()),
    replicationType: optional('replicationType', text),
    url: optional('url', z.string()),
  }),
);
const state = z.object({ status: optional('status', text), lastCompleted: optional('lastCompleted', text) });
/** https://jfrog.com/help/r/jfrog-rest-apis/scheduled-replication-status */
const replicationStatus = state.extend({
  targets: optional('targets', list('targets', state.extend({ url: optional('url', z.string()) }))),
});

/** Of the words for a status: whether the last run worked; undefined while none has ended. */
const worked: Readonly<Record<string, boolean | undefined>> = {
  ok: true,
  warn: true,
  error: false,
  failure: false,
  inconsistent: false,
  never_run: undefined,
  incomplete: undefined,
};

/** An address as it may be shown: without user, password and query. */
function placeOf(url: string | null | undefined): string {
  if (!url || !URL.canParse(url)) return '';
  const { host, pathname } = new URL(url);
  return `${host}${pathname.replace(/\/+$/, '')}`;
}

async function readReplications(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Copies | undefined> {
  const response = await api.request({
    path: 'artifactory/api/replications',
    operation: 'replications',
    // 404: none is configured. 400 and 405: an edition without replication.
    accept: [400, 404, 405],
  });
  if (response.status === 400 || response.status === 405) return undefined;
  const own = new Set(targets.map(({ key }) => key));
  const configured =
    response.status === 404
      ? []
      : json(response, replications).filter(({ repoKey, enabled }) => enabled !== false && own.has(repoKey));
  const keys = [...new Set(configured.map(({ repoKey }) => repoKey))];
  const upOf = (status: string | null | undefined): boolean | undefined => {
    if (status && !Object.hasOwn(worked, status))
      context.tell(
        `replication status ${status}`,
        { status },
        'Artifactory names a replication status that is not known here: taken as unknown',
      );
    return Object.hasOwn(worked, status ?? '') ? worked[status ?? ''] : undefined;
  };
  const of = (destination: string, { status, lastCompleted }: z.infer<typeof state>): Replication => {
    const up = upOf(status);
    const at = secondsOf(lastCompleted);
    return {
      destination,
      up,
      ...(up && at !== undefined && { lastSuccessAt: at }),
    };
  };
  const found = await pMap(
    keys,
    async (key) => {
      const answer = await api.request({
        path: `artifactory/api/replication/${encodeURIComponent(key)}`,
        operation: 'replication',
        accept: [400, 404, 405],
      });
      if (answer.status !== 200) return [];
      const parsed = json(answer, replicationStatus);
      const several = (parsed.targets ?? []).filter(({ url }) => placeOf(url) !== '');
      if (several.length > 0) return several.map((one) => of(`${key} to ${placeOf(one.url)}`, one));
      const [first] = configured.filter(({ repoKey }) => repoKey === key);
      const place = placeOf(first?.url);
      const pulls = first?.replicationType?.toUpperCase() === 'PULL';
      return [of(pulls || place === '' ? `${key} from its remote` : `${key} to ${place}`, parsed)];
    },
    { concurrency: context.concurrency },
  );
  // A pull replication copies the remote here, and not what is here elsewhere.
  const pushed = configured.filter(({ replicationType }) => replicationType?.toUpperCase() !== 'PULL');
  return { replications: found.flat(), replicated: new Set(pushed.map(({ repoKey }) => repoKey)) };
}

/** The first name is misspelt in the documentation's own answers. */
const mirror = z.object({
  localRepoKey: optional('localRepoKey', text),
  locallRepoKey: optional('locallRepoKey', text),
  remoteUrl: text,
  remoteRepoKey: text,
  lagInMS: optional('lagInMS', count),
});
/** https://jfrog.com/help/r/jfrog-rest-apis/get-federation-mirror-lag-time and …/get-unavailable-mirrors */
const mirrors = z.union([
  list('mirrors', mirror),
  z
    .object({ unavailableMirrors: list('unavailableMirrors', mirror) })
    .transform((whole) => whole.unavailableMirrors),
]);
/** https://jfrog.com/help/r/jfrog-rest-apis/get-federation-connection-details */
const connections = z.object({
  memberConnections: list(
    'memberConnections',
    z.object({
      localRepoKey: text,
      remoteRepoKey: text,
      remotePlatformUrl: text,
      status: optional('status', text),
      lagInMs: optional('lagInMs', count),
      disabled: optional('disabled', z.boolean()),
      supported: optional('supported', z.boolean()),
    }),
  ),
});

/** Everything that happened before so long ago has arrived: the time of the last copy that is complete. */
const arrived = (now: number, lagMs: number | null | undefined) =>
  typeof lagMs === 'number' ? { lastSuccessAt: Math.floor(now - lagMs / 1000) } : {};

async function readFederation(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Copies | undefined> {
  const federated = targets.filter(({ type }) => type === 'federated').map(({ key }) => key);
  if (federated.length === 0) return undefined;
  const now = context.now();
  const found = new Map<string, Replication>();
  const replicated = new Set<string>();
  const get = (what: string) =>
    api.request({
      path: `artifactory/api/federation/status/${what}`,
      operation: 'federation',
      accept: [400, 404, 405, 501],
    });
  // From 7.104.2 on a service of its own does it, which has neither of the two lists.
  const [lags, unavailable] = [await get('mirrorsLag'), await get('unavailableMirrors')];
  if (lags.status === 200 && unavailable.status === 200) {
    const down = new Set<string>();
    const nameOf = (one: z.infer<typeof mirror>, key: string) =>
      `${key} to ${placeOf(`${one.remoteUrl.replace(/\/+$/, '')}/${one.remoteRepoKey}`)}`;
    for (const one of json(unavailable, mirrors)) {
      const key = one.localRepoKey ?? one.locallRepoKey ?? '';
      if (!federated.includes(key)) continue;
      down.add(nameOf(one, key));
      found.set(nameOf(one, key), { destination: nameOf(one, key), up: false });
      replicated.add(key);
    }
    for (const one of json(lags, mirrors)) {
      const key = one.localRepoKey ?? one.locallRepoKey ?? '';
      if (!federated.includes(key)) continue;
      const destination = nameOf(one, key);
      replicated.add(key);
      found.set(destination, { destination, up: !down.has(destination), ...arrived(now, one.lagInMS) });
    }
    return { replications: [...found.values()], replicated };
  }
  for (const key of federated) {
    const answer = await get(`connectionStates/${encodeURIComponent(key)}`);
    if (answer.status !== 200) continue;
    for (const one of json(answer, connections).memberConnections) {
      if (one.localRepoKey !== key || one.supported === false || one.disabled) continue;
      const destination = `${key} to ${placeOf(`${one.remotePlatformUrl.replace(/\/+$/, '')}/${one.remoteRepoKey}`)}`;
      replicated.add(key);
      // DELAYED and HEALTHY carry events over; what is not one of those does not.
      const up =
        one.status === 'N/A' || !one.status ? undefined : ['HEALTHY', 'DELAYED'].includes(one.status);
      found.set(destination, { destination, up, ...arrived(now, one.lagInMs) });
    }
  }
  return { replications: [...found.values()], replicated };
}

/** Copies to elsewhere; undefined where they could not be read. */
export async function readCopies(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Copies | undefined> {
  try {
    const all = await Promise.all([
      readReplications(api, context, targets),
      readFederation(api, context, targets),
    ]);
    const known = all.filter((one) => one !== undefined);
    // Whether something is replicated is not known where neither way of it can be asked for.
    if (known.length === 0) context.absent('replication');
    return known.length === 0
      ? undefined
      : {
          replications: known.flatMap((one) => one.replications),
          replicated: new Set(known.flatMap((one) => [...one.replicated])),
        };
  } catch (error) {
    context.signal.throwIfAborted();
    context.degraded(
      'replication',
      needing("an administrator's token (scope applied-permissions/admin)", error),
    );
    return undefined;
  }
}
