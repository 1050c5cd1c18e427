import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json, shown } from '../../http.ts';
import type { RegistryFacts } from '../../model.ts';
import { meaningOf, readPart } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { expected, list, optional, text } from '../../wire.ts';
import type { Api } from './api.ts';

/** https://jfrog.com/help/r/jfrog-rest-apis/version-and-add-ons-information */
const versionAnswer = z.object({ version: z.string().min(1) });

const part = z.object({ state: text });
/** https://jfrog.com/help/r/jfrog-rest-apis/health-check */
const health = z.object({
  router: part,
  services: expected('services', list('services', part.extend({ service_id: text }))),
});
/** https://github.com/jfrog/jfrog-client-go/blob/master/artifactory/services/system.go: nodes of a cluster. */
const cluster = z.object({
  nodes: optional('nodes', list('nodes', z.object({ id: text, state: text }))),
});

/** The first part of a service's id, `jfrt@01…`. https://jfrog.com/help/r/jfrog-platform-administration-documentation */
const services: Readonly<Record<string, string>> = {
  jfrt: 'artifactory',
  jfac: 'access',
  jfxr: 'xray',
  jfxana: 'xray_analysis',
  jfxidx: 'xray_indexer',
  jfxpst: 'xray_persist',
  jffe: 'frontend',
  jfmd: 'metadata',
  jfevt: 'event',
  jfob: 'observability',
  jfcon: 'jfconnect',
  jfds: 'distribution',
  jfrtfs: 'federation',
  jfint: 'integration',
  jfmc: 'mission_control',
  jfwks: 'worker',
  jfev: 'evidence',
  jfonem: 'onemodel',
};

/** UNHEALTHY_PEER: "Service is healthy; there is at least one unhealthy service". */
const serviceStates = { healthy: true, unhealthy_peer: true, unhealthy: false };
const nodeStates = {
  running: true,
  starting: false,
  stopping: false,
  offline: false,
  stopped: false,
  converting: false,
  unavailable: false,
};

/** What a proxy hides or an edition does not have is no failure. */
const isHidden = (error: unknown): boolean =>
  error instanceof CollectError && [401, 403, 404, 405].includes(error.status ?? 0);

/** Health of the services of the node that answers and of the nodes of a cluster, and the version. */
export async function readHealth(
  api: Api,
  context: CollectContext,
): Promise<Pick<RegistryFacts, 'components' | 'version'>> {
  const components = new Map<string, boolean>();
  const add = (name: string, state: string, states: Readonly<Record<string, boolean>>): void => {
    const up = meaningOf(context, 'the state of a service or node', states, state);
    if (up !== undefined) components.set(name, up && components.get(name) !== false);
  };

  async function readServices(): Promise<void> {
    const { router, services: all = [] } = json(
      await api.request({
        path: 'router/api/v1/system/health',
        operation: 'health',
        // 503 is how it says that something is unhealthy.
        accept: [503],
        // It is for everybody, and need not know the credentials.
        anonymous: true,
      }),
      health,
    );
    add('router', router.state, serviceStates);
    for (const { service_id, state } of all) {
      const [id = ''] = service_id.split('@');
      add(services[id] ?? id, state, serviceStates);
    }
  }
  async function readNodes(): Promise<void> {
    const path = 'artifactory/api/system/status';
    const { nodes = [] } =
      (await api.read({ path, operation: 'nodes', accept: [400, 403, 404] }, cluster)) ?? {};
    if (nodes.length > 1) for (const { id, state } of nodes) add(`node/${id}`, state, nodeStates);
  }
  async function ping(): Promise<void> {
    const path = 'artifactory/api/system/ping';
    const { status, body, url } = await api.request({ path, operation: 'ping', accept: [500, 503] });
    // A page for people, such as one to sign in, tells nothing of Artifactory.
    if (status === 200 && body.toString('utf8').trim() !== 'OK')
      throw new CollectError(
        'invalid_response',
        `${shown(url)} answered 200 without OK: a proxy may have answered`,
      );
    add('artifactory', status === 200 ? 'HEALTHY' : 'UNHEALTHY', serviceStates);
  }
  const readVersion = () =>
    api.read({ path: 'artifactory/api/system/version', operation: 'version' }, versionAnswer);

  const read = <T>(work: () => Promise<T>) =>
    readPart(context, { capability: 'health', permission: 'none' }, work, isHidden);
  const [answer] = await Promise.all([read(readVersion), read(readServices), read(readNodes), read(ping)]);
  return {
    components: [...components].map(([component, up]) => ({ component, up })),
    version: answer?.version,
  };
}
