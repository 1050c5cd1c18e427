import { z } from 'zod';
import { CollectError, reasonOf } from '../../errors.ts';
import { type PushEvent, repositoryName } from '../../events/push-event.ts';
import type { EventBatch, EventSource } from '../../provider.ts';
import { spanOf } from '../../reading-span.ts';
import type { Auth } from '../../registry-auth.ts';
import { newestOf } from '../../times.ts';
import { count, pastTime, text } from '../../wire.ts';
import { createHarbor, type Harbor, type Question } from './client.ts';

const usualIntervalMs = 60_000;
/** Harbor writes entries behind the requests that they are of. */
const lateSeconds = 120;

/**
 * An entry about an artifact: `app:v1`, or `app@sha256:…` without a tag, below its project.
 * https://github.com/goharbor/harbor/blob/main/src/controller/event/topic.go (`ResolveToAuditLog`)
 */
const entry = z.object({ id: count, operation: text, resource: text, op_time: pastTime });
type Entry = z.output<typeof entry>;

const artifact = z.string().transform((resource) => resource.replace(/(?:@sha256:|:)[^:/@]*$/, ''));
const repositoryOf = artifact.pipe(repositoryName);

/** Each push that worked; Harbor writes no entry of one that failed. A deletion makes the exporter look. */
function eventOf({ id, operation, resource }: Entry): PushEvent {
  const repository = repositoryOf.safeParse(resource).data;
  if (repository === undefined) return { id: String(id), type: 'other' };
  return { id: String(id), type: operation === 'create' ? 'pushed' : 'changed', repository };
}

/** A moment as Harbor's queries have it: UTC, without saying so. */
const moment = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(0, 19);

/** Where the entries are: since 2.13 in a table of their own. */
async function findPath(harbor: Harbor): Promise<string> {
  const countAt = async (path: string) => ({
    path,
    entries: await harbor.count({ operation: 'audit_log', path }),
  });
  const { path, entries } = await countAt('/auditlog-exts').catch((error: unknown) => {
    if (reasonOf(error) === 'not_found') return countAt('/audit-logs');
    throw error;
  });
  // An account that may not see entries is answered an empty list.
  if (entries === 0)
    throw new CollectError(
      'forbidden',
      `Harbor shows no entry of its audit log (${path}): give the robot account the permission audit-log:list of the system. A log that is new, or was purged, is empty until somebody pushes or logs in`,
    );
  return path;
}

/** Successful pushes and deletions from Harbor's audit log, where no webhook may be set. */
export function auditLogSource(settings: {
  readonly endpoint: URL;
  readonly auth?: Auth | undefined;
  readonly pageSize?: number | undefined;
  readonly interval?: number | undefined;
}): EventSource {
  const { endpoint, auth, pageSize = 100, interval = usualIntervalMs } = settings;
  return {
    name: 'audit-log',
    tells: { repositories: { pushes: true } },
    everyMs: interval,
    async *read(context, since): AsyncGenerator<EventBatch> {
      const { session } = context;
      const harbor = createHarbor({ http: context.http(), session, endpoint, auth, pageSize });
      const kept = session.keep('harbor audit log', (): { path?: string } => ({}));
      kept.path ??= await findPath(harbor);
      const { from, to, done } = spanOf(context, { name: 'audit-log', since, lateSeconds });
      const span = `op_time=[${moment(from)}~${moment(Math.ceil(to))}]`;
      const query = { q: `resource_type=artifact,operation={create delete},${span}`, sort: 'op_time' };
      const question: Question = { operation: 'audit_log', path: kept.path, query };
      for await (const { items } of harbor.pages(question, entry))
        yield {
          events: items.map(eventOf),
          newestAt: newestOf(items.map(({ op_time }) => op_time)),
          done: async () => {},
        };
      done();
    },
  };
}
