import { z } from 'zod';
import { parseEventBody } from '../../events/body.ts';
import { readEcrEvents, toldByEventBridge } from '../../events/ecr.ts';
import type { ReadEvents } from '../../events/push-event.ts';
import type { EventBatch, EventSource } from '../../provider.ts';
import { newestOf } from '../../times.ts';
import { list, text } from '../../wire.ts';
import { parsed } from './answers.ts';
import { awsEventsOf } from './client.ts';
import { secondsOf } from './event-times.ts';
import type { EcrOptions } from './options.ts';

/** Longest wait of SQS for a message: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html */
const longestPollSeconds = 20;

const messages = z.object({
  Messages: list('Messages', z.object({ MessageId: text, ReceiptHandle: text, Body: z.string() })).nullish(),
});

/** The event of a message: as EventBridge sent it, or in a notification of SNS between them. */
const notification = z.object({ Type: z.literal('Notification'), Message: z.string() });

function eventsIn(body: string): { readonly events: ReadEvents; readonly at: number | undefined } {
  try {
    const json = parseEventBody(Buffer.from(body));
    const outer = notification.safeParse(json);
    const event = outer.success ? parseEventBody(Buffer.from(outer.data.Message)) : json;
    const raw = Buffer.from(body);
    const events = readEcrEvents({ body: event, raw, header: () => undefined }) ?? [undefined];
    return { events, at: secondsOf((event as { time?: unknown } | null)?.time) };
  } catch {
    return { events: [undefined], at: undefined };
  }
}

/** A queue that EventBridge sends events to. What cannot be understood is deleted too: it would come for ever. */
export function queueSource(config: EcrOptions, queue: string): EventSource {
  return {
    name: 'sqs',
    tells: toldByEventBridge,
    everyMs: 0,
    async *read(context): AsyncGenerator<EventBatch> {
      const { sqs } = await awsEventsOf(config, context);
      const seconds = Math.min(longestPollSeconds, Math.ceil(context.connection.timeoutMs / 2000));
      const answer = await sqs.receiveMessage({
        QueueUrl: queue,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: seconds,
      });
      const received = parsed(answer, messages, 'ReceiveMessage', context).Messages ?? [];
      if (received.length === 0) return;
      const read = received.map(({ Body }) => eventsIn(Body));
      yield {
        events: read.flatMap(({ events }) => events),
        newestAt: newestOf(read.map(({ at }) => at)),
        async done() {
          await sqs.deleteMessageBatch({
            QueueUrl: queue,
            Entries: received.map(({ ReceiptHandle }, at) => ({ Id: String(at), ReceiptHandle })),
          });
        },
      };
    },
  };
}
