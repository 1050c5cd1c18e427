import { CollectError, type FailureReason } from '../errors.ts';
import { largestAnswer } from './body.ts';
import { jsonIn } from './parse.ts';

/** An answer that is an error, and how long the vendor asked to wait. */
export interface Judgement {
  readonly reason: FailureReason;
  readonly retryAfterMs?: number;
}

/** What of an answer its failure is told by. */
interface Answer {
  readonly status: number;
  readonly url: URL;
  readonly body: Buffer;
  /** Whether its words are not repeated. */
  readonly stranger?: boolean;
  header(name: string): string | undefined;
}

/** The address as it may be shown: without user, password and query, which may hold secrets. */
export const shown = (url: URL): string => `${url.origin}${url.pathname}`;

function reasonOfStatus(status: number): FailureReason {
  if (status === 401) return 'auth';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 429) return 'throttled';
  return status >= 500 ? 'server_error' : 'invalid_response';
}

const hints: Partial<Record<FailureReason, string>> = {
  auth: ': check the credentials',
  forbidden: ': the credentials lack a permission, or there have to be some',
};

/** OpenSSL's words for an answer that does not begin like TLS: plain HTTP most often. */
const noTls = /wrong version number|packet length too long|record layer failure/;

/** What the network said, and what to do about it. */
export function explained(reason: FailureReason, { message }: Error): string {
  if (reason === 'tls' && noTls.test(message))
    return 'what answers there does not speak TLS: use http:// if that is meant';
  const said = message.replace(/; if the root CA is installed locally.*/, '') || reason;
  return reason === 'tls'
    ? `${said}: give the certificate of its authority as tls.caFile, if it is to be trusted`
    : said;
}

/** Some servers repeat the request in their errors, the credentials in it included. */
const credential = /\b(basic|bearer)\s+(?=\S*[\d=])[^\s"',;]{8,}/gi;

/**
 * Google's APIs and Azure Resource Manager have one `error`, registries have a list of them. In Prometheus' API it is
 * text, in OAuth a word with a description.
 */
function singleError(parsed: {
  readonly error?: unknown;
  readonly error_description?: unknown;
}): { readonly code?: unknown; readonly message?: unknown } | undefined {
  const { error, error_description: description } = parsed;
  if (typeof error === 'string' && error !== '') return { code: error, message: description };
  if (typeof error !== 'object' || error === null) return undefined;
  const { status, code, message } = error as { status?: unknown; code?: unknown; message?: unknown };
  return { code: status ?? code, message };
}

/** What the server said, for people: one short line without control characters and credentials. */
export function explanation(body: Buffer): string {
  // The bodies of errors are small; a larger one is not parsed for the sake of a message.
  const text = body.subarray(0, 4096).toString('utf8');
  let said = text;
  try {
    const parsed = jsonIn(body.subarray(0, largestAnswer.error)) as {
      errors?: { code?: unknown; message?: unknown }[];
      error?: unknown;
      message?: unknown;
    };
    const first = parsed.errors?.[0] ?? singleError(parsed);
    said = first ? [first.code, first.message].filter(Boolean).join(' ') : String(parsed.message ?? text);
  } catch {
    if (/^\s*</.test(text)) said = 'an HTML page';
  }
  const line = said
    .slice(0, 2_000)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
    .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, ' ')
    .replace(credential, '$1 …')
    .trim();
  return line ? ` (${line.slice(0, 200)})` : '';
}

/** Seconds beyond this are a Unix time, as Docker Hub writes it in its own header. */
const firstUnixTime = 1e9;

/** `Retry-After` in milliseconds: seconds or a date (RFC 9110, 10.2.3), which some write as Unix time. */
export function retryAfterMs(value: string | undefined, now = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  const written = /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) : undefined;
  const at = written === undefined ? Date.parse(value) : written * 1000;
  const isDate = written === undefined || written >= firstUnixTime;
  const seconds = (isDate ? at - now : at) / 1000;
  // A day is longer than any poll; Node's timers overflow beyond 24 of them and fire at once.
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(0, seconds * 1000), 86_400_000);
}

/** The error that an answer is, by its status or as the vendor means it. */
export function failedStatus(
  response: Answer,
  method: string,
  judged: FailureReason | Judgement = reasonOfStatus(response.status),
): CollectError {
  const { reason, ...asked } = typeof judged === 'string' ? { reason: judged } : judged;
  const retryAfter = asked.retryAfterMs ?? retryAfterMs(response.header('retry-after'));
  return new CollectError(
    reason,
    `${method} ${shown(response.url)} answered ${response.status}${response.stranger ? '' : explanation(response.body)}${hints[reason] ?? ''}`,
    { status: response.status, retryAfterMs: retryAfter },
  );
}
