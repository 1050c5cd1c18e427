import { createHash } from 'node:crypto';

/** So many are remembered; registries send again within minutes. */
const rememberedAtMost = 10_000;
const hashBytes = 16;

/** Whether it is the first of its kind. */
export type Sighting = 'new' | 'repeated';

/**
 * Identities of events that were counted, as hashes of a fixed size: what a sender writes into an id takes no memory.
 * The oldest go first.
 */
export interface EventIds {
  /** Notices an event with an id of its own. */
  see(hash: string): Sighting;
  /**
   * Notices an event that has no id, and whose time is in seconds: equal ones may be different pushes. It is the same
   * one only when the answer to an earlier one was lost, or when the earlier one came before a restart.
   */
  seeContent(hash: string): Sighting;
  /** The answer to an event without an id did not arrive: the same content will be sent again. */
  lost(hash: string): void;
  /** Takes over a hash of before a restart. */
  restore(hash: string): void;
  /** All, the oldest first. */
  all(): Iterable<string>;
}

/** The hash of an event's identity: 22 characters for 16 bytes. */
export const identityHash = (...parts: readonly (string | Buffer)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest().toString('base64url', 0, hashBytes);
};

export const isIdentityHash = (text: string): boolean => /^[\w-]{22}$/.test(text);

/** An identity that is always a repeat: an id, or content of before a restart. */
const always = -1;

export function createEventIds(limit = rememberedAtMost): EventIds {
  /** How many answers were lost, of content; {@link always} of the others. */
  const seen = new Map<string, number>();
  const remember = (hash: string, lost: number) => {
    seen.set(hash, lost);
    if (seen.size <= limit) return;
    for (const oldest of seen.keys()) return void seen.delete(oldest);
  };
  return {
    see(hash) {
      if (seen.has(hash)) return 'repeated';
      remember(hash, always);
      return 'new';
    },
    seeContent(hash) {
      const lost = seen.get(hash);
      if (lost === undefined) remember(hash, 0);
      if (lost === undefined || lost === 0) return 'new';
      if (lost > 0) seen.set(hash, lost - 1);
      return 'repeated';
    },
    lost(hash) {
      const lost = seen.get(hash);
      if (lost !== undefined && lost !== always) seen.set(hash, lost + 1);
    },
    restore: (hash) => remember(hash, always),
    all: () => seen.keys(),
  };
}
