import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { explanation } from '../../http/failure.ts';
import { type HttpClient, type HttpResponse, json } from '../../http.ts';
import { beyondRolesHint, refusalOf } from './errors.ts';

/** Headers that authorize a request. */
export type AuthHeaders = Readonly<Record<string, string>>;

/** A source of headers, as `google-auth-library` has many. */
export type HeaderSource = () => Promise<AuthHeaders>;

const answer = z.object({ accessToken: z.string().min(1), expireTime: z.string() });

const advice = (target: string): string =>
  `${target} cannot be impersonated: grant roles/iam.serviceAccountTokenCreator on it to the account that the exporter runs as`;

/** The error that a 403 is. Scopes, or an API that is off, are no matter of that role. */
function refused(target: string, response: HttpResponse): CollectError {
  const refusal = refusalOf(response);
  const said = refusal?.said ?? `answered 403${explanation(response.body)}`;
  const hint = (refusal && beyondRolesHint(refusal)) ?? advice(target);
  return new CollectError('auth', `impersonation by ${response.url.host}: ${said}: ${hint}`);
}

/** A token is not used in its last minutes: a poll may take that long. */
const spareMs = 5 * 60_000;

/**
 * Tokens of another service account, by the permission `iam.serviceAccounts.getAccessToken` on it. Not the library's
 * own class, which writes a warning to the console each time that it is made.
 * https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
 */
export function impersonate(options: {
  readonly source: HeaderSource;
  /** The e-mail address of the account. */
  readonly target: string;
  readonly scope: string;
  http(): HttpClient;
  readonly endpoint?: URL | undefined;
}): HeaderSource {
  const { source, target, scope, http, endpoint } = options;
  const base = (endpoint?.href ?? 'https://iamcredentials.googleapis.com').replace(/\/$/, '');
  let current: { readonly headers: AuthHeaders; readonly until: number } | undefined;
  let pending: Promise<AuthHeaders> | undefined;

  async function renew(): Promise<AuthHeaders> {
    const own = await source();
    const request = {
      method: 'POST',
      idempotent: true,
      url: `${base}/v1/projects/-/serviceAccounts/${encodeURIComponent(target)}:generateAccessToken`,
      headers: { ...own, 'content-type': 'application/json' },
      body: JSON.stringify({ scope: [scope], lifetime: '3600s' }),
      operation: 'impersonation',
      accept: [403],
    } as const;
    const response = await http()
      .request(request)
      .catch((error: unknown) => {
        if (!(error instanceof CollectError) || !['auth', 'not_found'].includes(error.reason)) throw error;
        throw new CollectError('auth', `${error.message}: ${advice(target)}`, { cause: error });
      });
    if (response.status === 403) throw refused(target, response);
    const { accessToken, expireTime } = json(response, answer);
    const headers = { authorization: `Bearer ${accessToken}` };
    current = { headers, until: Date.parse(expireTime) - spareMs };
    return headers;
  }

  return async () => {
    if (current && Date.now() < current.until) return current.headers;
    pending ??= renew().finally(() => {
      pending = undefined;
    });
    return pending;
  };
}
