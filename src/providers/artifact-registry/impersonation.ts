import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { type HttpClient, json } from '../../http.ts';

/** Headers that authorize a request. */
export type AuthHeaders = Readonly<Record<string, string>>;

/** A source of headers, as `google-auth-library` has many. */
export type HeaderSource = () => Promise<AuthHeaders>;

const answer = z.object({ accessToken: z.string().min(1), expireTime: z.string() });

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
    try {
      const response = await http().request({
        method: 'POST',
        idempotent: true,
        url: `${base}/v1/projects/-/serviceAccounts/${encodeURIComponent(target)}:generateAccessToken`,
        headers: { ...own, 'content-type': 'application/json' },
        body: JSON.stringify({ scope: [scope], lifetime: '3600s' }),
        operation: 'impersonation',
      });
      const { accessToken, expireTime } = json(response, answer);
      const headers = { authorization: `Bearer ${accessToken}` };
      current = { headers, until: Date.parse(expireTime) - spareMs };
      return headers;
    } catch (error) {
      if (!(error instanceof CollectError) || !['auth', 'forbidden', 'not_found'].includes(error.reason))
        throw error;
      throw new CollectError(
        'auth',
        `${error.message}: ${target} cannot be impersonated: grant roles/iam.serviceAccountTokenCreator on it to the account that the exporter runs as`,
        { cause: error },
      );
    }
  }

  return async () => {
    if (current && Date.now() < current.until) return current.headers;
    pending ??= renew().finally(() => {
      pending = undefined;
    });
    return pending;
  };
}
