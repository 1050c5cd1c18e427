import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A container as a pod's status has it. */
export interface PodContainer {
  readonly image: string;
  readonly imageID: string;
}

export interface Pod {
  readonly namespace: string;
  readonly phase?: string;
  /** The controller that made it. */
  readonly owner?: { readonly kind: string; readonly name: string };
  /** Label of pods of a Deployment. */
  readonly hash?: string;
  readonly containers?: readonly PodContainer[];
  readonly init?: readonly PodContainer[];
  readonly ephemeral?: readonly PodContainer[];
}

/**
 * The API server, as far as pods are listed: pages with a continue token that expires, RBAC, and bearer tokens that are
 * revoked. https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks,
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#list-list-or-watch-objects-of-kind-pod
 */
export async function startKubernetes(pods: Pod[]) {
  const requests: string[] = [];
  const state = {
    /** Tokens that may list. */
    tokens: new Set(['service-account-token']),
    /** Called before a page is answered. */
    before: (_page: number): void => {},
    /** The next listing with a continue token is refused as expired. */
    expired: 0,
    /** Answers this instead of a list. */
    answer: undefined as { readonly status: number; readonly body: string } | undefined,
  };
  const status = (code: number, reason: string, message: string) =>
    JSON.stringify({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      code,
    });
  const statuses = (containers: readonly PodContainer[] | undefined) =>
    containers?.map(({ image, imageID }) => ({
      name: 'main',
      ready: true,
      restartCount: 0,
      image,
      imageID,
      started: true,
    }));
  const toPod = (pod: Pod, at: number) => ({
    metadata: {
      name: `pod-${at}`,
      namespace: pod.namespace,
      uid: String(at),
      ...(pod.hash !== undefined && { labels: { app: 'x', 'pod-template-hash': pod.hash } }),
      ...(pod.owner && {
        ownerReferences: [
          { apiVersion: 'apps/v1', uid: 'u', ...pod.owner, controller: true, blockOwnerDeletion: true },
        ],
      }),
      managedFields: [{ manager: 'kubelet' }],
    },
    spec: { containers: (pod.containers ?? []).map(({ image }) => ({ name: 'main', image })) },
    status: {
      phase: pod.phase ?? 'Running',
      containerStatuses: statuses(pod.containers),
      initContainerStatuses: statuses(pod.init),
      ephemeralContainerStatuses: statuses(pod.ephemeral),
    },
  });

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://kubernetes');
    requests.push(`${request.method} ${url.pathname}${url.search}`);
    const send = (code: number, body: string) => {
      response.writeHead(code, { 'content-type': 'application/json' });
      response.end(body);
    };
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const [, namespace] = /^\/api\/v1\/(?:namespaces\/([^/]+)\/)?pods$/.exec(url.pathname) ?? [];
    const from = Number(url.searchParams.get('continue')?.replace('page-', '') ?? 0);
    const limit = Number(url.searchParams.get('limit') ?? 1e9);
    state.before(from / limit);
    if (state.answer) return send(state.answer.status, state.answer.body);
    if (!state.tokens.has(token)) return send(401, status(401, 'Unauthorized', 'Unauthorized'));
    if (from > 0 && state.expired > 0) {
      state.expired -= 1;
      return send(410, status(410, 'Expired', 'The provided continue parameter is too old'));
    }
    const all = pods.filter((pod) => namespace === undefined || pod.namespace === namespace);
    const next = from + limit < all.length ? `page-${from + limit}` : undefined;
    send(
      200,
      JSON.stringify({
        kind: 'PodList',
        apiVersion: 'v1',
        metadata: {
          resourceVersion: '1',
          ...(next && { continue: next, remainingItemCount: all.length - from - limit }),
        },
        items: all.slice(from, from + limit).map((pod, at) => toPod(pod, from + at)),
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${port}`,
    pods,
    requests,
    state,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
