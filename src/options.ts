import { z } from 'zod';
import type { Auth } from './registry-auth/credentials.ts';
import { openDockerConfig } from './registry-auth/docker-config.ts';
import { fileSecret, plainSecret, type Secret } from './secret.ts';

/** Pieces of configuration schemas that providers share. */

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `90s`, `5m`, `1h30m`, `7d`; undefined when it is no duration. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number, unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    sum += Number(number) * (units[unit] ?? 0);
  return sum;
}

/** A duration such as `90s`; parsed to whole milliseconds, since Node's deadlines take no others. */
export const duration = z.string().transform((text, context) => {
  const parsed = parseDuration(text);
  if (parsed !== undefined && parsed > 0) return Math.ceil(parsed);
  context.addIssue({
    code: 'custom',
    message: `${JSON.stringify(text)} is no duration: write one such as 30s, 5m, 12h or 7d`,
  });
  return z.NEVER;
});

const byteUnits: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

const sizeHint = 'is no size: write one such as 32MiB, or a whole number of bytes';

/** A size such as `32MiB`, or a number of bytes; parsed to bytes. */
export const byteSize = z.union([z.int().positive(), z.string()], sizeHint).transform((value, context) => {
  if (typeof value === 'number') return value;
  const [, number, unit = ''] = /^(\d+)\s*(B|KiB|MiB|GiB)$/.exec(value) ?? [];
  const bytes = Number(number) * (byteUnits[unit] ?? 0);
  if (bytes > 0) return bytes;
  context.addIssue({
    code: 'custom',
    message: `${JSON.stringify(value)} ${sizeHint}`,
  });
  return z.NEVER;
});

/** What is wrong with an address of a registry. */
function problemOfAddress(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is no address: write one such as https://registry.example.com';
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:')
    return text.includes('://')
      ? 'has another scheme than http or https'
      : 'has no scheme: put https:// before it';
  if (username || password) return 'holds a user or password: put them under auth';
  return search || hash ? 'has a query or fragment: leave it out' : undefined;
}

/** An http or https address without user, password or query. */
export const endpointUrl = z.string().transform((text, context) => {
  const problem = problemOfAddress(text);
  if (problem === undefined) return new URL(text);
  // The address is not repeated: it may hold the very password that is refused.
  context.addIssue({ code: 'custom', message: `the address ${problem}` });
  return z.NEVER;
});

/** `tls:` of what is reached by HTTP. */
export const tlsFiles = z.strictObject({
  caFile: z.string().min(1).describe("PEM file of certificates to trust besides the system's").optional(),
  certFile: z
    .string()
    .min(1)
    .describe('PEM file of a client certificate, for servers that ask for one')
    .optional(),
  keyFile: z.string().min(1).describe("PEM file of the client certificate's private key").optional(),
  insecureSkipVerify: z.boolean().describe('Do not check certificates; for tests only').optional(),
});

/** What is wrong with `tls:`; the path begins within it. */
export function checkTls(
  { certFile, keyFile }: z.output<typeof tlsFiles>,
  refuse: (path: readonly PropertyKey[], message: string) => void,
): void {
  if ((certFile === undefined) !== (keyFile === undefined))
    refuse([certFile === undefined ? 'keyFile' : 'certFile'], 'certFile and keyFile go together');
}

const text = (description: string) => z.string().min(1).describe(description);

/** A user with a password, or a token, each also from a file: what every `auth:` has. */
export const userOrToken = {
  username: text('User or robot account').optional(),
  password: text('Password; better from passwordFile or the environment').optional(),
  passwordFile: text('File that holds the password; read again when it changes').optional(),
  token: text('Token that is sent as it is; better from tokenFile or the environment').optional(),
  tokenFile: text('File that holds the token; read again when it changes').optional(),
};

/** Takes note of a mistake in an `auth:`. */
type RefuseAuth = (message: string, path: string) => void;

/** The secrets of such settings, and what is wrong with them. */
export function secretsOf(credentials: z.output<z.ZodObject<typeof userOrToken>>, refuse: RefuseAuth) {
  if (credentials.password !== undefined && credentials.passwordFile !== undefined)
    refuse('is given besides password: keep one of the two', 'passwordFile');
  if (credentials.token !== undefined && credentials.tokenFile !== undefined)
    refuse('is given besides token: keep one of the two', 'tokenFile');
  const password = secretOf(credentials.password, credentials.passwordFile, 'auth.passwordFile');
  const token = secretOf(credentials.token, credentials.tokenFile, 'auth.tokenFile');
  if ((credentials.username === undefined) !== (password === undefined))
    refuse(
      'username and password (or passwordFile) go together',
      credentials.username === undefined ? 'username' : 'password',
    );
  return { username: credentials.username, password, token };
}

/** Beside `dockerConfigFile`. */
export const allowCredentialHelpers = z
  .boolean()
  .describe(
    'Whether programs that dockerConfigFile names as credHelpers or credsStore are run (default false)',
  )
  .optional();

/** `auth:` of registries with a user and password, a token, or docker's own configuration file. */
export const auth = z
  .strictObject({
    ...userOrToken,
    dockerConfigFile: text("docker's config.json with credentials in auths").optional(),
    allowCredentialHelpers,
    trustedRealms: z
      .array(z.string().min(1))
      .describe('Hosts besides the registry itself that may be sent the credentials in exchange for a token')
      .optional(),
  })
  .transform((credentials, context): Auth => {
    const refuse = (message: string, path: string) =>
      context.addIssue({ code: 'custom', message, path: [path] });
    const { username, password, token } = secretsOf(credentials, refuse);
    const ways = [password, token, credentials.dockerConfigFile].filter((way) => way !== undefined);
    if (ways.length > 1)
      refuse('more than one of password, token and dockerConfigFile is given: keep one', 'username');
    if (credentials.allowCredentialHelpers !== undefined && credentials.dockerConfigFile === undefined)
      refuse('goes together with dockerConfigFile, which names the helpers', 'allowCredentialHelpers');
    return {
      username,
      password,
      token,
      ...(credentials.dockerConfigFile !== undefined && {
        dockerConfig: openDockerConfig(credentials.dockerConfigFile, credentials.allowCredentialHelpers),
      }),
      trustedRealms: credentials.trustedRealms,
    };
  });

/**
 * The secret of a pair of settings such as `password` and `passwordFile`.
 * @param setting names the second, for messages about the file
 */
export function secretOf(
  value: string | undefined,
  file: string | undefined,
  setting: string,
): Secret | undefined {
  if (value !== undefined) return plainSecret(value);
  return file === undefined ? undefined : fileSecret(file, { setting });
}
