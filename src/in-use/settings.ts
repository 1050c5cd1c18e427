import { z } from 'zod';
import { duration, secretsOf, type tlsFiles, userOrToken } from '../options.ts';
import { basicHeader } from '../registry-auth/credentials.ts';
import type { Secret } from '../secret.ts';

/** How a source that is asked by HTTP lets the exporter in. */
export interface SourceAuth {
  readonly username?: string | undefined;
  readonly password?: Secret | undefined;
  readonly token?: Secret | undefined;
}

/** `auth:` of a source: a user and password, or a bearer token. */
export const sourceAuth = z.strictObject(userOrToken).transform((credentials, context): SourceAuth => {
  const refuse = (message: string, path: string) =>
    context.addIssue({ code: 'custom', message, path: [path] });
  const secrets = secretsOf(credentials, refuse);
  if (secrets.password && secrets.token) refuse('is given besides password: keep one of the two', 'token');
  return secrets;
});

/** The header that shows who asks; none where nobody has to. */
export async function authHeaders(auth: SourceAuth | undefined): Promise<Readonly<Record<string, string>>> {
  if (auth?.token) return { authorization: `Bearer ${await auth.token.read()}` };
  if (auth?.username === undefined || !auth.password) return {};
  return {
    authorization: basicHeader({ username: auth.username, password: await auth.password.read() }),
  };
}

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
  readonly tls: z.output<typeof tlsFiles>;
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
