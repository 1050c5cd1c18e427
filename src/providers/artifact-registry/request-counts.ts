import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { pushMethods, reasonOfCode, reasonsOfCodes } from '../../events/artifact-registry-audit.ts';
import type { PushEvent } from '../../events/push-event.ts';
import { type PushFailureReason, reasonsIn } from '../../events/told.ts';
import { walkPages } from '../../http/pages.ts';
import { json } from '../../http.ts';
import type { CollectContext, EventBatch, EventSource } from '../../provider.ts';
import { spanOf } from '../../reading-span.ts';
import { reasonOfPush, reasonsOfStatuses } from '../../registry-metrics.ts';
import { list } from '../../wire.ts';
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
/** So far back minutes are looked at again: they come some minutes late, and their numbers may grow. */
const lateSeconds = 15 * 60;
/** Of one minute; what is more is no number of pushes. */
const failuresAtMost = 10_000;
/** Of one answer. */
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
/** Failed requests of one kind in one minute. */
interface Failures {
  /** What tells this minute of this series from all others. */
  readonly key: string;
  readonly reason: PushFailureReason;
  readonly count: number;
  /** The end of the minute, Unix seconds. */
  readonly end: number;
}
/** How many failures of which minute were given already, by key. */
type Given = Map<string, Pick<Failures, 'count' | 'end'>>;
/** https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list */
const answer = z.object({
  timeSeries: list('timeSeries', series).default([]),
  /** Empty, as well as absent, on the last page. */
  nextPageToken: z.string().max(4_096).nullish(),
  /** What is missing of the answer. */
  executionErrors: z.array(z.object({ message: z.string().max(1_000).optional() })).default([]),
});

const codes = new Map<string, number>(statusNames.map((name, code) => [name, code]));

/**
 * What a status means for a push, whether it is one of HTTP or one of gRPC, by name or by number; undefined where the
 * push did not fail.
 * @returns 'odd' where it is none of these
 */
function reasonOf(status: string): PushFailureReason | 'odd' | undefined {
  if (/^[1-5]\d\d$/.test(status)) return reasonOfPush(status);
  const code = codes.get(status) ?? (/^(\d|1[0-6])$/.test(status) ? Number(status) : undefined);
  return code === undefined ? 'odd' : reasonOfCode(code);
}

/** What stands in the way of counting some of the requests, by what is wrong with their status. */
type Oddities = Set<string>;

/** Failed requests by minute. */
function* failuresOf(
  { metric: { labels: told }, resource: { labels: at }, points }: Series,
  { from, oddities }: { readonly from: number; readonly oddities: Oddities },
): Generator<Failures> {
  const code = told[statusLabel];
  const reason = code === undefined ? 'odd' : reasonOf(code);
  if (reason === 'odd')
    oddities.add(
      code === undefined
        ? `without the label ${statusLabel}`
        : `with the ${statusLabel} ${JSON.stringify(code)}, which is no status of HTTP or gRPC`,
    );
  if (reason === undefined || reason === 'odd') return;
  for (const { interval, value } of points) {
    const { startTime, endTime } = interval;
    const begins = Date.parse(startTime ?? endTime) / 1000;
    const count = Math.min(failuresAtMost, Number(value.int64Value ?? '0'));
    if (begins < from || count === 0) continue;
    const key = JSON.stringify([endTime, at['repository_id'], ...Object.entries(told).sort()]);
    yield { key, reason, count, end: Date.parse(endTime) / 1000 };
  }
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString();

interface Asking {
  readonly context: CollectContext;
  readonly at: Location;
  /** Told where a part of an answer is missing, and why. */
  onPart(reason: string): void;
}

/** Asks for the write requests of a location that pushes make. */
function readSeries(
  settings: RequestCountSettings,
  { context, at, onPart }: Asking,
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
      if (error) onPart(error.message ?? 'no reason given');
      return { items: timeSeries, next: nextPageToken || undefined };
    },
  });
}

/** What was not given before, as events of no repository: the metric names no image. */
function batchOf({ key, reason, count, end }: Failures, given: Given): EventBatch {
  const before = given.get(key)?.count ?? 0;
  const events = Array.from(
    { length: Math.max(0, count - before) },
    (_, at): PushEvent => ({ id: `${key} ${before + at}`, type: 'failed', repository: '', reason }),
  );
  return { events, newestAt: end, done: async () => void given.set(key, { count, end }) };
}

/** Batches of what was not given before. */
async function* batchesOf(
  pages: AsyncIterable<readonly Series[]>,
  given: Given,
  reading: { readonly from: number; readonly oddities: Oddities },
): AsyncGenerator<EventBatch> {
  for await (const page of pages)
    for (const counted of page)
      for (const failures of failuresOf(counted, reading))
        if (failures.count > (given.get(failures.key)?.count ?? 0)) yield batchOf(failures, given);
  for (const [key, { end }] of given) if (end < reading.from - lateSeconds) given.delete(key);
}

/** Failed pushes of a project and location as a whole, as Cloud Monitoring counts requests. It needs no set-up. */
export function requestCountSource(settings: RequestCountSettings, at: Location): readonly EventSource[] {
  const { metrics, interval } = settings.pushEvents ?? {};
  if (!metrics) return [];
  return [
    {
      name: 'cloud-monitoring',
      tells: { registry: { failures: reasonsIn([...reasonsOfStatuses, ...reasonsOfCodes]) } },
      everyMs: interval ?? usualIntervalMs,
      async *read(context, since) {
        const given = context.session.keep('requests counted', (): Given => new Map());
        const span = spanOf(context, { name: 'cloud-monitoring', since, lateSeconds });
        const oddities: Oddities = new Set();
        let missing: string | undefined;
        const onPart = (reason: string) => {
          missing = reason;
        };
        const pages = readSeries(settings, { context, at, onPart }, span);
        yield* batchesOf(pages, given, { from: span.from, oddities });
        // What came is true and counts; what is missing is asked for again.
        if (missing !== undefined)
          throw new CollectError('partial', `Cloud Monitoring answered a part of ${metric}: ${missing}`);
        span.done();
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
