import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { noticeOf } from '../../events/artifact-registry.ts';
import { failedPushOf } from '../../events/artifact-registry-audit.ts';
import type { PushEvent } from '../../events/push-event.ts';
import { json } from '../../http.ts';
import type { CollectContext, EventBatch, EventSource } from '../../provider.ts';
import { list, text } from '../../wire.ts';
import type { Location } from './api.ts';
import { type CredentialOptions, openCredentials } from './credentials.ts';
import { createTransport, service } from './transport.ts';

/** What of the options this source needs. */
export interface SubscriptionSettings extends CredentialOptions {
  readonly pushEvents?: { readonly subscription: string; readonly interval?: number | undefined } | undefined;
  readonly pubsubEndpoint?: URL | undefined;
}

/** Pub/Sub itself waits for messages, for a while that it does not tell. */
const usualIntervalMs = 1_000;
const messagesAtOnce = 500;

/** https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/pull */
const pulled = z.object({
  receivedMessages: list(
    'receivedMessages',
    z.object({
      ackId: z.string().min(1).max(4_096),
      message: z.object({
        messageId: text,
        data: z
          .string()
          .max(2 ** 20)
          .nullish(),
        publishTime: z.iso.datetime({ offset: true }).nullish(),
      }),
    }),
  ).nullish(),
});
type Received = NonNullable<z.output<typeof pulled>['receivedMessages']>[number];

/** What a message says: a push of the topic `gcr`, or an entry of the audit log that a sink sends to the same topic. */
function eventOf({ message: { messageId, data } }: Received, at: Location): PushEvent {
  return failedPushOf(messageId, data ?? '', at) ?? noticeOf(messageId, data ?? '', at);
}

const secondsOf = ({ message }: Received): number | undefined =>
  message.publishTime ? Date.parse(message.publishTime) / 1000 : undefined;

async function openPubSub(given: SubscriptionSettings, context: CollectContext, subscription: string) {
  const http = context.http();
  const credentials = openCredentials(given, context, http);
  const transport = createTransport({ credentials, http, context });
  const at = service(given.pubsubEndpoint ?? new URL('https://pubsub.googleapis.com'));
  const path = `/v1/${subscription}`;
  return {
    pull: () => transport.post('Pull', at, `${path}:pull`, { maxMessages: messagesAtOnce }),
    acknowledge: (ackIds: readonly string[]) =>
      transport.post('Acknowledge', at, `${path}:acknowledge`, { ackIds }),
  };
}

/**
 * A Pub/Sub subscription to the topic `gcr`. A message is acknowledged when its count is on disk; what is not comes
 * again. What cannot be understood is acknowledged too: it would come for ever.
 */
export function subscriptionSource(given: SubscriptionSettings, at: Location): readonly EventSource[] {
  const { subscription, interval } = given.pushEvents ?? {};
  if (subscription === undefined) return [];
  return [
    {
      name: 'pubsub',
      everyMs: interval ?? usualIntervalMs,
      async *read(context): AsyncGenerator<EventBatch> {
        const pubsub = await openPubSub(given, context, subscription);
        const answer = await pubsub.pull().catch((error) => {
          context.signal.throwIfAborted();
          // It waits for messages longer than a request may take: there were none.
          if (reasonOf(error) === 'timeout') return undefined;
          throw explained(error, subscription);
        });
        const received = (answer && json(answer, pulled).receivedMessages) ?? [];
        if (received.length === 0) return;
        const times = received.map(secondsOf).filter((time) => time !== undefined);
        yield {
          events: received.map((message) => eventOf(message, at)),
          newestAt: times.length > 0 ? Math.max(...times) : undefined,
          async done() {
            await pubsub.acknowledge(received.map(({ ackId }) => ackId));
          },
        };
      },
    },
  ];
}

function explained(error: unknown, subscription: string): unknown {
  const reason = reasonOf(error);
  if (reason !== 'forbidden' && reason !== 'not_found') return error;
  const advice =
    reason === 'forbidden'
      ? 'give roles/pubsub.subscriber on the subscription'
      : 'create it, or mend its name in pushEvents';
  return new CollectError(reason, `${subscription}: ${(error as Error).message}: ${advice}`, {
    cause: error,
  });
}
