import { createHash } from 'node:crypto';
import { CollectError } from '../errors.ts';
import type { Secret } from '../secret.ts';

/** What is shown to a registry or its token server. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  /** Sent to the registry as it is. */
  | { readonly token: string }
  /** Exchanged for access tokens (docker's `identitytoken`). */
  | { readonly identityToken: string };

/** docker's `config.json`, or podman's `auth.json`. */
export interface DockerConfig {
  /**
   * The credentials for a repository of the registry, or for the registry itself.
   * @throws CollectError `auth` when the file cannot be read, `NoEntry` when it has none for them
   */
  credentials(endpoint: URL, repository?: string): Promise<Credentials>;
}

/** Credentials as the registry protocol takes them. */
export interface Auth {
  readonly username?: string;
  readonly password?: Secret;
  readonly token?: Secret;
  readonly dockerConfig?: DockerConfig;
  readonly trustedRealms?: readonly string[];
}

/**
 * Reads the credentials for a repository, or for the registry itself; files are read again when they changed.
 * @throws CollectError `auth` where they cannot be read
 */
export type ReadCredentials = (repository?: string) => Promise<Credentials | undefined>;

/** The credentials of an `auth:` setting. */
export function credentialsOf(auth: Auth | undefined, endpoint: URL): ReadCredentials {
  return async (repository) => {
    if (auth?.token) return { token: sendable(await auth.token.read()) };
    if (auth?.username !== undefined && auth.password)
      return { username: auth.username, password: await auth.password.read() };
    return auth?.dockerConfig?.credentials(endpoint, repository);
  };
}

/** A token becomes a header as it is. */
function sendable(token: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new CollectError(
    'auth',
    'the token of auth holds spaces, line breaks or other characters that no token has',
  );
}

/** The header of Basic authentication: https://www.rfc-editor.org/rfc/rfc7617 */
export function basicHeader({
  username,
  password,
}: {
  readonly username: string;
  readonly password: string;
}): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

/** Tells credentials apart without holding them. */
export const identityOf = (credentials: Credentials | undefined): string =>
  credentials
    ? createHash('sha256').update(JSON.stringify(credentials)).digest('base64')
    : 'without credentials';
