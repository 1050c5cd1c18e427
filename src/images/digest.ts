import { createHash } from 'node:crypto';
import { createYielder } from '../yielding.ts';

/** A digest by its form: of any algorithm. https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests */
export const digestForm = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]{32,}$/;
export const isDigest = (text: string): boolean => text.length <= 300 && digestForm.test(text);

/** 52 bits of a digest: enough to tell a registry's blobs apart, and a small number instead of a string. */
export function blobId(digest: string): number {
  const hex = /^[a-z0-9+._-]+:([0-9a-f]{13})/.exec(digest)?.[1];
  if (hex !== undefined) return Number.parseInt(hex, 16);
  return Number.parseInt(createHash('sha256').update(digest).digest('hex').slice(0, 13), 16);
}

const hashedAtOnce = 2 ** 20;

/**
 * Whether `body` is what `digest` names; undefined where the algorithm is not known here. Gives way: the hash of a large
 * blob takes long.
 */
export async function matchesDigest(body: Buffer, digest: string): Promise<boolean | undefined> {
  const [, algorithm, hex] = /^(sha256|sha512):([0-9a-f]+)$/.exec(digest) ?? [];
  if (algorithm === undefined || hex === undefined) return undefined;
  const pause = createYielder();
  const hash = createHash(algorithm);
  for (let start = 0; start < body.length; start += hashedAtOnce) {
    hash.update(body.subarray(start, start + hashedAtOnce));
    await pause();
  }
  return hash.digest('hex') === hex;
}
