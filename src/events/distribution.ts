import { z } from 'zod';
import { type EventReader, eventId, readEach, repositoryName, shortText } from './push-event.ts';

/**
 * Notifications of the distribution registry. Pushes of blobs are events too and do not count; a failed push sends
 * none. https://distribution.github.io/distribution/about/notifications/
 */
const envelope = z.object({ events: z.array(z.unknown()) });
const event = z.object({
  id: eventId,
  action: shortText,
  target: z.object({
    mediaType: shortText.nullish(),
    repository: repositoryName.nullish(),
    digest: shortText.nullish(),
    tag: shortText.nullish(),
  }),
});

const isManifest = (mediaType: string | null | undefined): boolean => /manifest|index/.test(mediaType ?? '');

/** The events of an envelope. */
export const readDistributionEvents: EventReader = ({ body }) => {
  const parsed = envelope.safeParse(body);
  if (!parsed.success) return undefined;
  return readEach(parsed.data.events, event, ({ id, action, target: { repository, mediaType } }) => {
    if (!repository) return { id, type: 'other' };
    if (action === 'push' && isManifest(mediaType)) return { id, type: 'pushed', repository };
    // A deletion has no media type.
    if (action === 'delete') return { id, type: 'changed', repository };
    return { id, type: 'other' };
  });
};
