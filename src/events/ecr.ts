import { z } from 'zod';
import { type EventReader, eventId, type PushEvent, repositoryName, shortText } from './push-event.ts';
import { type PushFailureReason, reasonsIn, type Tells } from './told.ts';

/**
 * Events of EventBridge about ECR: its own, which tell of pushes that arrived, and calls that CloudTrail recorded, which
 * tell of those that failed.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html and
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/logging-using-cloudtrail.html
 */
const envelope = z.object({
  id: eventId,
  'detail-type': shortText,
  source: z.literal('aws.ecr'),
  detail: z.looseObject({}),
});
const own = z.object({
  'repository-name': repositoryName,
  'action-type': shortText.nullish(),
  result: shortText.nullish(),
  'sync-status': shortText.nullish(),
  'failure-code': shortText.nullish(),
});
/** Of CloudTrail's record what is used. */
export const call = z.object({
  eventID: eventId.nullish(),
  eventName: shortText,
  errorCode: shortText.nullish(),
  requestParameters: z.object({ repositoryName: repositoryName.nullish() }).nullish(),
});
/** A call that CloudTrail recorded. */
export type RecordedCall = z.output<typeof call>;

/** Calls that push: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html */
export const pushCalls = [
  'PutImage',
  'InitiateLayerUpload',
  'UploadLayerPart',
  'CompleteLayerUpload',
] as const;

/** What is there already is no failure: docker goes on. */
const harmless = /^(?:ImageAlreadyExists|LayerAlreadyExists)/;
/** Reasons by the beginning of AWS's words, with and without `Exception`. */
const reasons: readonly (readonly [RegExp, PushFailureReason])[] = [
  [
    /^(?:AccessDenied|Unauthorized|UnrecognizedClient|InvalidClientToken|ExpiredToken|RegistryPolicy)/,
    'denied',
  ],
  [/^ImageTagAlreadyExists/, 'immutable_tag'],
  [/^(?:RepositoryNotFound|UploadNotFound|RegistryNotFound)/, 'not_found'],
  [/^LimitExceeded/, 'quota'],
  [/^(?:Throttl|TooManyRequests|RequestLimitExceeded)/, 'throttled'],
  [/^(?:Server|Internal|Kms|ServiceUnavailable)/, 'server_error'],
  [/^(?:Invalid|Layer|EmptyUpload|ReferencedImagesNotFound|ImageDigestDoesNotMatch|Unsupported)/, 'invalid'],
];
const reasonOf = (word: string): PushFailureReason =>
  reasons.find(([pattern]) => pattern.test(word))?.[1] ?? 'other';

const failures = reasonsIn(reasons.map(([, reason]) => reason));
/** Of recorded calls only those are given on that failed. */
export const toldByCloudTrail: Tells = { repositories: { failures } };
/** With the rules of docs/events.md: ECR's own events, and the calls that CloudTrail recorded. */
export const toldByEventBridge: Tells = { repositories: { pushes: true, failures } };

/**
 * What a recorded call tells of a push that failed. Those that worked are told by ECR's own events.
 * @param eventId the envelope's, where the call has none; the same call is the same event whoever tells of it
 */
export function eventOfCall(eventId: string, { eventID, ...recorded }: RecordedCall): PushEvent {
  const { eventName, errorCode, requestParameters } = recorded;
  const identity = { id: eventID ?? eventId, origin: 'cloudtrail' };
  const isPush = (pushCalls as readonly string[]).includes(eventName);
  const repository = requestParameters?.repositoryName;
  if (!isPush || !repository || !errorCode || harmless.test(errorCode)) return { ...identity, type: 'other' };
  return { ...identity, type: 'failed', repository, reason: reasonOf(errorCode) };
}

/** ECR's own events by their kind. */
function ownEvent(id: string, kind: string, detail: z.output<typeof own>): PushEvent {
  const repository = detail['repository-name'];
  const { result } = detail;
  if (kind === 'ECR Image Action' && detail['action-type'] === 'PUSH')
    return result === 'SUCCESS' || !result
      ? { id, type: 'pushed', repository }
      : { id, type: 'failed', repository, reason: 'other' };
  if (kind === 'ECR Pull Through Cache Action' && detail['sync-status'] === 'FAILED')
    return { id, type: 'failed', repository, reason: reasonOf(detail['failure-code'] ?? '') };
  return { id, type: 'changed', repository };
}

const recorded = 'AWS API Call via CloudTrail';
/** Kinds after which something else is to be read of the repository. */
const kinds =
  /^ECR (?:Image Action|Image Scan|Replication Action|Pull Through Cache Action|Referrer Action|Artifact Action)$/;

function eventOf({ id, 'detail-type': kind, detail }: z.output<typeof envelope>): PushEvent | undefined {
  if (kind === recorded) {
    const parsed = call.safeParse(detail);
    return parsed.success ? eventOfCall(id, parsed.data) : undefined;
  }
  if (!kinds.test(kind)) return { id, type: 'other' };
  const parsed = own.safeParse(detail);
  return parsed.success ? ownEvent(id, kind, parsed.data) : undefined;
}

/** The event of an API destination's body, which is the event itself. */
export const readEcrEvents: EventReader = ({ body }) => {
  const parsed = envelope.safeParse(body);
  return parsed.success ? [eventOf(parsed.data)] : undefined;
};
