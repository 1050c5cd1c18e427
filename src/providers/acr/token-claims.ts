import { z } from 'zod';

/** A token, and for how long it is used. */
export interface Token {
  readonly value: string;
  /** Monotonic milliseconds. */
  readonly validUntil: number;
}

/** Keys as the documentation writes them. The service itself writes `Type`, `Name` and `Actions`. */
const withSmallKeys = (value: unknown): unknown =>
  typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, field]) => [key.toLowerCase(), field]))
    : value;

const grant = z.preprocess(
  withSmallKeys,
  z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) }),
);
const claims = z.object({
  exp: z.coerce.number(),
  access: z.array(grant).optional().catch(undefined),
});

/** What a token says of itself; undefined where it does not say it as ACR's do. */
function claimsOf(token: string): z.infer<typeof claims> | undefined {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return claims.safeParse(payload).data;
  } catch {
    return undefined;
  }
}

/** Whether a token says that it is good for a scope, such as `repository:checkout/api:metadata_read`. */
export function grantsOf(token: string): (scope: string) => boolean {
  const grants = claimsOf(token)?.access ?? [];
  return (scope) => {
    const [type, name, action = ''] = scope.split(':');
    return grants.some(
      (one) =>
        one.type === type &&
        (one.name === name || one.name === '*') &&
        // An anonymous token is for pulls from `*` whatever was asked for, and metadata is read with it.
        (one.actions.includes(action) || (action === 'metadata_read' && one.actions.includes('pull'))),
    );
  };
}

/**
 * Until when a token is used: an unreadable one for the minute that the token specification grants.
 * @param date the header `Date` of the answer, so that no clock but the registry's matters. `iat` does not tell when
 * the token was made: it lies a quarter of an hour back.
 */
export function validUntil(token: string, date: string | undefined): number {
  const known = claimsOf(token);
  const answeredAt = Date.parse(date ?? '');
  const madeAt = Number.isFinite(answeredAt) ? answeredAt : Date.now();
  const lifetimeMs = known ? Math.max(0, known.exp * 1000 - madeAt) : 60_000;
  return performance.now() + lifetimeMs - Math.min(60_000, lifetimeMs / 2);
}

/**
 * Shown to the SDK in place of the refresh token. It never expires, so that the SDK does not renew it behind our back,
 * where a failure would end the whole process; and the real one stays here.
 */
export const standIn = ['{}', '{"exp":9999999999}', '{}']
  .map((part) => Buffer.from(part).toString('base64url'))
  .join('.');
