import { CollectError } from '../errors.ts';
import { type HttpResponse, shown } from '../http.ts';
import { isRefusal } from './proof.ts';
import { unknownSchemes } from './scheme.ts';

/** What refusals mean, in words. */

/** @param lacksPermission whether the credentials are known to be good */
export function refused(
  response: HttpResponse,
  hadCredentials: boolean,
  lacksPermission: boolean,
): CollectError {
  const unknown = unknownSchemes(response);
  const next = unknown
    ? `it wants credentials shown by ${unknown}, which is not known here: Basic is, and Bearer with a realm`
    : !hadCredentials
      ? 'it wants credentials: give them under auth'
      : lacksPermission
        ? 'the credentials lack a permission for it'
        : 'check that the credentials are right and have not expired';
  return new CollectError(
    lacksPermission ? 'forbidden' : 'auth',
    `${shown(response.url)} answered 401: ${next}`,
    { status: 401 },
  );
}

export const lacking = (endpoint: URL, scope: string | undefined, cause: CollectError): CollectError =>
  new CollectError(
    'forbidden',
    `the token server of ${endpoint.origin} answered ${cause.status} for ${scope}: ${isRefusal(cause) ? 'the credentials lack a permission for it' : 'it gives no token for that scope'}`,
    { status: 401, cause },
  );

/** Answers that may mean that a token server does not know the scope, or that it is no token server. */
export const scopeRefusals = [400, 404, 405, 406, 410, 422, 501];

export const noTokenServer = (cause: CollectError): CollectError =>
  new CollectError(
    'auth',
    `${cause.message}, whatever it is asked for: the registry names this address as the realm of its tokens. Check that setting of the registry`,
    { cause },
  );

export const redirected = (endpoint: URL, elsewhere: string): CollectError =>
  new CollectError(
    'auth',
    `${endpoint.origin} redirects to ${elsewhere}, which is not sent the credentials: if that is the registry, make it the endpoint`,
  );

export const refusedElsewhere = ({ url }: HttpResponse): CollectError =>
  new CollectError(
    'auth',
    `${shown(url)} answered 401: the registry redirects there, and its credentials are not sent to other servers`,
    { status: 401 },
  );
