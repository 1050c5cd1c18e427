/** Why a poll or a request failed; values of the label `reason`, a fixed list. */
export const failureReasons = [
  'dns',
  'connect',
  'tls',
  'timeout',
  'auth',
  'forbidden',
  'not_found',
  'throttled',
  'server_error',
  'invalid_response',
  'pagination',
  'too_large',
  'partial',
  /** What the user configured cannot be done. */
  'configuration',
  'internal',
] as const;
export type FailureReason = (typeof failureReasons)[number];

/** A failure whose reason is known. Its message says where, what and what to do next; it carries no secret. */
export class CollectError extends Error {
  override readonly name = 'CollectError';
  readonly reason: FailureReason;
  /** HTTP status, where the registry answered. */
  readonly status?: number;
  /** How long the registry asked to wait before the next attempt, milliseconds. */
  readonly retryAfterMs?: number;

  constructor(
    reason: FailureReason,
    message: string,
    options: { readonly cause?: unknown; readonly status?: number; readonly retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    if (options.status !== undefined) this.status = options.status;
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
  }
}

/** Codes of Node's network stack, OpenSSL and undici; https://nodejs.org/api/errors.html */
const reasonsByCode: Readonly<Record<string, FailureReason>> = {
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EAI_NODATA: 'dns',
  ECONNREFUSED: 'connect',
  ECONNRESET: 'connect',
  EHOSTUNREACH: 'connect',
  ENETUNREACH: 'connect',
  EPIPE: 'connect',
  EPROTO: 'tls',
  UND_ERR_SOCKET: 'connect',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  ETIMEDOUT: 'timeout',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls',
  UNABLE_TO_GET_ISSUER_CERT: 'tls',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls',
};

/** The reason of one error by itself; undefined when it tells none. */
function ownReason(error: Error): FailureReason | undefined {
  if (error instanceof CollectError) return error.reason;
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string') {
    const reason = reasonsByCode[code];
    if (reason) return reason;
    if (/^(CERT_|ERR_TLS_|ERR_SSL_)/.test(code)) return 'tls';
    if (code.startsWith('HPE_')) return 'invalid_response';
  }
  if (error.name === 'TimeoutError') return 'timeout';
  // undici's, not always with llhttp's code.
  if (error.name === 'HTTPParserError') return 'invalid_response';
  return error instanceof AggregateError && error.errors.length > 0 ? reasonOf(error.errors[0]) : undefined;
}

/** The reason of any error, found along its causes; `internal` when nothing tells. */
export function reasonOf(error: unknown): FailureReason {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
    const reason = ownReason(cause);
    if (reason) return reason;
  }
  return 'internal';
}
