import { z } from 'zod';
import { duration, secretOf } from '../options.ts';
import type { Secret } from '../secret.ts';

const text = (description: string) => z.string().min(1).describe(description);

/** How a source that is asked by HTTP lets the exporter in. */
export interface SourceAuth {
  readonly username?: string | undefined;
  readonly password?: Secret | undefined;
  readonly token?: Secret | undefined;
}

/** `auth:` of a source: a user and password, or a bearer token. */
export const sourceAuth = z
  .strictObject({
    username: text('User, for Basic authentication').optional(),
    password: text('Password; better from passwordFile or the environment').optional(),
    passwordFile: text('File that holds the password; read again when it changes').optional(),
    token: text('Bearer token; better from tokenFile or the environment').optional(),
    tokenFile: text('File that holds the token; read again when it changes').optional(),
  })
  .transform((given, context): SourceAuth => {
    const refuse = (message: string, path: string) =>
      context.addIssue({ code: 'custom', message, path: [path] });
    const both = (one: string, other: string) =>
      refuse(`is given besides ${one}: keep one of the two`, other);
    if (given.password !== undefined && given.passwordFile !== undefined) both('password', 'passwordFile');
    if (given.token !== undefined && given.tokenFile !== undefined) both('token', 'tokenFile');
    const password = secretOf(given.password, given.passwordFile, 'auth.passwordFile');
    const token = secretOf(given.token, given.tokenFile, 'auth.tokenFile');
    if ((given.username === undefined) !== (password === undefined))
      refuse(
        'username and password (or passwordFile) go together',
        given.username === undefined ? 'username' : 'password',
      );
    if (password && token) both('password', 'token');
    return { username: given.username, password, token };
  });

/** The header that shows who asks; none where nobody has to. */
export async function authHeaders(auth: SourceAuth | undefined): Promise<Readonly<Record<string, string>>> {
  if (auth?.token) return { authorization: `Bearer ${await auth.token.read()}` };
  if (!auth?.password) return {};
  const pair = `${auth.username}:${await auth.password.read()}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** `tls:` of a source. */
export const sourceTls = z.strictObject({
  caFile: text("PEM file of certificates to trust besides the system's").optional(),
  certFile: text('PEM file of a client certificate').optional(),
  keyFile: text("PEM file of the client certificate's private key").optional(),
  insecureSkipVerify: z.boolean().describe('Do not check certificates; for tests only').optional(),
});

/** What each source has besides its kind's own options. */
export const sourceCommon = {
  name: z
    .string()
    .regex(
      /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/,
      'a name has up to 63 letters, digits, dots, dashes and underscores',
    )
    .describe('Value of the label source; unique'),
  interval: duration
    .refine((ms) => ms >= 1000 && ms <= 86_400_000, 'is out of range: 1s to 1d')
    .describe('Time between two readings (default 1m)')
    .optional(),
  timeout: duration
    .refine((ms) => ms <= 3_600_000, 'is too long for a deadline: 1h at most')
    .describe('Deadline of a whole reading (default 50s)')
    .optional(),
  staleAfter: duration
    .describe('Age at which its answer no longer counts (default 5m, of a file 1h)')
    .optional(),
  maxBytes: z
    .int()
    .min(1)
    .max(2 ** 30)
    .describe('Largest answer that is read, in bytes (default 128 MiB)')
    .optional(),
};

/** A source as configured: what has a default is there. Durations in milliseconds. */
export interface SourceSettings {
  readonly name: string;
  readonly type: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly staleAfterMs: number;
  readonly maxBytes: number;
  readonly tls: z.output<typeof sourceTls>;
  /** The kind's own part. */
  readonly options: object;
  /** The source's part of the document as it was written, to see whether a reload changes it. */
  readonly written: string;
}

/** `inUse:` as configured. */
export interface InUseSettings {
  /** Images in use of one registry that are exported one by one, at most. */
  readonly maxImages: number;
  readonly sources: readonly SourceSettings[];
}
