import { z } from 'zod';

const claims = z.object({ exp: z.coerce.number().positive() });

/**
 * For how many seconds a token says itself that it is good, where it is a JSON Web Token; undefined where it does not.
 * @param date the header `Date` of the answer, so that no clock but the server's matters; `iat` may lie long before
 * @see https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4
 */
export function lifetimeSeconds(token: string, date: string | undefined): number | undefined {
  const answeredAt = Date.parse(date ?? '');
  const madeAt = Number.isFinite(answeredAt) ? answeredAt : Date.now();
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return Math.max(0, claims.parse(payload).exp - madeAt / 1000);
  } catch {
    return undefined;
  }
}
