import { z } from 'zod';
import type { PushEvent } from './push-event.ts';

/**
 * Docker Hub's webhook, which is sent for pushes only and has neither an id nor a kind.
 * https://docs.docker.com/docker-hub/repos/manage/webhooks/#example-webhook-payload
 */
const webhook = z.object({
  push_data: z.object({ pushed_at: z.number(), tag: z.string().nullish() }),
  repository: z.object({ repo_name: z.string().regex(/^[^/]+\/[^/]+$/) }),
});

/** The push that a webhook tells of; undefined when the body is none. */
export function readDockerHubEvents(body: unknown): PushEvent[] | undefined {
  const parsed = webhook.safeParse(body);
  if (!parsed.success) return undefined;
  const { push_data: push, repository } = parsed.data;
  const id = `${repository.repo_name}:${push.tag ?? ''} ${push.pushed_at}`;
  return [{ id, type: 'pushed', repository: repository.repo_name }];
}
