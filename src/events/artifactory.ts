import { z } from 'zod';
import { type EventReader, repositoryName, shortText } from './push-event.ts';

/**
 * Artifactory's webhooks of the domain `docker`. They have neither an id nor a time: what is sent again is the same to
 * the letter. No push that failed is told.
 * https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhook-event-types
 */
const webhook = z.object({
  domain: shortText,
  event_type: shortText,
  jpd_origin: shortText.nullish(),
  data: z.object({
    repo_key: shortText,
    image_name: shortText.nullish(),
    tag: shortText.nullish(),
    sha256: shortText.nullish(),
  }),
});

const types: Readonly<Record<string, 'pushed' | 'changed'>> = {
  pushed: 'pushed',
  promoted: 'pushed',
  deleted: 'changed',
};

/** The event of a webhook's body; the repository is `KEY/IMAGE`, as the exporter names it. */
export const readArtifactoryEvents: EventReader = ({ body, raw }) => {
  const parsed = webhook.safeParse(body);
  if (!parsed.success) return undefined;
  const { domain, event_type, data } = parsed.data;
  const identity = { id: raw.toString('latin1'), byContent: true as const };
  const type = domain === 'docker' && Object.hasOwn(types, event_type) ? types[event_type] : undefined;
  const repository = repositoryName.safeParse(`${data.repo_key}/${data.image_name ?? ''}`);
  if (type === undefined) return [{ ...identity, type: 'other' }];
  return [repository.success ? { ...identity, type, repository: repository.data } : undefined];
};
