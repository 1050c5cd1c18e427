import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { HttpClient } from '../../http.ts';
import { endpointUrl, tlsFiles } from '../../options.ts';
import { fileSecret } from '../../secret.ts';
import { createYielder } from '../../yielding.ts';
import { readList } from '../json-elements.ts';
import { authHeaders, type SourceAuth, sourceAuth } from '../settings.ts';
import { defineSource } from '../source.ts';
import type { Containers } from '../tally.ts';
import { type ClusterAccess, readKubeconfig } from './kubeconfig.ts';

/** Where Kubernetes puts what a pod needs: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
const mounted = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Pods of one answer, as client-go pages: https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks */
const pageSize = 500;
/** A listing that begins anew so often does not end. */
const beginnings = 3;
const pagesAtMost = 2_000;

const options = z.strictObject({
  address: endpointUrl
    .describe('Address of the API server (default: that of the cluster which the exporter runs in)')
    .optional(),
  kubeconfigFile: z
    .string()
    .min(1)
    .describe('kubeconfig with address, certificates and token instead; read again each time')
    .optional(),
  context: z.string().min(1).describe('Its context (default: the current one)').optional(),
  tls: tlsFiles.optional(),
  auth: sourceAuth.describe('Who asks (default: the token of the service account)').optional(),
  cluster: z
    .string()
    .min(1)
    .max(253)
    .describe('Name of the cluster, for the label workload_cluster')
    .optional(),
  namespaces: z
    .array(z.string().regex(/^[a-z0-9-]{1,63}$/, 'is no name of a namespace'))
    .min(1)
    .describe('Only these namespaces, for a Role in each instead of a ClusterRole (default: all)')
    .optional(),
});

const status = z.object({ image: z.string().default(''), imageID: z.string().default('') });
/**
 * Only what is needed of a pod. A container that has not started has an empty `imageID`.
 * https://github.com/kubernetes/api/blob/master/core/v1/types.go (`PodStatus`)
 */
const pod = z.object({
  metadata: z.object({
    namespace: z.string().default(''),
    // Names of workloads that are odd cost no container.
    labels: z.record(z.string(), z.unknown()).nullish().catch(null),
    ownerReferences: z
      .array(z.object({ kind: z.string(), name: z.string(), controller: z.boolean().nullish() }))
      .nullish()
      .catch(null),
  }),
  status: z
    .object({
      phase: z.string().optional(),
      containerStatuses: z.array(status).nullish(),
      initContainerStatuses: z.array(status).nullish(),
      ephemeralContainerStatuses: z.array(status).nullish(),
    })
    .optional(),
});
const page = z.object({
  kind: z.string(),
  metadata: z.object({ continue: z.string().optional() }).optional(),
});

/**
 * What people made so that there is a pod: a Deployment names its ReplicaSets with the hash that their pods have as a
 * label, a CronJob its Jobs with the minute.
 * https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label,
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/cronjob/utils.go (`getJobName`)
 */
function workloadOf({ labels, ownerReferences }: z.output<typeof pod>['metadata']): string {
  const owner = ownerReferences?.find(({ controller }) => controller === true);
  if (!owner) return '';
  if (owner.kind === 'Job') return owner.name.replace(/-\d{8,10}$/, '');
  const hash = owner.kind === 'ReplicaSet' ? labels?.['pod-template-hash'] : undefined;
  const ending = `-${hash}`;
  return typeof hash === 'string' && owner.name.endsWith(ending)
    ? owner.name.slice(0, -ending.length)
    : owner.name;
}

/** The containers of a pod that has not ended. */
function containersOf(raw: unknown, cluster: string, where: string): Containers[] {
  const read = pod.safeParse(raw);
  if (!read.success)
    throw new CollectError(
      'invalid_response',
      `${where} answered a pod that cannot be understood: ${read.error.issues[0]?.path.join('.')}`,
    );
  const { metadata, status: now } = read.data;
  if (now?.phase === 'Succeeded' || now?.phase === 'Failed') return [];
  const statuses = [
    ...(now?.containerStatuses ?? []),
    ...(now?.initContainerStatuses ?? []),
    ...(now?.ephemeralContainerStatuses ?? []),
  ];
  const place = { cluster, namespace: metadata.namespace, workload: workloadOf(metadata) };
  return statuses
    .filter(({ imageID }) => imageID !== '')
    .map(({ image, imageID }) => ({ imageId: imageID, image, ...place, count: 1 }));
}

type Access = Pick<z.output<typeof options>, 'address' | 'auth' | 'kubeconfigFile' | 'context'>;

/** How the API server is reached: as a kubeconfig says, as the options say, or that of the cluster around the exporter. */
async function accessOf({ address, auth, kubeconfigFile, context }: Access): Promise<ClusterAccess> {
  if (kubeconfigFile !== undefined) return readKubeconfig(kubeconfigFile, context);
  // The token of this cluster is shown to no other.
  if (address) return { base: address.href.replace(/\/+$/, ''), auth: auth ?? {}, pem: {} };
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = process.env;
  if (!host)
    throw new CollectError(
      'configuration',
      'the exporter does not run in a cluster (KUBERNETES_SERVICE_HOST is not set): give a kubeconfigFile, or the address of the API server',
    );
  return {
    base: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    auth: auth ?? { token: fileSecret(`${mounted}/token`, { setting: 'auth.tokenFile' }) },
    pem: {},
  };
}

/** A page of pods: their containers, and the token of the next page. */
interface Page {
  readonly containers: readonly Containers[];
  readonly next: string;
}

/** Where pods are listed, by whom, and the cluster's name. */
interface Listing {
  readonly http: HttpClient;
  readonly base: string;
  readonly auth: SourceAuth;
  readonly cluster: string;
}

/** @returns undefined where the continue token is too old, as 410 says @throws CollectError */
async function readPage({ http, base, auth, cluster }: Listing, token: string): Promise<Page | undefined> {
  const url = new URL(base);
  url.searchParams.set('limit', String(pageSize));
  if (token !== '') url.searchParams.set('continue', token);
  let containers: Containers[] = [];
  let rest: unknown;
  const response = await http.request({
    url,
    operation: 'pods',
    accept: [410],
    // Read at each request: Kubernetes replaces the token from time to time, and may revoke it between two pages.
    headers: () => authHeaders(auth),
    async read(pieces) {
      containers = [];
      rest = await readList(pieces, ['items'], base, (pods) => {
        for (const raw of pods) containers.push(...containersOf(raw, cluster, base));
      });
    },
  });
  if (response.status === 410) return undefined;
  const said = page.safeParse(rest).data;
  if (said?.kind !== 'PodList')
    throw new CollectError('invalid_response', `${base} answered no list of pods`);
  return { containers, next: said.metadata?.continue ?? '' };
}

/** All containers of a listing, page by page; what was read before it began anew does not count. @throws CollectError */
async function readAll(listing: Listing): Promise<Page['containers'][]> {
  const { base } = listing;
  let read: Page['containers'][] = [];
  let token = '';
  let begun = 1;
  for (let pages = 0; pages < pagesAtMost; pages += 1) {
    const answered = await readPage(listing, token);
    if (!answered) {
      if (begun++ >= beginnings) throw expired(base);
      token = '';
      read = [];
      continue;
    }
    read.push(answered.containers);
    if (answered.next === '') return read;
    if (answered.next === token)
      throw new CollectError('invalid_response', `${base} answered the same page again`);
    token = answered.next;
  }
  throw new CollectError('too_large', `${base} answered more than ${pagesAtMost} pages of pods`);
}

const expired = (base: string): CollectError =>
  new CollectError(
    'invalid_response',
    `${base} expired the listing of pods ${beginnings} times before its end`,
  );

/** Pods of the cluster that the exporter runs in, for those without kube-state-metrics. It may `list` pods, no more. */
export const kubernetes = defineSource({
  type: 'kubernetes',
  options,
  staleAfterMs: 300_000,
  open: ({ cluster = '', namespaces, ...access }) => ({
    // The certificate of an API server is signed by its cluster.
    caFile: access.address || access.kubeconfigFile ? undefined : `${mounted}/ca.crt`,
    async read({ http, count }) {
      const { base, auth, pem } = await accessOf(access);
      const client = http(pem);
      const paths = namespaces?.map((namespace) => `/api/v1/namespaces/${namespace}/pods`) ?? [
        '/api/v1/pods',
      ];
      const counted = count();
      const pause = createYielder();
      for (const path of paths)
        for (const rows of await readAll({ http: client, base: `${base}${path}`, auth, cluster })) {
          counted.add(rows);
          await pause();
        }
      return { counted };
    },
  }),
});
