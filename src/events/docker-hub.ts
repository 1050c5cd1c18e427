import { z } from 'zod';
import { type EventReader, repositoryName, shortText } from './push-event.ts';

/**
 * Docker Hub's webhook, which is sent for pushes only and has neither an id nor a kind.
 * https://docs.docker.com/docker-hub/repos/manage/webhooks/#example-webhook-payload
 */
const webhook = z.object({
  push_data: z.object({ pushed_at: z.number(), tag: shortText.nullish() }),
  repository: z.object({ repo_name: repositoryName.regex(/^[^/]+\/[^/]+$/) }),
});

/** The push that a webhook tells of. */
export const readDockerHubEvents: EventReader = ({ body }) => {
  const parsed = webhook.safeParse(body);
  if (!parsed.success) return undefined;
  const { push_data: push, repository } = parsed.data;
  const id = `${repository.repo_name}:${push.tag ?? ''} ${push.pushed_at}`;
  return [{ id, byContent: true, type: 'pushed', repository: repository.repo_name }];
};
