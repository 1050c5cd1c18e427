import { z } from 'zod';
import { type EventReader, eventId, repositoryName, shortText } from './push-event.ts';

/**
 * Harbor's webhooks, in its own format and as CloudEvents:
 * https://goharbor.io/docs/latest/working-with-projects/project-configuration/configure-webhooks/ and
 * https://github.com/goharbor/harbor/tree/main/src/pkg/notifier
 */
const data = z.object({
  repository: z.object({ repo_full_name: repositoryName }).nullish(),
});
const own = z.object({
  type: shortText.regex(/^[A-Z]+(?:_[A-Z]+)*$/),
  occur_at: z.number(),
  event_data: data.nullish(),
});
const cloudEvent = z.object({
  specversion: shortText,
  id: eventId,
  type: shortText.startsWith('harbor.'),
  data: data.nullish(),
});

/** A push that exceeds a quota is the only one that fails with an event: 403 to whoever pushes. */
const types: Readonly<Record<string, 'pushed' | 'failed' | 'changed'>> = {
  PUSH_ARTIFACT: 'pushed',
  DELETE_ARTIFACT: 'changed',
  SCANNING_COMPLETED: 'changed',
  SCANNING_FAILED: 'changed',
  SCANNING_STOPPED: 'changed',
  QUOTA_EXCEED: 'failed',
  'harbor.artifact.pushed': 'pushed',
  'harbor.artifact.deleted': 'changed',
  'harbor.scan.completed': 'changed',
  'harbor.scan.failed': 'changed',
  'harbor.scan.stopped': 'changed',
  'harbor.quota.exceeded': 'failed',
};

/** The event of a webhook's body. */
export const readHarborEvents: EventReader = ({ body, raw }) => {
  const cloud = cloudEvent.safeParse(body);
  const plain = cloud.success ? undefined : own.safeParse(body);
  const event = cloud.success
    ? { ...cloud.data, identity: { id: cloud.data.id } }
    : plain?.success
      ? {
          type: plain.data.type,
          data: plain.data.event_data,
          // Harbor's own format has no id, and its time is in seconds; what is sent again is the same to the letter.
          identity: { id: raw.toString('latin1'), byContent: true as const },
        }
      : undefined;
  if (!event) return undefined;
  const { identity } = event;
  const kind = types[event.type];
  const repository = event.data?.repository?.repo_full_name;
  if (kind === undefined) return [{ ...identity, type: 'other' }];
  // A push of no repository could not be counted: that is told, and not passed over.
  if (repository === undefined) return [undefined];
  return kind === 'failed'
    ? [{ ...identity, type: 'failed', repository, reason: 'quota' }]
    : [{ ...identity, type: kind, repository }];
};
