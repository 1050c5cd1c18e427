import { z } from 'zod';
import { type EventReader, eventId, readEach, repositoryName, shortText } from './push-event.ts';

/**
 * CloudEvents of zot's events extension; `lint_failed` is a push that zot refused.
 * https://github.com/project-zot/zot/tree/main/pkg/extensions/events
 */
// zot can be told to begin its types with another name than its own (`typePrefix`).
const itsType = shortText.regex(/^zotregistry\.|\.(?:image\.[a-z_]+|repository\.created)$/);
const itsEvent = z.object({ specversion: shortText, type: itsType });
const cloudEvent = z.object({
  id: eventId,
  type: itsType,
  data: z.object({ name: repositoryName.nullish(), repository: repositoryName.nullish() }).nullish(),
});

const types: Readonly<Record<string, 'pushed' | 'failed' | 'changed'>> = {
  'image.updated': 'pushed',
  'image.lint_failed': 'failed',
  'image.deleted': 'changed',
  'repository.created': 'changed',
};

/**
 * CloudEvents. zot sends the binary mode, in which the body is the data and all else are headers; the structured mode
 * is read too, one event or a batch.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode
 */
export const readZotEvents: EventReader = ({ body, header }) => {
  const type = header('ce-type');
  const binary = type !== undefined && {
    specversion: header('ce-specversion'),
    id: header('ce-id'),
    type,
    data: body,
  };
  const events: readonly unknown[] = binary ? [binary] : Array.isArray(body) ? body : [body];
  // In a batch one event of zot's makes it a batch of zot's.
  if (events.length > 0 && !events.some((event) => itsEvent.safeParse(event).success)) return undefined;
  return readEach(events, cloudEvent, ({ id, type, data }) => {
    const repository = data?.repository ?? data?.name;
    const kind = types[type.split('.').slice(-2).join('.')];
    if (kind === undefined || !repository) return { id, type: 'other' };
    return kind === 'failed'
      ? { id, type: 'failed', repository, reason: 'lint' }
      : { id, type: kind, repository };
  });
};
