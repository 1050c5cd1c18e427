import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { CollectError } from '../errors.ts';
import type { Auth } from '../options.ts';

/** What is shown to a registry or its token server. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  /** Sent to the registry as it is. */
  | { readonly token: string }
  /** Exchanged for access tokens (docker's `identitytoken`). */
  | { readonly identityToken: string };

/** Reads the credentials of an `auth:` setting; files are read again when they changed. */
export function credentialsOf(auth: Auth | undefined, host: string): () => Promise<Credentials | undefined> {
  return async () => {
    if (!auth) return undefined;
    if (auth.token) return { token: await auth.token.read() };
    if (auth.username !== undefined && auth.password)
      return { username: auth.username, password: await auth.password.read() };
    return auth.dockerConfigFile === undefined
      ? undefined
      : dockerConfigCredentials(auth.dockerConfigFile, host);
  };
}

const dockerConfig = z.object({
  auths: z
    .record(
      z.string(),
      z.object({
        auth: z.string().optional(),
        username: z.string().optional(),
        password: z.string().optional(),
        identitytoken: z.string().optional(),
      }),
    )
    .default({}),
});

/** `https://index.docker.io/v1/` and `registry.example.com` alike as a bare host. */
const hostOf = (key: string): string => {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  return ['index.docker.io', 'registry-1.docker.io'].includes(host) ? 'docker.io' : host;
};

/**
 * Credentials of a host from docker's `config.json`.
 * @throws CollectError `auth` when the file cannot be read or has nothing for the host.
 */
export async function dockerConfigCredentials(path: string, host: string): Promise<Credentials> {
  let content: z.infer<typeof dockerConfig>;
  try {
    content = dockerConfig.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    // What the parser says repeats pieces of the file; the system's own errors do not.
    const { code } = error as NodeJS.ErrnoException;
    throw new CollectError(
      'auth',
      `the docker configuration ${path} cannot be read as JSON with auths${code ? ` (${code})` : ''}`,
    );
  }
  const [, found] = Object.entries(content.auths).find(([key]) => hostOf(key) === hostOf(host)) ?? [];
  if (found?.identitytoken) return { identityToken: found.identitytoken };
  if (found?.username !== undefined && found.password !== undefined)
    return { username: found.username, password: found.password };
  const decoded = Buffer.from(found?.auth ?? '', 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon > 0) return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  throw new CollectError(
    'auth',
    `the docker configuration ${path} has no credentials for ${host} under auths`,
  );
}
