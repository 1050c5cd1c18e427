import { createHash } from 'node:crypto';

/** Digests, without their algorithm, and what stands in their place: of things whose bytes are changed. */
export type Renames = ReadonlyMap<string, string>;

/** The digest in an address, without its algorithm. */
const digestIn = (url: string): string | undefined => /sha256(?::|%3A)([0-9a-f]{64})/i.exec(url)?.[1];

const hash = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

export function renamed(text: string, renames: Renames): string {
  let result = text;
  for (const [from, to] of renames) result = result.replaceAll(from, to);
  return result;
}

export function back(text: string, renames: Renames): string {
  let result = text;
  for (const [from, to] of renames) result = result.replaceAll(to, from);
  return result;
}

/**
 * New digests for a thing whose bytes are changed, and for everything that names it by its digest, so that what is
 * changed is what somebody pushed, and not a transfer that went wrong.
 * @param stored everything that lies under its digest
 * @returns none where the thing did not lie under the digest of its bytes
 */
export function renamesOf(
  url: string,
  bytes: Buffer,
  changed: Buffer,
  stored: readonly { readonly url: string; readonly body: Buffer }[],
): Renames {
  const own = digestIn(url);
  const renames = new Map<string, string>();
  if (own === undefined || hash(bytes) !== own) return renames;
  renames.set(own, hash(changed));
  for (let size = 0; size !== renames.size; ) {
    size = renames.size;
    for (const one of stored) {
      const digest = digestIn(one.url);
      if (digest === undefined || digest === own || hash(one.body) !== digest) continue;
      const text = one.body.toString();
      const next = renamed(text, renames);
      if (next !== text) renames.set(digest, hash(next));
    }
  }
  return renames;
}
