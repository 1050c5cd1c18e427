import { CollectError } from '../errors.ts';
import { shown } from './failure.ts';

const redirectStatuses = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 5;

/**
 * Where an answer leads; undefined when it is no redirect that is followed.
 * @param redirects how many were followed before
 * @throws CollectError `invalid_response` for too many, for no address, and for what would leave https
 */
export function redirectOf(
  response: {
    readonly status: number;
    readonly url: URL;
    header(name: string): string | undefined;
  },
  method: string,
  redirects: number,
): URL | undefined {
  const { status, url } = response;
  const location = response.header('location');
  if (!redirectStatuses.has(status) || location === undefined || method === 'POST') return undefined;
  if (redirects >= maxRedirects || !URL.canParse(location, url))
    throw new CollectError('invalid_response', `${shown(url)} redirects without end or nowhere`);
  const next = new URL(location, url);
  if (next.protocol !== 'https:' && (next.protocol !== 'http:' || url.protocol === 'https:'))
    throw new CollectError(
      'invalid_response',
      `${shown(url)} redirects to ${next.protocol}, which is not followed`,
    );
  return next;
}

/** The headers for another origin than the one that they were made for. */
export function withoutCredentials(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const secrets = new Set(['authorization', 'cookie', 'proxy-authorization']);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !secrets.has(name.toLowerCase())));
}
