import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import { endpointUrl, tlsFiles } from '../../options.ts';
import { splitList } from '../json-elements.ts';
import { authHeaders, sourceAuth } from '../settings.ts';
import { type Containers, defineSource } from '../source.ts';

/**
 * Containers by image and place, of Prometheus or what speaks its API: Thanos, Mimir, VictoriaMetrics.
 * kube-state-metrics has a series for each container:
 * https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md
 * `max` first, since two replicas of it, or two Prometheus of a pair, tell of the same container.
 */
const defaultQuery = (cluster: string): string => {
  const image = [cluster, 'namespace', 'image', 'image_spec', 'image_id'];
  const container = [...image, 'pod', 'container'].join(', ');
  return `count by (${image.join(', ')}) (max by (${container}) ({__name__=~"kube_pod_(init_)?container_info"}))`;
};

/** https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries */
const answer = z.object({
  status: z.string(),
  error: z.string().optional(),
  /** Thanos and Mimir answer a part of the series with a warning, where a store of theirs does not answer. */
  warnings: z.array(z.string()).optional(),
  data: z.object({ resultType: z.string() }).optional(),
});

const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

const options = z.strictObject({
  address: endpointUrl.describe(
    'Address of Prometheus, Thanos, Mimir or VictoriaMetrics, with its path where it has one',
  ),
  tls: tlsFiles.optional(),
  auth: sourceAuth.describe('Who asks').optional(),
  headers: z
    .record(z.string().regex(/^[A-Za-z0-9-]+$/, 'is no name of a header'), z.string().max(1000))
    .describe('Headers of each query, such as X-Scope-OrgID for Mimir')
    .optional(),
  query: z
    .string()
    .min(1)
    .max(10_000)
    .describe(
      'What is asked instead of the default: rows with image_id, image, namespace and workload, and how many containers they are for',
    )
    .optional(),
  clusterLabel: z
    .string()
    .regex(labelName, 'is no name of a label')
    .describe('Label that tells clusters apart (default cluster)')
    .optional(),
});

/** The reason of an error that the API answers, which comes with status 400, 422 or 503. */
function refusal(where: string, { error, warnings }: z.output<typeof answer>): CollectError {
  const said = (error ?? warnings?.[0] ?? 'no reason').slice(0, 300);
  return warnings?.length
    ? new CollectError('invalid_response', `${where} answered a part only: ${said}`)
    : new CollectError('invalid_response', `${where} refused the query: ${said}`);
}

/** A label of a row; `''` where it has none. @throws CollectError where it is no text */
function labelOf(metric: Readonly<Record<string, unknown>>, name: string, where: string): string {
  const value = metric[name];
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  throw noRow(where);
}

const noRow = (where: string): CollectError =>
  new CollectError('invalid_response', `${where} answered a row that is no number of containers`);

/** The containers of a row, without a schema: there may be 500,000 of them. @throws CollectError for what is no row */
function containersOf(raw: unknown, clusterLabel: string, where: string): Containers {
  const { metric, value } = (raw ?? {}) as { readonly metric?: unknown; readonly value?: unknown };
  const text = Array.isArray(value) ? value[1] : undefined;
  const count = typeof text === 'string' && text !== '' ? Number(text) : Number.NaN;
  if (
    typeof metric !== 'object' ||
    metric === null ||
    Array.isArray(metric) ||
    !Number.isSafeInteger(count) ||
    count < 0
  )
    throw noRow(where);
  const label = (name: string) => labelOf(metric as Readonly<Record<string, unknown>>, name, where);
  return {
    imageId: label('image_id'),
    image: label('image_spec') || label('image'),
    cluster: label(clusterLabel),
    namespace: label('namespace'),
    workload: label('workload'),
    count,
  };
}

/** What the answer says of itself. @throws CollectError where it is no list of rows */
function checked(rest: unknown, where: string): void {
  const said = answer.safeParse(rest).data;
  if (said?.status === 'error' || said?.warnings?.length) throw refusal(where, said);
  if (said?.status !== 'success' || said.data?.resultType !== 'vector')
    throw new CollectError(
      'invalid_response',
      `${where} answered no list of series: check the address and the query`,
    );
}

export const prometheus = defineSource({
  type: 'prometheus',
  options,
  staleAfterMs: 300_000,
  open: ({ address, auth, headers, query, clusterLabel = 'cluster' }) => {
    const url = new URL(`${address.pathname.replace(/\/+$/, '')}/api/v1/query`, address);
    const where = `${url.origin}${url.pathname}`;
    return {
      async read({ http }) {
        const response = await http().request({
          method: 'POST',
          idempotent: true,
          url,
          operation: 'query',
          raw: true,
          accept: [400, 422],
          headers: async () => ({
            ...headers,
            'content-type': 'application/x-www-form-urlencoded',
            ...(await authHeaders(auth)),
          }),
          body: new URLSearchParams({ query: query ?? defaultQuery(clusterLabel) }).toString(),
        });
        if (response.status !== 200) throw refusal(where, json(response, answer));
        const { rest, elements } = await splitList(response.body, ['data', 'result'], where);
        checked(rest, where);
        return {
          containers: (async function* () {
            for await (const rows of elements())
              yield rows.map((raw) => containersOf(raw, clusterLabel, where));
          })(),
        };
      },
    };
  },
});
