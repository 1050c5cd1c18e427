import { z } from 'zod';
import {
  type EventReader,
  eventId,
  type PushEvent,
  readEach,
  repositoryName,
  shortText,
} from './push-event.ts';

/**
 * ACR's own webhooks, and the same events through Event Grid in both of its schemas. No push that failed is told.
 * https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference and
 * https://learn.microsoft.com/azure/event-grid/event-schema-container-registry
 */
const content = z.object({
  id: eventId,
  action: shortText,
  target: z.object({ repository: repositoryName.nullish() }).nullish(),
  // A webhook names the registry, which a body of another source does not.
  request: z.object({ host: shortText.nullish() }).nullish(),
});
const webhook = content.extend({ timestamp: shortText, target: z.looseObject({}) });
/** What somebody sends who tries a webhook; there is nothing that it is about. */
const ping = content.extend({ timestamp: shortText, action: z.literal('ping') });
const grid = z.object({
  id: eventId,
  eventType: shortText.optional(),
  // CloudEvents call it so.
  type: shortText.optional(),
  data: z.unknown(),
});
const ours = /^Microsoft\.ContainerRegistry\./;
const typeOf = ({ eventType, type }: z.output<typeof grid>): string => eventType ?? type ?? '';

/** Images and charts; quarantine says nothing of what is there. */
const actions: Readonly<Record<string, 'pushed' | 'changed'>> = {
  push: 'pushed',
  chart_push: 'pushed',
  delete: 'changed',
  chart_delete: 'changed',
};

function eventOf({ id, action, target }: z.output<typeof content>): PushEvent {
  const type = Object.hasOwn(actions, action) ? actions[action] : undefined;
  const repository = target?.repository;
  return type && repository ? { id, type, repository } : { id, type: 'other' };
}

/** The events of a webhook, or of a batch of Event Grid. */
export const readAcrEvents: EventReader = ({ body }) => {
  const elements: readonly unknown[] = Array.isArray(body) ? body : [body];
  const isGrid = elements.some((element) => {
    const parsed = grid.safeParse(element);
    return parsed.success && ours.test(typeOf(parsed.data));
  });
  if (isGrid) return readEach(elements, grid.extend({ data: content }), ({ data }) => eventOf(data));
  const isOurs = webhook.safeParse(body).success || ping.safeParse(body).success;
  return isOurs ? readEach([body], content, eventOf) : undefined;
};

const validation = z.tuple([
  z.object({
    eventType: z.literal('Microsoft.EventGrid.SubscriptionValidationEvent'),
    data: z.object({ validationCode: shortText }),
  }),
]);

/**
 * What Event Grid wants to hear before it sends events here; undefined for any other request.
 * https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
 */
export function gridValidation(body: unknown): { readonly validationResponse: string } | undefined {
  const parsed = validation.safeParse(body);
  return parsed.success ? { validationResponse: parsed.data[0].data.validationCode } : undefined;
}
