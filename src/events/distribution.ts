import { z } from 'zod';
import type { PushEvent } from './push-event.ts';

/**
 * Notifications of the distribution registry. Pushes of blobs are events too and do not count; a failed push sends
 * none. https://distribution.github.io/distribution/about/notifications/
 */
const envelope = z.object({
  events: z.array(
    z.object({
      id: z.string(),
      action: z.string(),
      target: z.object({
        mediaType: z.string().optional(),
        repository: z.string().optional(),
        digest: z.string().optional(),
        tag: z.string().optional(),
      }),
    }),
  ),
});

const isManifest = (mediaType: string | undefined): boolean => /manifest|index/.test(mediaType ?? '');

/** The push events of an envelope; undefined when the body is none. */
export function readDistributionEvents(body: unknown): PushEvent[] | undefined {
  const parsed = envelope.safeParse(body);
  if (!parsed.success) return undefined;
  return parsed.data.events.map(({ id, action, target }) => {
    const { repository, mediaType } = target;
    if (repository === undefined) return { id, type: 'other' };
    if (action === 'push' && isManifest(mediaType)) return { id, type: 'pushed', repository };
    // A deletion has no media type.
    if (action === 'delete') return { id, type: 'changed', repository };
    return { id, type: 'other' };
  });
}
