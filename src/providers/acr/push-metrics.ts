import { z } from 'zod';
import type { PushEvent } from '../../events/push-event.ts';
import { json } from '../../http.ts';
import type { CollectContext, EventBatch, EventSource } from '../../provider.ts';
import { spanOf } from '../../reading-span.ts';
import { count, list, text } from '../../wire.ts';
import { askAbout } from './place.ts';
import type { SurroundingsSettings } from './surroundings.ts';

/** What of the options this source needs. */
interface Settings extends SurroundingsSettings {
  readonly pushEvents?: { readonly interval?: number | undefined } | undefined;
}

const usualIntervalMs = 60_000;
/** Both numbers of a minute are there some minutes after it: before that, a push that worked looks as if it had failed. */
const settledSeconds = 5 * 60;
/** So far back minutes are looked at again: numbers may come late. */
const lateSeconds = 30 * 60;
/** Of one minute; what is more is no number of pushes. */
const failuresAtMost = 10_000;

/**
 * Pushes by minute. https://learn.microsoft.com/rest/api/monitor/metrics/list and
 * https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-containerregistry-registries-metrics
 */
const answer = z.object({
  value: list(
    'value',
    z.object({
      name: z.object({ value: text }),
      timeseries: list(
        'timeseries',
        z.object({ data: list('data', z.object({ timeStamp: z.iso.datetime(), total: count.nullish() })) }),
      ),
    }),
  ),
});
type Metrics = z.output<typeof answer>;

/** Of a metric the numbers by minute; a minute without one is left out. */
function byMinute({ value }: Metrics, metric: string): Map<number, number> {
  const named = value.find(({ name }) => name.value === metric);
  const data = (named?.timeseries ?? []).flatMap((series) => series.data);
  return new Map(
    data.flatMap(({ timeStamp, total }) =>
      total == null ? [] : [[Date.parse(timeStamp) / 1000, total] as const],
    ),
  );
}

/** Failed pushes of the minutes that are settled, as events of no repository. */
function failuresIn(metrics: Metrics, from: number, until: number): EventBatch[] {
  const all = byMinute(metrics, 'TotalPushCount');
  const successful = byMinute(metrics, 'SuccessfulPushCount');
  return [...all].flatMap(([minute, total]) => {
    const worked = successful.get(minute);
    if (worked === undefined || minute < from || minute + 60 > until) return [];
    const failures = Math.min(failuresAtMost, total - worked);
    if (failures <= 0) return [];
    const events = Array.from(
      { length: failures },
      (_, at): PushEvent => ({ id: `${minute} ${at}`, type: 'failed', repository: '', reason: 'other' }),
    );
    return [{ events, newestAt: minute + 60, done: async () => {} }];
  });
}

const metricsOf = (settings: Settings, context: CollectContext, span: string): Promise<Metrics> =>
  askAbout(
    settings,
    { context, advice: 'assign the role "Monitoring Reader" on the registry' },
    async (access, resource) => {
      const azure = await access.azure();
      const path = `${resource}/providers/Microsoft.Insights/metrics`;
      const query = {
        'api-version': '2023-10-01',
        metricnames: 'TotalPushCount,SuccessfulPushCount',
        aggregation: 'total',
        interval: 'PT1M',
        timespan: span,
      };
      return json(await azure.get('metrics', path, query), answer);
    },
  );

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** Failed pushes of the registry as a whole, as Azure Monitor counts them. It needs no set-up. */
export function pushMetricsSource(settings: Settings): EventSource {
  const seen = new Map<number, number>();
  return {
    name: 'azure-monitor',
    tells: { registry: { failures: ['other'] } },
    everyMs: settings.pushEvents?.interval ?? usualIntervalMs,
    async *read(context, since) {
      const span = spanOf(context, { name: 'azure-monitor', since, lateSeconds });
      const from = Math.ceil(span.from / 60) * 60;
      const until = Math.min(span.to, context.now() - settledSeconds);
      const metrics = await metricsOf(
        settings,
        context,
        `${iso(Math.min(from, span.to - 60))}/${iso(span.to)}`,
      );
      for (const batch of failuresIn(metrics, from, until)) {
        const minute = batch.newestAt ?? 0;
        if ((seen.get(minute) ?? 0) >= batch.events.length) continue;
        yield batch;
        seen.set(minute, batch.events.length);
      }
      span.done();
      for (const minute of seen.keys()) if (minute < from - lateSeconds) seen.delete(minute);
    },
  };
}
