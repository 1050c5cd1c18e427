import { z } from 'zod';
import { type PushEvent, repositoryName, shortText } from './push-event.ts';
import { type PushFailureReason, reasonsIn } from './told.ts';

/**
 * Entries of Google's audit log about pushes that failed. They are there where data access logs (`DATA_WRITE`) of
 * Artifact Registry are switched on, and come through Pub/Sub by a sink of the log.
 * https://cloud.google.com/artifact-registry/docs/audit-logging and
 * https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog
 */
const entry = z.object({
  insertId: shortText,
  protoPayload: z.object({
    serviceName: z.literal('artifactregistry.googleapis.com'),
    methodName: shortText,
    resourceName: z.string().max(1_024).default(''),
    status: z.object({ code: z.int().default(0) }).nullish(),
  }),
});

/** The requests that a push makes: https://cloud.google.com/artifact-registry/docs/audit-logging */
export const pushMethods = ['Docker-StartUpload', 'Docker-FinishUpload', 'Docker-PutManifest'];

/** https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
const reasons: Readonly<Record<number, PushFailureReason>> = {
  2: 'server_error',
  3: 'invalid',
  4: 'server_error',
  5: 'not_found',
  6: 'immutable_tag',
  7: 'denied',
  8: 'throttled',
  13: 'server_error',
  14: 'server_error',
};
/** No credentials: docker asks so before each push, and then shows them. */
const unauthenticated = 16;

/** What a status of gRPC means for a push; undefined where it is none that failed. */
export const reasonOfCode = (code: number): PushFailureReason | undefined =>
  code === 0 || code === unauthenticated ? undefined : (reasons[code] ?? 'other');

/** What a status of gRPC can mean for a push. */
export const reasonsOfCodes = reasonsIn(Object.values(reasons));

function entryIn(data: string): z.output<typeof entry> | undefined {
  try {
    return entry.parse(JSON.parse(Buffer.from(data, 'base64').toString('utf8')));
  } catch {
    return undefined;
  }
}

/** The repository as the exporter names it, where the entry names an image; else the whole registry. */
function repositoryOf(resource: string): string {
  const [, repository = '', image = ''] =
    /\/repositories\/([^/]+)\/(?:dockerImages|packages)\/([^@:]+)/.exec(resource) ?? [];
  const name = repositoryName.safeParse(`${repository}/${image.replaceAll('%2F', '/')}`);
  return name.success ? name.data : '';
}

/**
 * The failed push of a message; undefined where it is no entry of the audit log.
 * @param at whose events count: of other projects and locations they are none of this registry
 */
export function failedPushOf(
  messageId: string,
  data: string,
  at: { readonly project: string; readonly location: string },
): PushEvent | undefined {
  const read = entryIn(data);
  if (!read) return undefined;
  const { insertId, protoPayload } = read;
  const { methodName, resourceName, status } = protoPayload;
  const isOurs = resourceName.startsWith(`projects/${at.project}/locations/${at.location}/`);
  const reason = reasonOfCode(status?.code ?? 0);
  if (!isOurs || !pushMethods.includes(methodName) || reason === undefined)
    return { id: messageId, type: 'other' };
  return { id: insertId, type: 'failed', repository: repositoryOf(resourceName), reason };
}
