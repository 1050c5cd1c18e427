import { z } from 'zod';
import type { Replication } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, optional, text } from '../../wire.ts';
import type { Api } from './api.ts';
import { shownAddress, type Way } from './copies.ts';
import type { Target } from './layout.ts';

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

/** A member of a federation that a repository is copied to. */
interface Member {
  readonly key: string;
  readonly url: string;
  readonly remoteKey: string;
  readonly up: boolean | undefined;
  readonly lagMs?: number | undefined;
}

/** DELAYED and HEALTHY carry events over; what is not one of those does not. */
const carriesOver = (status: string | undefined): boolean | undefined =>
  status === 'N/A' || !status ? undefined : ['HEALTHY', 'DELAYED'].includes(status);

const accept = [400, 404, 405, 501];

/** Members by two lists of all repositories; undefined where a service of its own does it, from 7.104.2 on. */
async function readMirrors(api: Api): Promise<Member[] | undefined> {
  const read = (what: string) =>
    api.read({ path: `artifactory/api/federation/status/${what}`, operation: 'federation', accept }, mirrors);
  const [lags, unavailable] = [await read('mirrorsLag'), await read('unavailableMirrors')];
  if (!lags || !unavailable) return undefined;
  const memberOf = (entry: z.infer<typeof mirror>, up: boolean, lagMs?: number): Member => ({
    key: entry.localRepoKey ?? entry.locallRepoKey ?? '',
    url: entry.remoteUrl,
    remoteKey: entry.remoteRepoKey,
    up,
    lagMs,
  });
  // A mirror that is in both lists is down.
  return [
    ...lags.map((entry) => memberOf(entry, true, entry.lagInMS)),
    ...unavailable.map((entry) => memberOf(entry, false)),
  ];
}

async function readConnections(api: Api, key: string): Promise<Member[]> {
  const path = `artifactory/api/federation/status/connectionStates/${encodeURIComponent(key)}`;
  const answer = await api.read({ path, operation: 'federation', accept }, connections);
  return (answer?.memberConnections ?? [])
    .filter((entry) => entry.localRepoKey === key && entry.supported !== false && !entry.disabled)
    .map(({ remotePlatformUrl: url, remoteRepoKey: remoteKey, status, lagInMs: lagMs }) => ({
      key,
      url,
      remoteKey,
      up: carriesOver(status),
      lagMs,
    }));
}

/** Copies of federated repositories. */
export async function readFederation(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Way | undefined> {
  const federated = targets.filter(({ type }) => type === 'federated').map(({ key }) => key);
  if (federated.length === 0) return undefined;
  let members = await readMirrors(api);
  if (!members) {
    members = [];
    for (const key of federated) members.push(...(await readConnections(api, key)));
  }
  const replications = new Map<string, Replication>();
  const replicated = new Set<string>();
  for (const { key, url, remoteKey, up, lagMs } of members) {
    if (!federated.includes(key)) continue;
    replicated.add(key);
    const destination = `${key} to ${shownAddress(`${url.replace(/\/+$/, '')}/${remoteKey}`)}`;
    // Everything that happened before the lag has arrived: the time of the last copy that is complete.
    const lastSuccessAt = lagMs === undefined ? undefined : Math.floor(context.now() - lagMs / 1000);
    const before = replications.get(destination);
    replications.set(destination, { destination, up, lastSuccessAt: lastSuccessAt ?? before?.lastSuccessAt });
  }
  return { replications: [...replications.values()], replicated };
}
