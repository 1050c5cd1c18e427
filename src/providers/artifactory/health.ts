import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { expected, list, optional, text } from '../../wire.ts';
import type { Api } from './api.ts';

/** What it says of its own running. */
type Health = Pick<RegistryFacts, 'components' | 'version'>;

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
const states: Readonly<Record<string, boolean>> = { HEALTHY: true, UNHEALTHY_PEER: true, UNHEALTHY: false };
const nodeStates: Readonly<Record<string, boolean>> = {
  RUNNING: true,
  STARTING: false,
  STOPPING: false,
  OFFLINE: false,
  STOPPED: false,
  CONVERTING: false,
  UNAVAILABLE: false,
};

/**
 * Health of the services of the node that answers, of the nodes of a cluster, and the version. What a proxy hides or
 * an edition does not have is not there; what breaks is told.
 */
export async function readHealth(api: Api, context: CollectContext): Promise<Health> {
  let version: string | undefined;
  const found = new Map<string, boolean>();
  const add = (name: string, state: string, known: Readonly<Record<string, boolean>>): void => {
    const up = known[state];
    if (up !== undefined) found.set(name, up && found.get(name) !== false);
    else
      context.tell(
        `state ${state}`,
        { state },
        'JFrog names a state that is not known here: taken as unknown',
      );
  };
  const orNothing = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (context.signal.aborted) throw error;
      if (error instanceof CollectError && [401, 403, 404, 405].includes(error.status ?? 0))
        context.log.debug({ err: error }, `${what} is not shown here`);
      else context.degraded('health', error);
    }
  };
  await Promise.all([
    orNothing('the health of the services', async () => {
      const response = await api.request({
        path: 'router/api/v1/system/health',
        operation: 'health',
        // 503 is how it says that something is unhealthy.
        accept: [503],
        // It is for everybody, and need not know the credentials.
        anonymous: true,
      });
      const said = json(response, health);
      add('router', said.router.state, states);
      for (const { service_id, state } of said.services ?? []) {
        const [id = ''] = service_id.split('@');
        add(services[id] ?? id, state, states);
      }
    }),
    orNothing('the nodes of the cluster', async () => {
      const response = await api.request({
        path: 'artifactory/api/system/status',
        operation: 'nodes',
        accept: [400, 403, 404],
      });
      if (response.status !== 200) return;
      const nodes = json(response, cluster).nodes ?? [];
      if (nodes.length > 1) for (const { id, state } of nodes) add(`node/${id}`, state, nodeStates);
    }),
    orNothing('the answer to the ping', async () => {
      const response = await api.request({
        path: 'artifactory/api/system/ping',
        operation: 'ping',
        accept: [500, 503],
      });
      const ok = response.status === 200 && response.body.toString('utf8').trim() === 'OK';
      add('artifactory', ok ? 'HEALTHY' : 'UNHEALTHY', states);
    }),
    orNothing('the version', async () => {
      const response = await api.request({ path: 'artifactory/api/system/version', operation: 'version' });
      version = json(response, versionAnswer).version;
    }),
  ]);
  return {
    components: [...found].map(([component, up]) => ({ component, up })),
    version,
  };
}
