import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { pushMethods, reasonOfCode } from '../../events/artifact-registry-audit.ts';
import type { PushEvent } from '../../events/push-event.ts';
import { walkPages } from '../../http/pages.ts';
import { json } from '../../http.ts';
import type { CollectContext, EventBatch, EventSource } from '../../provider.ts';
import { createGivenBefore, type GivenBefore, spanOf } from '../../reading-span.ts';
import { reasonOfPush } from '../../registry-metrics.ts';
import { list, text } from '../../wire.ts';
import type { Location } from './api.ts';
import { type CredentialOptions, openCredentials } from './credentials.ts';
import { statusNames } from './errors.ts';
import { createTransport, service } from './transport.ts';

/** What of the options this source needs. */
export interface RequestCountSettings extends CredentialOptions {
  readonly pushEvents?:
    | { readonly metrics?: boolean | undefined; readonly interval?: number | undefined }
    | undefined;
  readonly monitoringEndpoint?: URL | undefined;
}

const usualIntervalMs = 60_000;
/** A minute is there four minutes after it at the latest, as the list of metrics says. */
const lateSeconds = 15 * 60;
/** Of one minute; what is more is no number of pushes. */
const failuresAtMost = 10_000;
/** Of one answer: a point has about 500 bytes. */
const pointsAtOnce = 5_000;

/** https://cloud.google.com/monitoring/api/metrics_gcp_a_b#gcp-artifactregistry */
const metric = 'artifactregistry.googleapis.com/repository/request_count';
const resource = 'artifactregistry.googleapis.com/Repository';
const statusLabel = 'response_code';

const labels = z.record(z.string().max(100), z.string().max(1_000));
/** https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TimeSeries; numbers of 64 bits are text. */
const series = z.object({
  metric: z.object({ labels: labels.default({}) }),
  resource: z.object({ labels: labels.default({}) }),
  points: list(
    'points',
    z.object({
      interval: z.object({
        startTime: z.iso.datetime({ offset: true }).optional(),
        endTime: z.iso.datetime({ offset: true }),
      }),
      value: z.object({
        int64Value: z
          .string()
          .regex(/^\d{1,15}$/)
          .optional(),
      }),
    }),
  ).default([]),
});
type Series = z.output<typeof series>;
/** Of one minute. */
interface Failures {
  readonly events: readonly PushEvent[];
  readonly newestAt: number;
}
/** https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list */
const answer = z.object({
  timeSeries: list('timeSeries', series).default([]),
  nextPageToken: text.optional(),
  /** What is missing of the answer. */
  executionErrors: z.array(z.object({ message: z.string().max(1_000).optional() })).default([]),
});

const codes = new Map<string, number>(statusNames.map((name, code) => [name, code]));

/**
 * What a status means for a push, whether it is one of HTTP or one of gRPC, by name or by number; undefined where the
 * push did not fail.
 * @returns 'odd' where it is none of these
 */
function reasonOf(status: string): string | undefined {
  if (/^[1-5]\d\d$/.test(status)) return reasonOfPush(status);
  const code = codes.get(status) ?? (/^(\d|1[0-6])$/.test(status) ? Number(status) : undefined);
  return code === undefined ? 'odd' : reasonOfCode(code);
}

/** What stands in the way of counting some of the requests, by what is wrong with their status. */
type Oddities = Set<string>;

/** Failed requests, as events of no repository: the metric names no image. */
function failuresOf(
  { metric: { labels: told }, resource: { labels: at }, points }: Series,
  { from, oddities }: { readonly from: number; readonly oddities: Oddities },
): Failures[] {
  const code = told[statusLabel];
  const reason = code === undefined ? 'odd' : reasonOf(code);
  if (reason === 'odd')
    oddities.add(
      code === undefined
        ? `without the label ${statusLabel}`
        : `with the ${statusLabel} ${JSON.stringify(code)}, which is no status of HTTP or gRPC`,
    );
  if (reason === undefined || reason === 'odd') return [];
  return points.flatMap(({ interval: { startTime, endTime }, value: { int64Value = '0' } }) => {
    const begins = Date.parse(startTime ?? endTime) / 1000;
    const count = Math.min(failuresAtMost, Number(int64Value));
    if (begins < from || count === 0) return [];
    const name = JSON.stringify([endTime, at['repository_id'], ...Object.entries(told).sort()]);
    const events = Array.from(
      { length: count },
      (_, number): PushEvent => ({ id: `${name} ${number}`, type: 'failed', repository: '', reason }),
    );
    return [{ events, newestAt: Date.parse(endTime) / 1000 }];
  });
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** Asks for the write requests of a location that pushes make. */
function readSeries(
  settings: RequestCountSettings,
  { context, at }: { readonly context: CollectContext; readonly at: Location },
  span: { readonly from: number; readonly to: number },
): AsyncGenerator<readonly Series[]> {
  const http = context.http();
  const transport = createTransport({ credentials: openCredentials(settings, context, http), http, context });
  const monitoring = service(settings.monitoringEndpoint ?? new URL('https://monitoring.googleapis.com'));
  const filter = [
    `metric.type = "${metric}"`,
    `resource.type = "${resource}"`,
    `resource.labels.location = "${at.location}"`,
    `metric.labels.method = one_of(${pushMethods.map((method) => `"${method}"`).join(', ')})`,
  ].join(' AND ');
  return walkPages({
    what: 'ListTimeSeries',
    first: '',
    async read(pageToken) {
      const response = await transport.get(
        'ListTimeSeries',
        monitoring,
        `/v3/projects/${at.project}/timeSeries`,
        {
          filter,
          'interval.startTime': iso(span.from),
          'interval.endTime': iso(span.to),
          pageSize: String(pointsAtOnce),
          ...(pageToken && { pageToken }),
        },
      );
      const { timeSeries, nextPageToken, executionErrors } = json(response, answer);
      const [error] = executionErrors;
      if (error)
        throw new CollectError(
          'partial',
          `Cloud Monitoring answered a part of ${metric}: ${error.message ?? 'no reason given'}`,
        );
      return { items: timeSeries, next: nextPageToken };
    },
  });
}

/** What was not given before. */
function batchOf({ events, newestAt }: Failures, before: GivenBefore): EventBatch {
  const fresh = events.filter(({ id }) => !before.has(id));
  return { events: fresh, newestAt, done: async () => before.add(fresh.map(({ id }) => id)) };
}

/** Failed pushes of a project and location as a whole, as Cloud Monitoring counts requests. It needs no set-up. */
export function requestCountSource(settings: RequestCountSettings, at: Location): readonly EventSource[] {
  const { metrics, interval } = settings.pushEvents ?? {};
  if (!metrics) return [];
  return [
    {
      name: 'cloud-monitoring',
      everyMs: interval ?? usualIntervalMs,
      async *read(context, since) {
        const before = context.session.keep('requests counted', createGivenBefore);
        const span = spanOf(context, { name: 'cloud-monitoring', since, lateSeconds });
        const oddities: Oddities = new Set();
        for await (const page of readSeries(settings, { context, at }, span))
          for (const failures of page.flatMap((counted) =>
            failuresOf(counted, { from: span.from, oddities }),
          ))
            yield batchOf(failures, before);
        span.done();
        // The others are true and count.
        const [oddity] = oddities;
        if (oddity !== undefined)
          throw new CollectError(
            'invalid_response',
            `Cloud Monitoring gives ${metric} ${oddity}: whether such requests failed cannot be told, and they are not counted. Where all are so, take \`metrics\` out of pushEvents`,
          );
      },
    },
  ];
}
