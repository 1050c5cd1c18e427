import { LRUCache } from 'lru-cache';
import type { Scheme } from './scheme.ts';
import { createTokens, type Tokens } from './tokens.ts';

/** So many tokens, and scopes with a scheme of their own, are kept of a registry. */
const mostScopes = 10_000;
/** Files and helpers may give other credentials for each path, and new ones at any time. */
const mostIdentities = 1000;

/** What a registry answers at `/v2/`, without credentials. */
export interface Greeting {
  /** Undefined: it has no challenge there. */
  readonly scheme?: Scheme;
  /** Whether it is a registry's answer: only then is a refusal there one of the credentials. */
  readonly speaks: boolean;
  /** Another origin that answers in its place. */
  readonly elsewhere?: string;
  /** Whether it may be another answer at the next poll. */
  readonly passing?: boolean;
}

/** What is known of how a registry authenticates; it outlives a poll, and is saved nowhere. */
export interface Learned {
  /** What `/v2/` answered, or what a challenge said later. */
  greeting?: Promise<Greeting>;
  /** Scopes that are shown credentials in another way. */
  readonly byScope: LRUCache<string, Scheme>;
  readonly tokens: Tokens;
  /** Credentials that the registry took, by identity. */
  readonly proven: LRUCache<string, Promise<boolean>>;
}

export const createLearned = (): Learned => ({
  byScope: new LRUCache({ max: mostScopes }),
  tokens: createTokens(mostScopes),
  proven: new LRUCache({ max: mostIdentities }),
});
