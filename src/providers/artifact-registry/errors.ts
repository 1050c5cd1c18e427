import { z } from 'zod';
import { CollectError, type FailureReason, reasonOf } from '../../errors.ts';
import { explanation } from '../../http/failure.ts';
import type { HttpResponse } from '../../http.ts';

/** What the SDK throws: a status of gRPC, and what `google.rpc.Status` had in its details. */
interface ServiceError extends Error {
  readonly code?: number;
  readonly details?: string;
  readonly reason?: string;
  readonly errorInfoMetadata?: Readonly<Record<string, string>>;
  readonly statusDetails?: readonly unknown[];
}

/** https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
export const statusNames = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
export type StatusName = (typeof statusNames)[number];

const reasons: Readonly<Record<StatusName, FailureReason>> = {
  OK: 'invalid_response',
  CANCELLED: 'server_error',
  UNKNOWN: 'server_error',
  INVALID_ARGUMENT: 'invalid_response',
  DEADLINE_EXCEEDED: 'timeout',
  NOT_FOUND: 'not_found',
  ALREADY_EXISTS: 'invalid_response',
  PERMISSION_DENIED: 'forbidden',
  RESOURCE_EXHAUSTED: 'throttled',
  FAILED_PRECONDITION: 'invalid_response',
  ABORTED: 'server_error',
  OUT_OF_RANGE: 'invalid_response',
  UNIMPLEMENTED: 'invalid_response',
  INTERNAL: 'server_error',
  UNAVAILABLE: 'server_error',
  DATA_LOSS: 'server_error',
  UNAUTHENTICATED: 'auth',
};

/** No answer of the API is so large: the first bytes of something that is no gRPC were taken for a length. */
const implausibleBytes = 2 ** 29;

/** What a status of HTTP means that something on the way answered instead of gRPC. */
function reasonOfHttp(status: number): FailureReason {
  if (status === 429) return 'throttled';
  if (status >= 500) return 'server_error';
  return status === 401 ? 'auth' : status === 403 ? 'forbidden' : 'invalid_response';
}

/**
 * What grpc-js itself says of connections and answers, with statuses that servers use too; the first that fits.
 * https://github.com/grpc/grpc-node/tree/master/packages/grpc-js/src (subchannel-call.ts, stream-decoder.ts)
 */
const ofTransport: readonly (readonly [RegExp, FailureReason | ((number: number) => FailureReason)])[] = [
  [
    /^Received message larger than max \((\d+) vs/,
    (bytes) => (bytes >= implausibleBytes ? 'invalid_response' : 'too_large'),
  ],
  [/^Received message that decompresses to a size larger/, 'too_large'],
  [/^(Response message parsing error|Failed to decompress|No message received)/, 'invalid_response'],
  [/Call ended without gRPC status/, 'invalid_response'],
  [/^Received HTTP status code (\d+)/, reasonOfHttp],
  [/^Name resolution failed/, 'dns'],
  [/^No connection established.*(certificate|CERT_|\bSSL|TLS)/is, 'tls'],
  [/^No connection established.*(ENOTFOUND|EAI_AGAIN)/s, 'dns'],
  [/^No connection established/, 'connect'],
  [/^(Connection dropped|Received RST_STREAM|Write |The pending stream|Stream closed)/, 'connect'],
];

function reasonOfTransport(details: string): FailureReason | undefined {
  for (const [pattern, reason] of ofTransport) {
    const match = pattern.exec(details);
    if (match) return typeof reason === 'function' ? reason(Number(match[1])) : reason;
  }
  return undefined;
}

/** google.rpc.RetryInfo: https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto */
function retryAfterMs(details: readonly unknown[] | undefined): number | undefined {
  for (const detail of details ?? []) {
    const { retryDelay } = detail as { retryDelay?: { seconds?: unknown; nanos?: unknown } | null };
    if (!retryDelay || typeof retryDelay !== 'object') continue;
    const ms = Number(retryDelay.seconds ?? 0) * 1000 + Number(retryDelay.nanos ?? 0) / 1e6;
    if (Number.isFinite(ms) && ms >= 0) return ms;
  }
  return undefined;
}

/** Roles that hold a permission and not much else; https://cloud.google.com/iam/docs/roles-permissions */
const roles: Readonly<Record<string, string>> = {
  artifactregistry: 'roles/artifactregistry.reader',
  containeranalysis: 'roles/containeranalysis.occurrences.viewer',
  monitoring: 'roles/monitoring.viewer',
};

/** What Google says of a refusal: https://cloud.google.com/apis/design/errors#error_info */
interface Refusal {
  readonly message: string;
  readonly reason?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/**
 * What to do about refusals that no role of the account changes, by their reason:
 * https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
 */
const beyondRoles: Readonly<Record<string, string>> = {
  ACCESS_TOKEN_SCOPE_INSUFFICIENT:
    'the token has too few scopes, which no role changes: give the node or machine the access scope cloud-platform, or the pod an identity of its own by Workload Identity',
  BILLING_DISABLED: 'enable billing for the project',
  CONSUMER_INVALID: 'the project is not there any more, or never was: check its id',
  CONSUMER_SUSPENDED: 'Google has suspended the project',
  GCP_SUSPENDED: 'Google has suspended the project',
  LOCATION_POLICY_VIOLATED: 'Google gives this location to other customers only',
  SECURITY_POLICY_VIOLATED:
    'a perimeter of VPC Service Controls forbids it: let the account in by an ingress rule or an access level, or run the exporter within',
  USER_PROJECT_DENIED:
    'the credentials name a project to charge (quota_project_id) in which the account lacks serviceusage.services.use, which roles/serviceusage.serviceUsageConsumer gives',
};

/** What to do about a refusal that no role of the account changes. */
export function beyondRolesHint({ message, reason = '', metadata = {} }: Refusal): string | undefined {
  // The service is off in the project of gcloud itself, since the credentials name none:
  // https://cloud.google.com/docs/authentication/adc-troubleshooting/user-creds
  if (reason === 'SERVICE_DISABLED' && /requires a quota project/.test(message))
    return "a user's credentials need a project to charge: gcloud auth application-default set-quota-project, or take a service account";
  if (reason === 'SERVICE_DISABLED') return `enable ${metadata['service'] ?? 'the API'} in the project`;
  return Object.hasOwn(beyondRoles, reason) ? beyondRoles[reason] : undefined;
}

/** What to do where the account lacks something. */
function forbiddenHint(refusal: Refusal): string {
  const { message, metadata = {} } = refusal;
  const hint = beyondRolesHint(refusal);
  if (hint !== undefined) return `: ${hint}`;
  const permission =
    metadata['permission'] ?? /[Pp]ermission ['"]?([a-z]+\.[a-zA-Z.]+)['"]?/.exec(message)?.[1];
  if (permission === undefined) return ': the account lacks a permission, or a service perimeter forbids it';
  const role = roles[permission.split('.')[0] ?? ''];
  return `: the account lacks ${permission}${role ? `, which ${role} gives` : ''}`;
}

const refusalAnswer = z.object({
  error: z.object({
    message: z.string(),
    status: z.string().optional(),
    details: z
      .array(
        z.object({ reason: z.string(), metadata: z.record(z.string(), z.string()).optional() }).partial(),
      )
      .default([])
      .catch([]),
  }),
});

/** What a 403 of REST says; undefined where none of Google's APIs wrote it. */
export function refusalOf({ body }: Pick<HttpResponse, 'body'>): (Refusal & { said: string }) | undefined {
  let refusal: z.infer<typeof refusalAnswer> | undefined;
  try {
    refusal = refusalAnswer.safeParse(JSON.parse(body.toString('utf8'))).data;
  } catch {}
  if (!refusal) return undefined;
  const { message, status = '', details } = refusal.error;
  const { reason, metadata } = details.find((detail) => detail.reason !== undefined) ?? {};
  const said = `${status} ${message}`.trim().replace(controls, ' ').slice(0, 300);
  return { message, reason, metadata, said };
}

/** The error that a 403 of REST is. */
export function forbidden(operation: string, response: HttpResponse): CollectError {
  const refusal = refusalOf(response);
  const said = refusal
    ? `${refusal.said}${forbiddenHint(refusal)}`
    : `answered 403${explanation(response.body)}: that is none of Google's APIs: check the endpoint, and proxies or gateways on the way`;
  return new CollectError('forbidden', `${operation} of ${response.url.host}: ${said}`, { status: 403 });
}

function hint(reason: FailureReason, error: ServiceError): string {
  if (reason === 'tls')
    return ': give the certificate of its authority as tls.caFile, if it is to be trusted';
  if (reason === 'auth') return ': check the credentials, see docs/providers/artifact-registry.md';
  if (reason !== 'forbidden') return '';
  return forbiddenHint({
    message: error.details ?? '',
    reason: error.reason,
    metadata: error.errorInfoMetadata,
  });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
const controls = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g;

/** An error of the SDK as one whose reason is known; one that is such already stays. */
export function toCollectError(operation: string, host: string, thrown: unknown): unknown {
  if (thrown instanceof CollectError || !(thrown instanceof Error)) return thrown;
  const error = thrown as ServiceError;
  if (error.cause instanceof CollectError) return error.cause;
  const status = statusNames[typeof error.code === 'number' ? error.code : -1];
  const details = error.details ?? error.message;
  const ownReason = reasonOf(error);
  const reason =
    // The SDK takes an answer that is no JSON for one that did not come.
    (error.cause instanceof SyntaxError ? 'invalid_response' : reasonOfTransport(details)) ??
    (status ? reasons[status] : ownReason === 'internal' ? 'invalid_response' : ownReason);
  const said = details.replace(controls, ' ').slice(0, 300);
  const asked = retryAfterMs(error.statusDetails);
  return new CollectError(
    reason,
    `${operation} of ${host}: ${status ? `${status} ` : ''}${said}${hint(reason, error)}`,
    { cause: thrown, ...(asked !== undefined && reason === 'throttled' && { retryAfterMs: asked }) },
  );
}

/** The word that a failed call is counted under: the status where the server gave one. */
export function codeOf(error: unknown): string {
  const cause = error instanceof CollectError ? (error.cause as ServiceError | undefined) : undefined;
  const status = typeof cause?.code === 'number' ? statusNames[cause.code] : undefined;
  const details = cause?.details ?? '';
  return status !== undefined && reasonOfTransport(details) === undefined ? status : reasonOf(error);
}
