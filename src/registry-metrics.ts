import { z } from 'zod';
import { CollectError } from './errors.ts';
import type { PushEvent } from './events/push-event.ts';
import { type PushFailureReason, reasonsIn } from './events/told.ts';
import { duration, endpointUrl } from './options.ts';
import type { CollectContext, EventSource } from './provider.ts';
import { createYielder } from './yielding.ts';

/**
 * Failed pushes as registries count them in metrics of their own. No repository is named there: they count for the
 * registry as a whole.
 */

/** Settings of failed pushes that are read from the registry's own metrics. */
export const pushMetricsSettings = {
  metrics: endpointUrl.describe(
    "Address of the registry's own metrics, such as http://registry:5001/metrics: failed pushes are counted from there. One process has to answer, not several behind one name",
  ),
  interval: duration.describe('How often it is asked (default 30s)').optional(),
};

/** `pushEvents:` of providers whose registries have metrics of their own. */
export const pushMetricsOptions = z
  .strictObject(pushMetricsSettings)
  .describe('Push events that are read by asking, with no port to open')
  .optional();

const usualIntervalMs = 30_000;
const largestPage = 32 * 2 ** 20;
/** Of one reading; what is more is no number of pushes. */
const failuresAtMost = 10_000;

type Labels = Readonly<Record<string, string>>;

const writes: ReadonlySet<string> = new Set(['put', 'patch', 'post']);
const isWrite = ({ method = '' }: Labels): boolean => writes.has(method.toLowerCase());

/**
 * The counters of requests, and which of them are pushes:
 * - the distribution registry, `registry/handlers/app.go` and `docker/go-metrics` (version 2 writes `blob_upload`, 3
 *   `blob-upload`): https://github.com/distribution/distribution
 * - zot, `pkg/extensions/monitoring/extension.go`: https://github.com/project-zot/zot
 * - Harbor's core, which refuses manifests before the registry sees them: https://goharbor.io/docs/main/administration/metrics/
 */
const families: ReadonlyMap<string, (labels: Labels) => boolean> = new Map([
  [
    'registry_http_requests_total',
    (labels: Labels) =>
      isWrite(labels) && /^(manifest|blob[-_]upload([-_]chunk)?)$/.test(labels['handler'] ?? ''),
  ],
  ['zot_http_requests_total', isWrite],
  [
    'harbor_core_http_request_total',
    (labels: Labels) => isWrite(labels) && labels['operation'] === 'v2_manifest',
  ],
]);

const reasonsByStatus: Readonly<Record<string, PushFailureReason>> = {
  400: 'invalid',
  // Read-only mode of the distribution registry.
  405: 'denied',
  403: 'denied',
  404: 'not_found',
  // Harbor's rules on immutable tags.
  412: 'immutable_tag',
  413: 'quota',
  429: 'throttled',
  507: 'quota',
};

/** What a status can mean for a push. */
export const reasonsOfStatuses = reasonsIn([...Object.values(reasonsByStatus), 'server_error']);

/** What a status means for a push; undefined where it is none that failed. A 401 asks for a token, as before each push. */
export function reasonOfPush(code: string): PushFailureReason | undefined {
  if (!/^[45]\d\d$/.test(code) || code === '401') return undefined;
  return reasonsByStatus[code] ?? (code.startsWith('5') ? 'server_error' : 'other');
}

/** What a page of metrics tells. */
interface Page {
  /** When its process began, Unix seconds; undefined where it does not tell. */
  readonly startedAt: number | undefined;
  /** Requests of pushes that failed since then, by status. */
  readonly failures: ReadonlyMap<string, number>;
}

const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+([-+.\w]+)/;
const label = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const labelsOf = (text = ''): Labels =>
  Object.fromEntries(
    [...text.slice(0, 2_000).matchAll(label)].map(([, name = '', value = '']) => [name, value]),
  );

/**
 * Reads a page of metrics, https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 * @throws CollectError where it holds no counter of requests
 */
async function readPage(body: string, where: string): Promise<Page> {
  const pause = createYielder();
  const failures = new Map<string, number>();
  let startedAt: number | undefined;
  let isKnown = false;
  for (const line of body.split('\n')) {
    await pause();
    const [, name = '', inner, text = ''] = sample.exec(line.slice(0, 4_000)) ?? [];
    if (name === 'process_start_time_seconds') startedAt = Number(text);
    const isPush = families.get(name);
    if (!isPush) continue;
    isKnown = true;
    const labels = labelsOf(inner);
    const count = Number(text);
    const { code = '' } = labels;
    if (!isPush(labels) || reasonOfPush(code) === undefined || !Number.isSafeInteger(count) || count < 0)
      continue;
    failures.set(code, (failures.get(code) ?? 0) + count);
  }
  if (!isKnown)
    throw new CollectError(
      'invalid_response',
      `${where} has no counter of requests (${[...families.keys()].join(', ')}): give the address of the registry's own metrics`,
    );
  return { startedAt, failures };
}

/** What was counted up to now, as it is remembered. */
interface Counted {
  /** Tells the process that counted from those before it. */
  readonly process: string;
  readonly startedAt?: number | undefined;
  /** When it was read, Unix seconds. */
  readonly readAt: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** A clock that is corrected moves the start of a process by some seconds. */
const jitterSeconds = 60;

/**
 * Whether another process counts now, from 0: its start is another, or a counter went back.
 * @throws CollectError where it began before the last reading, and so did not follow the one that was read then
 */
function isNewProcess({ startedAt, failures }: Page, before: Counted, where: string): boolean {
  if (startedAt !== undefined && before.startedAt !== undefined) {
    if (Math.abs(startedAt - before.startedAt) <= jitterSeconds) return false;
    if (startedAt < before.readAt - jitterSeconds)
      throw new CollectError(
        'invalid_response',
        `${where} is answered by several processes, and each counts for itself: give the address of one`,
      );
    return true;
  }
  return Object.entries(before.failures).some(([code, count]) => (failures.get(code) ?? 0) < count);
}

/** What is counted with a page. @param before undefined where nobody has looked before */
function countedWith(
  { startedAt, failures }: Page,
  before: Counted | undefined,
  isNew: boolean,
  now: number,
): Counted {
  const next = String(startedAt ?? Number(before?.process ?? 0) + 1);
  return {
    process: before && !isNew ? before.process : next,
    startedAt: isNew ? startedAt : (before?.startedAt ?? startedAt),
    readAt: now,
    failures: Object.fromEntries(failures),
  };
}

/** The failures since the last reading, as events. Each has its number: one that is read again is known. */
function failuresSince(counted: Counted, before: Counted): PushEvent[] {
  const events: PushEvent[] = [];
  const failuresBefore = counted.process === before.process ? before.failures : {};
  for (const [code, count] of Object.entries(counted.failures))
    for (
      let number = (failuresBefore[code] ?? 0) + 1;
      number <= count && events.length < failuresAtMost;
      number += 1
    )
      events.push({
        id: `${counted.process} ${code} ${number}`,
        type: 'failed',
        repository: '',
        reason: reasonOfPush(code) ?? 'other',
      });
  return events;
}

async function pageOf(context: CollectContext, url: URL): Promise<Page> {
  const response = await context.http().request({
    url,
    operation: 'registry_metrics',
    headers: { accept: 'text/plain;version=0.0.4' },
    maxBytes: largestPage,
    raw: true,
  });
  return readPage(response.body.toString('utf8'), `${url.origin}${url.pathname}`);
}

/** Where failed pushes are read from the registry's own metrics, when the options say so. */
export function registryMetricsSources({
  pushEvents,
}: {
  readonly pushEvents?:
    | { readonly metrics?: URL | undefined; readonly interval?: number | undefined }
    | undefined;
}): readonly EventSource[] {
  if (!pushEvents?.metrics) return [];
  const { metrics: url, interval } = pushEvents;
  const key = `failed pushes in ${url.href}`;
  return [
    {
      name: 'registry-metrics',
      tells: { registry: { failures: reasonsOfStatuses } },
      everyMs: interval ?? usualIntervalMs,
      async *read(context) {
        const page = await pageOf(context, url);
        const before = context.memory.get<Counted>(key)?.value;
        const isNew = before !== undefined && isNewProcess(page, before, `${url.origin}${url.pathname}`);
        const counted = countedWith(page, before, isNew, context.now());
        const done = async () => context.memory.set(key, counted);
        // What failed before anybody looked is not counted.
        const events = before ? failuresSince(counted, before) : [];
        if (events.length > 0) yield { events, newestAt: context.now(), done };
        else await done();
      },
    },
  ];
}
