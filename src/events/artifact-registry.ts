import { z } from 'zod';
import { type EventReader, eventId, type PushEvent, repositoryName, shortText } from './push-event.ts';

/**
 * Messages of Google's topic `gcr`, which a Pub/Sub push subscription delivers. No push that failed is told.
 * https://cloud.google.com/artifact-registry/docs/configure-notifications and
 * https://cloud.google.com/pubsub/docs/push#receive_push
 */
const delivery = z.object({
  subscription: shortText,
  message: z.object({ messageId: eventId, data: z.string().max(8_192).nullish() }),
});
const notice = z.object({
  action: shortText,
  digest: z.string().max(1_024).nullish(),
  tag: z.string().max(1_024).nullish(),
});

/**
 * The repository as the exporter names it: `REPOSITORY/PACKAGE`, in the domain of Container Registry `gcr.io/PACKAGE`.
 * A project of a domain has two parts, `example.com/project`.
 */
function repositoryOf(address: string, at: Place | undefined): string | undefined {
  const [path = ''] = address.split('@');
  const [host = '', ...parts] = path.replace(/:[^/:]*$/, '').split('/');
  if (at && !isWithin(host, parts, at)) return undefined;
  const inProject = parts.slice(parts[0]?.includes('.') ? 2 : 1);
  const name = host.endsWith('-docker.pkg.dev') ? inProject : [host, ...inProject];
  const parsed = repositoryName.safeParse(name.join('/'));
  return parsed.success && inProject.length > 0 ? parsed.data : undefined;
}

/** A project and a location; several of them share one topic. */
interface Place {
  readonly project: string;
  readonly location: string;
}

/**
 * The hosts of Container Registry, and the locations of the repositories that stand in for them:
 * https://cloud.google.com/artifact-registry/docs/transition/setup-gcr-repo
 */
export const gcrLocations: Readonly<Record<string, string>> = {
  'gcr.io': 'us',
  'us.gcr.io': 'us',
  'eu.gcr.io': 'europe',
  'asia.gcr.io': 'asia',
};

function isWithin(host: string, parts: readonly string[], { project, location }: Place): boolean {
  const isHere = host === `${location}-docker.pkg.dev` || gcrLocations[host] === location;
  return isHere && `${parts.join('/')}/`.startsWith(`${project.replace(':', '/')}/`);
}

/**
 * What a message says, by its id. One that says nothing of a repository is ignored and not refused: Pub/Sub would deliver
 * it again and again, for days.
 * @param at whose events count, where the sender does not tell
 */
export function noticeOf(id: string, data: string, at?: Place): PushEvent {
  const { action, digest, tag } = noticeIn(data);
  const repository = repositoryOf(digest ?? tag ?? '', at);
  if (repository === undefined || (action !== 'INSERT' && action !== 'DELETE')) return { id, type: 'other' };
  return { id, type: action === 'INSERT' ? 'pushed' : 'changed', repository };
}

function noticeIn(data: string): Partial<z.output<typeof notice>> {
  try {
    return notice.parse(JSON.parse(Buffer.from(data, 'base64').toString('utf8')));
  } catch {
    return {};
  }
}

/** The message of a delivery. */
export const readArtifactRegistryEvents: EventReader = ({ body }) => {
  const parsed = delivery.safeParse(body);
  if (!parsed.success) return undefined;
  const { messageId, data } = parsed.data.message;
  return [noticeOf(messageId, data ?? '')];
};
