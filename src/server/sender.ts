import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { parse } from 'basic-auth';
import type { Request } from 'express';
import { plainSecret, type Secret } from '../secret.ts';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
/** Compared with where there is no token, so that an unknown registry takes as long as a wrong token. */
const nobodys = plainSecret(createHash('sha256').update(String(process.hrtime.bigint())).digest('hex'));

/** The token of `Bearer`, or the password of `Basic`, which is all that some versions of zot can send. */
const tokenOf = (header: string): string => parse(header)?.pass ?? header.replace(/^Bearer\s+/i, '');

/**
 * Where Artifactory shows its secret, or the HMAC-SHA256 of the body by it ("use secret for payload signing").
 * https://jfrog.com/help/r/jfrog-platform-administration-documentation/configure-webhooks
 */
const artifactoryHeader = 'x-jfrog-event-auth';

/**
 * What the sender shows. Docker Hub can send no header at all: for such, the token may stand in the address, where
 * those in between may write it into their logs. A header is all that counts where there is one.
 */
function shownBy(request: Request): string | undefined {
  const { token } = request.query;
  const header = request.get('authorization') ?? request.get(artifactoryHeader);
  return header ?? (typeof token === 'string' ? token : undefined);
}

/**
 * Whether the sender has the token; compares without telling by its time where two secrets differ. A token that
 * cannot be read lets nobody in: the registry's next poll says why.
 */
export async function mayEnter(request: Request, token: Secret | undefined): Promise<boolean> {
  const wanted = await (token ?? nobodys).read().catch(() => undefined);
  const isRight = timingSafeEqual(digest(tokenOf(shownBy(request) ?? '')), digest(wanted ?? ''));
  return isRight && token !== undefined && wanted !== undefined && wanted !== '';
}

/** The signature of the body that a request shows; undefined where it shows none. */
export const signatureOf = (request: Request): string | undefined =>
  request.get('authorization') === undefined
    ? /^(?:sha256=)?([0-9a-f]{64})$/i.exec(request.get(artifactoryHeader) ?? '')?.[1]?.toLowerCase()
    : undefined;

/** Whether the body was signed with the token; as {@link mayEnter} otherwise. */
export async function isSigned(body: Buffer, signature: string, token: Secret | undefined): Promise<boolean> {
  const wanted = await (token ?? nobodys).read().catch(() => undefined);
  const right = createHmac('sha256', wanted ?? '')
    .update(body)
    .digest();
  const isRight = timingSafeEqual(right, Buffer.from(signature, 'hex'));
  return isRight && token !== undefined && wanted !== undefined && wanted !== '';
}
