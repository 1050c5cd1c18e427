import { z } from 'zod';

/** A token, and for how long it is used. */
export interface Token {
  readonly value: string;
  /** Monotonic milliseconds. */
  readonly validUntil: number;
}

const claims = z.object({
  exp: z.coerce.number(),
  iat: z.coerce.number().optional(),
  access: z.array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) })).optional(),
});

/** What a token says of itself; undefined where it does not say it as ACR's do. */
export function claimsOf(token: string): z.infer<typeof claims> | undefined {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return claims.safeParse(payload).data;
  } catch {
    return undefined;
  }
}

/** Until when a token is used: an unreadable one for the minute that the token specification grants. */
export function validUntil(token: string): number {
  const known = claimsOf(token);
  const lifetimeMs = known ? (known.exp - (known.iat ?? Date.now() / 1000)) * 1000 : 60_000;
  return performance.now() + lifetimeMs - Math.min(60_000, lifetimeMs / 2);
}

/**
 * Shown to the SDK in place of the refresh token. It never expires, so that the SDK does not renew it behind our back,
 * where a failure would end the whole process; and the real one stays here.
 */
export const standIn = ['{}', '{"exp":9999999999}', '{}']
  .map((part) => Buffer.from(part).toString('base64url'))
  .join('.');
