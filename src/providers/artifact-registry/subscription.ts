import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { noticeOf } from '../../events/artifact-registry.ts';
import { failedPushOf, reasonsOfCodes } from '../../events/artifact-registry-audit.ts';
import type { PushEvent } from '../../events/push-event.ts';
import { json } from '../../http.ts';
import type { CollectContext, EventBatch, EventSource } from '../../provider.ts';
import { newestOf } from '../../times.ts';
import { list, text } from '../../wire.ts';
import type { Location } from './api.ts';
import { type CredentialOptions, openCredentials } from './credentials.ts';
import { createTransport, service } from './transport.ts';

/** What of the options this source needs. */
export interface SubscriptionSettings extends CredentialOptions {
  readonly pushEvents?:
    | { readonly subscription?: string | undefined; readonly interval?: number | undefined }
    | undefined;
  readonly pubsubEndpoint?: URL | undefined;
}

const usualIntervalMs = 5_000;
/** Entries of the audit log have up to 256 KiB: https://cloud.google.com/logging/quotas */
const messagesAtOnce = 50;

/**
 * A message is read by itself, so that an odd one is acknowledged like the others.
 * https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/pull
 */
const pulled = z.object({
  receivedMessages: list(
    'receivedMessages',
    z.object({ ackId: z.string().min(1).max(4_096), message: z.unknown() }),
  ).nullish(),
});
const content = z.object({
  messageId: text,
  data: z.string(),
  publishTime: z.iso.datetime({ offset: true }).optional().catch(undefined),
});

/** What a message says, and when it was sent. */
interface Told {
  readonly event: PushEvent | undefined;
  readonly at: number | undefined;
}

/**
 * A push of the topic `gcr`, or an entry of the audit log that a sink sends to the same topic. The receiver gives an event
 * of a push subscription the same identity.
 */
function toldBy(message: unknown, place: Location): Told {
  const read = content.safeParse(message);
  if (!read.success || !isJson(read.data.data)) return { event: undefined, at: undefined };
  const { messageId, data, publishTime } = read.data;
  const event = failedPushOf(messageId, data, place) ?? noticeOf(messageId, data, place);
  return {
    event: { ...event, origin: 'artifact-registry' },
    at: publishTime === undefined ? undefined : Date.parse(publishTime) / 1000,
  };
}

function isJson(data: string): boolean {
  try {
    JSON.parse(Buffer.from(data, 'base64').toString('utf8'));
    return true;
  } catch {
    return false;
  }
}

async function openPubSub(settings: SubscriptionSettings, context: CollectContext, subscription: string) {
  const http = context.http();
  const credentials = openCredentials(settings, context, http);
  const transport = createTransport({ credentials, http, context });
  const at = service(settings.pubsubEndpoint ?? new URL('https://pubsub.googleapis.com'));
  const path = `/v1/${subscription}`;
  return {
    // Answered at once: an answer that Google holds back for longer than a request may take looks like a dead network.
    pull: (maxMessages: number) =>
      transport.post('Pull', at, `${path}:pull`, { maxMessages, returnImmediately: true }),
    acknowledge: (ackIds: readonly string[]) =>
      transport.post('Acknowledge', at, `${path}:acknowledge`, { ackIds }),
  };
}

/**
 * A Pub/Sub subscription to the topic `gcr`. A message is acknowledged when its count is on disk; what is not comes
 * again. What cannot be understood is acknowledged too: it would come for ever.
 */
export function subscriptionSource(settings: SubscriptionSettings, at: Location): readonly EventSource[] {
  const { subscription, interval } = settings.pushEvents ?? {};
  if (subscription === undefined) return [];
  let atOnce = messagesAtOnce;
  return [
    {
      name: 'pubsub',
      // Of failures where the audit log sends them there too: docs/events.md.
      tells: { repositories: { pushes: true, failures: reasonsOfCodes } },
      everyMs: interval ?? usualIntervalMs,
      async *read(context): AsyncGenerator<EventBatch> {
        const pubsub = await openPubSub(settings, context, subscription);
        const answer = await pubsub.pull(atOnce).catch((error) => {
          context.signal.throwIfAborted();
          // Fewer of them have room in an answer.
          if (reasonOf(error) === 'too_large') atOnce = Math.max(1, Math.floor(atOnce / 2));
          throw explained(error, subscription);
        });
        atOnce = messagesAtOnce;
        const received = json(answer, pulled).receivedMessages ?? [];
        if (received.length === 0) return;
        const told = received.map(({ message }) => toldBy(message, at));
        yield {
          events: told.map(({ event }) => event),
          newestAt: newestOf(told.map((message) => message.at)),
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
