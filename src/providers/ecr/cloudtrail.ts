import { z } from 'zod';
import { parseEventBody } from '../../events/body.ts';
import { call, eventOfCall, pushCalls, toldByCloudTrail } from '../../events/ecr.ts';
import type { PushEvent } from '../../events/push-event.ts';
import type { CollectContext, EventBatch, EventSource } from '../../provider.ts';
import { createGivenBefore, type GivenBefore, spanOf } from '../../reading-span.ts';
import { newestOf } from '../../times.ts';
import { list, text } from '../../wire.ts';
import { pagesOf, parsed } from './answers.ts';
import { type AwsEvents, awsEventsOf } from './client.ts';
import { secondsOf } from './event-times.ts';
import type { EcrOptions } from './options.ts';

/** UploadLayerPart is left out: a push makes many of them, and each is looked up. */
const lookedUp = pushCalls.filter((name) => name !== 'UploadLayerPart');
/**
 * Calls are there some minutes after they were made:
 * https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html
 */
const lateSeconds = 20 * 60;
const usualIntervalMs = 60_000;
/** Calls of a page at most. */
const pageSize = 50;

const record = z.object({ EventId: text, EventTime: z.unknown(), CloudTrailEvent: z.string() });
type CallRecord = z.output<typeof record>;
const page = z.object({ Events: list('Events', record).nullish() });

/** The call in a record, which is JSON in a text. */
function recordedEvent({ EventId, CloudTrailEvent }: CallRecord): PushEvent | undefined {
  try {
    const { data } = call.safeParse(parseEventBody(Buffer.from(CloudTrailEvent)));
    return data && eventOfCall(EventId, data);
  } catch {
    return undefined;
  }
}

/** Calls of a name in a span of time, the newest first, page by page. */
async function* callsOf(
  { cloudTrail }: AwsEvents,
  name: string,
  [from, to]: readonly [number, number],
  context: CollectContext,
): AsyncGenerator<readonly CallRecord[]> {
  const pages = pagesOf({
    operation: 'LookupEvents',
    tokenField: 'NextToken',
    ask: (NextToken) =>
      cloudTrail.lookupEvents({
        LookupAttributes: [{ AttributeKey: 'EventName', AttributeValue: name }],
        StartTime: new Date(from * 1000),
        EndTime: new Date(to * 1000),
        MaxResults: pageSize,
        ...(NextToken !== undefined && { NextToken }),
      }),
  });
  for await (const answer of pages) yield parsed(answer, page, 'LookupEvents', context).Events ?? [];
}

/** Failed pushes among calls that were not given before. */
function batchOf(records: readonly CallRecord[], before: GivenBefore): EventBatch {
  const fresh = records.filter(({ EventId }) => !before.has(EventId));
  const read = fresh.map((record) => ({ event: recordedEvent(record), at: secondsOf(record.EventTime) }));
  // Calls that worked are looked up too, and tell nothing.
  const telling = read.filter(({ event }) => event?.type !== 'other');
  return {
    events: telling.map(({ event }) => event),
    newestAt: newestOf(telling.map(({ at }) => at)),
    done: async () => before.add(fresh.map(({ EventId }) => EventId)),
  };
}

/**
 * Calls that CloudTrail recorded within the last minutes, looked for again and again, since some come late; after an
 * outage those since then.
 * https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
 */
export function cloudTrailSource(config: EcrOptions): EventSource {
  return {
    name: 'cloudtrail',
    tells: toldByCloudTrail,
    everyMs: config.pushEvents?.interval ?? usualIntervalMs,
    async *read(context, since): AsyncGenerator<EventBatch> {
      const aws = await awsEventsOf(config, context);
      const before = context.session.keep('calls of CloudTrail', createGivenBefore);
      const { from, to, done } = spanOf(context, { name: 'cloudtrail', since, lateSeconds });
      for (const name of lookedUp)
        for await (const records of callsOf(aws, name, [from, to], context)) yield batchOf(records, before);
      done();
    },
  };
}
