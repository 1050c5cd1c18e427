import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { PushEvent } from './push-event.ts';

/**
 * Harbor's webhooks, in its own format and as CloudEvents:
 * https://goharbor.io/docs/latest/working-with-projects/project-configuration/configure-webhooks/ and
 * https://github.com/goharbor/harbor/tree/main/src/pkg/notifier
 */
const data = z.object({
  repository: z.object({ repo_full_name: z.string().min(1) }).optional(),
});
const own = z.object({
  type: z.string().regex(/^[A-Z]+(?:_[A-Z]+)*$/),
  occur_at: z.number(),
  event_data: data.nullish(),
});
const cloudEvent = z.object({
  specversion: z.string(),
  id: z.string(),
  type: z.string().startsWith('harbor.'),
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

/** The event of a webhook's body; undefined when it is none. */
export function readHarborEvents(body: unknown): PushEvent[] | undefined {
  const cloud = cloudEvent.safeParse(body);
  const plain = cloud.success ? undefined : own.safeParse(body);
  const event = cloud.success
    ? cloud.data
    : plain?.success
      ? // Harbor's own format has no id; what is sent again is the same to the letter.
        {
          id: createHash('sha256').update(JSON.stringify(body)).digest('hex'),
          type: plain.data.type,
          data: plain.data.event_data,
        }
      : undefined;
  if (!event) return undefined;
  const { id } = event;
  const known = types[event.type];
  const repository = event.data?.repository?.repo_full_name;
  if (known === undefined || repository === undefined) return [{ id, type: 'other' }];
  return known === 'failed'
    ? [{ id, type: 'failed', repository, reason: 'quota' }]
    : [{ id, type: known, repository }];
}
