import { CollectError } from '../../errors.ts';
import { type HttpResponse, type Judgement, shown } from '../../http.ts';
import type { Bearer } from './login.ts';
import { hubError } from './wire.ts';

/** What Docker Hub's errors mean, and what to do about them. */

/** Longer than any poll, and short enough for Node's timers. */
const longestWaitMs = 86_400_000;
/**
 * How long a 429 asks to wait, apart from `Retry-After`: Docker Hub sends, or sent, the Unix time as `X-Retry-After`,
 * and says with each answer when its minute ends. https://docs.docker.com/reference/api/hub/latest/#tag/rate-limiting
 */
export function judgeHub(response: HttpResponse): Judgement | undefined {
  if (response.status !== 429 || response.header('retry-after') !== undefined) return undefined;
  const at = Number(response.header('x-retry-after') ?? response.header('x-ratelimit-reset') ?? Number.NaN);
  if (!(at >= 0)) return undefined;
  // Both times are Docker Hub's: its own clock tells what is left.
  const date = Date.parse(response.header('date') ?? '');
  const now = Number.isNaN(date) ? Date.now() : date;
  const waitMs = at < 1e9 ? at * 1000 : Math.max(0, at * 1000 - now);
  return { reason: 'throttled', retryAfterMs: Math.min(waitMs, longestWaitMs) };
}

/** Whether it is Docker Hub that answered: a 404 of a proxy says nothing of the repository. */
export function isHubError({ body }: HttpResponse): boolean {
  try {
    return hubError.safeParse(JSON.parse(body.toString('utf8'))).success;
  } catch {
    return false;
  }
}

export const noCredentials = 'it wants credentials: give an access token under auth';

export const failed = (
  reason: 'auth' | 'forbidden' | 'not_found' | 'invalid_response',
  { url, status }: HttpResponse,
  why: string,
) => new CollectError(reason, `GET ${shown(url)} answered ${status}: ${why}`, { status });

export const notFound = (response: HttpResponse, why: string): CollectError =>
  isHubError(response)
    ? failed('not_found', response, why)
    : failed('invalid_response', response, 'it is not the answer of Docker Hub');

/** What to do about an answer that the credentials are not good enough for. */
export function refused(response: HttpResponse, bearer: Bearer | undefined, needed: string): CollectError {
  const said = response.body.toString('utf8');
  if (/^\s*</.test(said))
    return failed(
      'forbidden',
      response,
      'a web page, which is not the answer of Docker Hub: a proxy or firewall in between refuses the request',
    );
  const anonymous = /pagination offset/i.test(said)
    ? 'without credentials Docker Hub lists the first 1000 only: give an access token under auth'
    : noCredentials;
  const advice = bearer
    ? `the access token of ${bearer.account.username} lacks a permission: a personal one needs Read-only and an account that may read it, an organisation's needs ${needed}`
    : anonymous;
  return failed('forbidden', response, advice);
}
