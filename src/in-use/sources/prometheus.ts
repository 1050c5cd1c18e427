import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { json } from '../../http.ts';
import { endpointUrl, tlsFiles } from '../../options.ts';
import { readList } from '../json-elements.ts';
import { authHeaders, sourceAuth } from '../settings.ts';
import { defineSource } from '../source.ts';
import type { Containers, Counting } from '../tally.ts';

/**
 * Containers by image and place, of Prometheus or what speaks its API: Thanos, Mimir, VictoriaMetrics.
 * kube-state-metrics has a series for each container:
 * https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/pod-metrics.md
 * `max` first, since two replicas of it, or two Prometheus of a pair, tell of the same container. Pods that have ended
 * keep their series until they are deleted: those of jobs, and those that were evicted.
 */
const defaultQuery = (cluster: string): string => {
  const image = [cluster, 'namespace', 'image', 'image_spec', 'image_id'];
  const containers = `max by (${[...image, 'pod', 'container'].join(', ')}) ({__name__=~"kube_pod_(init_)?container_info"})`;
  const ended = `(kube_pod_status_phase{phase=~"Succeeded|Failed"} == 1)`;
  return `count by (${image.join(', ')}) (${containers} unless on (${cluster}, namespace, pod) ${ended})`;
};

/** https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries; some write null for what is not set. */
const answer = z.object({
  status: z.string(),
  error: z.string().nullish(),
  /** Thanos and Mimir answer a part of the series with a warning, where a store of theirs does not answer. */
  warnings: z.array(z.string()).nullish(),
  /** VictoriaMetrics: https://docs.victoriametrics.com/victoriametrics/cluster-victoriametrics/#cluster-availability */
  isPartial: z.boolean().nullish(),
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
function refusal(where: string, { error, warnings, isPartial }: z.output<typeof answer>): CollectError {
  const said = (error || warnings?.[0] || (isPartial ? 'isPartial' : 'no reason')).slice(0, 300);
  return warnings?.length || isPartial
    ? new CollectError('invalid_response', `${where} answered a part only: ${said}`)
    : new CollectError('invalid_response', `${where} refused the query: ${said}`);
}

/** The labels that count. A row may have a hundred others. */
function labelsOf(metric: object, clusterLabel: string): Omit<Containers, 'count'> | undefined {
  const label = (name: string): unknown => (metric as Readonly<Record<string, unknown>>)[name] ?? '';
  const labels = {
    imageId: label('image_id'),
    image: label('image_spec') || label('image'),
    cluster: label(clusterLabel),
    namespace: label('namespace'),
    workload: label('workload'),
  };
  const isText = Object.values(labels).every((value) => typeof value === 'string');
  return isText ? (labels as Omit<Containers, 'count'>) : undefined;
}

/** The containers of a row, without a schema: there may be 500,000 of them. @returns undefined for what is no row */
function containersOf(raw: unknown, clusterLabel: string): Containers | undefined {
  const { metric, value } = (raw ?? {}) as { readonly metric?: unknown; readonly value?: unknown };
  const text = Array.isArray(value) ? value[1] : undefined;
  const count = typeof text === 'string' && text !== '' ? Number(text) : Number.NaN;
  const isRow = typeof metric === 'object' && metric !== null && !Array.isArray(metric);
  if (!isRow || !Number.isSafeInteger(count) || count < 0) return undefined;
  const labels = labelsOf(metric, clusterLabel);
  return labels && { ...labels, count };
}

/** An answer, whose rows were counted as they arrived. */
interface Answered {
  readonly counted: Counting;
  /** Rows that are no number of containers. */
  readonly odd: number;
  /** What it says of itself. */
  readonly rest: unknown;
}

async function readAnswer(
  pieces: AsyncIterable<Buffer>,
  counted: Counting,
  clusterLabel: string,
  where: string,
): Promise<Answered> {
  let odd = 0;
  const rest = await readList(pieces, ['data', 'result'], where, (rows) => {
    const containers = rows.map((raw) => containersOf(raw, clusterLabel)).filter((row) => row !== undefined);
    odd += rows.length - containers.length;
    counted.add(containers);
  });
  return { counted, odd, rest };
}

/** @throws CollectError where it is no list of numbers of containers */
function check({ rest, odd }: Answered, where: string): void {
  const said = answer.safeParse(rest).data;
  if (said?.status === 'error' || said?.warnings?.length || said?.isPartial) throw refusal(where, said);
  if (said?.status !== 'success' || said.data?.resultType !== 'vector')
    throw new CollectError(
      'invalid_response',
      `${where} answered no list of series: check the address and the query`,
    );
  if (odd > 0)
    throw new CollectError(
      'invalid_response',
      `${where} answered rows that are no number of containers (${odd}): check the query`,
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
      async read({ http, count }) {
        let answered: Answered | undefined;
        const response = await http().request({
          method: 'POST',
          idempotent: true,
          url,
          operation: 'query',
          accept: [400, 422],
          async read(pieces) {
            answered = await readAnswer(pieces, count(), clusterLabel, where);
          },
          headers: async () => ({
            ...headers,
            'content-type': 'application/x-www-form-urlencoded',
            ...(await authHeaders(auth)),
          }),
          body: new URLSearchParams({ query: query ?? defaultQuery(clusterLabel) }).toString(),
        });
        if (!answered) throw refusal(where, json(response, answer));
        check(answered, where);
        return { counted: answered.counted };
      },
    };
  },
});
