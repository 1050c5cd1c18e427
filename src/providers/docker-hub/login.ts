import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { type HttpClient, json, shown } from '../../http.ts';
import { allowCredentialHelpers, secretOf } from '../../options.ts';
import type { CollectContext } from '../../provider.ts';
import { identityOf } from '../../registry-auth/credentials.ts';
import { createTokens, type Token } from '../../registry-auth/tokens.ts';
import { type DockerConfig, lifetimeSeconds, openDockerConfig } from '../../registry-auth.ts';
import type { Secret } from '../../secret.ts';

/** Who asks: a user with a password or personal access token, or an organisation with one of its tokens. */
export interface Account {
  readonly username: string;
  readonly secret: string;
}

interface HubAuth {
  read(): Promise<Account>;
}

const text = (description: string) => z.string().min(1).describe(description);
const ways = ['password', 'passwordFile', 'token', 'tokenFile'] as const;

/** `auth:` of Docker Hub. A token takes the password's place everywhere, so that either name will do. */
export const hubAuth = z
  .strictObject({
    username: text('User, or organisation where an organisation access token is given').optional(),
    password: text('Password or access token; better from a file or the environment').optional(),
    passwordFile: text('File that holds the password or access token').optional(),
    token: text('Personal or organisation access token; better from tokenFile or the environment').optional(),
    tokenFile: text('File that holds the access token; read again when it changes').optional(),
    dockerConfigFile: text("docker's config.json with credentials of Docker Hub in auths").optional(),
    allowCredentialHelpers,
  })
  .transform((fields, context): HubAuth => {
    const refuse = (message: string, path: string) => {
      context.addIssue({ code: 'custom', message, path: [path] });
      return z.NEVER;
    };
    const used = ways.filter((way) => fields[way] !== undefined);
    const [way, second] = used;
    if (second !== undefined) return refuse(`is given besides ${way}: keep one of the two`, second);
    const { username, dockerConfigFile, allowCredentialHelpers } = fields;
    if (allowCredentialHelpers !== undefined && dockerConfigFile === undefined)
      return refuse('goes together with dockerConfigFile', 'allowCredentialHelpers');
    if (dockerConfigFile !== undefined) {
      if (username !== undefined || way !== undefined)
        return refuse('is given besides other credentials: keep one of the two', 'dockerConfigFile');
      const dockerConfig = openDockerConfig(dockerConfigFile, allowCredentialHelpers);
      return { read: () => fromDockerConfig(dockerConfig, dockerConfigFile) };
    }
    const secret: Secret | undefined =
      secretOf(fields.password, fields.passwordFile, 'auth.passwordFile') ??
      secretOf(fields.token, fields.tokenFile, 'auth.tokenFile');
    if (username === undefined)
      return refuse('is missing: the user, or the organisation whose access token it is', 'username');
    if (!secret) return refuse('goes together with a token, tokenFile, password or passwordFile', 'username');
    return { read: async () => ({ username, secret: await secret.read() }) };
  });

async function fromDockerConfig(dockerConfig: DockerConfig, path: string): Promise<Account> {
  const credentials = await dockerConfig.credentials(new URL('https://index.docker.io'));
  if ('username' in credentials) return { username: credentials.username, secret: credentials.password };
  throw new CollectError(
    'auth',
    `the docker configuration ${path} has an identity token for Docker Hub, which its API does not take: use an access token`,
  );
}

/** A bearer token of the API, and whose it is. */
export interface Bearer {
  readonly value: string;
  readonly account: Account;
}

/** Keeps the bearer token across polls, until shortly before it expires. */
export interface Login {
  /**
   * Undefined without credentials. One login however many ask at once.
   * @param refused a token that Docker Hub no longer takes
   */
  bearer(refused?: Bearer): Promise<Bearer | undefined>;
  /** The token that was used last. */
  current(): Bearer | undefined;
}

/** https://docs.docker.com/reference/api/hub/latest/#tag/authentication-api/operation/AuthCreateAccessToken */
const statedLifetimeSeconds = 600;
const accessToken = z.object({ access_token: z.string().min(1) });
const oldToken = z.object({ token: z.string().min(1) });

/** What a JWT says; nothing when it is none. It is not verified, since it is read for hints only. */
export function claimsOf(jwt: string): Record<string, unknown> {
  try {
    const claims: unknown = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Sends the account's secret for a token. @throws CollectError `auth` when Docker Hub refuses it */
async function logIn(http: HttpClient, endpoint: string, account: Account): Promise<Token> {
  const { username, secret } = account;
  const post = (path: string, body: object) =>
    http.request({
      method: 'POST',
      url: `${endpoint}${path}`,
      operation: 'login',
      idempotent: true,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      accept: [401, 404],
    });
  let response = await post('/v2/auth/token', { identifier: username, secret });
  // The older route, for what stands in for Docker Hub and does not know the new one.
  const isOld = response.status === 404;
  if (isOld) response = await post('/v2/users/login', { username, password: secret });
  if (response.status !== 200)
    throw new CollectError(
      'auth',
      `${shown(response.url)} answered ${response.status}: Docker Hub refuses the credentials of ${username}. Check that the access token exists, is active and has not expired; an organisation's token goes with the organisation as username`,
      { status: response.status },
    );
  const value = isOld ? json(response, oldToken).token : json(response, accessToken).access_token;
  // One that was just given has not expired already: then its times are wrong.
  const seconds = lifetimeSeconds(value, response.header('date')) || statedLifetimeSeconds;
  const lifetimeMs = seconds * 1000;
  return { value, validUntil: performance.now() + lifetimeMs - Math.min(30_000, lifetimeMs / 2) };
}

export function createLogin(options: {
  readonly http: HttpClient;
  readonly endpoint: string;
  readonly auth: HubAuth | undefined;
  readonly session: CollectContext['session'];
}): Login {
  const { http, endpoint, auth, session } = options;
  const tokens = session.keep('docker-hub tokens', () => createTokens(2));
  let current: Bearer | undefined;
  return {
    async bearer(refused) {
      if (!auth) return undefined;
      const account = await auth.read();
      const key = identityOf({ username: account.username, password: account.secret });
      const value = await tokens.get(key, () => logIn(http, endpoint, account), refused?.value);
      current = { value, account };
      return current;
    },
    current: () => current,
  };
}
